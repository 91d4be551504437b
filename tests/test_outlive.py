"""Databases outlive the server: what a stop, an upgrade and a kill cost their clients, and how they are ended without one."""
import contextlib
import os
import pathlib
import re
import shutil
import signal
import subprocess
import time

import pytest

import clients
from snapferry_tools import database, running

RUN_ON = {"SNAPFERRY_STOP_CLUSTERS_ON_EXIT": "false"}
PGBENCH = next(iter(sorted(pathlib.Path("/usr/lib/postgresql").glob("*/bin/pgbench"), reverse=True)), None)
BENCH_SECONDS = 5


@pytest.fixture
def outliving(deploy):
    """A deployment whose databases run on, as is the default outside --dev."""
    return deploy(environment=RUN_ON)


def pgbench(cluster, script, *flags):
    """Starts pgbench; nothing of a cluster's own is read from the environment."""
    command = [
        *(PGBENCH, "--no-vacuum", "--time", str(BENCH_SECONDS), "--file", script, *flags),
        *("--host", cluster["Endpoint"], "--port", str(cluster["Port"]), "--username", clients.USER, clients.DATABASE),
    ]
    environment = running.clean_environment(PGPASSWORD=clients.PASSWORD, PGSSLMODE="require")
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=environment)


def figures(bench):
    """Transactions that were made and that failed, once pgbench has ended."""
    said, _ = bench.communicate(timeout=BENCH_SECONDS + 30)
    assert bench.returncode == 0 and "aborted" not in said, said
    made = re.search(r"number of transactions actually processed: (\d+)", said)
    failed = re.search(r"number of failed transactions: (\d+)", said)
    return int(made.group(1)), int(failed.group(1))


def adopted(deployment, name):
    """Waits until the server, which has just begun, has found the cluster's database."""
    clients.wait_cluster(deployment.rds(), name)


@pytest.mark.skipif(PGBENCH is None, reason="pgbench is not installed")
def test_an_upgrade_and_a_kill_cost_clients_nothing(outliving, binary, tmp_path):
    server = outliving.server
    cluster = outliving.new_cluster("busy")
    with clients.connect(cluster) as connection:
        connection.execute("create table moves (id bigint generated always as identity, client int)")
    script = tmp_path / "move.sql"
    script.write_text("insert into moves (client) values (:client_id);\n", encoding="utf-8")
    upgrade = tmp_path / "snapferry"
    shutil.copy2(binary, upgrade)
    before = running.postmasters_within(server.data)
    # Sessions that stay, and one after another.
    benches = [pgbench(cluster, script, "--client", "4"), pgbench(cluster, script, "--connect", "--rate", "30")]
    try:
        time.sleep(0.5)
        assert server.stop() == 0
        assert running.postmasters_within(server.data) == before
        server.binary = str(upgrade)
        server.start()
        adopted(outliving, "busy")
        server.kill()
        server.start()
        adopted(outliving, "busy")
        assert [bench.poll() for bench in benches] == [None, None], "all of it was under load"
        counts = [figures(bench) for bench in benches]
    finally:
        for bench in benches:
            bench.kill()
    assert [failed for _, failed in counts] == [0, 0]
    made = sum(made for made, _ in counts)
    print(f"{made} transactions through an upgrade and a kill, 0 failed")
    with clients.connect(cluster) as connection:
        assert connection.execute("select count(*) from moves").fetchone() == (made,)
    assert made > 100
    assert running.postmasters_within(server.data) == before
    # What was adopted from another process is still seen to: it is started again, and ends with its cluster.
    os.kill(before[0], signal.SIGKILL)
    running.wait_until(
        lambda: running.postmasters_within(server.data) not in (before, []), 60, "the database is started again"
    )
    outliving.rds().delete_db_cluster(DBClusterIdentifier="busy", SkipFinalSnapshot=True)
    outliving.rds().get_waiter("db_cluster_deleted").wait(
        DBClusterIdentifier="busy", WaiterConfig={"Delay": 0.1, "MaxAttempts": 300}
    )
    assert running.processes_within(server.data) == []


def test_a_stop_says_what_runs_on_and_how_it_is_ended(outliving):
    server = outliving.server
    cluster = outliving.new_cluster("shop")
    with pytest.raises(RuntimeError, match="has the data folder"):
        server.run("data", "stop-clusters")
    assert server.stop() == 0
    said = server.log.read_text(encoding="utf-8")
    assert "1 database runs on" in said and f"snapferry data stop-clusters --data {server.data}" in said
    with clients.connect(cluster) as connection:
        connection.execute("create table kept as select 1 as i")
    assert server.run("data", "stop-clusters").startswith("ended 1 database ")
    assert running.processes_within(server.data) == []
    assert server.run("data", "stop-clusters").startswith("no database runs ")
    server.start()
    adopted(outliving, "shop")
    with clients.connect(cluster) as connection:
        assert connection.execute("select i from kept").fetchone() == (1,)


def test_nothing_of_the_server_is_left_in_a_database(deploy, tmp_path):
    deployment = deploy(start=False, environment=RUN_ON)
    server = deployment.server
    # As a script has it that waits for the end of a pipe.
    held = tmp_path / "held"
    server.prefix = ["sh", "-c", f'exec 9>{held}; exec "$@"', "sh"]
    server.start()
    deployment.new_cluster("alone")
    (postmaster,) = running.postmasters_within(server.data)
    home = next(server.data.glob("clusters/*/try-*")).resolve()
    session, terminal = pathlib.Path(f"/proc/{postmaster}/stat").read_text().rpartition(")")[2].split()[3:5]
    assert (int(session), terminal) == (postmaster, "0"), "it has a session of its own, without a terminal"
    for descriptor in pathlib.Path(f"/proc/{postmaster}/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):
            what = os.readlink(descriptor)
            assert what != str(held), "an inherited file"
            if what.startswith("pipe:"):
                # PostgreSQL's own, which its children die by, and the one that wakes it.
                assert all(what not in files_of(pid) for pid in (server.process.pid, os.getpid())), what
            if what.startswith(str(server.data.resolve())):
                assert pathlib.Path(what).is_relative_to(home), what


def files_of(pid):
    """What a process has open."""
    found = []
    for descriptor in pathlib.Path(f"/proc/{pid}/fd").iterdir():
        with contextlib.suppress(OSError):
            found.append(os.readlink(descriptor))
    return found


@pytest.mark.long
def test_a_signal_to_the_terminals_group_ends_the_server_alone(outliving):
    server = outliving.server
    outliving.new_cluster("shop")
    before = running.postmasters_within(server.data)
    # Ctrl-C, then the terminal is closed.
    os.killpg(server.process.pid, signal.SIGINT)
    assert server.process.wait(running.STOP_SECONDS) == 0
    assert running.postmasters_within(server.data) == before


@pytest.mark.long
def test_a_cluster_that_is_not_whole_ends_with_the_server(outliving):
    server = outliving.server
    outliving.new_cluster("first")
    outliving.new_cluster("second", wait=False)
    assert server.stop() == 0
    whole = [mark.parent / "data" for mark in server.data.glob("clusters/*/try-*/whole")]
    assert len(running.postmasters_within(server.data)) <= len(whole)
    server.start()
    for name in ("first", "second"):
        clients.wait_cluster(outliving.rds(), name)


def test_dev_ends_what_it_began(deploy):
    deployment = deploy("--dev", environment={"SNAPFERRY_STOP_CLUSTERS_ON_EXIT": None})
    deployment.new_cluster("shop")
    assert deployment.server.stop() == 0
    assert running.processes_within(deployment.server.data) == []


def test_a_data_folder_is_removed_with_all_that_runs_on_it(outliving):
    server = outliving.server
    outliving.new_cluster("shop")
    with pytest.raises(RuntimeError, match="has the data folder"):
        server.run("data", "remove", "--yes")
    server.stop()
    with pytest.raises(RuntimeError, match="--yes"):
        server.run("data", "remove")
    assert len(running.postmasters_within(server.data)) == 1
    said = server.run("data", "remove", "--yes")
    assert said.startswith("ended 1 database") and f"removed {server.data}" in said
    assert not server.data.exists() and running.processes_within(server.data) == []
    with pytest.raises(RuntimeError, match="is no data folder|there is no"):
        server.run("data", "remove", "--yes")


def test_what_a_folder_that_was_removed_by_hand_left_is_told_and_ended(outliving):
    server = outliving.server
    outliving.new_cluster("shop")
    server.stop()
    shutil.rmtree(server.data)
    left = running.processes_within(server.data)
    assert left, "PostgreSQL looks at its folder once a minute"
    # A new deployment in its place.
    server.start()
    running.wait_until(lambda: "folder that was removed" in server.log.read_text(), 60, "the start tells it")
    server.stop()
    said = server.run("data", "stop-clusters")
    assert re.search(r"ended \d+ process(es)? that a removed folder left", said), said
    assert running.processes_within(server.data) == []


@pytest.mark.long
def test_readers_run_on_and_end_too(outliving):
    server = outliving.server
    outliving.new_cluster("pair")
    rds = outliving.rds()
    for name in ("first", "second"):
        rds.create_db_instance(
            DBInstanceIdentifier=name, DBClusterIdentifier="pair", DBInstanceClass="db.t3.medium", Engine="aurora-postgresql"
        )
        running.wait_until(
            lambda name=name: rds.describe_db_instances(DBInstanceIdentifier=name)["DBInstances"][0]["DBInstanceStatus"]
            == "available",
            60,
            f"{name} is available",
        )
    before = running.postmasters_within(server.data)
    assert len(before) == 2
    assert server.stop() == 0
    assert "2 databases run on" in server.log.read_text(encoding="utf-8")
    server.start()
    adopted(outliving, "pair")
    assert running.postmasters_within(server.data) == before
    server.stop()
    assert server.run("data", "stop-clusters").startswith("ended 2 databases ")
    # In order: no recovery at the next start.
    logs = [path.read_text(encoding="utf-8") for path in server.data.glob("clusters/*/*/log/postgres.log")]
    assert all("database system is shut down" in log.splitlines()[-1] for log in logs), logs


@pytest.mark.long
def test_a_stop_without_a_catalog_goes_by_files(deploy, tmp_path):
    catalog = database.Database()
    try:
        places = {"SNAPFERRY_CATALOG": catalog.url, "SNAPFERRY_VAULT": str(tmp_path / "vault")}
        server = (deployment := deploy(environment=places | RUN_ON)).server
        deployment.new_cluster("shop")
        catalog.kill()
        assert server.stop() == 0
        assert "1 database runs on" in server.log.read_text(encoding="utf-8")
        assert len(running.postmasters_within(server.data)) == 1
        catalog.start()
        server.environment = places
        server.start()
        adopted(deployment, "shop")
        catalog.kill()
        assert server.stop() == 0
        assert running.processes_within(server.data) == []
    finally:
        catalog.remove()
