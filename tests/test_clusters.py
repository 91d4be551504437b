"""CreateDBCluster, DescribeDBClusters, DeleteDBCluster: a PostgreSQL that clients can use."""
import re

import psycopg
import pytest

import clients
from clients import FAR, PASSWORD, PARTNER, USER, refused, unique
from snapferry_tools import running

NEW = {"Engine": "aurora-postgresql", "MasterUsername": USER, "MasterUserPassword": PASSWORD}


def names(rds):
    """Names of all clusters."""
    return {cluster["DBClusterIdentifier"] for cluster in rds.describe_db_clusters()["DBClusters"]}


def test_a_cluster_from_creation_to_deletion(closed):
    rds = closed.rds()
    name = unique("Whole").replace("whole", "Whole")
    made = closed.new_cluster(name, wait=False, Tags=[{"Key": "team", "Value": "blue"}], EngineVersion="15")
    low = name.lower()
    assert made["DBClusterIdentifier"] == low
    assert made["Status"] == "creating"
    assert re.fullmatch(r"cluster-[A-Z0-9]{26}", made["DbClusterResourceId"])
    assert made["DBClusterArn"] == f"arn:aws:rds:us-east-1:{clients.OWNER}:cluster:{low}"
    cluster = clients.wait_cluster(rds, name)
    assert cluster["Status"] == "available"
    assert cluster["Engine"] == "aurora-postgresql"
    assert re.match(r"15\.\d+", cluster["EngineVersion"])
    assert cluster["MasterUsername"] == USER
    assert cluster["DatabaseName"] == clients.DATABASE
    assert cluster["StorageEncrypted"] is False and "KmsKeyId" not in cluster
    assert cluster["TagList"] == [{"Key": "team", "Value": "blue"}]
    assert cluster["BackupRetentionPeriod"] == 1
    assert rds.describe_db_clusters(DBClusterIdentifier=made["DBClusterArn"])["DBClusters"] == [cluster]

    with clients.connect(cluster) as connection:
        def show(setting):
            return connection.execute(f"show {setting}").fetchone()[0]

        assert show("data_checksums") == "on"
        assert show("password_encryption") == "scram-sha-256"
        assert show("fsync") == "on"
        locale = "select datcollate, pg_encoding_to_char(encoding) from pg_database where datname = current_database()"
        assert connection.execute(locale).fetchone() == ("C.UTF-8", "UTF8")
        rights = "select rolsuper, rolcreaterole, rolcreatedb from pg_roles where rolname = current_user"
        assert connection.execute(rights).fetchone() == (False, True, True)
        connection.execute("create table mine (i int)")

    rds.delete_db_cluster(DBClusterIdentifier=name, SkipFinalSnapshot=True)
    rds.get_waiter("db_cluster_deleted").wait(
        DBClusterIdentifier=name, WaiterConfig={"Delay": 0.1, "MaxAttempts": 300}
    )
    refused(
        "DBClusterNotFoundFault", rds.describe_db_clusters, f"DBCluster {low} not found.", 404, DBClusterIdentifier=low
    )
    with pytest.raises(psycopg.OperationalError):
        clients.connect(cluster)


def test_only_the_password_lets_in(plain):
    for attempt in ({"password": "wrong-password"}, {"user": "rdsadmin"}, {"user": "postgres"}):
        with pytest.raises(psycopg.OperationalError):
            clients.connect(plain, **attempt)


def test_each_cluster_runs_alone(closed, plain, sealed):
    postmasters = running.postmasters_within(closed.server.data)
    assert len(postmasters) >= 2
    if running.os.geteuid() == 0:
        owners = {running.os.stat(f"/proc/{pid}").st_uid for pid in postmasters}
        assert len(owners) == len(postmasters) and 0 not in owners


def test_the_master_user_cannot_read_the_servers_files(closed, plain):
    with clients.connect(plain) as connection:
        for statement in (
            f"select pg_read_file('{closed.server.data}/credentials')",
            f"copy pg_temp.t from '{closed.server.data}/master.key'",
            "copy (select 1) to program 'id'",
        ):
            with pytest.raises(psycopg.Error):
                connection.execute("create temp table if not exists t (line text)")
                connection.execute(statement)


@pytest.mark.skipif(running.os.geteuid() != 0, reason="clusters have users of their own only under root")
def test_the_os_keeps_a_cluster_from_the_servers_files(closed, plain):
    # A role with CREATEROLE can run programs as the server's OS user before PostgreSQL 16.
    with clients.connect(plain) as connection:
        try:
            connection.execute("create role runner login password 'x' in role pg_execute_server_program")
            connection.execute("grant pg_execute_server_program to current_user")
            connection.execute("create temp table out (line text)")
            connection.execute("copy out from program 'whoami; id -u'")
        except psycopg.Error:
            return
        shown = [row[0] for row in connection.execute("select line from out")]
        assert "0" not in shown and "root" not in shown
        for path in ("credentials", "master.key"):
            with pytest.raises(psycopg.Error):
                connection.execute(f"copy out from program 'cat {closed.server.data}/{path}'")


def test_a_name_is_taken_once(closed, plain):
    refused("DBClusterAlreadyExistsFault", closed.rds().create_db_cluster, status=400, DBClusterIdentifier="PLAIN", **NEW)


def test_accounts_and_regions_do_not_see_each_other(closed, plain):
    assert "plain" in names(closed.rds())
    assert names(closed.rds(account=PARTNER)) == set()
    assert "plain" not in names(closed.rds(FAR))
    for account, region in ((PARTNER, clients.HOME), (clients.OWNER, FAR)):
        refused(
            "DBClusterNotFoundFault", closed.rds(region, account).describe_db_clusters, DBClusterIdentifier="plain"
        )


@pytest.mark.parametrize("name", ["-x", "1x", "x-", "x--y", "x" * 64, "ü", "x_y"])
def test_wrong_names(closed, name):
    rds = closed.rds()
    before = names(rds)
    refused("InvalidParameterValue", rds.create_db_cluster, status=400, DBClusterIdentifier=name, **NEW)
    assert names(rds) == before


@pytest.mark.parametrize(
    ("change", "code", "says"),
    [
        ({"Engine": "aurora"}, "InvalidParameterValue", "aurora-postgresql"),
        ({"Engine": "oracle"}, "InvalidParameterValue", "aurora-postgresql"),
        ({"EngineVersion": "9.6"}, None, "15."),
        ({"EngineVersion": "15.999"}, None, "15."),
        ({"MasterUsername": "1abc"}, "InvalidParameterValue", "MasterUsername"),
        ({"MasterUsername": "x" * 64}, "InvalidParameterValue", "MasterUsername"),
        ({"MasterUsername": "admin"}, "InvalidParameterValue", "MasterUsername admin cannot be used as it is a reserved word used by the engine"),
        ({"MasterUsername": "pg_dba"}, "InvalidParameterValue", 'role names starting with "pg_" are reserved by the PostgreSQL engine'),
        ({"MasterUserPassword": "short"}, "InvalidParameterValue", "The parameter MasterUserPassword is not a valid password because it is shorter than 8 characters."),
        ({"MasterUserPassword": "x" * 42}, "InvalidParameterValue", "because it is longer than 41 characters."),
        ({"MasterUserPassword": "with/slash"}, "InvalidParameterValue", "Only printable ASCII characters besides '/', '@', '\"', ' ' may be used."),
        ({"DatabaseName": "admin"}, "InvalidParameterValue", "DatabaseName admin cannot be used. It is a reserved word for this engine"),
        ({"DatabaseName": "Order"}, "InvalidParameterValue", "reserved word"),
        ({"DatabaseName": "staging-postgres"}, "InvalidParameterValue", "DatabaseName must begin with a letter and contain only alphanumeric characters"),
        ({"DatabaseName": "x" * 64}, "InvalidParameterValue", "DatabaseName"),
        ({"Port": 80}, "InvalidParameterValue", "80"),
        ({"BackupRetentionPeriod": 36}, "InvalidParameterValue", "36"),
        ({"Tags": [{"Key": "aws:x", "Value": ""}]}, "InvalidParameterValue", "reserved prefix"),
    ],
    ids=lambda value: "-".join(value) if isinstance(value, dict) else "",
)
def test_wrong_parameters(closed, change, code, says):
    rds = closed.rds()
    before = names(rds)
    with pytest.raises(rds.exceptions.ClientError) as caught:
        rds.create_db_cluster(**{"DBClusterIdentifier": unique("wrong")} | NEW | change)
    error = caught.value.response["Error"]
    assert error["Code"] == code or (code is None and error["Code"].startswith("InvalidParameter")), error
    assert says in error["Message"]
    assert names(rds) == before


def test_the_master_user_must_be_named(closed):
    refused(
        "InvalidParameterValue",
        closed.rds().create_db_cluster,
        "The parameter MasterUsername must be provided and must not be blank.",
        DBClusterIdentifier=unique("wrong"),
        Engine="aurora-postgresql",
        MasterUserPassword=PASSWORD,
    )


def test_an_encrypted_cluster_names_its_key(closed, sealed, key):
    assert sealed["StorageEncrypted"] is True
    assert sealed["KmsKeyId"] == key


def test_the_default_key_appears_on_first_use(closed):
    kms = closed.kms(FAR)
    cluster = closed.new_cluster("default-key", FAR, StorageEncrypted=True)
    metadata = kms.describe_key(KeyId="alias/aws/rds")["KeyMetadata"]
    assert metadata["KeyManager"] == "AWS"
    assert cluster["KmsKeyId"] == metadata["Arn"]
    closed.rds(FAR).delete_db_cluster(DBClusterIdentifier="default-key", SkipFinalSnapshot=True)


def test_keys_that_cannot_be_used(closed, far_key):
    rds, kms = closed.rds(), closed.kms()
    disabled, dying = closed.new_key(), closed.new_key()
    kms.disable_key(KeyId=disabled)
    kms.schedule_key_deletion(KeyId=dying)
    theirs = closed.new_key(account=PARTNER)
    before = names(rds)
    missing = "arn:aws:kms:us-east-1:000000000000:key/00000000-0000-4000-8000-000000000000"
    for wrong in (disabled, dying, far_key, missing, theirs, "alias/nobody", "nonsense"):
        refused(
            "KMSKeyNotAccessibleFault",
            rds.create_db_cluster,
            re.compile(r"does not exist, is not enabled or you do not have permissions to access it"),
            400,
            DBClusterIdentifier=unique("wrong"),
            StorageEncrypted=True,
            KmsKeyId=wrong,
            **NEW,
        )
    assert names(rds) == before


def test_deletion_wants_a_word_about_the_final_snapshot(closed, plain):
    delete = closed.rds().delete_db_cluster
    refused(
        "InvalidParameterCombination",
        delete,
        "FinalDBSnapshotIdentifier is required unless SkipFinalSnapshot is specified.",
        DBClusterIdentifier="plain",
    )
    refused(
        "InvalidParameterCombination",
        delete,
        re.compile("You cannot specify both"),
        DBClusterIdentifier="plain",
        SkipFinalSnapshot=True,
        FinalDBSnapshotIdentifier="last",
    )
    refused("DBClusterNotFoundFault", delete, DBClusterIdentifier="nobody", SkipFinalSnapshot=True)


def test_deletion_protection(closed):
    name = unique("protected")
    closed.new_cluster(name, wait=False, DeletionProtection=True)
    refused(
        "InvalidParameterCombination",
        closed.rds().delete_db_cluster,
        "Cannot delete protected Cluster, please disable deletion protection and try again.",
        DBClusterIdentifier=name,
        SkipFinalSnapshot=True,
    )


def test_a_final_snapshot_outlives_its_cluster(closed):
    rds = closed.rds()
    name, last = unique("brief"), unique("last")
    cluster = closed.new_cluster(name)
    with clients.connect(cluster) as connection:
        connection.execute("create table goods as select generate_series(1, 50) as i")
    closed.new_snapshot(unique("taken"), name)
    refused(
        "DBClusterSnapshotAlreadyExistsFault",
        rds.delete_db_cluster,
        DBClusterIdentifier=name,
        FinalDBSnapshotIdentifier=rds.describe_db_cluster_snapshots(DBClusterIdentifier=name)["DBClusterSnapshots"][0][
            "DBClusterSnapshotIdentifier"
        ],
    )
    rds.delete_db_cluster(DBClusterIdentifier=name, FinalDBSnapshotIdentifier=last)
    rds.get_waiter("db_cluster_deleted").wait(
        DBClusterIdentifier=name, WaiterConfig={"Delay": 0.1, "MaxAttempts": 600}
    )
    snapshot = clients.wait_snapshot(rds, last)
    assert snapshot["DBClusterIdentifier"] == name
    assert {one["DBClusterSnapshotIdentifier"] for one in
            rds.describe_db_cluster_snapshots(DBClusterIdentifier=name)["DBClusterSnapshots"]} >= {last}
    again = unique("again")
    rds.restore_db_cluster_from_snapshot(
        DBClusterIdentifier=again, SnapshotIdentifier=last, Engine="aurora-postgresql"
    )
    with clients.connect(clients.wait_cluster(rds, again)) as connection:
        assert connection.execute("select count(*) from goods").fetchone() == (50,)
    rds.delete_db_cluster(DBClusterIdentifier=again, SkipFinalSnapshot=True)


def test_pages(closed):
    for wrong in (19, 101):
        refused(
            "InvalidParameterValue",
            closed.rds().describe_db_clusters,
            re.compile(rf"{wrong} for MaxRecords. Must be between 20 and 100"),
            MaxRecords=wrong,
        )


def test_names_as_long_as_the_engines(closed):
    """63 characters each, as PostgreSQL has them, and RDS for it; the password's longest too."""
    user, database, password = "u" * 63, "d" * 63, "p" * 41
    name = unique("longest")
    made = closed.new_cluster(name, MasterUsername=user, DatabaseName=database, MasterUserPassword=password)
    assert (made["MasterUsername"], made["DatabaseName"]) == (user, database)
    with clients.connect(made, password, user, database) as connection:
        assert connection.execute("select current_user, current_database()").fetchone() == (user, database)
    closed.rds().delete_db_cluster(DBClusterIdentifier=name, SkipFinalSnapshot=True)


def test_a_final_snapshot_beyond_the_quota_is_refused_and_the_cluster_stays(deploy):
    full = deploy("--manual-snapshots-max", "1")
    rds, made = full.rds(), full.new_cluster("shop")
    full.new_snapshot("only", "shop")
    refused("SnapshotQuotaExceeded", rds.delete_db_cluster, "Cannot create more than 1 manual snapshots", 400,
            DBClusterIdentifier="shop", FinalDBSnapshotIdentifier="last")
    # A name that is taken is told before the quota.
    refused("DBClusterSnapshotAlreadyExistsFault", rds.delete_db_cluster,
            DBClusterIdentifier="shop", FinalDBSnapshotIdentifier="ONLY")
    assert clients.cluster_of(rds, "shop")["Status"] == "available"
    with clients.connect(made) as connection:
        assert connection.execute("select 1").fetchone() == (1,)
    assert [row["DBClusterSnapshotIdentifier"] for row in rds.describe_db_cluster_snapshots()["DBClusterSnapshots"]] == ["only"]
    rds.delete_db_cluster_snapshot(DBClusterSnapshotIdentifier="only")
    rds.delete_db_cluster(DBClusterIdentifier="shop", FinalDBSnapshotIdentifier="last")
    clients.wait_snapshot(rds, "last")
