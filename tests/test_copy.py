"""CopyDBClusterSnapshot within a region, and every refusal that is documented."""
import re

import pytest

import clients
from clients import FAR, HOME, OWNER, PARTNER, copied, copy_request, refused, unique

NOT_ACCESSIBLE = re.compile(r"key \[.*\] does not exist, is not enabled or you do not have permissions to access it\.")


def arn(name, region=HOME, account=OWNER):
    """A snapshot's ARN."""
    partition = "aws-cn" if region.startswith("cn-") else "aws-us-gov" if "gov" in region else "aws"
    return f"arn:{partition}:rds:{region}:{account}:cluster-snapshot:{name}"


def copy_refused(deployment, code, source, message=None, status=400, region=HOME, account=OWNER, **more):
    """Asserts that a copy is refused and leaves nothing."""
    rds = deployment.rds(region, account)
    target = more.pop("target", None) or unique("refused")
    said = refused(code, rds.copy_db_cluster_snapshot, message, status, **copy_request(source, target, **more))
    if re.fullmatch(r"[A-Za-z][A-Za-z0-9-]*", target) and code != "DBClusterSnapshotAlreadyExistsFault":
        assert not clients.exists(rds, target)
    return said


def test_a_copy_of_a_plain_snapshot(closed, plain_snapshot):
    rds = closed.rds()
    name = unique("Copy")
    made = rds.copy_db_cluster_snapshot(**copy_request("PLAIN-Snapshot", name))["DBClusterSnapshot"]
    # One commit: there is nothing to wait for.
    assert made["Status"] == "available" and made["PercentProgress"] == 100
    assert made["DBClusterSnapshotIdentifier"] == name.lower()
    assert made["DBClusterSnapshotArn"] == arn(name.lower())
    assert made["SourceDBClusterSnapshotArn"] == plain_snapshot["DBClusterSnapshotArn"]
    assert made["SnapshotType"] == "manual"
    assert made["StorageEncrypted"] is False and "KmsKeyId" not in made
    inherited = ["SnapshotCreateTime", "DBClusterIdentifier", "DbClusterResourceId", "Engine", "EngineVersion"]
    inherited += ["MasterUsername", "ClusterCreateTime", "Port", "AllocatedStorage", "AvailabilityZones"]
    for field in inherited:
        assert made[field] == plain_snapshot[field], field
    assert made["TagList"] == []
    assert clients.snapshot_of(rds, name) == made


def test_a_copy_by_arn(closed, plain_snapshot):
    made = copied(closed, plain_snapshot["DBClusterSnapshotArn"])
    assert made["SourceDBClusterSnapshotArn"] == plain_snapshot["DBClusterSnapshotArn"]


def test_without_a_key_the_copy_keeps_the_sources(closed, sealed_snapshot, key):
    made = copied(closed, "sealed-snapshot")
    assert made["StorageEncrypted"] is True and made["KmsKeyId"] == key


def test_every_form_of_a_key(closed, sealed_snapshot, other_key):
    alias = f"alias/{unique('forms')}"
    closed.kms().create_alias(AliasName=alias, TargetKeyId=other_key)
    alias_arn = f"arn:aws:kms:{HOME}:{OWNER}:{alias}"
    for form in (other_key, other_key.rpartition("/")[2], alias, alias_arn):
        made = copied(closed, "sealed-snapshot", KmsKeyId=form)
        assert made["KmsKeyId"] == other_key, form


def test_a_copy_of_a_copy(closed, sealed_snapshot, other_key):
    first = copied(closed, "sealed-snapshot", KmsKeyId=other_key)
    second = copied(closed, first["DBClusterSnapshotIdentifier"])
    assert second["KmsKeyId"] == other_key
    assert second["SourceDBClusterSnapshotArn"] == first["DBClusterSnapshotArn"]
    assert second["SnapshotCreateTime"] == sealed_snapshot["SnapshotCreateTime"]


def test_after_the_copy_only_the_target_key_matters(closed, key, other_key):
    """Source key disabled, source snapshot and cluster deleted: the copy still restores."""
    rds, kms = closed.rds(), closed.kms()
    name, source, old = unique("gone"), unique("gone-snapshot"), closed.new_key()
    cluster = closed.new_cluster(name, StorageEncrypted=True, KmsKeyId=old)
    with clients.connect(cluster) as connection:
        connection.execute("create table goods as select generate_series(1, 77) as i")
    closed.new_snapshot(source, name)
    copy = copied(closed, source, KmsKeyId=other_key)["DBClusterSnapshotIdentifier"]
    same_key = copied(closed, source)["DBClusterSnapshotIdentifier"]
    rds.delete_db_cluster_snapshot(DBClusterSnapshotIdentifier=source)
    rds.delete_db_cluster(DBClusterIdentifier=name, SkipFinalSnapshot=True)
    kms.disable_key(KeyId=old)
    restored = unique("back")
    rds.restore_db_cluster_from_snapshot(
        DBClusterIdentifier=restored, SnapshotIdentifier=copy, Engine="aurora-postgresql"
    )
    with clients.connect(clients.wait_cluster(rds, restored)) as connection:
        assert connection.execute("select count(*) from goods").fetchone() == (77,)
    rds.delete_db_cluster(DBClusterIdentifier=restored, SkipFinalSnapshot=True)
    # The other copy needs the key that is now disabled.
    refused(
        "KMSKeyNotAccessibleFault",
        rds.restore_db_cluster_from_snapshot,
        NOT_ACCESSIBLE,
        DBClusterIdentifier=unique("never"),
        SnapshotIdentifier=same_key,
        Engine="aurora-postgresql",
    )
    copy_refused(closed, "KMSKeyNotAccessibleFault", same_key, NOT_ACCESSIBLE, KmsKeyId=other_key)


def test_tags(closed, plain_snapshot):
    tags = [{"Key": "a b", "Value": "v 1"}, {"Key": "k2", "Value": ""}]
    tagged = copied(closed, "plain-snapshot", Tags=tags)
    assert tagged["TagList"] == tags
    source = tagged["DBClusterSnapshotIdentifier"]
    assert copied(closed, source)["TagList"] == []
    assert copied(closed, source, CopyTags=False)["TagList"] == []
    assert copied(closed, source, CopyTags=True)["TagList"] == tags
    own = [{"Key": "mine", "Value": "1"}]
    assert copied(closed, source, CopyTags=True, Tags=own)["TagList"] == own
    assert copied(closed, source, CopyTags=True, Tags=[])["TagList"] == tags


def test_rule_1_6_the_later_of_two_tags_wins(closed, plain_snapshot):
    twice = [{"Key": "k", "Value": "first"}, {"Key": "k", "Value": "later"}]
    made = copied(closed, "plain-snapshot", Tags=twice)
    assert made["TagList"] == [{"Key": "k", "Value": "later"}]
    closed.rds().add_tags_to_resource(ResourceName=made["DBClusterSnapshotArn"], Tags=[*twice, {"Key": "k", "Value": "last"}])
    listed = closed.rds().list_tags_for_resource(ResourceName=made["DBClusterSnapshotArn"])["TagList"]
    assert listed == [{"Key": "k", "Value": "last"}]


@pytest.mark.parametrize("key", ["aws:x", "rds:x"])
def test_reserved_tags(closed, plain_snapshot, key):
    copy_refused(
        closed,
        "InvalidParameterValue",
        "plain-snapshot",
        re.compile("Tag keys cannot start with the reserved prefix"),
        Tags=[{"Key": key, "Value": ""}],
    )


def test_too_many_or_too_long_tags(closed, plain_snapshot):
    for tags in (
        [{"Key": f"k{i}", "Value": ""} for i in range(51)],
        [{"Key": "k" * 129, "Value": ""}],
        [{"Key": "k", "Value": "v" * 257}],
    ):
        copy_refused(closed, "InvalidParameterValue", "plain-snapshot", Tags=tags)


def test_a_presigned_url_is_ignored_even_when_it_is_nonsense(closed, plain_snapshot):
    copied(closed, "plain-snapshot", PreSignedUrl="https://192.0.2.1/?Action=Nothing")
    copied(closed, "plain-snapshot", SourceRegion=HOME)


@pytest.mark.parametrize(
    "source",
    ["nobody", arn("nobody"), arn("plain-snapshot", FAR), arn("plain-snapshot", account=PARTNER), arn("nobody", "us-west-1")],
)
def test_an_unknown_source(closed, plain_snapshot, source):
    copy_refused(closed, "DBClusterSnapshotNotFoundFault", source, f"DBClusterSnapshot not found: {source}", 404)


def test_a_snapshot_that_is_not_shared_does_not_exist(closed, plain_snapshot):
    source = plain_snapshot["DBClusterSnapshotArn"]
    for given in (source, "plain-snapshot"):
        copy_refused(
            closed,
            "DBClusterSnapshotNotFoundFault",
            given,
            f"DBClusterSnapshot not found: {given}",
            404,
            account=PARTNER,
        )


def test_an_existing_target(closed, plain_snapshot, sealed_snapshot):
    for source, target in (("plain-snapshot", "Sealed-Snapshot"), ("plain-snapshot", "plain-snapshot")):
        copy_refused(
            closed,
            "DBClusterSnapshotAlreadyExistsFault",
            source,
            "Cannot create the cluster snapshot because one with the identifier"
            f" {target.lower()} already exists.",
            target=target,
        )


def test_rule_1_12_checks_run_in_one_order(closed, plain_snapshot, sealed_snapshot):
    """Each request is wrong in all that is left of the order; the first of it is told."""
    copy = closed.rds().copy_db_cluster_snapshot
    wrong = {"source": "nobody", "target": "a--b", "Tags": [{"Key": "aws:x", "Value": ""}], "KmsKeyId": "alias/nobody"}
    order = [
        ("InvalidParameterValue", 400, "TargetDBClusterSnapshotIdentifier", {"target": "sealed-snapshot"}),
        ("DBClusterSnapshotNotFoundFault", 404, "nobody", {"source": "plain-snapshot"}),
        ("InvalidParameterValue", 400, "reserved prefix", {"Tags": []}),
        ("DBClusterSnapshotAlreadyExistsFault", 400, "sealed-snapshot", {"target": unique("ordered")}),
        ("InvalidParameterValue", 400, "KmsKeyId", None),
    ]
    for code, status, says, mended in order:
        refused(code, copy, re.compile(says), status, **copy_request(**wrong))
        wrong |= mended or {}


@pytest.mark.parametrize(
    ("target", "message"),
    [
        ("1abc", "Invalid snapshot identifier:  1abc"),
        ("rds:x", None),
        ("a--b", None),
        ("ab-", None),
        ("a.b", None),
        ("x" * 64, None),
        (" ", "The parameter TargetDBClusterSnapshotIdentifier must be provided and must not be blank."),
    ],
)
def test_wrong_targets(closed, plain_snapshot, target, message):
    said = refused(
        "InvalidParameterValue",
        closed.rds().copy_db_cluster_snapshot,
        message,
        400,
        **copy_request("plain-snapshot", target),
    )
    assert message or said.startswith(
        "The parameter TargetDBClusterSnapshotIdentifier is not a valid identifier. Identifiers must begin with a letter;"
    )


@pytest.mark.parametrize(
    "source",
    [
        "a--b",
        " ",
        "arn:aws:rds",
        "arn:aws:rds:us-east-1:1:cluster-snapshot:x",
        f"arn:aws:rds:us-east-1:{OWNER}:snapshot:x",
        f"arn:aws:rds:us-east-1:{OWNER}:cluster:plain",
        f"arn:aws:kms:us-east-1:{OWNER}:cluster-snapshot:x",
    ],
)
def test_wrong_sources(closed, source):
    copy_refused(closed, "InvalidParameterValue", source)


@pytest.mark.parametrize("missing", ["SourceDBClusterSnapshotIdentifier", "TargetDBClusterSnapshotIdentifier"])
def test_missing_parameters(closed, missing):
    parameters = copy_request("plain-snapshot", unique("none"))
    del parameters[missing]
    answer = clients.Signer(closed).post(clients.form("CopyDBClusterSnapshot", **parameters))
    assert answer.status == 400
    assert answer.fault() == ("MissingParameter", f"The request must contain the parameter {missing}.")


def test_a_boolean_that_is_none(closed, plain_snapshot):
    parameters = copy_request("plain-snapshot", unique("none"), CopyTags="perhaps")
    answer = clients.Signer(closed).post(clients.form("CopyDBClusterSnapshot", **parameters))
    assert answer.status == 400
    assert "CopyTags" in answer.fault()[1]


def test_an_empty_optional_parameter_counts_as_absent(closed, sealed_snapshot, key):
    name = unique("empty")
    parameters = copy_request("sealed-snapshot", name, KmsKeyId="", PreSignedUrl="")
    answer = clients.Signer(closed).post(clients.form("CopyDBClusterSnapshot", **parameters))
    assert answer.status == 200, answer.text
    assert clients.snapshot_of(closed.rds(), name)["KmsKeyId"] == key


def test_an_unencrypted_snapshot_takes_no_key(closed, plain_snapshot, key, far_key):
    copy_refused(closed, "InvalidParameterValue", "plain-snapshot", KmsKeyId=key)
    copy_refused(
        closed, "InvalidParameterValue", plain_snapshot["DBClusterSnapshotArn"], region=FAR, KmsKeyId=far_key
    )


def test_another_region_needs_a_key(closed, sealed_snapshot):
    copy_refused(
        closed,
        "InvalidParameterValue",
        sealed_snapshot["DBClusterSnapshotArn"],
        "Must specify new KMS key for cross region encrypted snapshot copy.",
        region=FAR,
    )


def test_keys_that_cannot_be_used(closed, sealed_snapshot, far_key):
    kms = closed.kms()
    disabled, dying = closed.new_key(), closed.new_key()
    kms.disable_key(KeyId=disabled)
    kms.schedule_key_deletion(KeyId=dying)
    theirs = closed.new_key(account=PARTNER)
    missing = f"arn:aws:kms:{HOME}:{OWNER}:key/00000000-0000-4000-8000-000000000000"
    wrong = (disabled, dying, far_key, missing, theirs, "alias/nobody", "nonsense", "arn:aws:kms:oops")
    for one in wrong:
        said = copy_refused(closed, "KMSKeyNotAccessibleFault", "sealed-snapshot", NOT_ACCESSIBLE, KmsKeyId=one)
        assert f"[{one}]" in said
    # A key of the source's region is of no use in the target's.
    copy_refused(
        closed,
        "KMSKeyNotAccessibleFault",
        sealed_snapshot["DBClusterSnapshotArn"],
        NOT_ACCESSIBLE,
        region=FAR,
        KmsKeyId=sealed_snapshot["KmsKeyId"],
    )


def test_a_source_key_that_is_disabled(closed, sealed, other_key):
    kms, old = closed.kms(), closed.new_key()
    source = copied(closed, closed.new_snapshot(unique("fresh"), "sealed")["DBClusterSnapshotIdentifier"], KmsKeyId=old)
    name = source["DBClusterSnapshotIdentifier"]
    kms.disable_key(KeyId=old)
    said = copy_refused(closed, "KMSKeyNotAccessibleFault", name, NOT_ACCESSIBLE, KmsKeyId=other_key)
    assert said == (
        f"The source snapshot KMS key [{old}] does not exist, is not enabled or you do not have permissions to access it."
    )
    kms.enable_key(KeyId=old)
    assert copied(closed, name, KmsKeyId=other_key)["KmsKeyId"] == other_key


def test_a_source_that_is_not_available(closed, plain):
    rds = closed.rds()
    name = unique("early")
    with clients.connect(plain) as connection:
        clients.fill_with_noise(connection, 32, table=name.replace("-", "_"))
        try:
            rds.create_db_cluster_snapshot(DBClusterSnapshotIdentifier=name, DBClusterIdentifier="plain")
            copy_refused(
                closed, "InvalidDBClusterSnapshotStateFault", name, re.compile("available state")
            )
            clients.wait_snapshot(rds, name)
        finally:
            connection.execute(f"drop table {name.replace('-', '_')}")


def test_partitions_do_not_meet(closed):
    for source in (arn("x", "cn-north-1"), arn("x", "us-gov-west-1")):
        copy_refused(closed, "InvalidParameterValue", source)


def test_a_multi_az_cluster_snapshot_can_be_copied_here(closed):
    """What RDS itself lacks."""
    rds = closed.rds()
    name = unique("maz")
    multi_az = {"AllocatedStorage": 100, "Iops": 1000, "DBClusterInstanceClass": "db.m5d.large"}
    cluster = closed.new_cluster(name, Engine="postgres", StorageType="io1", **multi_az)
    assert cluster["Engine"] == "postgres" and cluster["AllocatedStorage"] == 100
    snapshot = closed.new_snapshot(unique("maz-snapshot"), name)
    copy = copied(closed, snapshot["DBClusterSnapshotIdentifier"])
    assert copy["Engine"] == "postgres" and copy["AllocatedStorage"] == 100
    rds.delete_db_cluster(DBClusterIdentifier=name, SkipFinalSnapshot=True)


def test_the_quota_of_manual_snapshots(closed, plain_snapshot):
    closed.rds().modify_db_cluster_snapshot_attribute(
        DBClusterSnapshotIdentifier="plain-snapshot", AttributeName="restore", ValuesToAdd=[clients.STRANGER]
    )
    rds = closed.rds(account=clients.STRANGER)
    source = plain_snapshot["DBClusterSnapshotArn"]
    for number in range(100):
        rds.copy_db_cluster_snapshot(**copy_request(source, f"quota-{number}"))
    refused(
        "SnapshotQuotaExceeded",
        rds.copy_db_cluster_snapshot,
        "Cannot create more than 100 manual snapshots",
        400,
        **copy_request(source, "quota-100"),
    )
    rds.delete_db_cluster_snapshot(DBClusterSnapshotIdentifier="quota-0")
    rds.copy_db_cluster_snapshot(**copy_request(source, "quota-100"))
    closed.rds().modify_db_cluster_snapshot_attribute(
        DBClusterSnapshotIdentifier="plain-snapshot", AttributeName="restore", ValuesToRemove=[clients.STRANGER]
    )
