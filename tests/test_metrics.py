"""What /metrics says, and the page that tells what it means."""
import contextlib
import os
import pathlib
import re
import sqlite3

import botocore.exceptions
import pytest

import clients
from snapferry_tools import running
from test_synchronous_backup import vault_gone

PAGE = pathlib.Path(__file__).parent.parent / "docs/reference/metrics.md"
ROW = r"(?m)^\| `(\w+)` \| (\w+) \|([^|]*)\| .+ \|$"
SAMPLE = r"(\w+)(?:\{(.*)\})? ([-+0-9.e]+|NaN)"


TOKEN = "a-token-for-prometheus"


def scrape(deployment, headers=None):
    """The metrics of a server: {name: (type, {labels: value})}, a histogram's samples by their count."""
    answer = clients.send(deployment.server, "GET", "/metrics", headers)
    assert answer.status == 200
    kinds, found = {}, {}
    for line in answer.text.splitlines():
        if line.startswith("# TYPE "):
            _, _, name, kind = line.split()
            kinds[name] = kind
            found[name] = (kind, {})
        elif not line.startswith("#"):
            name, labels, value = re.fullmatch(SAMPLE, line).groups()
            base = re.sub(r"_(bucket|sum|count)$", "", name)
            if kinds.get(base) != "histogram":
                found[name][1][labels or ""] = float(value)
            elif name.endswith("_count"):
                found[base][1][labels or ""] = float(value)
    return found


def value(deployment, name, **labels):
    """One sample; 0 when there is none of these labels."""
    wanted = {f'{label}="{text}"' for label, text in labels.items()}
    assert f"`{name}`" in PAGE.read_text(encoding="utf-8")
    # A family is not told before it has a sample.
    samples = scrape(deployment).get(name, (None, {}))[1]
    return sum(count for of, count in samples.items() if wanted <= set(of.split(",")))


@pytest.fixture(scope="module")
def told(deploy_for_module):
    """A closed deployment with a token, and a cluster."""
    deployment = deploy_for_module(environment={"SNAPFERRY_METRICS_TOKEN": TOKEN, "SNAPFERRY_NO_AUTOMATED_BACKUPS": None})
    with clients.connect(deployment.new_cluster("told-by-name")) as connection:
        connection.execute("create table t (i bigint)")
    chunks = "snapferry_log_chunks_written_total"
    running.wait_until(lambda: value(deployment, chunks) > 0, 60, "its log goes to the vault")
    # Its log restores from here on.
    deployment.new_snapshot("of-told-by-name", "told-by-name")
    deployment.new_snapshot("of-told-by-name-again", "told-by-name")
    points = {"Algorithm": "LATEST_WITHIN_WINDOW", "IncludeVaults": ["*"], "RecoveryPointTypes": ["SNAPSHOT"]}
    deployment.client("backup").create_restore_testing_plan(RestoreTestingPlan={
        "RestoreTestingPlanName": "tested", "ScheduleExpression": "cron(0 5 1 1 ? 2099)", "RecoveryPointSelection": points})
    return deployment


def test_the_page_names_what_a_server_tells_and_nothing_else(told):
    shown = {"Authorization": f"Bearer {TOKEN}"}
    # What its log restores is known once the first snapshot is there.
    window = "snapferry_cluster_latest_restorable_timestamp_seconds"
    changed, tested = "snapferry_cluster_last_snapshot_changed_ratio", "snapferry_drill_plan_last_success_timestamp_seconds"
    running.wait_until(lambda: {window, changed, tested} <= set(scrape(told, shown)), 60, "metrics of a cluster and of a plan")
    documented = {name: (kind, set(re.findall(r"`(\w+)`", labels))) for name, kind, labels in re.findall(ROW, PAGE.read_text(encoding="utf-8"))}
    found = {
        name: (kind, set().union(*({pair.partition("=")[0] for pair in of.split(",") if pair} for of in samples)))
        for name, (kind, samples) in scrape(told, shown).items()
    }
    assert found == documented


def test_requests_are_counted_by_outcome(dev):
    def counted(action, code):
        return value(dev, "snapferry_requests_total", api="rds", action=action, code=code)

    # A family without samples is not told.
    dev.rds().describe_db_clusters()
    before = counted("DescribeDBClusters", "OK"), counted("DescribeDBClusters", "DBClusterNotFoundFault"), counted("none", "InvalidAction")
    timed = value(dev, "snapferry_request_duration_seconds", api="rds", action="DescribeDBClusters")
    dev.rds().describe_db_clusters()
    with pytest.raises(botocore.exceptions.ClientError):
        dev.rds().describe_db_clusters(DBClusterIdentifier="there-is-none")
    for number in range(20):
        clients.send(dev.server, "GET", f"/?Action=Invented{number}")
    after = counted("DescribeDBClusters", "OK"), counted("DescribeDBClusters", "DBClusterNotFoundFault"), counted("none", "InvalidAction")
    assert [now - then for now, then in zip(after, before, strict=True)] == [1, 1, 20]
    assert value(dev, "snapferry_request_duration_seconds", api="rds", action="DescribeDBClusters") == timed + 2
    assert not any("Invented" in labels for labels in scrape(dev)["snapferry_requests_total"][1])


def by_name(deployment, name, shown=TOKEN):
    """The samples of a metric for a scrape that shows a token, by cluster."""
    samples = scrape(deployment, {"Authorization": f"Bearer {shown}"}).get(name, (None, {}))[1]
    return {re.search(r'cluster="([^"]*)"', labels).group(1): value for labels, value in samples.items()}


def test_names_are_told_to_whoever_shows_the_token(told):
    name = "snapferry_cluster_last_snapshot_timestamp_seconds"
    labels = f'account="{clients.OWNER}",region="{clients.HOME}",cluster="told-by-name"'
    assert labels in scrape(told, {"Authorization": f"Bearer {TOKEN}"})[name][1]
    assert name not in scrape(told)
    assert "told-by-name" not in clients.send(told.server, "GET", "/metrics").text
    for wrong in (f"Bearer {TOKEN}x", TOKEN, "Bearer", "Basic eDp5"):
        answer = clients.send(told.server, "GET", "/metrics", {"Authorization": wrong})
        assert answer.status == 401 and "snapferry_" not in answer.text
    assert TOKEN not in told.server.log.read_text()


def test_the_age_of_the_last_good_snapshot_is_told(told):
    last, sums = "snapferry_cluster_last_snapshot_timestamp_seconds", "snapferry_oldest_last_snapshot_timestamp_seconds"
    told.new_cluster("told-later")
    told.new_snapshot("of-told-later", "told-later")
    taken = clients.snapshot_of(told.rds(), "of-told-later")["SnapshotCreateTime"].timestamp()
    running.wait_until(lambda: int(taken) <= by_name(told, last).get("told-later", 0), 60, "the snapshot's time")
    # Each cluster also has an automated one soon.
    running.wait_until(lambda: value(told, "snapferry_clusters_without_snapshot") == 0, 60, "a snapshot of each cluster")
    running.wait_until(lambda: value(told, sums) == min(by_name(told, last).values()) > 0, 60, "the oldest of them")
    window = "snapferry_cluster_latest_restorable_timestamp_seconds"
    running.wait_until(lambda: "told-by-name" in by_name(told, window), 60, "what its log restores")
    succeeded = value(told, "snapferry_job_last_success_timestamp_seconds", kind="create-snapshot")
    assert int(taken) <= succeeded
    assert value(told, "snapferry_job_last_failure_timestamp_seconds", kind="create-snapshot") == 0


def test_what_changed_between_two_snapshots_is_told(told):
    ratio, size = "snapferry_cluster_last_snapshot_changed_ratio", "snapferry_cluster_last_snapshot_changed_bytes"
    cluster = told.new_cluster("told-changed")
    with clients.connect(cluster) as connection:
        connection.execute("create table kept as select n, md5(n::text) as text from generate_series(1, 200000) n")
        # Else a vacuum of the server's own would write all of it again.
        connection.execute("vacuum (freeze, analyze) kept")
        connection.execute("checkpoint")
    told.new_snapshot("before-the-change", "told-changed")
    told.new_snapshot("unchanged", "told-changed")
    running.wait_until(lambda: "told-changed" in by_name(told, size), 60, "what changed is told")
    quiet = by_name(told, size)["told-changed"]
    with clients.connect(cluster) as connection:
        connection.execute("update kept set text = md5(text)")
        connection.execute("checkpoint")
    told.new_snapshot("after-the-change", "told-changed")
    # The table has some 13 MiB, and as much again after all of its rows were written anew.
    running.wait_until(lambda: by_name(told, size)["told-changed"] > (20 << 20), 60, f"much changed; before: {quiet}")
    assert 0 < by_name(told, ratio)["told-changed"] <= 1
    # Of a small cluster that is not much yet.
    assert value(told, "snapferry_clusters_changed_much") == 0
    told.rds().delete_db_cluster(DBClusterIdentifier="told-changed", SkipFinalSnapshot=True)


def test_a_key_that_is_needed_is_told_before_it_is_gone(deploy):
    deployment = deploy("--dev", "--sweep-grace-seconds", "1")
    needed, spare, kms = deployment.new_key(), deployment.new_key(), deployment.kms()
    deployment.new_cluster("sealed", StorageEncrypted=True, KmsKeyId=needed)
    deployment.new_snapshot("under-it", "sealed")
    kms.schedule_key_deletion(KeyId=spare, PendingWindowInDays=7)
    kms.schedule_key_deletion(KeyId=needed, PendingWindowInDays=7)
    name = "snapferry_keys_pending_deletion_needed"
    running.wait_until(lambda: value(deployment, name) == 1, 60, "the key that is needed, and not the other")
    kms.cancel_key_deletion(KeyId=needed)
    running.wait_until(lambda: value(deployment, name) == 0, 60, "it stays")


def test_how_near_a_server_is_to_giving_up_its_log_is_told(told):
    name = "snapferry_log_bound_taken_ratio"
    assert value(told, name) == 0
    cluster = told.new_cluster("told-held-up")
    with vault_gone(told), clients.connect(cluster) as connection:
        connection.execute("create table t as select n from generate_series(1, 100000) n")
        running.wait_until(lambda: 0 < value(told, name) < 0.1, 90, "the server keeps some of 32 GiB")
    running.wait_until(lambda: value(told, name) == 0, 120, "it gets to the vault again")
    told.rds().delete_db_cluster(DBClusterIdentifier="told-held-up", SkipFinalSnapshot=True)


def test_a_stopped_cluster_is_not_too_old(told):
    last, sums = "snapferry_cluster_last_snapshot_timestamp_seconds", "snapferry_oldest_last_snapshot_timestamp_seconds"
    told.rds().stop_db_cluster(DBClusterIdentifier="told-by-name")
    running.wait_until(lambda: clients.cluster_of(told.rds(), "told-by-name")["Status"] == "stopped", 60, "it is stopped")
    running.wait_until(lambda: list(by_name(told, last)) == ["told-later"], 60, "only the other one is told")
    running.wait_until(lambda: value(told, sums) == by_name(told, last)["told-later"] > 0, 60, "and counts")
    assert value(told, "snapferry_clusters_without_snapshot") == 0
    told.rds().start_db_cluster(DBClusterIdentifier="told-by-name")
    running.wait_until(lambda: "told-by-name" in by_name(told, last), 60, "it is told again")


def test_too_many_clusters_are_told_as_sums(told):
    told.server.stop()
    told.server.flags += ["--metrics-clusters-max", "0"]
    told.server.start()
    running.wait_until(lambda: value(told, "snapferry_oldest_last_snapshot_timestamp_seconds") > 0, 60, "sums")
    assert by_name(told, "snapferry_cluster_last_snapshot_timestamp_seconds") == {}
    assert value(told, "snapferry_clusters_told") == 0


def test_a_verification_is_told(told):
    verified = "snapferry_vault_verified_timestamp_seconds"
    assert value(told, verified) == 0
    told.server.run("vault", "verify")
    running.wait_until(lambda: value(told, verified) > 0, 60, "the verification's end")
    assert value(told, "snapferry_vault_damaged_objects") == 0
    # It is remembered when its job is forgotten and the server is another.
    ended = value(told, verified)
    told.server.stop()
    with contextlib.closing(sqlite3.connect(told.server.data / "catalog.sqlite", timeout=60)) as database, database:
        assert database.execute("delete from jobs where kind = 'verify-vault'").rowcount == 1
    told.server.start()
    running.wait_until(lambda: value(told, verified) == ended, 60, "it is told by the next server")


def test_the_disk_and_the_release_are_told(told):
    free = os.statvfs(told.server.data)
    told_free = value(told, "snapferry_disk_available_bytes", of="data")
    assert 0 < told_free <= free.f_blocks * free.f_frsize
    assert value(told, "snapferry_disk_available_bytes", of="vault") > 0
    assert value(told, "snapferry_build_info") == 1
    assert value(told, "snapferry_tls_not_after_timestamp_seconds") == 0
