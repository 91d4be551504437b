"""Webhooks: signed, in order, at least once, durable; over TLS too; never elsewhere than told."""
import contextlib
import hashlib
import hmac
import http.server
import json
import os
import ssl
import subprocess
import threading
import time

import pytest

import clients
from clients import FAR, copy_request
from snapferry_tools import running

SECRET = "a-secret-for-the-tests"


class Receiver:
    """An HTTP server that keeps what it is sent and answers as it is told."""

    def __init__(self, port=0, tls=None):
        self.taken, self.refused, self.status, self.location = [], [], 204, None
        receiver = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self):
                body = self.rfile.read(int(self.headers["content-length"]))
                status = receiver.status
                kept = receiver.taken if status < 300 else receiver.refused
                kept.append((self.path, dict(self.headers.items()), body))
                self.send_response(status)
                if receiver.location:
                    self.send_header("Location", receiver.location)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", port), Handler)
        if tls:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(*tls)
            self.server.socket = context.wrap_socket(self.server.socket, server_side=True)
        self.port = self.server.server_address[1]
        threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True).start()

    def stop(self):
        """Closes the port."""
        self.server.shutdown()
        self.server.server_close()

    def ids(self):
        """(source, event id) of what was taken."""
        details = [json.loads(body)["detail"] for _, _, body in self.taken]
        return [(detail["SourceIdentifier"], detail["EventID"]) for detail in details]


@pytest.fixture
def receive():
    """Makes receivers; they are closed with the test."""
    with contextlib.ExitStack() as stack:
        def make(**options):
            receiver = Receiver(**options)
            stack.callback(receiver.stop)
            return receiver

        yield make


def check_signature(headers, body, secret=SECRET):
    """The check that the guide shows."""
    headers = {name.lower(): value for name, value in headers.items()}
    parts = dict(part.split("=", 1) for part in headers["snapferry-signature"].split(","))
    expected = hmac.new(secret.encode(), parts["t"].encode() + b"." + body, hashlib.sha256).hexdigest()
    assert hmac.compare_digest(expected, parts["v1"])
    assert abs(time.time() - int(parts["t"])) < 60
    assert headers["snapferry-event-id"] == json.loads(body)["id"]
    assert headers["content-type"] == "application/json"


def wait_for(receiver, expected, seconds=60):
    """Waits until a receiver has taken just these events."""
    running.wait_until(lambda: receiver.ids()[: len(expected)] == expected, seconds, f"{expected} arrive")


MADE = [("hooked", "RDS-EVENT-0170"), ("first", "RDS-EVENT-0074"), ("first", "RDS-EVENT-0075")]
COPIED = [("far", "SNAPFERRY-EVENT-0001"), ("far", "SNAPFERRY-EVENT-0002")]


def test_events_are_delivered_in_order_and_survive_failures_and_a_restart(deploy, receive, tmp_path):
    good, bad, elsewhere = receive(), receive(), receive()
    bad.status, bad.location = 307, f"http://127.0.0.1:{elsewhere.port}/"
    config = tmp_path / "snapferry.toml"
    config.write_text(
        f"[[webhook]]\nurl = 'http://127.0.0.1:{good.port}/hook?x=1'\nsecret = '{SECRET}'\n"
        f"[[webhook]]\nurl = 'http://127.0.0.1:{bad.port}/'\nsecret = '{SECRET * 2}'\n"
    )
    deployment = deploy("--config", str(config))
    deployment.new_cluster("hooked")
    made = deployment.new_snapshot("first", "hooked")
    wait_for(good, MADE)
    path, headers, body = good.taken[2]
    check_signature(headers, body)
    assert path == "/hook?x=1"
    sent = json.loads(body)
    assert sent["detail-type"] == "RDS DB Cluster Snapshot Event" and sent["region"] == clients.HOME
    assert sent["resources"] == [made["DBClusterSnapshotArn"]] and sent["account"] == clients.OWNER
    assert sent["detail"]["Message"] == "Manual cluster snapshot created."
    assert sent["detail"]["EventCategories"] == ["backup"]

    # The other address answers with a redirect: it is asked again, and nothing else is.
    running.wait_until(lambda: 1 < len(bad.refused), 60, "it is tried again")
    assert {json.loads(body)["detail"]["EventID"] for _, _, body in bad.refused} == {"RDS-EVENT-0170"}
    assert elsewhere.taken == [] and elsewhere.refused == []
    check_signature(*bad.refused[1][1:], secret=SECRET * 2)

    # It is told which task fails, and why, and that the other one does not.
    def tasks():
        return {row["task"]: row for row in json.loads(deployment.server.run("node", "show", "--format", "json"))}

    running.wait_until(lambda: tasks().get("webhook_2", {}).get("state") == "failing", 60, "the failure is told")
    told = tasks()
    assert "307" in told["webhook_2"]["error"] and told["webhook_2"]["last_failure"]
    assert told["webhook_1"]["state"] == "ok" and told["webhook_1"]["error"] is None and told["webhook_1"]["last_success"]

    # Nothing is lost while the process is not there, and nothing comes twice that was taken.
    deployment.server.stop()
    bad.status = 200
    deployment.server.start()
    deployment.rds(FAR).copy_db_cluster_snapshot(**copy_request(made["DBClusterSnapshotArn"], "far"))
    wait_for(good, MADE + COPIED)
    wait_for(bad, MADE + COPIED)
    assert good.ids() == MADE + COPIED


def test_a_failed_copy_says_why_over_tls(deploy, receive, tmp_path):
    """The variables for one webhook; a certificate of a private authority."""
    key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2"]
        + ["-keyout", key, "-out", certificate, "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"]
        + ["-addext", "basicConstraints=critical,CA:FALSE"],
        check=True,
        capture_output=True,
    )
    sealed = receive(tls=(certificate, key))
    environment = {
        "SNAPFERRY_WEBHOOK_URL": f"https://localhost:{sealed.port}/",
        "SNAPFERRY_WEBHOOK_SECRET": SECRET,
        "SSL_CERT_FILE": str(certificate),
    }
    rate = 2_000_000
    deployment = deploy("--cross-region-bytes-per-second", str(rate), environment=environment)
    cluster = deployment.new_cluster("hooked")
    with clients.connect(cluster) as connection:
        clients.fill_with_noise(connection, 8)
    made = deployment.new_snapshot("first", "hooked")
    wait_for(sealed, MADE)
    check_signature(*sealed.taken[0][1:])

    # While the copy is under way every pack of the source is damaged.
    far = deployment.rds(FAR)
    far.copy_db_cluster_snapshot(**copy_request(made["DBClusterSnapshotArn"], "broken"))
    clients.wait_percent(far, "broken", 5)
    packs = list((deployment.server.data / "vault" / clients.HOME).glob("volumes/*/*/*/packs/*"))
    assert packs
    for pack in packs:
        os.chmod(pack, 0o600)
        with open(pack, "r+b") as file:
            file.seek(-100, os.SEEK_END)
            last = file.read(1)
            file.seek(-100, os.SEEK_END)
            file.write(bytes([last[0] ^ 1]))
    failed = running.wait_until(
        lambda: next((s for s in [clients.snapshot_of(far, "broken")] if s["Status"] != "copying"), None), 60, "it ends"
    )
    assert failed["Status"] == "failed"
    event = far.describe_events(SourceType="db-cluster-snapshot", SourceIdentifier="broken")["Events"][-1]
    assert event["EventCategories"] == ["failure"]
    assert event["Message"] == "Cluster snapshot copy failed: bytes that were kept are damaged or gone."
    wait_for(sealed, MADE + [("broken", "SNAPFERRY-EVENT-0001"), ("broken", "SNAPFERRY-EVENT-0003")])
    assert json.loads(sealed.taken[-1][2])["detail"]["Message"] == event["Message"]
    # What failed can be deleted, and the name is free again.
    far.delete_db_cluster_snapshot(DBClusterSnapshotIdentifier="broken")
    assert not clients.exists(far, "broken")


@pytest.mark.parametrize(
    ("environment", "said"),
    [
        ({"SNAPFERRY_WEBHOOK_URL": "http://127.0.0.1:1/"}, "go together"),
        ({"SNAPFERRY_WEBHOOK_URL": "http://127.0.0.1:1/", "SNAPFERRY_WEBHOOK_SECRET": "short"}, "at least 16 characters"),
        ({"SNAPFERRY_WEBHOOK_URL": "127.0.0.1:1", "SNAPFERRY_WEBHOOK_SECRET": SECRET}, "an http:// or https:// URL"),
    ],
    ids=["half", "short", "url"],
)
def test_wrong_webhooks_keep_the_server_from_starting(deploy, environment, said):
    with pytest.raises(running.StartError, match=said):
        deploy(start=False, environment=environment).server.start()
