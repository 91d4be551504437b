"""Clusters of a real MySQL: rows, users and facts through snapshots, copies and restores, by unmodified clients.

Skipped where the machine has no MySQL; `scripts/get-mysql` gets one.
"""
import os
import pathlib
import shutil
import subprocess

import mysql.connector
import pymysql
import pytest

import clients
from clients import DATABASE, FAR, PARTNER, PASSWORD, USER, copied, refused, unique
from snapferry_tools import running

PREFIX = os.environ.get("TEST_MYSQL", "/usr/local/lib/snapferry/mysql")
ENGINE = "aurora-mysql"
NEW = {"Engine": ENGINE, "MasterUsername": USER, "MasterUserPassword": PASSWORD}
SCHEMA = (
    "create table goods (id int primary key auto_increment, name varchar(80) character set utf8mb4, j json,"
    " price decimal(10,2), at timestamp(6) default current_timestamp(6), key (name))",
    "create table empty_one (id int)",
    "create table squeezed (id int primary key, b blob) row_format=compressed key_block_size=4",
    "create view cheap as select id, name from goods where price < 10",
    "create procedure count_goods() select count(*) from goods",
)


@pytest.fixture(scope="module")
def here(deploy_for_module):
    """A deployment that has MySQL, and lets clients in without TLS."""
    deployment = deploy_for_module(environment={"SNAPFERRY_MYSQL_DIR": PREFIX, "SNAPFERRY_CLUSTER_FORCE_TLS": "false"})
    if not deployment.rds().describe_db_engine_versions(Engine=ENGINE)["DBEngineVersions"]:
        pytest.skip("there is no MySQL on this machine: scripts/get-mysql gets one")
    return deployment


@pytest.fixture(scope="module")
def cluster(here):
    """A cluster with rows."""
    made = here.new_cluster("sea", Engine=ENGINE)
    with connect(made) as connection, connection.cursor() as cursor:
        for statement in SCHEMA:
            cursor.execute(statement)
        rows = [(f"Gut № {number} 🚢", f'{{"n": {number}}}', number / 4) for number in range(1000)]
        cursor.executemany("insert into goods (name, j, price) values (%s, %s, %s)", rows)
        cursor.executemany("insert into squeezed values (%s, %s)", [(number, os.urandom(900)) for number in range(200)])
        cursor.execute("create user deckhand@'%%' identified by 'Deckhand-1'")
        cursor.execute(f"grant select on {DATABASE}.* to deckhand@'%%'")
    return made


@pytest.fixture(scope="module")
def snapshot(here, cluster):
    """A snapshot of it, taken while it runs."""
    return here.new_snapshot("sea-snapshot", "sea")


def connect(cluster, user=USER, password=PASSWORD, **more):
    """PyMySQL on a cluster."""
    return pymysql.connect(
        host=cluster["Endpoint"], port=cluster["Port"], user=user, password=password, database=DATABASE, autocommit=True,
        **more)


def contents(cluster):
    """Every row of every table, and what else lies in the database."""
    with connect(cluster) as connection, connection.cursor() as cursor:
        cursor.execute("select table_name, table_type from information_schema.tables where table_schema = %s order by 1", [DATABASE])
        tables = cursor.fetchall()
        cursor.execute("select routine_name from information_schema.routines where routine_schema = %s", [DATABASE])
        found = {"tables": tables, "routines": cursor.fetchall()}
        for name, _ in tables:
            cursor.execute(f"select * from `{name}` order by 1")
            found[name] = cursor.fetchall()
        cursor.execute("select user, host from mysql.user order by 1, 2")
        found["users"] = cursor.fetchall()
        return found


def test_a_cluster_is_what_was_asked_for(here, cluster):
    rds = here.rds()
    (version,) = {one["EngineVersion"] for one in rds.describe_db_engine_versions(Engine=ENGINE, DefaultOnly=True)["DBEngineVersions"]}
    series = ".".join(version.split(".")[:2])
    assert (cluster["Engine"], cluster["EngineVersion"]) == (ENGINE, version)
    assert cluster["DBClusterParameterGroup"] == f"default.{ENGINE}{series}"
    assert cluster["Port"] == 3306 or cluster["Endpoint"].startswith("127.0.0.1")
    by_series = rds.describe_db_engine_versions(Engine="mysql", EngineVersion=series)["DBEngineVersions"]
    assert version in [one["EngineVersion"] for one in by_series]
    assert rds.describe_orderable_db_instance_options(Engine=ENGINE, EngineVersion=version)["OrderableDBInstanceOptions"]
    with connect(cluster) as connection, connection.cursor() as cursor:
        cursor.execute("select version(), @@lower_case_table_names, @@default_storage_engine, md5('a')")
        said, case, engine, hashed = cursor.fetchone()
        assert said.startswith(version) and (case, engine) == (0, "InnoDB") and hashed.startswith("0cc175b9")


@pytest.mark.parametrize(
    ("change", "code", "says"),
    [
        ({"EngineVersion": "8.0.mysql_aurora.3.08.0"}, None, "Installed here: "),
        ({"EngineVersion": "5.7"}, None, "Installed here: "),
        ({"MasterUsername": "root"}, "InvalidParameterValue", "reserved word"),
        ({"MasterUsername": "x" * 17}, "InvalidParameterValue", "1 to 16"),
        ({"MasterUsername": "select"}, "InvalidParameterValue", "reserved word"),
        ({"DatabaseName": "performance_schema"}, "InvalidParameterValue", "reserved word"),
        ({"DatabaseName": "a-b"}, "InvalidParameterValue", "alphanumeric"),
        ({"MasterUserPassword": "x" * 42}, "InvalidParameterValue", "longer than 41 characters"),
    ],
)
def test_what_is_refused(here, change, code, says):
    with pytest.raises(here.rds().exceptions.ClientError) as caught:
        here.rds().create_db_cluster(DBClusterIdentifier=unique("never"), **NEW | change)
    error = caught.value.response["Error"]
    assert says in error["Message"] and code in (None, error["Code"])


def test_clients_with_and_without_tls(here, cluster, tmp_path):
    authority = tmp_path / "ca.pem"
    authority.write_text(here.server.run("ca", "export"), encoding="utf-8")
    cipher = "show status like 'Ssl_cipher'"
    with connect(cluster, ssl_ca=str(authority), ssl_verify_identity=True, ssl_verify_cert=True) as connection, connection.cursor() as cursor:
        cursor.execute(cipher)
        assert cursor.fetchone()[1]
    with connect(cluster, ssl_disabled=True) as connection, connection.cursor() as cursor:
        cursor.execute(cipher)
        assert not cursor.fetchone()[1]
    where = {"host": cluster["Endpoint"], "port": cluster["Port"], "user": USER, "password": PASSWORD, "database": DATABASE}
    for more in ({"ssl_ca": str(authority), "ssl_verify_cert": True}, {"ssl_disabled": True}):
        with mysql.connector.connect(**where, use_pure=True, **more) as connection, connection.cursor() as cursor:
            cursor.execute("select count(*) from goods")
            assert cursor.fetchone() == (1000,)
    with pytest.raises(pymysql.err.OperationalError):
        connect(cluster, password="wrong-horse-8")
    with pytest.raises(pymysql.err.OperationalError):
        connect(cluster, user="rdsadmin", password="")


@pytest.mark.parametrize("how", [["--ssl-mode=REQUIRED"], ["--ssl-mode=DISABLED", "--get-server-public-key"]])
def test_the_mysql_client(here, cluster, how):
    client = pathlib.Path(PREFIX) / "bin/mysql"
    client = str(client) if client.exists() else shutil.which("mysql")
    if client is None:
        pytest.skip("there is no mysql client")
    where = ["-h", cluster["Endpoint"], "-P", str(cluster["Port"]), "-u", USER, *how]
    done = subprocess.run(
        [client, "--no-defaults", *where, "-N", "-e", "select count(*) from goods", DATABASE],
        env=running.clean_environment(MYSQL_PWD=PASSWORD), capture_output=True, text=True, check=False, timeout=30)
    assert (done.stdout.strip(), done.returncode) == ("1000", 0), done.stderr


def test_the_master_user_gets_no_further_than_its_databases(cluster):
    shut = (
        "select 1 into outfile '/tmp/x'", "load data infile '/etc/passwd' into table empty_one", "set global general_log = on",
        "update mysql.user set Super_priv = 'Y'", "grant super on *.* to deckhand@'%'", "grant file on *.* to deckhand@'%'",
        "drop user rdsadmin@localhost", "create definer = rdsadmin@localhost procedure evil() select 1", "shutdown",
        "install component 'file://component_validate_password'", "create table mysql.x (a int)", "lock instance for backup",
        "create table d (a int) data directory = '/tmp'", "alter instance disable innodb redo_log", "create table m (a int) engine = csv",
    )
    with connect(cluster) as connection, connection.cursor() as cursor:
        for statement in shut:
            with pytest.raises(pymysql.err.Error):
                cursor.execute(statement)
        cursor.execute("select load_file('/etc/passwd')")
        assert cursor.fetchone() == (None,)


def test_rows_come_back_in_another_region(here, cluster, snapshot):
    assert snapshot["Engine"] == ENGINE
    key = here.new_key(FAR)
    copy = copied(here, snapshot["DBClusterSnapshotArn"], FAR, SourceRegion=clients.HOME)
    far = here.rds(FAR)
    assert copy["Engine"] == ENGINE
    with pytest.raises(far.exceptions.ClientError):
        far.restore_db_cluster_from_snapshot(
            DBClusterIdentifier="never", SnapshotIdentifier=copy["DBClusterSnapshotIdentifier"], Engine="aurora-postgresql")
    far.restore_db_cluster_from_snapshot(
        DBClusterIdentifier="ocean", SnapshotIdentifier=copy["DBClusterSnapshotIdentifier"], Engine=ENGINE, KmsKeyId=key)
    restored = clients.wait_cluster(far, "ocean")
    assert contents(restored) == contents(cluster)
    assert restored["StorageEncrypted"] and restored["KmsKeyId"] == key
    with connect(restored, user="deckhand", password="Deckhand-1") as connection, connection.cursor() as cursor:
        cursor.execute("select count(*) from goods")
        assert cursor.fetchone() == (1000,)
    with connect(restored) as there, there.cursor() as cursor, connect(cluster) as first, first.cursor() as other:
        for one in (cursor, other):
            one.execute("select @@server_uuid")
        assert cursor.fetchone() != other.fetchone(), "a server of its own"
    far.delete_db_cluster(DBClusterIdentifier="ocean", FinalDBSnapshotIdentifier="last-of-ocean")
    clients.wait_cluster_gone(far, "ocean")
    assert clients.wait_snapshot(far, "last-of-ocean")["SnapshotType"] == "manual"


def test_a_snapshot_is_shared_with_another_account(here, snapshot):
    rds, theirs = here.rds(), here.rds(account=PARTNER)
    rds.modify_db_cluster_snapshot_attribute(
        DBClusterSnapshotIdentifier=snapshot["DBClusterSnapshotIdentifier"], AttributeName="restore", ValuesToAdd=[PARTNER])
    copy = copied(here, snapshot["DBClusterSnapshotArn"], account=PARTNER)
    theirs.restore_db_cluster_from_snapshot(
        DBClusterIdentifier="theirs", SnapshotIdentifier=copy["DBClusterSnapshotIdentifier"], Engine=ENGINE)
    with connect(clients.wait_cluster(theirs, "theirs")) as connection, connection.cursor() as cursor:
        cursor.execute("select count(*) from goods")
        assert cursor.fetchone() == (1000,)
    theirs.delete_db_cluster(DBClusterIdentifier="theirs", SkipFinalSnapshot=True)


@pytest.mark.long
def test_password_port_and_parameters_change(here):
    rds = here.rds()
    made = here.new_cluster("tide", Engine="mysql")
    assert made["Engine"] == "mysql"
    rds.modify_db_cluster(DBClusterIdentifier="tide", MasterUserPassword="Another-horse-9", ApplyImmediately=True)

    def lets_in():
        try:
            return connect(made, password="Another-horse-9")
        except pymysql.err.OperationalError:
            return None

    running.wait_until(lets_in, 60, "the new password counts").close()
    with pytest.raises(pymysql.err.OperationalError):
        connect(made)
    family = here.rds().describe_db_engine_versions(Engine="mysql", DefaultOnly=True)["DBEngineVersions"][0]["DBParameterGroupFamily"]
    rds.create_db_cluster_parameter_group(DBClusterParameterGroupName="tide", DBParameterGroupFamily=family, Description="t")
    refused(
        "InvalidParameterValue", rds.modify_db_cluster_parameter_group, DBClusterParameterGroupName="tide",
        Parameters=[{"ParameterName": "datadir", "ParameterValue": "/", "ApplyMethod": "pending-reboot"}])
    rds.modify_db_cluster_parameter_group(
        DBClusterParameterGroupName="tide",
        Parameters=[{"ParameterName": "max_connections", "ParameterValue": "77", "ApplyMethod": "immediate"}])
    rds.modify_db_cluster(DBClusterIdentifier="tide", DBClusterParameterGroupName="tide", ApplyImmediately=True)

    def has_it():
        with connect(made, password="Another-horse-9") as connection, connection.cursor() as cursor:
            cursor.execute("select @@max_connections")
            return cursor.fetchone() == (77,)

    running.wait_until(has_it, 60, "the parameter is in effect", every=0.5)
    rds.delete_db_cluster(DBClusterIdentifier="tide", SkipFinalSnapshot=True)


def test_a_killed_server_comes_back_with_its_rows(here, cluster):
    before = contents(cluster)
    (process,) = [pid for pid in running.processes_within(here.server.data) if is_server_of(pid, cluster)]
    os.kill(process, 9)

    def answers():
        try:
            return contents(cluster)
        except pymysql.err.Error:
            return None

    assert running.wait_until(answers, 60, "its server is started again", every=0.3) == before


@pytest.mark.long
def test_a_new_snapferry_adopts_its_servers(deploy):
    deployment = deploy(environment={"SNAPFERRY_MYSQL_DIR": PREFIX, "SNAPFERRY_STOP_CLUSTERS_ON_EXIT": "false"})
    if not deployment.rds().describe_db_engine_versions(Engine=ENGINE)["DBEngineVersions"]:
        pytest.skip("there is no MySQL on this machine: scripts/get-mysql gets one")
    made = deployment.new_cluster("stays", Engine=ENGINE)
    with pytest.raises(pymysql.err.OperationalError, match="insecure transport"):
        connect(made, ssl_disabled=True)
    with connect(made) as connection:
        deployment.server.kill()
        deployment.server.start()
        clients.wait_cluster(deployment.rds(), "stays")
        with connection.cursor() as cursor:
            cursor.execute("select 1")
            assert cursor.fetchone() == (1,), "the session went on"


def is_server_of(pid, cluster):
    """Whether a process is the server at a cluster's address."""
    try:
        words = pathlib.Path(f"/proc/{pid}/cmdline").read_bytes().decode(errors="replace").split("\0")
    except OSError:
        return False
    return {f"--port={cluster['Port']}", f"--bind_address={cluster['Endpoint']}"} <= set(words)
