"""The main job, end to end, with unmodified clients against a server in closed mode.

An encrypted PostgreSQL cluster's snapshot is copied under another key, to another account and to
another region, and restored there; every row is compared. Then a Multi-AZ DB cluster loses its writer and no
commit, and is copied the same way, and so is a MySQL cluster where there is one. At last a backup plan copies to the
other region, and a drill there proves that it can be restored. Exit status 0 only if all of it held.
"""
import argparse
import configparser
import os
import pathlib
import secrets
import signal
import subprocess
import sys
import time

import boto3
import botocore.config
import botocore.exceptions

import multi_az
import mysql_story
import plan_story
from progress import Table, show_bytes
from snapferry_tools import policies, proof, running

HOME_REGION, FAR_REGION, THIRD_REGION = "us-east-1", "eu-west-1", "ap-southeast-2"
OWNER, PARTNER = "000000000000", "111122223333"
USER, DATABASE = "ferryman", "bench"
WAIT_SECONDS = 600
# Slow enough that a copy is seen moving for some seconds: bytes a second for each unit of scale.
BYTES_PER_SECOND_BASE, BYTES_PER_SECOND_SCALE = 1_000_000, 150_000


class Failed(Exception):
    """Something that the demo promises did not hold."""


class Demo:
    """The server, its callers, and the story."""

    user, failed = USER, Failed

    def __init__(self, options, folder):
        limit = BYTES_PER_SECOND_BASE + BYTES_PER_SECOND_SCALE * options.scale
        self.options = options
        self.table = Table()
        self.password = secrets.token_hex(12)
        self.server = running.Server(
            options.binary, folder / "data", "--cross-region-bytes-per-second", str(limit)
        )
        self.sessions = {}

    def sign_in(self):
        """Signs in the administrator of the first start, and creates a second account's key."""
        credentials = configparser.ConfigParser()
        credentials.read(self.server.data / "credentials")
        owner = credentials["snapferry"]
        partner = self.server.create_access_key(PARTNER)
        self.sessions[OWNER] = boto3.Session(owner["aws_access_key_id"], owner["aws_secret_access_key"])
        self.sessions[PARTNER] = boto3.Session(partner["access_key_id"], partner["secret_access_key"])

    def client(self, service, region=HOME_REGION, account=OWNER):
        """An ordinary boto3 client, pointed here."""
        config = botocore.config.Config(connect_timeout=5, read_timeout=60, retries={"total_max_attempts": 1})
        return self.sessions[account].client(service, region, endpoint_url=self.server.url, config=config)

    def run(self):
        """The whole story."""
        with self.table.step("start the server") as step:
            self.server.start()
            self.sign_in()
            step.note = self.server.url
        keys = self.create_keys()
        source = self.create_cluster(keys["source"])
        snapshot = self.take_snapshot(keys["source"])
        self.copy_under_another_key(snapshot, keys["other"])
        self.copy_to_partner(snapshot, keys)
        copy = self.copy_to_far_region(snapshot, keys["far"])
        self.cancel_a_copy(snapshot, keys["third"])
        restored = self.restore(copy)
        self.prove(source, restored)
        multi_az.tell(self, keys, HOME_REGION, FAR_REGION)
        mysql_story.tell(self, keys, HOME_REGION, FAR_REGION)
        plan_story.tell(self, source, keys, HOME_REGION, FAR_REGION)

    def create_keys(self):
        """KMS keys of both accounts and all regions."""
        places = {
            "source": (HOME_REGION, OWNER),
            "other": (HOME_REGION, OWNER),
            "partner": (HOME_REGION, PARTNER),
            "far": (FAR_REGION, OWNER),
            "third": (THIRD_REGION, OWNER),
        }
        with self.table.step("create KMS keys") as step:
            keys = {
                name: self.client("kms", *place).create_key(Description=f"demo: {name}")["KeyMetadata"]["Arn"]
                for name, place in places.items()
            }
            step.note = f"{len(keys)} keys in {len({region for region, _ in places.values()})} regions"
        return keys

    def create_cluster(self, key):
        """An encrypted cluster, loaded with pgbench."""
        rds = self.client("rds")
        with self.table.step("create the encrypted cluster") as step:
            rds.create_db_cluster(
                DBClusterIdentifier="shop",
                Engine="aurora-postgresql",
                DatabaseName=DATABASE,
                MasterUsername=USER,
                MasterUserPassword=self.password,
                StorageEncrypted=True,
                KmsKeyId=key,
            )
            cluster = self.await_cluster(rds, "shop")
            step.note = f"PostgreSQL {cluster['EngineVersion']} at {cluster['Endpoint']}:{cluster['Port']}"
        with self.table.step(f"load it: pgbench -i -s {self.options.scale}") as step:
            self.pgbench(cluster, "-i", "-q", "-s", str(self.options.scale))
            self.pgbench(cluster, "-c", "2", "-t", "500", "-n")
            with self.connect(cluster) as connection:
                step.bytes = connection.execute("select pg_database_size(current_database())").fetchone()[0]
            step.note = show_bytes(step.bytes)
        return cluster

    def pgbench(self, cluster, *arguments):
        """Runs PostgreSQL's own load tool against the cluster's endpoint."""
        folders = sorted(
            pathlib.Path("/usr/lib/postgresql").glob("*/bin/pgbench"), key=lambda path: int(path.parts[-3])
        )
        if not folders:
            raise Failed("pgbench is missing; run: make setup")
        where = ["-h", cluster["Endpoint"], "-p", str(cluster["Port"]), "-U", USER]
        done = subprocess.run(
            [folders[-1], *where, *arguments, DATABASE],
            env=running.clean_environment(PGPASSWORD=self.password),
            check=False,
            capture_output=True,
            text=True,
            timeout=WAIT_SECONDS,
        )
        if done.returncode != 0:
            raise Failed(f"pgbench failed: {done.stderr.strip()[-500:]}")

    def connect(self, cluster):
        """SQL on a cluster, as its master user."""
        return proof.connect(cluster, USER, self.password, DATABASE)

    def take_snapshot(self, key):
        """A snapshot of the running cluster."""
        rds = self.client("rds")
        with self.table.step("take a snapshot") as step:
            rds.create_db_cluster_snapshot(DBClusterSnapshotIdentifier="monday", DBClusterIdentifier="shop")
            snapshot = self.await_snapshot(rds, "monday", step)
            check_key(snapshot, key)
            step.bytes = self.moved("create-snapshot", "monday")
            step.note = f"{show_bytes(step.bytes)} kept, compressed and sealed"
        return snapshot

    def copy_under_another_key(self, snapshot, key):
        """The same region, another key: no data moves."""
        rds = self.client("rds")
        with self.table.step("copy it under another key") as step:
            rds.copy_db_cluster_snapshot(
                SourceDBClusterSnapshotIdentifier=snapshot["DBClusterSnapshotIdentifier"],
                TargetDBClusterSnapshotIdentifier="monday-rekeyed",
                KmsKeyId=key,
            )
            check_key(self.await_snapshot(rds, "monday-rekeyed", step), key)
            step.bytes = 0
            step.note = "available under its own key, no data moved"

    def copy_to_partner(self, snapshot, keys):
        """Another account: refused until the snapshot and its key are shared."""
        theirs = self.client("rds", account=PARTNER)
        request = {
            "SourceDBClusterSnapshotIdentifier": snapshot["DBClusterSnapshotArn"],
            "TargetDBClusterSnapshotIdentifier": "monday-partner",
            "KmsKeyId": keys["partner"],
        }
        with self.table.step("refuse the other account") as step:
            refuse("DBClusterSnapshotNotFoundFault", theirs.copy_db_cluster_snapshot, **request)
            step.note = "DBClusterSnapshotNotFoundFault, as it should be"
        with self.table.step("share it with the other account") as step:
            self.client("kms").put_key_policy(
                KeyId=keys["source"], PolicyName="default", Policy=policies.cross_account(OWNER, [PARTNER])
            )
            self.client("rds").modify_db_cluster_snapshot_attribute(
                DBClusterSnapshotIdentifier="monday", AttributeName="restore", ValuesToAdd=[PARTNER]
            )
            step.note = "key policy and restore attribute"
        with self.table.step("copy it as the other account") as step:
            theirs.copy_db_cluster_snapshot(**request)
            check_key(self.await_snapshot(theirs, "monday-partner", step), keys["partner"])
            step.bytes = 0
            step.note = f"available in account {PARTNER} under its own key"

    def copy_to_far_region(self, snapshot, key):
        """Another region: the packs are shipped, and progress is seen."""
        rds = self.client("rds", FAR_REGION)
        with self.table.step(f"copy it to {FAR_REGION}") as step:
            started = rds.copy_db_cluster_snapshot(
                SourceDBClusterSnapshotIdentifier=snapshot["DBClusterSnapshotArn"],
                TargetDBClusterSnapshotIdentifier="monday-far",
                KmsKeyId=key,
                SourceRegion=HOME_REGION,
            )["DBClusterSnapshot"]
            if started["Status"] != "copying":
                raise Failed(f"a copy to another region began as {started['Status']}")
            seen = set()
            copy = self.await_snapshot(rds, "monday-far", step, seen)
            if not any(0 < percent < 100 for percent in seen):
                raise Failed("no progress was seen between 0 and 100 percent")
            check_key(copy, key)
            step.bytes = self.moved("copy-snapshot", "monday-far")
            step.note = f"{show_bytes(step.bytes)} shipped"
        return copy

    def cancel_a_copy(self, snapshot, key):
        """Deleting a copy that is under way cancels it."""
        rds = self.client("rds", THIRD_REGION)
        with self.table.step(f"cancel a copy to {THIRD_REGION}") as step:
            rds.copy_db_cluster_snapshot(
                SourceDBClusterSnapshotIdentifier=snapshot["DBClusterSnapshotArn"],
                TargetDBClusterSnapshotIdentifier="monday-third",
                KmsKeyId=key,
                SourceRegion=HOME_REGION,
            )
            self.await_snapshot(rds, "monday-third", step, until=10)
            gone = rds.delete_db_cluster_snapshot(DBClusterSnapshotIdentifier="monday-third")
            if gone["DBClusterSnapshot"]["Status"] not in ("copying", "deleting"):
                raise Failed("the copy had ended before it could be cancelled")
            rds.get_waiter("db_cluster_snapshot_deleted").wait(
                DBClusterSnapshotIdentifier="monday-third", WaiterConfig={"Delay": 1, "MaxAttempts": 60}
            )
            step.note = "gone, while it was copying"

    def restore(self, copy):
        """A new cluster in the second region."""
        rds = self.client("rds", FAR_REGION)
        with self.table.step(f"restore it in {FAR_REGION}") as step:
            rds.restore_db_cluster_from_snapshot(
                DBClusterIdentifier="shop-far",
                SnapshotIdentifier=copy["DBClusterSnapshotIdentifier"],
                Engine="aurora-postgresql",
            )
            cluster = self.await_cluster(rds, "shop-far", step)
            with self.connect(cluster) as connection:
                step.bytes = connection.execute("select pg_database_size(current_database())").fetchone()[0]
            step.note = f"at {cluster['Endpoint']}:{cluster['Port']}"
        return cluster

    def prove(self, source, restored):
        """Every table holds the same rows on both sides."""
        if self.options.plant_change:
            with self.connect(restored) as connection:
                connection.execute("update pgbench_accounts set abalance = abalance + 1 where aid = 1")
        with self.table.step("compare every row of every table") as step:
            with self.connect(source) as here, self.connect(restored) as there:
                rows, others = proof.fingerprints(here), proof.fingerprints(there)
            found = proof.differences(rows, others)
            if found:
                raise Failed("the clusters do not hold the same rows: " + "; ".join(found))
            if sum(count for count, _ in rows.values()) < 100_000 * self.options.scale:
                raise Failed("the clusters hold fewer rows than were loaded")
            step.note = f"{sum(count for count, _ in rows.values())} rows in {len(rows)} tables are the same"

    def await_cluster(self, rds, name, step=None):
        """Follows a cluster until it is available."""
        def describe():
            cluster = rds.describe_db_clusters(DBClusterIdentifier=name)["DBClusters"][0]
            if step:
                step.bar.show(int(cluster.get("PercentProgress") or 0), cluster["Status"])
            if cluster["Status"] not in ("creating", "available"):
                raise Failed(f"cluster {name} became {cluster['Status']}")
            return cluster if cluster["Status"] == "available" else None

        return running.wait_until(describe, WAIT_SECONDS, f"cluster {name} is available", every=0.2)

    def await_snapshot(self, rds, name, step, seen=None, until=None):
        """Follows a snapshot until it is available, or (`until`) has come that many percent."""
        def describe():
            found = rds.describe_db_cluster_snapshots(DBClusterSnapshotIdentifier=name)
            snapshot = found["DBClusterSnapshots"][0]
            percent, status = int(snapshot["PercentProgress"]), snapshot["Status"]
            step.bar.show(percent, status)
            if seen is not None:
                seen.add(percent)
            if status not in ("creating", "copying", "available"):
                raise Failed(f"snapshot {name} became {status}")
            return snapshot if status == "available" or (until is not None and percent >= until) else None

        return running.wait_until(describe, WAIT_SECONDS, f"snapshot {name} is available", every=0.2)

    def moved(self, kind, subject):
        """Bytes that a job moved, by its own record."""
        for job in self.server.jobs():
            if job["kind"] == kind and job["subject"] == subject:
                return job["progress"]["bytes_shipped"]
        raise Failed(f"there is no {kind} job for {subject}")


def check_key(snapshot, key):
    """A snapshot must be sealed under the key that was asked for."""
    if not snapshot["StorageEncrypted"] or snapshot.get("KmsKeyId") != key:
        raise Failed(f"{snapshot['DBClusterSnapshotIdentifier']} is not sealed under {key}")


def refuse(code, call, **arguments):
    """A call that must be refused with a fault."""
    try:
        call(**arguments)
    except botocore.exceptions.ClientError as error:
        if error.response["Error"]["Code"] == code:
            return
        raise Failed(f"refused with {error.response['Error']['Code']}, not {code}") from error
    raise Failed(f"was not refused with {code}")


def read_options():
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--binary", type=pathlib.Path, required=True, help="the snapferry binary")
    parser.add_argument("--folder", type=pathlib.Path, required=True, help="an empty folder to work in")
    parser.add_argument("--scale", type=int, default=20, help="pgbench's scale (20: some 300 MB)")
    parser.add_argument("--plant-change", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.scale < 1:
        parser.error("--scale must be at least 1")
    return options


def main():
    """Runs the story; always stops the server and its clusters."""
    options = read_options()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    for name in [name for name in os.environ if running.FOREIGN.match(name)]:
        del os.environ[name]
    demo = Demo(options, options.folder)
    failure, known = None, False
    begun = time.monotonic()
    try:
        demo.run()
    except KeyboardInterrupt:
        failure = "interrupted"
    except Failed as error:
        failure, known = str(error), True
    except Exception as error:  # every failure ends the same way: said, and cleaned up
        failure = f"{type(error).__name__}: {error}"
    finally:
        status = demo.server.stop()
        left = running.processes_within(options.folder)
        running.end_processes_within(options.folder)
    if not failure and status != 0:
        failure = f"the server ended with status {status} when it was asked to stop"
    if not failure and left:
        failure = f"processes were left running: {left}"
    if failure:
        if not known:
            print(f"\nThe end of the server's log:\n{demo.server.tail()}", file=sys.stderr)
        print(f"\nThe demo FAILED after {time.monotonic() - begun:.0f} s: {failure}", file=sys.stderr)
        print(f"The server's log is {demo.server.log}; `make clean-demo` removes it and the data.", file=sys.stderr)
        return 1
    demo.table.print()
    print("\nAll of it held. Nothing is left running; `make clean-demo` removes the data.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
