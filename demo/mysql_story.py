"""The demo's third story: a MySQL cluster is filled, snapshotted, copied under a key of another region and restored there.

Where the machine has no MySQL the demo says so and goes on.
"""
import hashlib

import pymysql

from snapferry_tools.proof import differences

ENGINE, NAME, DATABASE = "aurora-mysql", "harbour", "harbour"
ROWS, AT_ONCE = 40_000, 2_000


def connect(demo, cluster):
    """A session of the master user, over TLS."""
    return pymysql.connect(
        host=cluster["Endpoint"], port=cluster["Port"], user=demo.user, password=demo.password, database=DATABASE,
        ssl={"check_hostname": False}, autocommit=True)


def fingerprints(connection):
    """Table: its rows' count and hash, which depends on every byte of them."""
    found = {}
    with connection.cursor() as cursor:
        cursor.execute("select table_name from information_schema.tables where table_schema = %s", [DATABASE])
        for (table,) in cursor.fetchall():
            cursor.execute(f"select * from `{table}` order by 1")
            rows = cursor.fetchall()
            found[table] = (len(rows), hashlib.sha256(repr(rows).encode()).hexdigest())
    return found


def create(demo, key):
    """A cluster with rows."""
    rds = demo.client("rds")
    with demo.table.step("create an encrypted MySQL cluster") as step:
        rds.create_db_cluster(
            DBClusterIdentifier=NAME, Engine=ENGINE, DatabaseName=DATABASE, MasterUsername=demo.user,
            MasterUserPassword=demo.password, StorageEncrypted=True, KmsKeyId=key)
        cluster = demo.await_cluster(rds, NAME, step)
        step.note = f"MySQL {cluster['EngineVersion']} at {cluster['Endpoint']}:{cluster['Port']}"
    with demo.table.step("fill it") as step, connect(demo, cluster) as connection, connection.cursor() as cursor:
        cursor.execute("create table ships (id int primary key, name varchar(60), cargo json, key (name))")
        for first in range(0, ROWS, AT_ONCE):
            rows = [(at, f"ship № {at}", f'{{"tons": {at % 977}}}') for at in range(first, first + AT_ONCE)]
            cursor.executemany("insert into ships values (%s, %s, %s)", rows)
        step.note = f"{ROWS} rows"
    return cluster


def copy_and_restore(demo, cluster, key, home, far):
    """To the other region and back to a cluster, whose rows are compared."""
    rds, there = demo.client("rds"), demo.client("rds", far)
    with demo.table.step("take its snapshot while it runs") as step:
        rds.create_db_cluster_snapshot(DBClusterSnapshotIdentifier="harbour-monday", DBClusterIdentifier=NAME)
        snapshot = demo.await_snapshot(rds, "harbour-monday", step)
    with demo.table.step(f"copy it to {far}") as step:
        there.copy_db_cluster_snapshot(
            SourceDBClusterSnapshotIdentifier=snapshot["DBClusterSnapshotArn"],
            TargetDBClusterSnapshotIdentifier="harbour-far", SourceRegion=home, KmsKeyId=key)
        demo.await_snapshot(there, "harbour-far", step)
        step.bytes = demo.moved("copy-snapshot", "harbour-far")
    with demo.table.step("restore it there, and compare every row") as step:
        there.restore_db_cluster_from_snapshot(
            DBClusterIdentifier=f"{NAME}-far", SnapshotIdentifier="harbour-far", Engine=ENGINE)
        restored = demo.await_cluster(there, f"{NAME}-far", step)
        with connect(demo, cluster) as one, connect(demo, restored) as other:
            rows = fingerprints(one), fingerprints(other)
        found = differences(*rows)
        if found or rows[0]["ships"][0] != ROWS:
            raise demo.failed("the MySQL clusters do not hold the same rows: " + "; ".join(found))
        step.note = f"{ROWS} rows are the same"


def tell(demo, keys, home, far):
    """The whole story."""
    if not demo.client("rds").describe_db_engine_versions(Engine=ENGINE)["DBEngineVersions"]:
        with demo.table.step("a MySQL cluster") as step:
            step.note = "left out: there is no MySQL on this machine (scripts/get-mysql)"
        return
    cluster = create(demo, keys["source"])
    copy_and_restore(demo, cluster, keys["far"], home, far)
