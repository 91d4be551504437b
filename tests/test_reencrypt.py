"""Regions that seal copies anew: nothing is shared with the source, and the next copy stays small."""
import pytest

import clients
from clients import FAR, HOME, OWNER, PARTNER, copied, copy_request, cross_account_policy, unique
from snapferry_tools import running

MEGABYTES = 12


@pytest.fixture(scope="module")
def strict(deploy_for_module):
    """A deployment whose home and far region re-encrypt."""
    return deploy_for_module("--reencrypt", f"{HOME},{FAR}")


@pytest.fixture(scope="module")
def source_key(strict):
    """The key of the cluster."""
    return strict.new_key()


@pytest.fixture(scope="module")
def noise(strict, source_key):
    """An encrypted cluster of incompressible rows."""
    cluster = strict.new_cluster("noise", StorageEncrypted=True, KmsKeyId=source_key)
    with clients.connect(cluster) as connection:
        clients.fill_with_noise(connection, MEGABYTES)
    return cluster


def job_of(deployment, name):
    """The job of a copy, if it was one."""
    jobs = [job for job in deployment.server.jobs() if job["kind"] == "copy-snapshot" and job["subject"] == name]
    return jobs[0] if jobs else None


def objects(deployment, region):
    """Names of the packs, lists and manifests that a region's vault holds."""
    found = (deployment.server.data / "vault" / region / "volumes").rglob("*.*")
    return {path.name.split(".")[0] for path in found if path.is_file()}


def rows(deployment, region, snapshot, account=OWNER):
    """The rows of a cluster restored from a snapshot."""
    rds, name = deployment.rds(region, account), unique("back")
    rds.restore_db_cluster_from_snapshot(
        DBClusterIdentifier=name, SnapshotIdentifier=snapshot, Engine="aurora-postgresql"
    )
    with clients.connect(clients.wait_cluster(rds, name)) as connection:
        found = clients.table_of(connection, "noise")
    rds.delete_db_cluster(DBClusterIdentifier=name, SkipFinalSnapshot=True)
    return found


def test_copies_under_other_keys_outlive_their_source(strict, noise, source_key):
    with clients.connect(noise) as connection:
        expected = clients.table_of(connection, "noise")
    first = strict.new_snapshot("first", "noise")
    here = objects(strict, HOME)

    # Under the same key nothing changes: one commit.
    same = copied(strict, "first")
    assert job_of(strict, same["DBClusterSnapshotIdentifier"]) is None

    near_key, far_key = strict.new_key(), strict.new_key(FAR)
    made = {}
    for region, key in ((HOME, near_key), (FAR, far_key)):
        rds, name = strict.rds(region), unique("anew")
        request = copy_request(first["DBClusterSnapshotArn"], name, KmsKeyId=key, SourceRegion=HOME)
        begun = rds.copy_db_cluster_snapshot(**request)["DBClusterSnapshot"]
        assert begun["Status"] == "copying" and begun["KmsKeyId"] == key
        done = clients.wait_snapshot(rds, name)
        assert done["PercentProgress"] == 100 and done["SnapshotCreateTime"] == first["SnapshotCreateTime"]
        job = job_of(strict, name)
        assert job["state"] == "done" and job["progress"]["bytes_shipped"] >= MEGABYTES << 20
        made[region] = name
    assert here.isdisjoint(objects(strict, FAR)) and here < objects(strict, HOME)
    # No data key of the source is left under the copies' keys: an ended job has none.
    left = [context for key, _, context in clients.wrapped_keys(strict.server) if key in (near_key, far_key)]
    assert len(left) == 2

    # The next copy moves what changed.
    with clients.connect(noise) as connection:
        connection.execute("create table added as select generate_series(1, 1000) as n")
    strict.new_snapshot("second", "noise")
    whole = job_of(strict, made[FAR])["progress"]["bytes_shipped"]
    source = strict.rds().describe_db_cluster_snapshots(DBClusterSnapshotIdentifier="second")
    arn = source["DBClusterSnapshots"][0]["DBClusterSnapshotArn"]
    again = copied(strict, arn, FAR, KmsKeyId=far_key, SourceRegion=HOME)["DBClusterSnapshotIdentifier"]
    assert job_of(strict, again)["progress"]["bytes_shipped"] < whole / 3

    # Neither the source, nor its key, nor the copy before is needed.
    for region, name in ((HOME, "first"), (HOME, "second"), (FAR, made[FAR])):
        strict.rds(region).delete_db_cluster_snapshot(DBClusterSnapshotIdentifier=name)
    strict.kms().disable_key(KeyId=source_key)
    assert rows(strict, HOME, made[HOME]) == expected
    assert rows(strict, FAR, again) == expected
    strict.kms().enable_key(KeyId=source_key)


def test_another_account_gets_objects_and_keys_of_its_own(strict, noise, source_key):
    """Once the copy was asked for, neither the sharing, nor the source's key, nor the source is needed."""
    with clients.connect(noise) as connection:
        expected = clients.table_of(connection, "noise")
    shared = strict.new_snapshot("shared", "noise")
    strict.kms().put_key_policy(KeyId=source_key, PolicyName="default", Policy=cross_account_policy(PARTNER))
    attribute = {"DBClusterSnapshotIdentifier": "shared", "AttributeName": "restore"}
    strict.rds().modify_db_cluster_snapshot_attribute(**attribute, ValuesToAdd=[PARTNER])
    before = objects(strict, HOME)
    theirs, key, name = strict.rds(account=PARTNER), strict.new_key(account=PARTNER), unique("theirs")
    theirs.copy_db_cluster_snapshot(**copy_request(shared["DBClusterSnapshotArn"], name, KmsKeyId=key))
    strict.kms().put_key_policy(KeyId=source_key, PolicyName="default", Policy=cross_account_policy())
    strict.rds().delete_db_cluster_snapshot(DBClusterSnapshotIdentifier="shared")
    clients.wait_snapshot(theirs, name)
    assert len(objects(strict, HOME) - before) >= 3, "packs, lists and a manifest of their own"
    kept = {context["snapferry:account"] for kms, _, context in clients.wrapped_keys(strict.server) if kms == key}
    assert kept == {PARTNER}
    assert rows(strict, HOME, name, PARTNER) == expected


def test_a_key_that_is_disabled_on_the_way_fails_the_copy(deploy):
    """The next try has no keys: the copy has failed, an event says why, and nothing of it is visible."""
    slow = deploy("--reencrypt", HOME, "--cross-region-bytes-per-second", "4000000", "--lease-seconds", "2")
    key = slow.new_key()
    cluster = slow.new_cluster("noise", StorageEncrypted=True, KmsKeyId=slow.new_key())
    with clients.connect(cluster) as connection:
        clients.fill_with_noise(connection, 12)
    slow.new_snapshot("first", "noise")
    slow.rds().copy_db_cluster_snapshot(**copy_request("first", "anew", KmsKeyId=key))
    clients.wait_percent(slow.rds(), "anew", 10)
    slow.kms().disable_key(KeyId=key)
    slow.server.kill()
    slow.server.start()
    ended = running.wait_until(
        lambda: (now := clients.snapshot_of(slow.rds(), "anew"))["Status"] != "copying" and now, 60, "the copy has ended"
    )
    assert ended["Status"] == "failed" and "is disabled" in job_of(slow, "anew")["error"]
    said = slow.rds().describe_events(SourceType="db-cluster-snapshot", SourceIdentifier="anew")["Events"]
    assert "is disabled" in said[-1]["Message"]
    slow.kms().enable_key(KeyId=key)
    clients.refused(
        "InvalidDBClusterSnapshotStateFault",
        slow.rds().restore_db_cluster_from_snapshot,
        DBClusterIdentifier="never",
        SnapshotIdentifier="anew",
        Engine="aurora-postgresql",
    )


def test_a_killed_copy_goes_on(deploy, binary):
    """What was sealed before the server died is not sealed again."""
    slow = deploy("--reencrypt", HOME, "--cross-region-bytes-per-second", "6000000", "--lease-seconds", "2")
    key = slow.new_key()
    cluster = slow.new_cluster("noise", StorageEncrypted=True, KmsKeyId=slow.new_key())
    with clients.connect(cluster) as connection:
        clients.fill_with_noise(connection, 24)
        expected = clients.table_of(connection, "noise")
    slow.new_snapshot("first", "noise")
    slow.rds().copy_db_cluster_snapshot(**copy_request("first", "anew", KmsKeyId=key))
    clients.wait_percent(slow.rds(), "anew", 70)
    slow.server.kill()
    slow.server.start()
    clients.wait_snapshot(slow.rds(), "anew")
    assert rows(slow, HOME, "anew") == expected
