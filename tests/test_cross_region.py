"""Copies to another region: progress, cancelling, what is shipped, and what clients send along."""
import itertools

import pytest

import clients
from clients import FAR, HOME, OWNER, THIRD, copy_request, refused, unique
from snapferry_tools import running

# 24 MiB of noise at 8 MB/s: a copy lasts some seconds.
MEGABYTES, LIMIT = 24, 8_000_000
UNTOUCHED = itertools.cycle(["eu-north-1", "eu-south-1", "eu-west-2", "eu-west-3", "sa-east-1", "ca-central-1"])


@pytest.fixture(scope="module")
def slow(deploy_for_module):
    """A deployment that limits bytes between regions."""
    return deploy_for_module("--cross-region-bytes-per-second", str(LIMIT))


@pytest.fixture(scope="module")
def noise(slow):
    """An encrypted cluster of incompressible rows, and its snapshot."""
    cluster = slow.new_cluster("noise", StorageEncrypted=True, KmsKeyId=slow.new_key())
    with clients.connect(cluster) as connection:
        clients.fill_with_noise(connection, MEGABYTES)
    return slow.new_snapshot("noise-snapshot", "noise")


@pytest.fixture(scope="module")
def keys(slow):
    """A key in each region, on demand."""
    made = {}

    def key(region):
        if region not in made:
            made[region] = slow.new_key(region)
        return made[region]

    return key


def start(deployment, source, region, key, **more):
    """Starts a copy to another region."""
    rds, name = deployment.rds(region), unique("far")
    request = copy_request(source["DBClusterSnapshotArn"], name, KmsKeyId=key(region), SourceRegion=HOME, **more)
    return rds, name, rds.copy_db_cluster_snapshot(**request)["DBClusterSnapshot"]


def job_of(deployment, name):
    """The job of a copy."""
    return next(job for job in deployment.server.jobs() if job["kind"] == "copy-snapshot" and job["subject"] == name)


def test_progress_is_seen_moving(slow, noise, keys):
    rds, name, made = start(slow, noise, FAR, keys)
    assert made["Status"] == "copying" and made["PercentProgress"] == 0
    assert made["DBClusterSnapshotArn"] == f"arn:aws:rds:{FAR}:{OWNER}:cluster-snapshot:{name}"
    assert made["SourceDBClusterSnapshotArn"] == noise["DBClusterSnapshotArn"]
    assert made["KmsKeyId"] == keys(FAR) and made["StorageEncrypted"] is True
    assert all(zone.startswith(FAR) for zone in made["AvailabilityZones"])
    seen = []

    def look():
        now = clients.snapshot_of(rds, name)
        seen.append((now["Status"], now["PercentProgress"]))
        return now if now["Status"] != "copying" else None

    done = running.wait_until(look, 60, "the copy ends")
    assert done["Status"] == "available" and done["PercentProgress"] == 100
    assert done["SnapshotCreateTime"] == noise["SnapshotCreateTime"]
    percents = [percent for status, percent in seen if status == "copying"]
    assert percents == sorted(percents)
    assert len({percent for percent in percents if 0 < percent < 100}) >= 3
    progress = job_of(slow, name)["progress"]
    assert progress["bytes_shipped"] >= MEGABYTES << 20
    assert job_of(slow, name)["state"] == "done"

    # What is held there is not shipped again, under whatever key.
    rds.copy_db_cluster_snapshot(
        **copy_request(noise["DBClusterSnapshotArn"], f"{name}-again", KmsKeyId=slow.new_key(FAR), SourceRegion=HOME)
    )
    clients.wait_snapshot(rds, f"{name}-again")
    assert job_of(slow, f"{name}-again")["progress"]["bytes_shipped"] < progress["bytes_shipped"] / 20

    # And the copy restores there, to the same rows.
    rds.restore_db_cluster_from_snapshot(
        DBClusterIdentifier="noise-far", SnapshotIdentifier=name, Engine="aurora-postgresql"
    )
    with clients.connect(clients.wait_cluster(rds, "noise-far")) as there:
        with clients.connect(clients.cluster_of(slow.rds(), "noise")) as here:
            assert clients.table_of(there, "noise") == clients.table_of(here, "noise")


def test_cancelling_a_copy(slow, noise, keys):
    rds, name, _ = start(slow, noise, next(UNTOUCHED), keys)
    clients.wait_percent(rds, name, 10)
    refused(
        "DBClusterSnapshotAlreadyExistsFault",
        rds.copy_db_cluster_snapshot,
        **copy_request(noise["DBClusterSnapshotArn"], name, KmsKeyId=keys(rds.meta.region_name)),
    )
    gone = rds.delete_db_cluster_snapshot(DBClusterSnapshotIdentifier=name)["DBClusterSnapshot"]
    assert gone["Status"] in ("copying", "deleting")
    clients.wait_gone(rds, name)
    running.wait_until(lambda: job_of(slow, name)["state"] == "canceled", 60, "the job has noticed")
    assert clients.snapshot_of(slow.rds(), "noise-snapshot")["Status"] == "available"
    # The name is free again, and what had arrived is of use.
    rds.copy_db_cluster_snapshot(
        **copy_request(noise["DBClusterSnapshotArn"], name, KmsKeyId=keys(rds.meta.region_name))
    )
    clients.wait_snapshot(rds, name)


def test_a_copy_under_way_cannot_be_used(slow, noise, keys):
    rds, name, _ = start(slow, noise, next(UNTOUCHED), keys)
    refused("InvalidDBClusterSnapshotStateFault", rds.copy_db_cluster_snapshot, **copy_request(name, unique("none")))
    refused(
        "InvalidDBClusterSnapshotStateFault",
        rds.restore_db_cluster_from_snapshot,
        DBClusterIdentifier=unique("none"),
        SnapshotIdentifier=name,
        Engine="aurora-postgresql",
    )
    rds.delete_db_cluster_snapshot(DBClusterSnapshotIdentifier=name)
    clients.wait_gone(rds, name)


def test_deleting_the_source_under_way_hurts_nothing_else(slow, noise, keys):
    """RDS lets such a copy fail; here it ends well, since what it needs is pinned."""
    source = clients.copied(slow, "noise-snapshot")
    rds, name, _ = start(slow, source, next(UNTOUCHED), keys)
    clients.wait_percent(rds, name, 5)
    slow.rds().delete_db_cluster_snapshot(DBClusterSnapshotIdentifier=source["DBClusterSnapshotIdentifier"])
    clients.wait_snapshot(rds, name)


def test_disabling_the_source_key_under_way(slow, noise, keys):
    """The first step wraps the data key for the target; the source's is not needed after that."""
    old = slow.new_key()
    source = clients.copied(slow, "noise-snapshot", KmsKeyId=old)
    rds, name, _ = start(slow, source, next(UNTOUCHED), keys)
    slow.kms().disable_key(KeyId=old)
    clients.wait_snapshot(rds, name)


def test_an_unencrypted_copy(closed, plain_snapshot):
    rds, name = closed.rds(FAR), unique("far")
    rds.copy_db_cluster_snapshot(
        **copy_request(plain_snapshot["DBClusterSnapshotArn"], name, SourceRegion=HOME, CopyTags=True)
    )
    done = clients.wait_snapshot(rds, name)
    assert done["StorageEncrypted"] is False and "KmsKeyId" not in done


def test_the_number_of_copies_in_progress(slow, noise, keys):
    region = next(UNTOUCHED)
    made = [start(slow, noise, region, keys)[1] for _ in range(5)]
    rds = slow.rds(region)
    refused(
        "SnapshotQuotaExceeded",
        rds.copy_db_cluster_snapshot,
        "Cannot copy more than 5 snapshots across regions",
        400,
        **copy_request(noise["DBClusterSnapshotArn"], unique("none"), KmsKeyId=keys(region)),
    )
    for name in made:
        rds.delete_db_cluster_snapshot(DBClusterSnapshotIdentifier=name)
        clients.wait_gone(rds, name)


def test_a_presigned_url_of_boto3_is_accepted(slow, noise, keys):
    """boto3 turns SourceRegion into PreSignedUrl; the parameter itself never reaches the wire."""
    sent = []
    rds = slow.rds(THIRD)
    rds.meta.events.register("before-send.rds.CopyDBClusterSnapshot", lambda request, **_: sent.append(request.body))
    _, name, _ = start(slow, noise, THIRD, keys)
    body = sent[0].decode() if isinstance(sent[0], bytes) else sent[0]
    assert "PreSignedUrl=" in body and "SourceRegion=" not in body
    rds.delete_db_cluster_snapshot(DBClusterSnapshotIdentifier=name)
    clients.wait_gone(rds, name)
