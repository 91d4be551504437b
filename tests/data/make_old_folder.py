"""Makes the data folder that test_old_folder.py opens, with a binary of the version that it is to be of.

It has an owner's and a partner's access keys, a key, a snapshot in the home region that is shared with the partner, its
copy in the far region, and an encrypted snapshot. The clusters are gone, as their files are large.
Run from the checkout: PYTHONPATH=tests:python .venv/bin/python tests/data/make_old_folder.py --binary … --to tests/data/….tar.xz
"""
import argparse
import json
import pathlib
import tarfile

import psycopg

import clients
from snapferry_tools import running

REGIONS = ("--region", clients.HOME, "--region", clients.FAR)


def fill(deployment):
    """Makes what the folder has; answers what a test must find."""
    rds, far, rows = deployment.rds(), deployment.rds(clients.FAR), {}
    key = deployment.new_key(Description="sealed clusters")
    deployment.kms().create_alias(AliasName="alias/sealed", TargetKeyId=key)
    for snapshot, more in (("monday", {}), ("sealed", {"StorageEncrypted": True, "KmsKeyId": key})):
        # No database but those that every cluster has: each is a megabyte here.
        cluster = deployment.new_cluster(snapshot, DatabaseName="postgres", **more)
        with clients.connect(cluster, database="postgres") as connection:
            connection.execute("create table goods as select i, md5(i::text) as name from generate_series(1, 2000) i")
            connection.execute("create index on goods (name)")
            rows[snapshot] = [str(value) for value in clients.table_of(connection, "goods")]
        slim(deployment.server, cluster["Port"])
        deployment.new_snapshot(snapshot, snapshot, Tags=[{"Key": "made", "Value": "long ago"}])
        rds.delete_db_cluster(DBClusterIdentifier=snapshot, SkipFinalSnapshot=True)
    rds.modify_db_cluster_snapshot_attribute(
        DBClusterSnapshotIdentifier="monday", AttributeName="restore", ValuesToAdd=[clients.PARTNER]
    )
    arn = clients.snapshot_of(rds, "monday")["DBClusterSnapshotArn"]
    far.copy_db_cluster_snapshot(**clients.copy_request(arn, "monday-far", SourceRegion=clients.HOME))
    clients.wait_snapshot(far, "monday-far")
    running.wait_until(lambda: not rds.describe_db_clusters()["DBClusters"], 60, "the clusters are gone")
    snapshots = [*rds.describe_db_cluster_snapshots()["DBClusterSnapshots"], clients.snapshot_of(far, "monday-far")]
    return {
        "rows": rows,
        "partner": deployment.credentials(clients.PARTNER),
        "key": key,
        "snapshots": {one["DBClusterSnapshotIdentifier"]: one for one in snapshots},
    }


def slim(server, port):
    """Takes from a cluster what every cluster has, and no test looks at: templates, and words about the catalogs."""
    [socket] = server.data.glob(f"run/**/.s.PGSQL.{port}")
    for database in ("rdsadmin", "postgres"):
        where = {"host": str(socket.parent), "port": port, "user": "rdsadmin", "dbname": database}
        with psycopg.connect(**where, autocommit=True) as connection:
            for template in ("template0", "template1"):
                connection.execute("update pg_database set datistemplate = false where datname = %s", [template])
                connection.execute(f"drop database if exists {template}")
            connection.execute("drop schema information_schema cascade")
            connection.execute("delete from pg_description")
            connection.execute("delete from pg_collation where collprovider = 'i'")
            connection.execute("vacuum full")


def of_nobody(entry):
    """An entry without this machine's names and ids."""
    entry.uid = entry.gid = 0
    entry.uname = entry.gname = ""
    return entry


def main():
    """Makes it."""
    words = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    words.add_argument("--binary", required=True, type=pathlib.Path)
    words.add_argument("--to", required=True, type=pathlib.Path)
    options = words.parse_args()
    folder = running.make_folder("snapferry-old-folder-")
    server = running.Server(options.binary.resolve(), folder / "data", *REGIONS)
    try:
        found = fill(clients.Deployment(server.start()))
        assert server.stop() == 0
        (folder / "data" / "found.json").write_text(json.dumps(found, default=str, indent=1), encoding="utf-8")
        with tarfile.open(options.to, "w:xz", preset=9) as packed:
            packed.add(folder / "data", "data", filter=of_nobody)
        print(f"{options.to}: {options.to.stat().st_size} bytes")
    finally:
        server.stop()
        running.remove_folder(folder)


if __name__ == "__main__":
    main()
