"""Snapshots shared between accounts: attributes, visibility, and the keys that go with it."""
import re

import pytest

import clients
from clients import FAR, HOME, PARTNER, STRANGER, copied, copy_request, cross_account_policy, refused, unique


def share(rds, name, add=(), remove=()):
    """Changes the restore attribute; returns the accounts that it then names."""
    result = rds.modify_db_cluster_snapshot_attribute(
        DBClusterSnapshotIdentifier=name,
        AttributeName="restore",
        ValuesToAdd=list(add),
        ValuesToRemove=list(remove),
    )["DBClusterSnapshotAttributesResult"]
    assert [one["AttributeName"] for one in result["DBClusterSnapshotAttributes"]] == ["restore"]
    return result["DBClusterSnapshotAttributes"][0]["AttributeValues"]


def shared_with(rds, name):
    """The accounts that the restore attribute names."""
    result = rds.describe_db_cluster_snapshot_attributes(DBClusterSnapshotIdentifier=name)
    attributes = result["DBClusterSnapshotAttributesResult"]["DBClusterSnapshotAttributes"]
    assert [one["AttributeName"] for one in attributes] == ["restore"]
    return attributes[0]["AttributeValues"]


@pytest.fixture
def shareable(closed, plain_snapshot):
    """An unencrypted snapshot of this test's own."""
    return copied(closed, "plain-snapshot")


@pytest.fixture
def sealed_copy(closed, sealed_snapshot):
    """(snapshot, key): encrypted under a key of its own."""
    key = closed.new_key()
    return copied(closed, "sealed-snapshot", KmsKeyId=key), key


def test_the_attribute(closed, shareable):
    rds, name = closed.rds(), shareable["DBClusterSnapshotIdentifier"]
    assert shared_with(rds, name) == []
    assert share(rds, name, [PARTNER]) == [PARTNER]
    assert share(rds, name, [PARTNER, STRANGER]) == [PARTNER, STRANGER]
    assert set(share(rds, name, ["all"])) == {PARTNER, STRANGER, "all"}
    assert set(share(rds, name, remove=["all", "999988887777"])) == {PARTNER, STRANGER}
    assert share(rds, name, remove=[PARTNER, STRANGER]) == []
    assert shared_with(rds, name) == []


def test_wrong_attributes(closed, shareable, sealed_copy):
    modify, name = closed.rds().modify_db_cluster_snapshot_attribute, shareable["DBClusterSnapshotIdentifier"]
    refused(
        "InvalidParameterValue",
        modify,
        "Invalid snapshot attribute colour",
        DBClusterSnapshotIdentifier=name,
        AttributeName="colour",
        ValuesToAdd=[PARTNER],
    )
    restore = {"DBClusterSnapshotIdentifier": name, "AttributeName": "restore"}
    refused(
        "InvalidParameterCombination",
        modify,
        re.compile("A value may not appear in both the add list and remove list"),
        **restore,
        ValuesToAdd=[PARTNER],
        ValuesToRemove=[PARTNER],
    )
    refused("InvalidParameterValue", modify, **restore, ValuesToAdd=["12"])
    accounts = [f"{number:012}" for number in range(100, 121)]
    refused("SharedSnapshotQuotaExceeded", modify, status=400, **restore, ValuesToAdd=accounts)
    encrypted = sealed_copy[0]["DBClusterSnapshotIdentifier"]
    refused(
        "InvalidParameterValue",
        modify,
        DBClusterSnapshotIdentifier=encrypted,
        AttributeName="restore",
        ValuesToAdd=["all"],
    )
    refused(
        "DBClusterSnapshotNotFoundFault",
        modify,
        DBClusterSnapshotIdentifier="nobody",
        AttributeName="restore",
        ValuesToAdd=[PARTNER],
    )
    assert shared_with(closed.rds(), name) == [] == shared_with(closed.rds(), encrypted)


def test_the_default_key_cannot_be_shared(closed):
    name, snapshot = unique("default"), unique("default-snapshot")
    closed.new_cluster(name, StorageEncrypted=True)
    closed.new_snapshot(snapshot, name)
    refused(
        "InvalidParameterValue",
        closed.rds().modify_db_cluster_snapshot_attribute,
        re.compile("encrypted with the default service key for RDS"),
        DBClusterSnapshotIdentifier=snapshot,
        AttributeName="restore",
        ValuesToAdd=[PARTNER],
    )
    closed.rds().delete_db_cluster(DBClusterIdentifier=name, SkipFinalSnapshot=True)


def test_only_the_owner_shares(closed, shareable):
    share(closed.rds(), shareable["DBClusterSnapshotIdentifier"], [PARTNER])
    theirs, arn = closed.rds(account=PARTNER), shareable["DBClusterSnapshotArn"]
    for call in (
        lambda: share(theirs, arn, [STRANGER]),
        lambda: shared_with(theirs, arn),
        lambda: theirs.delete_db_cluster_snapshot(DBClusterSnapshotIdentifier=arn),
        lambda: theirs.add_tags_to_resource(ResourceName=arn, Tags=[{"Key": "a", "Value": "b"}]),
    ):
        with pytest.raises(theirs.exceptions.ClientError):
            call()
    assert shared_with(closed.rds(), shareable["DBClusterSnapshotIdentifier"]) == [PARTNER]


def test_rule_2_5_only_the_owner_deletes(closed, shareable):
    name, arn = shareable["DBClusterSnapshotIdentifier"], shareable["DBClusterSnapshotArn"]
    share(closed.rds(), name, [PARTNER])
    for account in (PARTNER, STRANGER):
        for identifier in (name, arn):
            refused(
                "DBClusterSnapshotNotFoundFault",
                closed.rds(account=account).delete_db_cluster_snapshot,
                f"DBClusterSnapshot not found: {identifier}",
                404,
                DBClusterSnapshotIdentifier=identifier,
            )
    assert shared_with(closed.rds(), name) == [PARTNER]


def test_what_the_other_account_sees(closed, shareable):
    arn, name = shareable["DBClusterSnapshotArn"], shareable["DBClusterSnapshotIdentifier"]
    theirs = closed.rds(account=PARTNER)

    def seen(**arguments):
        found = theirs.describe_db_cluster_snapshots(**arguments)["DBClusterSnapshots"]
        return {one["DBClusterSnapshotIdentifier"]: one["SnapshotType"] for one in found}

    share(closed.rds(), name, [PARTNER])
    assert arn not in seen()
    assert seen(IncludeShared=True).get(arn) == "shared"
    assert seen(SnapshotType="shared").get(arn) == "shared"
    assert arn not in seen(SnapshotType="manual", IncludeShared=True)
    assert seen(DBClusterSnapshotIdentifier=arn, IncludeShared=True) == {arn: "shared"}
    assert arn not in seen(SnapshotType="public")
    refused(
        "DBClusterSnapshotNotFoundFault", theirs.describe_db_cluster_snapshots, DBClusterSnapshotIdentifier=name
    )
    share(closed.rds(), name, ["all"], [PARTNER])
    assert seen(SnapshotType="public").get(arn) == "public"
    assert seen(IncludePublic=True).get(arn) == "public"
    share(closed.rds(), name, remove=["all"])
    assert arn not in seen(IncludeShared=True, IncludePublic=True)


def test_an_unencrypted_snapshot_is_copied_once_it_is_shared(closed, shareable):
    arn, name = shareable["DBClusterSnapshotArn"], shareable["DBClusterSnapshotIdentifier"]
    theirs = closed.rds(account=PARTNER)
    request = copy_request(arn, unique("theirs"))
    refused("DBClusterSnapshotNotFoundFault", theirs.copy_db_cluster_snapshot, **request)
    share(closed.rds(), name, [PARTNER])
    made = theirs.copy_db_cluster_snapshot(**request)["DBClusterSnapshot"]
    assert made["DBClusterSnapshotArn"].split(":")[4] == PARTNER
    assert made["SourceDBClusterSnapshotArn"] == arn
    # Sharing is not inherited, and ends when it is withdrawn. The copy stays.
    assert shared_with(theirs, made["DBClusterSnapshotIdentifier"]) == []
    share(closed.rds(), name, remove=[PARTNER])
    refused("DBClusterSnapshotNotFoundFault", theirs.copy_db_cluster_snapshot, **copy_request(arn, unique("never")))
    closed.rds().delete_db_cluster_snapshot(DBClusterSnapshotIdentifier=name)
    cluster = unique("theirs")
    theirs.restore_db_cluster_from_snapshot(
        DBClusterIdentifier=cluster,
        SnapshotIdentifier=made["DBClusterSnapshotIdentifier"],
        Engine="aurora-postgresql",
    )
    with clients.connect(clients.wait_cluster(theirs, cluster)) as connection:
        assert connection.execute("select count(*) from goods").fetchone() == (2000,)
    theirs.delete_db_cluster(DBClusterIdentifier=cluster, SkipFinalSnapshot=True)


def test_an_encrypted_snapshot_needs_its_key_to_be_shared_too(closed, sealed_copy):
    snapshot, key = sealed_copy
    arn, name = snapshot["DBClusterSnapshotArn"], snapshot["DBClusterSnapshotIdentifier"]
    theirs, their_key = closed.rds(account=PARTNER), closed.new_key(account=PARTNER)
    share(closed.rds(), name, [PARTNER])
    request = copy_request(arn, unique("theirs"), KmsKeyId=their_key)
    refused(
        "KMSKeyNotAccessibleFault",
        theirs.copy_db_cluster_snapshot,
        f"The source snapshot KMS key [{key}] does not exist, is not enabled or you do not have permissions to access"
        " it.",
        400,
        **request,
    )
    # A restore without a KmsKeyId would be under the snapshot's key, which is not the caller's to use.
    refused(
        "KMSKeyNotAccessibleFault",
        theirs.restore_db_cluster_from_snapshot,
        re.compile(re.escape(f"The source snapshot KMS key [{key}] does not exist")),
        400,
        DBClusterIdentifier=unique("never"),
        SnapshotIdentifier=arn,
        Engine="aurora-postgresql",
    )
    closed.kms().put_key_policy(KeyId=key, PolicyName="default", Policy=cross_account_policy(PARTNER))
    # Still none of the stranger's business.
    refused(
        "DBClusterSnapshotNotFoundFault",
        closed.rds(account=STRANGER).copy_db_cluster_snapshot,
        **copy_request(arn, unique("never"), KmsKeyId=closed.new_key(account=STRANGER)),
    )
    without_key = copy_request(arn, unique("never"))
    refused("InvalidParameterValue", theirs.copy_db_cluster_snapshot, **without_key)
    made = theirs.copy_db_cluster_snapshot(**request)["DBClusterSnapshot"]
    assert made["KmsKeyId"] == their_key
    # From now on the owner's key, policy and snapshot do not matter.
    closed.kms().put_key_policy(KeyId=key, PolicyName="default", Policy=cross_account_policy())
    closed.kms().disable_key(KeyId=key)
    closed.rds().delete_db_cluster_snapshot(DBClusterSnapshotIdentifier=name)
    cluster = unique("theirs")
    theirs.restore_db_cluster_from_snapshot(
        DBClusterIdentifier=cluster,
        SnapshotIdentifier=made["DBClusterSnapshotIdentifier"],
        Engine="aurora-postgresql",
    )
    with clients.connect(clients.wait_cluster(theirs, cluster)) as connection:
        assert connection.execute("select count(*) from goods").fetchone() == (2000,)
    theirs.delete_db_cluster(DBClusterIdentifier=cluster, SkipFinalSnapshot=True)


def test_account_and_region_in_one_step(closed, sealed_copy):
    snapshot, key = sealed_copy
    share(closed.rds(), snapshot["DBClusterSnapshotIdentifier"], [PARTNER])
    closed.kms().put_key_policy(KeyId=key, PolicyName="default", Policy=cross_account_policy(PARTNER))
    theirs, name = closed.rds(FAR, PARTNER), unique("theirs")
    their_key = closed.new_key(FAR, PARTNER)
    theirs.copy_db_cluster_snapshot(
        **copy_request(snapshot["DBClusterSnapshotArn"], name, KmsKeyId=their_key, SourceRegion=HOME)
    )
    done = clients.wait_snapshot(theirs, name)
    assert done["DBClusterSnapshotArn"] == f"arn:aws:rds:{FAR}:{PARTNER}:cluster-snapshot:{name}"
    assert done["KmsKeyId"] == their_key


def test_a_shared_snapshot_is_restored_by_arn(closed, shareable):
    theirs, cluster = closed.rds(account=PARTNER), unique("direct")
    request = {
        "DBClusterIdentifier": cluster,
        "SnapshotIdentifier": shareable["DBClusterSnapshotArn"],
        "Engine": "aurora-postgresql",
    }
    refused("DBClusterSnapshotNotFoundFault", theirs.restore_db_cluster_from_snapshot, **request)
    share(closed.rds(), shareable["DBClusterSnapshotIdentifier"], [PARTNER])
    theirs.restore_db_cluster_from_snapshot(**request)
    with clients.connect(clients.wait_cluster(theirs, cluster)) as connection:
        assert connection.execute("select count(*) from goods").fetchone() == (2000,)
    # A snapshot of that cluster belongs to the account that restored it.
    made = closed.new_snapshot(unique("theirs"), cluster, account=PARTNER)
    assert made["DBClusterSnapshotArn"].split(":")[4] == PARTNER
    theirs.delete_db_cluster(DBClusterIdentifier=cluster, SkipFinalSnapshot=True)


def test_a_shared_encrypted_snapshot_is_restored_under_its_own_key(closed, sealed_copy):
    """Without a KmsKeyId, where the key's policy lets the caller; and so are the snapshots of that cluster."""
    snapshot, key = sealed_copy
    share(closed.rds(), snapshot["DBClusterSnapshotIdentifier"], [PARTNER])
    closed.kms().put_key_policy(KeyId=key, PolicyName="default", Policy=cross_account_policy(PARTNER))
    theirs, cluster = closed.rds(account=PARTNER), unique("under-theirs")
    theirs.restore_db_cluster_from_snapshot(
        DBClusterIdentifier=cluster, SnapshotIdentifier=snapshot["DBClusterSnapshotArn"], Engine="aurora-postgresql"
    )
    made = clients.wait_cluster(theirs, cluster)
    assert (made["StorageEncrypted"], made["KmsKeyId"]) == (True, key)
    with clients.connect(made) as connection:
        assert connection.execute("select count(*) from goods").fetchone() == (2000,)
    again = closed.new_snapshot(unique("theirs"), cluster, account=PARTNER)
    assert (again["StorageEncrypted"], again["KmsKeyId"]) == (True, key)
    theirs.delete_db_cluster_snapshot(DBClusterSnapshotIdentifier=again["DBClusterSnapshotIdentifier"])
    theirs.delete_db_cluster(DBClusterIdentifier=cluster, SkipFinalSnapshot=True)


def test_tags_of_a_shared_snapshot_stay_with_their_owner(closed, shareable):
    """They are not described to others, and so no copy hands them over."""
    arn, name = shareable["DBClusterSnapshotArn"], shareable["DBClusterSnapshotIdentifier"]
    closed.rds().add_tags_to_resource(ResourceName=arn, Tags=[{"Key": "secret-project", "Value": "lighthouse"}])
    share(closed.rds(), name, [PARTNER])
    theirs = closed.rds(account=PARTNER)
    assert clients.snapshot_of(theirs, arn)["TagList"] == []
    for region in (HOME, FAR):
        assert clients.copied(closed, arn, region, PARTNER, CopyTags=True)["TagList"] == []
    own = [{"Key": "a", "Value": "b"}]
    assert clients.copied(closed, arn, account=PARTNER, CopyTags=True, Tags=own)["TagList"] == own
    # Its owner's copies take them along.
    assert clients.copied(closed, arn, CopyTags=True)["TagList"] == [{"Key": "secret-project", "Value": "lighthouse"}]
