"""A lost catalog is rebuilt from the vault's record log and the master key; what the record log lacked is said."""
import contextlib
import datetime
import json
import random
import secrets
import shutil
import sqlite3
import subprocess
import time

import pytest

import clients
from clients import FAR, HOME, OWNER, PARTNER, STRANGER, copy_request, unique
from fleet import Bucket
from snapferry_tools import database, running
from test_serve import refuses

CATALOG = ("catalog.sqlite", "catalog.sqlite-wal", "catalog.sqlite-shm")
# A sweep each second, of what was nobody's for two.
GRACE = ("--sweep-grace-seconds", "2")
MISSING, DAMAGED = 1, 3


def sql(server, text):
    """One statement on the catalog's file."""
    with contextlib.closing(sqlite3.connect(server.data / "catalog.sqlite", timeout=10)) as catalog:
        rows = catalog.execute(text).fetchall()
        catalog.commit()
    return rows


def settle(server):
    """Waits until the record log has all that was acknowledged."""
    running.wait_until(lambda: sql(server, "select count(*) from outbox") == [(0,)], 60, "all is logged")


def lose(server):
    """kill -9, and no catalog any more."""
    server.kill()
    for name in CATALOG:
        (server.data / name).unlink(missing_ok=True)


def rebuild(server, *words, expect=0):
    """Rebuilds the catalog; answers the report."""
    done = subprocess.run(
        [server.binary, "catalog", "rebuild", "--data", str(server.data), "--format", "json", *words],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        env=running.clean_environment(**server.environment),
    )
    assert done.returncode == expect, done.stderr
    return json.loads(done.stdout) if expect != MISSING else done.stderr


def everything(deployment):
    """What each account sees in each region, but for what a server's start may change."""
    seen = {}
    for region in (HOME, FAR):
        for account in (OWNER, PARTNER):
            rds, kms = deployment.rds(region, account), deployment.kms(region, account)
            snapshots = rds.describe_db_cluster_snapshots(IncludeShared=True)["DBClusterSnapshots"]
            own = [one for one in snapshots if f":{account}:" in one["DBClusterSnapshotArn"]]
            keys = [one["KeyId"] for one in kms.list_keys()["Keys"]]
            seen[region, account] = {
                "snapshots": snapshots,
                "shares": [
                    rds.describe_db_cluster_snapshot_attributes(
                        DBClusterSnapshotIdentifier=one["DBClusterSnapshotIdentifier"]
                    )["DBClusterSnapshotAttributesResult"]
                    for one in own
                ],
                "clusters": rds.describe_db_clusters()["DBClusters"],
                "keys": [kms.describe_key(KeyId=key)["KeyMetadata"] for key in keys],
                "policies": [kms.get_key_policy(KeyId=key, PolicyName="default")["Policy"] for key in keys],
                "grants": [kms.list_grants(KeyId=key)["Grants"] for key in keys],
                "aliases": kms.list_aliases()["Aliases"],
            }
    return seen


def rows_of(deployment, snapshot, region=HOME, account=OWNER, **more):
    """The rows that a restore of a snapshot has."""
    rds, name = deployment.rds(region, account), unique("check")
    rds.restore_db_cluster_from_snapshot(
        DBClusterIdentifier=name, SnapshotIdentifier=snapshot, Engine="aurora-postgresql", **more
    )
    with clients.connect(clients.wait_cluster(rds, name)) as connection:
        found = clients.table_of(connection, "goods")
    rds.delete_db_cluster(DBClusterIdentifier=name, SkipFinalSnapshot=True)
    rds.get_waiter("db_cluster_deleted").wait(
        DBClusterIdentifier=name, WaiterConfig={"Delay": 0.1, "MaxAttempts": 300}
    )
    return found


class World:
    """A deployment with something of everything; `rows` are those of its cluster."""

    def __init__(self, deployment):
        self.deployment = deployment
        rds, kms = deployment.rds(), deployment.kms()
        policy = clients.cross_account_policy(PARTNER)
        self.key = deployment.new_key(Policy=policy)
        kms.create_alias(AliasName="alias/goods", TargetKeyId=self.key)
        # Of two regions, and with a material that the replica has from a rotation of its primary.
        primary = deployment.new_key(MultiRegion=True)
        kms.replicate_key(KeyId=primary, ReplicaRegion=FAR)
        kms.rotate_key_on_demand(KeyId=primary)
        kms.update_primary_region(KeyId=primary, PrimaryRegion=FAR)
        far_key = primary.replace(HOME, FAR)
        cluster = deployment.new_cluster("shop", StorageEncrypted=True, KmsKeyId=self.key)
        with clients.connect(cluster) as connection:
            connection.execute("create table goods as select i, md5(i::text) as name from generate_series(1, 2000) i")
            self.rows = clients.table_of(connection, "goods")
        self.first = deployment.new_snapshot("first", "shop", Tags=[{"Key": "team", "Value": "north"}])
        rds.modify_db_cluster_snapshot_attribute(
            DBClusterSnapshotIdentifier="first", AttributeName="restore", ValuesToAdd=[PARTNER]
        )
        rds.copy_db_cluster_snapshot(**copy_request("first", "copied"))
        deployment.rds(FAR).copy_db_cluster_snapshot(
            **copy_request(self.first["DBClusterSnapshotArn"], "far", KmsKeyId=far_key, SourceRegion=HOME)
        )
        self.partner_key = deployment.new_key(account=PARTNER)
        deployment.rds(account=PARTNER).copy_db_cluster_snapshot(
            **copy_request(self.first["DBClusterSnapshotArn"], "partners", KmsKeyId=self.partner_key)
        )
        clients.wait_snapshot(deployment.rds(FAR), "far")
        deployment.new_snapshot("deleted", "shop")
        rds.delete_db_cluster_snapshot(DBClusterSnapshotIdentifier="deleted")
        clients.wait_gone(rds, "deleted")
        kms.create_grant(KeyId=self.key, GranteePrincipal=f"arn:aws:iam::{STRANGER}:root", Operations=["Decrypt"])
        # A key at whose end its alias goes with it, and a way in that is closed.
        self.closed = deployment.server.create_access_key(STRANGER)
        deployment.server.run("access-key", "disable", self.closed["access_key_id"])
        settle(deployment.server)
        self.seen = everything(deployment)

    def check(self):
        """All is as it was, and every snapshot restores to the same rows."""
        deployment = self.deployment
        clients.wait_cluster(deployment.rds(), "shop")
        assert everything(deployment) == self.seen
        assert not clients.exists(deployment.rds(), "deleted")
        assert rows_of(deployment, "first") == self.rows
        assert rows_of(deployment, "far", FAR) == self.rows
        assert rows_of(deployment, "partners", account=PARTNER) == self.rows
        shared = {"account": PARTNER, "KmsKeyId": self.partner_key}
        assert rows_of(deployment, self.first["DBClusterSnapshotArn"], **shared) == self.rows
        listed = {one["access_key_id"]: one["status"] for one in json.loads(
            deployment.server.run("access-key", "list", "--format", "json")
        )}
        assert listed[self.closed["access_key_id"]] == "inactive"
        # Several sweeps have passed by now.
        report = json.loads(deployment.server.run("vault", "verify", "--read-data", "--format", "json"))
        assert report["damaged"] == 0 and report["snapshots"] >= 4


@pytest.fixture(scope="module")
def world(deploy_for_module):
    """The deployment whose catalog is lost again and again."""
    return World(deploy_for_module(*GRACE))


def test_a_lost_catalog_is_rebuilt(binary, world):
    server = world.deployment.server
    lose(server)
    # A server does not begin anew in its place, nor give anyone another key.
    credentials = (server.data / "credentials").read_bytes()
    refuses(binary, "--data", str(server.data), "--listen", "127.0.0.1:0", says=("another catalog", "catalog rebuild"))
    assert (server.data / "credentials").read_bytes() == credentials
    lose(server)
    postmasters = running.postmasters_within(server.data)
    report = rebuild(server)
    assert report["records"]["snapshots"] == 4 and report["records"]["keys"] >= 3
    assert report["record_log"]["damaged"] == [] and report["snapshots_without_manifest"]["count"] == 0
    assert report["dropped_clusters"]["count"] == 0 and report["folders_without_record"] == []
    server.start()
    assert running.postmasters_within(server.data) == postmasters, "the cluster's server was left alone"
    world.check()
    # The cluster goes on, and so does everything else.
    name = unique("next")
    world.deployment.new_snapshot(name, "shop")
    world.deployment.rds().delete_db_cluster_snapshot(DBClusterSnapshotIdentifier=name)
    clients.wait_gone(world.deployment.rds(), name)
    world.deployment.server.stop()
    world.deployment.server.start()


def is_filled(server):
    """Whether the catalog has snapshots; one that was killed at once has no file, or no tables in it."""
    if not (server.data / "catalog.sqlite").exists():
        return False
    try:
        return bool(sql(server, "select 1 from snapshots"))
    except sqlite3.OperationalError:
        return False


def test_a_rebuild_that_was_cut_short_begins_anew(binary, world):
    server = world.deployment.server
    settle(server)
    lose(server)
    words = [binary, "catalog", "rebuild", "--data", str(server.data)]
    for _ in range(6):
        process = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        time.sleep(random.uniform(0.01, 0.15))
        process.kill()
        process.wait(10)
        if process.returncode == 0:
            lose(server)
    # One that was surely cut short: all but its last step was done.
    if not is_filled(server):
        rebuild(server)
    sql(server, "insert into meta (name, value) values ('rebuilding', 'yes') on conflict do nothing")
    refuses(binary, "--data", str(server.data), "--listen", "127.0.0.1:0", says=("cut short", "catalog rebuild"))
    assert rebuild(server)["begun_again"]
    server.start()
    world.check()


def test_what_the_record_log_did_not_have_is_said(world):
    deployment, server = world.deployment, world.deployment.server
    settle(server)
    began = datetime.datetime.now(datetime.timezone.utc)
    # The record log cannot write any more.
    records = server.data / "vault" / HOME / "records"
    records.rename(records.with_name("away"))
    records.write_bytes(b"")
    deployment.new_snapshot("late", "shop")
    deployment.rds().delete_db_cluster_snapshot(DBClusterSnapshotIdentifier="copied")
    lose(server)
    records.unlink()
    records.with_name("away").rename(records)
    report = rebuild(server)
    assert datetime.datetime.fromisoformat(report["record_log"]["last_written_at"]) < began
    assert report["manifests_without_record"] >= 1
    server.start()
    assert not clients.exists(deployment.rds(), "late")
    # What was deleted in those moments is back, whole.
    world.check()


def test_work_that_was_cut_off_is_failed_and_clusters_without_files_are_dropped(world):
    deployment, server = world.deployment, world.deployment.server
    doomed = deployment.new_cluster("doomed")["DbClusterResourceId"]
    region = "eu-central-1"
    key = deployment.new_key(region)
    server.stop()
    server.flags += ["--cross-region-bytes-per-second", "20000"]
    server.start()
    copy = copy_request(world.first["DBClusterSnapshotArn"], "slow", SourceRegion=HOME, KmsKeyId=key)
    deployment.rds(region).copy_db_cluster_snapshot(**copy)
    settle(server)
    lose(server)
    server.flags = server.flags[:-2]
    folder = server.data / "clusters" / doomed
    running.end_processes_within(folder)
    shutil.rmtree(folder)
    report = rebuild(server)
    assert report["failed_snapshots"]["count"] == 1 and ":slow" in report["failed_snapshots"]["listed"][0]
    assert report["dropped_clusters"]["count"] == 1 and ":doomed" in report["dropped_clusters"]["listed"][0]
    server.start()
    assert clients.snapshot_of(deployment.rds(region), "slow")["Status"] == "failed"
    deployment.rds(region).delete_db_cluster_snapshot(DBClusterSnapshotIdentifier="slow")
    events = deployment.rds().describe_events(SourceType="db-cluster", SourceIdentifier="doomed")["Events"]
    assert [one["Message"] for one in events] == ["DB cluster is lost: its files are gone."]
    world.check()


def test_a_catalog_is_rebuilt_into_postgresql(world):
    server = world.deployment.server
    settle(server)
    lose(server)
    target = database.Database()
    try:
        server.environment |= {"SNAPFERRY_CATALOG": target.url, "SNAPFERRY_VAULT": str(server.data / "vault")}
        report = rebuild(server)
        assert report["records"]["snapshots"] >= 4
        server.start()
        world.check()
        assert "the node" in rebuild_while_served(server)
        server.stop()
        # And back: the record log has gone on from the one in PostgreSQL.
        server.environment = {}
        rebuild(server)
        server.start()
        world.check()
    finally:
        server.environment = {}
        target.remove()


def rebuild_while_served(server):
    """What is said when a node serves the catalog; on a data folder of its own, as on another machine."""
    other = running.make_folder("snapferry-other-")
    try:
        done = subprocess.run(
            [server.binary, "catalog", "rebuild", "--data", str(other / "data")],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
            env=running.clean_environment(
                **server.environment, SNAPFERRY_MASTER_KEY=(server.data / "master.key").read_text().strip()
            ),
        )
        assert done.returncode == MISSING
        return done.stderr
    finally:
        running.remove_folder(other)


def test_what_cannot_be_rebuilt_is_refused(world, deploy):
    server = world.deployment.server
    assert "another server" in rebuild(server, expect=MISSING)
    server.stop()
    assert "holds records already" in rebuild(server, expect=MISSING)
    for name in CATALOG:
        if (server.data / name).exists():
            (server.data / name).rename(server.data.with_name(name))
    server.environment["SNAPFERRY_MASTER_KEY"] = secrets.token_hex(32)
    assert "another master key" in rebuild(server, expect=MISSING)
    del server.environment["SNAPFERRY_MASTER_KEY"]
    assert "nothing to rebuild" in rebuild(server, "--vault", str(server.data / "clusters"), expect=MISSING)
    # A region of another deployment with the same master key.
    stranger = deploy(
        "--default-region", "sa-east-1",
        environment={"SNAPFERRY_MASTER_KEY": (server.data / "master.key").read_text().strip()},
    )
    stranger.new_key("sa-east-1")
    settle(stranger.server)
    stranger.server.stop()
    added = server.data / "vault" / "sa-east-1"
    shutil.copytree(stranger.server.data / "vault" / "sa-east-1", added)
    assert "belong to different catalogs" in rebuild(server, expect=MISSING)
    shutil.rmtree(added)
    # Nothing was changed by all that.
    for name in CATALOG:
        assert not (server.data / name).exists()
        if server.data.with_name(name).exists():
            server.data.with_name(name).rename(server.data / name)
    server.start()
    clients.wait_cluster(world.deployment.rds(), "shop")


def rotate(server, *words):
    """Rotates the master key; answers what was done."""
    done = subprocess.run(
        [server.binary, "master-key", "rotate", "--data", str(server.data), "--format", "json", *words],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        env=running.clean_environment(**server.environment),
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_the_master_key_is_rotated(binary, world):
    server = world.deployment.server
    refused = subprocess.run(
        [binary, "master-key", "rotate", "--data", str(server.data)], capture_output=True, text=True, check=False
    )
    assert refused.returncode == 1 and "another server" in refused.stderr
    server.stop()
    before, old = set((server.data / "vault").glob("*/records/*")), (server.data / "master.key").read_text()
    done = rotate(server)
    assert done["access_keys"] >= 3 and done["kms_keys"] >= 3 and done["objects_removed"] >= len(before)
    new = (server.data / "master.key").read_text()
    assert new != old and not before & set((server.data / "vault").glob("*/records/*"))
    kept = server.data / done["old_key"]
    assert kept.read_text() == old and kept.stat().st_mode & 0o077 == 0
    server.start()
    world.check()
    # Nothing needs the old one, not even a rebuild; and it opens nothing any more.
    kept.unlink()
    settle(server)
    lose(server)
    server.environment["SNAPFERRY_MASTER_KEY"] = old.strip()
    assert "another master key" in rebuild(server, expect=MISSING)
    del server.environment["SNAPFERRY_MASTER_KEY"]
    assert rebuild(server)["record_log"]["damaged"] == []
    server.start()
    world.check()
    server.stop()
    refuses(
        binary, "--data", str(server.data), "--listen", "127.0.0.1:0", says=("is not the one",),
        environment={"SNAPFERRY_MASTER_KEY": old.strip()},
    )
    server.start()


def cut_short(server):
    """Kills a rotation when the first checkpoint under the new key is there; answers whether it was in time."""
    before = set((server.data / "vault").glob("*/records/checkpoint.*"))
    process = subprocess.Popen(
        [server.binary, "master-key", "rotate", "--data", str(server.data)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env=running.clean_environment(**server.environment),
    )
    while process.poll() is None:
        if set((server.data / "vault").glob("*/records/checkpoint.*")) - before:
            process.kill()
    process.wait(10)
    return process.returncode != 0


def test_a_rotation_that_was_cut_short_loses_nothing(binary, world):
    server = world.deployment.server
    settle(server)
    server.stop()
    for _ in range(5):
        if cut_short(server):
            break
    assert (server.data / "master.key.next").exists(), "it was killed in the middle"
    refuses(binary, "--data", str(server.data), "--listen", "127.0.0.1:0", says=("did not come to its end", "rotate"))
    # The catalog is lost right then: both keys together open all of the record log.
    lose(server)
    assert rebuild(server)["record_log"]["damaged"] == []
    for _ in range(4):
        process = subprocess.Popen(
            [binary, "master-key", "rotate", "--data", str(server.data)], stdout=subprocess.DEVNULL
        )
        time.sleep(random.uniform(0.01, 0.2))
        process.kill()
        process.wait(10)
    rotate(server)
    assert not (server.data / "master.key.next").exists()
    server.start()
    world.check()
    settle(server)
    lose(server)
    assert rebuild(server)["record_log"]["damaged"] == []
    server.start()
    world.check()


def test_a_key_from_outside_is_rotated_to_the_one_that_is_put_in_place(deploy):
    first, second = secrets.token_hex(32), secrets.token_hex(32)
    deployment = deploy(environment={"SNAPFERRY_MASTER_KEY": first})
    server, key = deployment.server, deployment.new_key()
    server.stop()
    command = [server.binary, "master-key", "rotate", "--data", str(server.data)]
    environment = running.clean_environment(**server.environment)
    refused = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    assert refused.returncode == 1 and "master.key.next" in refused.stderr
    (server.data / "master.key.next").write_text(second)
    (server.data / "master.key.next").chmod(0o600)
    assert rotate(server)["old_key"] is None
    server.environment["SNAPFERRY_MASTER_KEY"] = second
    server.start()
    deployment.kms().encrypt(KeyId=key, Plaintext=b"x")


def test_a_damaged_record_log_is_told(world):
    server = world.deployment.server
    settle(server)
    server.stop()
    for name in CATALOG:
        (server.data / name).unlink(missing_ok=True)
    batch = sorted((server.data / "vault" / HOME / "records").glob("0*"))[-1]
    whole = batch.read_bytes()
    batch.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    report = rebuild(server, expect=DAMAGED)
    assert len(report["record_log"]["damaged"]) == 1 and batch.name in report["record_log"]["damaged"][0]
    batch.write_bytes(whole)


def test_a_catalog_is_rebuilt_from_a_bucket(deploy):
    bucket = Bucket()
    try:
        deployment = deploy(*GRACE, environment=bucket.environment)
        world = World(deployment)
        lose(deployment.server)
        rebuild(deployment.server)
        deployment.server.start()
        world.check()
    finally:
        deployment.server.stop()
        bucket.remove()
