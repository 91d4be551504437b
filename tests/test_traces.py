"""Traces: spans of requests, jobs and stages at a collector of OTLP, one trace over a link, and nothing of it unless asked for."""
import contextlib
import http.server
import json
import secrets
import sqlite3
import threading

import pytest

import clients
from clients import FAR, unique
from pairs import Pair
from snapferry_tools import running


class Collector:
    """Takes spans as a collector of OTLP over HTTP does."""

    def __init__(self):
        self.messages, self.status = [], 200
        collector = self

        class Handler(http.server.BaseHTTPRequestHandler):
            """One message."""

            def do_POST(self):  # noqa: N802
                body = self.rfile.read(int(self.headers["Content-Length"]))
                if collector.status == 200:
                    collector.messages.append((self.path, self.headers["Content-Type"], json.loads(body)))
                self.send_response(collector.status)
                self.send_header("Content-Length", "2")
                self.end_headers()
                self.wfile.write(b"{}")

            def log_message(self, *_):
                """Says nothing."""

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def spans(self, trace=None):
        """All spans, or those of a trace; each with the name of the instance that sent it."""
        found = []
        for _, _, message in list(self.messages):
            for resource in message["resourceSpans"]:
                instance = {row["key"]: row["value"]["stringValue"] for row in resource["resource"]["attributes"]}["service.instance.id"]
                found += [span | {"instance": instance} for scope in resource["scopeSpans"] for span in scope["spans"]]
        return [span for span in found if trace in (None, span["traceId"])]

    def wait(self, trace, *names):
        """Waits until a trace has spans of these names; its spans by name, the last of each."""
        def look():
            found = {span["name"]: span for span in self.spans(trace)}
            return found if set(names) <= set(found) else None
        return running.wait_until(look, 120, f"spans {names} of {trace}")

    def close(self):
        """Ends it."""
        self.server.shutdown()
        self.server.server_close()


@pytest.fixture
def collector():
    """A collector."""
    made = Collector()
    yield made
    made.close()


def traced(client, sampled="01"):
    """Has a client send a context of its own; the ids of its trace and its span."""
    trace, span = secrets.token_hex(16), secrets.token_hex(8)
    client.meta.events.register("before-send", lambda request, **_: request.headers.update({"traceparent": f"00-{trace}-{span}-{sampled}"}))
    return trace, span


def attributes(span):
    """A span's attributes."""
    return {row["key"]: row["value"]["stringValue"] for row in span["attributes"]}


def test_a_request_its_job_and_its_stages_are_one_trace(deploy, collector):
    # Whatever is logged.
    deployment = deploy("--otlp-endpoint", collector.url + "/", "--log-level", "warn")
    deployment.new_cluster("traced")
    rds = deployment.rds()
    trace, caller = traced(rds)
    rds.create_db_cluster_snapshot(DBClusterIdentifier="traced", DBClusterSnapshotIdentifier="first")
    found = collector.wait(trace, "CreateDBClusterSnapshot", "create-snapshot", "dump", "commit")
    request, job, dump = found["CreateDBClusterSnapshot"], found["create-snapshot"], found["dump"]
    assert request["parentSpanId"] == caller and request["kind"] == 2
    assert job["parentSpanId"] == request["spanId"] and dump["parentSpanId"] == found["commit"]["parentSpanId"] == job["spanId"]
    assert attributes(request)["snapferry.request.account"] == clients.OWNER and len(attributes(request)["snapferry.request.id"]) == 36
    assert attributes(job)["snapferry.job.subject"] == "first"
    for span in (request, job, dump):
        assert 0 < int(span["startTimeUnixNano"]) <= int(span["endTimeUnixNano"])
    assert int(job["startTimeUnixNano"]) <= int(dump["startTimeUnixNano"]) <= int(dump["endTimeUnixNano"]) <= int(job["endTimeUnixNano"])
    assert {(path, kind) for path, kind, _ in collector.messages} == {("/v1/traces", "application/json")}
    # What is refused says so.
    clients.refused("DBClusterNotFoundFault", rds.create_db_cluster_snapshot, DBClusterIdentifier="none", DBClusterSnapshotIdentifier="x")
    def failed():
        return [span for span in collector.spans(trace) if span.get("status", {}).get("code") == 2]
    assert running.wait_until(failed, 60, "the refusal is told")[0]["status"]["message"] == "DBClusterNotFoundFault"


def test_what_nobody_samples_is_not_sent(deploy, collector):
    deployment = deploy("--dev", "--otlp-endpoint", collector.url)
    unsampled, kept = deployment.rds(), deployment.rds()
    (left_out, _), (trace, _) = traced(unsampled, "00"), traced(kept)
    unsampled.describe_db_clusters()
    kept.describe_db_clusters()
    collector.wait(trace, "DescribeDBClusters")
    assert collector.spans(left_out) == []


def test_a_collector_that_is_away_is_waited_for(deploy, collector):
    deployment = deploy("--dev", "--otlp-endpoint", collector.url)
    collector.status = 503
    rds = deployment.rds()
    trace, _ = traced(rds)
    rds.describe_db_clusters()
    log = deployment.server.log
    running.wait_until(lambda: "traces cannot be sent" in log.read_text(), 60, "it is told")
    collector.status = 200
    collector.wait(trace, "DescribeDBClusters")
    running.wait_until(lambda: "traces are sent again" in log.read_text(), 60, "its end is told")
    assert log.read_text().count("traces cannot be sent") == 1


def test_what_a_collector_refuses_is_dropped(deploy, collector):
    deployment = deploy("--dev", "--otlp-endpoint", collector.url)
    collector.status = 400
    rds = deployment.rds()
    refused, _ = traced(rds)
    rds.describe_db_clusters()
    log = deployment.server.log
    running.wait_until(lambda: "spans were lost" in log.read_text(), 60, "it is told")
    collector.status = 200
    rds = deployment.rds()
    trace, _ = traced(rds)
    rds.describe_db_clusters()
    collector.wait(trace, "DescribeDBClusters")
    assert collector.spans(refused) == []
    assert "traces cannot be sent" not in log.read_text()


def test_what_is_left_is_sent_at_the_end(deploy, collector):
    deployment = deploy("--dev", "--otlp-endpoint", collector.url)
    rds = deployment.rds()
    trace, _ = traced(rds)
    rds.describe_db_clusters()
    deployment.server.stop()
    assert [span["name"] for span in collector.spans(trace)] == ["DescribeDBClusters"]


@pytest.mark.timeout(600)
def test_a_trace_goes_over_a_link(deploy, collector, tmp_path):
    pair = Pair(deploy, tmp_path, home_flags=("--otlp-endpoint", collector.url), far_flags=("--otlp-endpoint", collector.url))
    try:
        pair.home.new_cluster("plain")
        source = pair.home.new_snapshot("plain-snapshot", "plain")
        rds, name = pair.far.rds(FAR), unique("across")
        trace, _ = traced(rds)
        rds.copy_db_cluster_snapshot(**clients.copy_request(source["DBClusterSnapshotArn"], name))
        clients.wait_snapshot(pair.far.rds(FAR), name)
        found = collector.wait(trace, "CopyDBClusterSnapshot", "copy-snapshot", "ship")
        here = found["CopyDBClusterSnapshot"]["instance"]
        def there():
            return [span for span in collector.spans(trace) if span["instance"] != here]
        spans = running.wait_until(there, 60, "spans of the other deployment")
        known = {span["spanId"] for span in collector.spans(trace)}
        running.wait_until(lambda: all(span["parentSpanId"] in {one["spanId"] for one in collector.spans(trace)} for span in there()),
                           60, f"each is below one of here: {spans}, {known}")
    finally:
        pair.close()


def test_nothing_is_collected_unless_asked_for(deploy, collector):
    deployment = deploy()
    deployment.new_cluster("plain")
    rds = deployment.rds()
    traced(rds)
    rds.create_db_cluster_snapshot(DBClusterIdentifier="plain", DBClusterSnapshotIdentifier="first")
    clients.wait_snapshot(deployment.rds(), "first")
    deployment.server.stop()
    with contextlib.closing(sqlite3.connect(deployment.server.data / "catalog.sqlite")) as catalog:
        assert catalog.execute("select count(*), count(traceparent) from jobs where kind = 'create-snapshot'").fetchone()[1] == 0
    assert collector.messages == []


@pytest.mark.parametrize("wrong", ["127.0.0.1:4318", "ftp://x", "http://user@x/", ""])
def test_an_endpoint_has_to_be_an_address(binary, tmp_path, wrong):
    server = running.Server(binary, tmp_path / "data", "--otlp-endpoint", wrong)
    with pytest.raises(running.StartError) as refused:
        server.start()
    assert "otlp-endpoint must be an http or https URL" in str(refused.value)
