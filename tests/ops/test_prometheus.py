"""Rules and dashboards with Prometheus itself: `make test-ops` gets it and runs this."""
import json
import os
import pathlib
import re
import subprocess
import urllib.parse
import urllib.request

import pytest

import clients
import test_ops
from snapferry_tools import network, running

PROGRAMS = pathlib.Path(os.environ.get("PROMETHEUS_BIN", test_ops.ROOT / ".prometheus/usr/bin"))
TOKEN = "a-token-for-prometheus"
# Queries that have nothing to tell where nothing is wrong, or nothing ends.
QUIET = re.compile(r'outcome="failed"|== 0|tls_not_after')

pytestmark = [pytest.mark.long, pytest.mark.timeout(600)]


def promtool(*words, **options):
    """Runs promtool; its output."""
    done = subprocess.run(
        [PROGRAMS / "promtool", *words], capture_output=True, text=True, check=False, timeout=500, **options
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def test_rules_fire_and_do_not():
    promtool("check", "rules", test_ops.RULES)
    promtool("test", "rules", test_ops.CASES)


@pytest.fixture(scope="module")
def scraped(deploy_for_module, tmp_path_factory):
    """A server with a cluster, and a Prometheus that scrapes it: both, and a function that asks Prometheus."""
    settings = {"SNAPFERRY_METRICS_TOKEN": TOKEN, "SNAPFERRY_NO_AUTOMATED_BACKUPS": None}
    deployment = deploy_for_module(environment=settings)
    with clients.connect(deployment.new_cluster("orders")) as connection:
        connection.execute("create table t (i bigint)")
    # A snapshot that is taken from here on has a log to lead on from.
    chunks = re.compile(r"(?m)^snapferry_log_chunks_written_total [1-9]")
    running.wait_until(
        lambda: chunks.search(clients.send(deployment.server, "GET", "/metrics").text), 60, "the log of the cluster goes to the vault"
    )
    folder, port = tmp_path_factory.mktemp("prometheus"), network.free_port()
    settings = {
        "global": {"scrape_interval": "1s", "evaluation_interval": "1s"},
        "rule_files": [str(test_ops.RULES)],
        "scrape_configs": [{
            "job_name": "snapferry",
            "authorization": {"credentials": TOKEN},
            "static_configs": [{"targets": [f"127.0.0.1:{deployment.server.port}"]}],
        }],
    }
    (folder / "prometheus.yml").write_text(json.dumps(settings), encoding="utf-8")
    with open(folder / "log", "w", encoding="utf-8") as log:
        process = subprocess.Popen(
            [PROGRAMS / "prometheus", f"--config.file={folder}/prometheus.yml", f"--storage.tsdb.path={folder}/data",
             f"--web.listen-address=127.0.0.1:{port}"],
            stdout=log, stderr=log,
        )

    def ask(query):
        url = f"http://127.0.0.1:{port}/api/v1/query?" + urllib.parse.urlencode({"query": query})
        with urllib.request.urlopen(url, timeout=30) as answer:
            return json.load(answer)["data"]["result"]

    def answers():
        try:
            return ask("up == 1")
        except OSError:
            return None

    try:
        running.wait_until(answers, 60, "Prometheus scrapes")
        yield deployment, ask
    finally:
        process.terminate()
        process.wait(timeout=60)


def test_the_exposition_is_sound(scraped):
    deployment, _ = scraped
    text = clients.send(deployment.server, "GET", "/metrics", {"Authorization": f"Bearer {TOKEN}"}).text
    # Promtool's taste in names is not ours where Prometheus' own pages say otherwise.
    promtool("check", "metrics", input=text)


@pytest.mark.parametrize("path", test_ops.BOARDS, ids=lambda path: path.stem)
def test_every_query_of_a_dashboard_has_data(scraped, path):
    deployment, ask = scraped
    deployment.new_snapshot(clients.unique("asked"), "orders")
    deployment.server.run("vault", "verify")
    for query in test_ops.queries(json.loads(path.read_text(encoding="utf-8"))):
        query = re.sub(r'"\$\w+"', '".*"', query)
        if QUIET.search(query):
            ask(query)
        else:
            running.wait_until(lambda: ask(query), 60, f"data of {query}")


def test_series_go_on_over_a_kill(scraped):
    deployment, ask = scraped
    name = 'snapferry_cluster_last_snapshot_timestamp_seconds{cluster="orders"}'
    running.wait_until(lambda: ask(name), 60, "the series")
    deployment.server.kill()
    running.wait_until(lambda: ask("up == 0"), 60, "the server is missed")
    deployment.server.start()
    running.wait_until(lambda: ask("up == 1") and ask(name), 60, "the same series")
    assert len(ask(f"count by (account, region, cluster) (last_over_time({name}[5m]))")) == 1
