"""Rules of copies that need a deployment of their own: RDS's refusals, limits, the queue, keys under way."""
import re

import pytest

import clients
from clients import FAR, HOME, OWNER, PARTNER, THIRD, copy_request, refused, unique
from snapferry_tools import running

AT_ONCE = 4  # copies of one account that one process runs at once: half of its places for copies


@pytest.fixture(scope="module")
def strict(deploy_for_module):
    """A deployment with RDS's refusal of Multi-AZ copies, low quotas, and very slow links."""
    return deploy_for_module(
        "--refuse-multi-az-copies",
        "--cross-region-bytes-per-second=20000",
        "--cross-region-copies-max=8",
        "--manual-snapshots-max=12",
        "--clusters-max=3",
    )


@pytest.fixture(scope="module")
def source(strict):
    """An unencrypted snapshot that the partner may copy."""
    strict.new_cluster("plain")
    made = strict.new_snapshot("plain-snapshot", "plain")
    strict.rds().modify_db_cluster_snapshot_attribute(
        DBClusterSnapshotIdentifier="plain-snapshot", AttributeName="restore", ValuesToAdd=[PARTNER]
    )
    return made["DBClusterSnapshotArn"]


def begin(deployment, source, region, account=OWNER, **more):
    """Begins a copy to another region; returns its name."""
    name = unique("queued")
    deployment.rds(region, account).copy_db_cluster_snapshot(**copy_request(source, name, **more))
    return name


def drop(deployment, region, *names, account=OWNER):
    """Cancels copies."""
    for name in names:
        deployment.rds(region, account).delete_db_cluster_snapshot(DBClusterSnapshotIdentifier=name)


def claimed(deployment):
    """The copies whose job has begun."""
    jobs = [job for job in deployment.server.jobs() if job["kind"] == "copy-snapshot"]
    return {job["subject"] for job in jobs if 0 < job["attempts"] and job["state"] == "open"}


def test_rule_1_11_a_setting_restores_rdss_refusal(strict, source):
    rds = strict.rds()
    strict.new_cluster("multi", Engine="postgres", AllocatedStorage=100, DBClusterInstanceClass="db.m5d.large")
    made = strict.new_snapshot("multi-snapshot", "multi")
    for region, given in ((HOME, "multi-snapshot"), (FAR, made["DBClusterSnapshotArn"])):
        copy = strict.rds(region).copy_db_cluster_snapshot
        said = refused("InvalidDBClusterSnapshotStateFault", copy, status=400, **copy_request(given, unique("never")))
        assert "Multi-AZ DB cluster" in said
    rds.copy_db_cluster_snapshot(**copy_request("plain-snapshot", unique("aurora")))
    rds.delete_db_cluster(DBClusterIdentifier="multi", SkipFinalSnapshot=True)


def test_rule_1_9_copies_wait_in_a_fair_queue(strict, source):
    """A long queue of one account into one region holds up neither others nor other regions."""
    ours = [begin(strict, source, FAR) for _ in range(AT_ONCE + 2)]
    running.wait_until(lambda: len(claimed(strict)) == AT_ONCE, 60, "the first copies run")
    assert claimed(strict) == set(ours[:AT_ONCE])
    # The progress of what waits is 0, and its state is copying.
    waiting = clients.snapshot_of(strict.rds(FAR), ours[-1])
    assert (waiting["Status"], waiting["PercentProgress"]) == ("copying", 0)
    theirs = begin(strict, source, FAR, PARTNER)
    elsewhere = begin(strict, source, THIRD)
    # Other work has room beside the copies.
    strict.new_cluster("beside")
    strict.rds().delete_db_cluster(DBClusterIdentifier="beside", SkipFinalSnapshot=True)
    running.wait_until(lambda: theirs in claimed(strict), 60, "another account has places of its own")
    assert claimed(strict) == {*ours[:AT_ONCE], theirs}
    drop(strict, FAR, ours[0], ours[1])
    running.wait_until(lambda: elsewhere in claimed(strict), 60, "another region has its turn")
    assert theirs in claimed(strict) and ours[-1] not in claimed(strict)
    drop(strict, FAR, *ours[2:])
    drop(strict, FAR, theirs, account=PARTNER)
    drop(strict, THIRD, elsewhere)
    running.wait_until(lambda: not claimed(strict), 60, "all have ended")


def test_rule_1_10_queued_copies_count_and_the_limit_is_a_setting(strict, source):
    region = "eu-west-2"
    made = [begin(strict, source, region) for _ in range(8)]
    refusal = "Cannot copy more than 8 snapshots across regions"
    copy = strict.rds(region).copy_db_cluster_snapshot
    refused("SnapshotQuotaExceeded", copy, refusal, 400, **copy_request(source, unique("never")))
    # Another region, another account, and a copy within the region are none of it.
    third = begin(strict, source, THIRD)
    theirs = begin(strict, source, region, PARTNER)
    strict.rds().copy_db_cluster_snapshot(**copy_request(source, unique("near")))
    drop(strict, region, made.pop())
    made.append(begin(strict, source, region))
    drop(strict, region, *made)
    drop(strict, THIRD, third)
    drop(strict, region, theirs, account=PARTNER)


def test_rule_1_10_quotas_are_settings(strict, source):
    rds, region = strict.rds("eu-west-3"), "eu-west-3"
    made = [begin(strict, source, region) for _ in range(4)]
    for name in made[:1]:
        drop(strict, region, name)
    quotas = {quota["AccountQuotaName"]: quota["Max"] for quota in rds.describe_account_attributes()["AccountQuotas"]}
    assert quotas == {"DBClusters": 3, "ManualClusterSnapshots": 12}
    drop(strict, region, *made[1:])
    home = strict.rds()
    while home.describe_account_attributes()["AccountQuotas"][1]["Used"] < 12:
        home.copy_db_cluster_snapshot(**copy_request(source, unique("fill")))
    full = "Cannot create more than 12 manual snapshots"
    refused("SnapshotQuotaExceeded", home.copy_db_cluster_snapshot, full, 400, **copy_request(source, unique("never")))
    create = home.create_db_cluster_snapshot
    refused("SnapshotQuotaExceeded", create, full, DBClusterSnapshotIdentifier="x", DBClusterIdentifier="plain")


def test_rule_1_9_the_target_key_disabled_under_way(deploy):
    """The data key is wrapped for the copy before its bytes are fetched: the copy ends well, and
    is of use once the key is."""
    slow = deploy("--cross-region-bytes-per-second=1500000")
    slow.new_cluster("sealed", StorageEncrypted=True)
    made, key = slow.new_snapshot("sealed-snapshot", "sealed"), slow.new_key(FAR)
    rds, kms = slow.rds(FAR), slow.kms(FAR)
    rds.copy_db_cluster_snapshot(**copy_request(made["DBClusterSnapshotArn"], "far", KmsKeyId=key))
    kms.disable_key(KeyId=key)
    assert clients.snapshot_of(rds, "far")["Status"] == "copying"
    assert clients.wait_snapshot(rds, "far")["KmsKeyId"] == key
    restore = rds.restore_db_cluster_from_snapshot
    wanted = {"DBClusterIdentifier": "back", "SnapshotIdentifier": "far", "Engine": "aurora-postgresql"}
    refused("KMSKeyNotAccessibleFault", restore, re.compile(re.escape(key)), 400, **wanted)
    kms.enable_key(KeyId=key)
    restore(**wanted)
    clients.wait_cluster(rds, "back")


def test_rule_1_3_spellings_of_a_source(strict, source):
    """Case is of no matter in names, also inside an ARN; an ARN's fixed parts are exact."""
    rds = strict.rds()
    upper = source.rpartition(":")[0] + ":PLAIN-Snapshot"
    strict.rds(account=PARTNER).copy_db_cluster_snapshot(**copy_request(upper, unique("Upper")))
    for wrong in (
        source.replace("arn:aws:", "arn:aws-cn:"),
        source.replace("cluster-snapshot", "cluster_snapshot"),
        source.replace("cluster-snapshot", "snapshot"),
        source + "--x",
        source.rpartition(":")[0],
    ):
        refused("InvalidParameterValue", rds.copy_db_cluster_snapshot, status=400, **copy_request(wrong, unique("x")))
    # Automated names are sources, never targets.
    automated = "rds:plain-2026-01-02-03-04"
    for given in (automated, source.rpartition(":")[0] + ":" + automated):
        refused(
            "DBClusterSnapshotNotFoundFault",
            rds.copy_db_cluster_snapshot,
            f"DBClusterSnapshot not found: {given}",
            404,
            **copy_request(given, unique("x")),
        )
    # A foreign snapshot is found by its ARN only.
    partner = strict.rds(account=PARTNER)
    refused(
        "DBClusterSnapshotNotFoundFault",
        partner.copy_db_cluster_snapshot,
        status=404,
        **copy_request("plain-snapshot", unique("x")),
    )
