"""Master users' passwords that RDS manages: secrets by Secrets Manager's protocol, and what becomes of them."""
import datetime
import json
import re

import psycopg
import pytest

import clients
from clients import FAR, HOME, OWNER, PARTNER, USER, refused, unique
from snapferry_tools import running
from test_cluster_changes import in_catalog, wait_status

NEW = {"Engine": "aurora-postgresql", "DatabaseName": clients.DATABASE, "MasterUsername": USER}
WEEK = datetime.timedelta(days=7)


@pytest.fixture(scope="module")
def world(deploy_for_module):
    """A deployment of this file's own, which is stopped and started."""
    return deploy_for_module("--lease-seconds", "3")


def managed(world, wait=True, **more):
    """A new cluster whose password nobody was told."""
    rds, name = world.rds(), unique("managed")
    made = rds.create_db_cluster(DBClusterIdentifier=name, ManageMasterUserPassword=True, **NEW, **more)["DBCluster"]
    return wait_status(rds, name, "available") if wait else made


@pytest.fixture(scope="module")
def lasting(world):
    """The name of a cluster that tests leave with a secret."""
    return managed(world)["DBClusterIdentifier"]


@pytest.fixture
def cluster(world, lasting):
    """That cluster as it is now."""
    return wait_status(world.rds(), lasting, "available")


def arn_of(cluster):
    """Its secret's ARN."""
    return cluster["MasterUserSecret"]["SecretArn"]


def password(world, cluster, **which):
    """What the secret says now."""
    found = world.client("secretsmanager").get_secret_value(SecretId=arn_of(cluster), **which)
    value = json.loads(found["SecretString"])
    assert set(value) == {"username", "password"} and value["username"] == USER
    return value["password"]


def opens(cluster, secret):
    """Whether a password opens the database."""
    try:
        with clients.connect(cluster, password=secret) as connection:
            return connection.execute("select current_user").fetchone() == (USER,)
    except psycopg.OperationalError as error:
        assert "password authentication failed" in str(error)
        return False


def test_the_secret_opens_the_database_and_goes_with_it(world):
    rds, secrets = world.rds(), world.client("secretsmanager")
    made = managed(world, wait=False)
    name, secret = made["DBClusterIdentifier"], made["MasterUserSecret"]
    shape = rf"arn:aws:secretsmanager:{HOME}:{OWNER}:secret:(rds!cluster-[0-9a-f-]{{36}})-[0-9A-Za-z]{{6}}"
    found = re.fullmatch(shape, secret["SecretArn"])
    default = world.kms().describe_key(KeyId="alias/aws/secretsmanager")["KeyMetadata"]
    assert default["KeyManager"] == "AWS" and secret["KmsKeyId"] == default["Arn"]
    assert found and secret["SecretStatus"] == "creating"
    cluster = wait_status(rds, name, "available")
    assert cluster["MasterUserSecret"] == secret | {"SecretStatus": "active"}

    drawn = password(world, cluster)
    assert opens(cluster, drawn) and len(drawn) == 32
    for spelling in (found[1], arn_of(cluster), arn_of(cluster)[:-7]):
        seen = secrets.describe_secret(SecretId=spelling)
        assert (seen["ARN"], seen["Name"]) == (arn_of(cluster), found[1])
    assert seen["OwningService"] == "rds" and "KmsKeyId" not in seen and seen["RotationEnabled"]
    assert seen["RotationRules"] == {"AutomaticallyAfterDays": 7}
    assert seen["NextRotationDate"] - seen["CreatedDate"] - WEEK < datetime.timedelta(minutes=5)
    assert {"Key": "aws:rds:primaryDBClusterArn", "Value": cluster["DBClusterArn"]} in seen["Tags"]
    (version,) = seen["VersionIdsToStages"]
    assert seen["VersionIdsToStages"][version] == ["AWSCURRENT"]
    assert password(world, cluster, VersionId=version, VersionStage="AWSCURRENT") == drawn
    (listed,) = secrets.list_secret_version_ids(SecretId=found[1])["Versions"]
    assert listed["VersionId"] == version and listed["KmsKeyIds"] == ["DefaultEncryptionKey"]
    assert "ResourcePolicy" not in secrets.get_resource_policy(SecretId=found[1])
    clients.assert_nowhere(world.server, [drawn.encode()])

    rds.delete_db_cluster(DBClusterIdentifier=name, SkipFinalSnapshot=True)
    clients.wait_cluster_gone(rds, name)
    refused("ResourceNotFoundException", secrets.get_secret_value, "Secrets Manager can't find the specified secret.", 400,
            SecretId=found[1])


def test_rotation_when_asked(world, cluster):
    rds, secrets, name = world.rds(), world.client("secretsmanager"), cluster["DBClusterIdentifier"]
    refused("InvalidParameterCombination", rds.modify_db_cluster, re.compile("ApplyImmediately"),
            DBClusterIdentifier=name, RotateMasterUserPassword=True)
    before = password(world, cluster)
    made = rds.modify_db_cluster(DBClusterIdentifier=name, RotateMasterUserPassword=True, ApplyImmediately=True)["DBCluster"]
    assert made["Status"] == "resetting-master-credentials"
    assert made["MasterUserSecret"]["SecretStatus"] == "rotating"
    after = wait_status(rds, name, "available")
    assert after["MasterUserSecret"] == cluster["MasterUserSecret"]
    now = password(world, cluster)
    assert now != before == password(world, cluster, VersionStage="AWSPREVIOUS")
    assert opens(after, now) and not opens(after, before)

    token = "b" * 32
    for _ in range(2):
        # The second time it is the same request, and done.
        done = secrets.rotate_secret(SecretId=arn_of(cluster), ClientRequestToken=token)
        assert (done["ARN"], done["VersionId"]) == (arn_of(cluster), token)
        after = wait_status(rds, name, "available")
    last = password(world, cluster, VersionId=token)
    assert password(world, cluster) == last and opens(after, last) and not opens(after, now)
    seen = secrets.describe_secret(SecretId=arn_of(cluster))
    assert sorted(stage for stages in seen["VersionIdsToStages"].values() for stage in stages) == ["AWSCURRENT", "AWSPREVIOUS"]
    assert seen["LastRotatedDate"] > seen["CreatedDate"]
    refused("InvalidRequestException", secrets.get_secret_value, re.compile("not associated"),
            SecretId=arn_of(cluster), VersionId=token, VersionStage="AWSPREVIOUS")
    for missing in ({"VersionStage": "AWSPENDING"}, {"VersionId": "c" * 32}):
        refused("ResourceNotFoundException", secrets.get_secret_value, re.compile("specified secret value"),
                SecretId=arn_of(cluster), **missing)
    clients.assert_nowhere(world.server, [text.encode() for text in (before, now, last)])


def test_the_schedule_is_changed(world, cluster):
    secrets, arn = world.client("secretsmanager"), arn_of(cluster)

    def rotates():
        seen = secrets.describe_secret(SecretId=arn)
        return seen["RotationRules"], seen["NextRotationDate"] - datetime.datetime.now(datetime.timezone.utc)

    before = password(world, cluster)
    for rules, wait in (
        ({"ScheduleExpression": "rate(12 hours)", "Duration": "3h"}, datetime.timedelta(hours=12)),
        ({"AutomaticallyAfterDays": 30}, datetime.timedelta(days=30)),
    ):
        secrets.rotate_secret(SecretId=arn, RotationRules=rules, RotateImmediately=False)
        kept, left = rotates()
        assert kept == rules and wait - datetime.timedelta(minutes=5) < left <= wait
    for wrong in (
        {"RotationRules": {"AutomaticallyAfterDays": 1, "ScheduleExpression": "rate(1 day)"}},
        {"RotationRules": {"ScheduleExpression": "cron(0 8 1 * ? *)"}},
        {"RotationLambdaARN": f"arn:aws:lambda:{HOME}:{OWNER}:function:mine"},
    ):
        refused("InvalidParameterException", secrets.rotate_secret, status=400, SecretId=arn, **wrong)
    assert password(world, cluster) == before and rotates()[0] == {"AutomaticallyAfterDays": 30}


def test_rotation_when_it_is_due(world, cluster):
    name, before = cluster["DBClusterIdentifier"], password(world, cluster)
    world.server.stop()

    def due(record):
        record["master_secret"]["rotates_at"] = 1

    in_catalog(world.server, name, due)
    world.server.start()
    running.wait_until(lambda: password(world, cluster) != before, 60, "the secret is rotated")
    after = wait_status(world.rds(), name, "available")
    assert opens(after, password(world, cluster)) and not opens(after, before)
    seen = world.client("secretsmanager").describe_secret(SecretId=arn_of(cluster))
    assert seen["NextRotationDate"] > datetime.datetime.now(datetime.timezone.utc)


def test_who_may_not_use_the_key_does_not_read_it(world):
    rds, kms, secrets = world.rds(), world.kms(), world.client("secretsmanager")
    key = world.new_key()
    refused("KMSKeyNotAccessibleFault", rds.create_db_cluster, DBClusterIdentifier=unique("managed"),
            ManageMasterUserPassword=True, MasterUserSecretKmsKeyId="alias/not-there", **NEW)
    cluster = managed(world, MasterUserSecretKmsKeyId=key)
    name, arn = cluster["DBClusterIdentifier"], arn_of(cluster)
    assert cluster["MasterUserSecret"]["KmsKeyId"] == key == secrets.describe_secret(SecretId=arn)["KmsKeyId"]
    kms.disable_key(KeyId=key)
    refused("DecryptionFailure", secrets.get_secret_value, SecretId=arn)
    refused("KMSKeyNotAccessibleFault", rds.modify_db_cluster, DBClusterIdentifier=name, RotateMasterUserPassword=True,
            ApplyImmediately=True)
    refused("AccessDeniedException", secrets.rotate_secret, SecretId=arn)
    world.server.stop()

    def due(record):
        record["master_secret"]["rotates_at"] = 1

    in_catalog(world.server, name, due)
    world.server.start()
    kms, secrets = world.kms(), world.client("secretsmanager")
    running.wait_until(
        lambda: clients.cluster_of(world.rds(), name)["MasterUserSecret"]["SecretStatus"] == "impaired", 60, "it is impaired"
    )
    kms.enable_key(KeyId=key)
    assert opens(wait_status(world.rds(), name, "available"), password(world, cluster))
    done = secrets.rotate_secret(SecretId=arn)
    assert done["VersionId"] and wait_status(world.rds(), name, "available")["MasterUserSecret"]["SecretStatus"] == "active"
    policy = json.loads(kms.get_key_policy(KeyId=key, PolicyName="default")["Policy"])
    policy["Statement"].append({
        "Effect": "Deny", "Principal": "*", "Action": "kms:Decrypt", "Resource": "*",
        "Condition": {"StringEquals": {"kms:ViaService": f"secretsmanager.{HOME}.amazonaws.com"}},
    })
    kms.put_key_policy(KeyId=key, PolicyName="default", Policy=json.dumps(policy))
    refused("AccessDeniedException", secrets.get_secret_value, "Access to KMS is not allowed", SecretId=arn)


def test_secrets_are_their_accounts_and_regions(world, cluster):
    arn, name = arn_of(cluster), arn_of(cluster).split(":")[-1][:-7]
    theirs, far = world.client("secretsmanager", account=PARTNER), world.client("secretsmanager", FAR)
    assert theirs.list_secrets()["SecretList"] == far.list_secrets()["SecretList"] == []
    for call in ("get_secret_value", "describe_secret", "rotate_secret", "list_secret_version_ids", "get_resource_policy"):
        refused("AccessDeniedException", getattr(theirs, call), re.compile("no resource-based policy"), SecretId=arn)
        refused("AccessDeniedException", getattr(theirs, call), SecretId=arn.replace("rds!", "not-there-"))
        for other in (theirs, far):
            refused("ResourceNotFoundException", getattr(other, call), SecretId=name)
        refused("ResourceNotFoundException", getattr(far, call), SecretId=arn)
    for wrong in ("rds!cluster", name[:-1], arn[:-1], arn.replace("secretsmanager", "kms"), f"{name}-aaaaaa"):
        refused("ResourceNotFoundException", world.client("secretsmanager").get_secret_value, SecretId=wrong)


def test_only_rds_changes_them(world, cluster):
    secrets, arn = world.client("secretsmanager"), arn_of(cluster)
    before = password(world, cluster)
    for call, more in (
        (secrets.update_secret, {"Description": "mine"}),
        (secrets.put_secret_value, {"SecretString": "mine"}),
        (secrets.delete_secret, {"ForceDeleteWithoutRecovery": True}),
    ):
        refused("InvalidRequestException", call, re.compile("managed by RDS"), 400, SecretId=arn, **more)
        refused("ResourceNotFoundException", call, SecretId="not-there", **more)
    assert password(world, cluster) == before


def test_lists_by_filters_and_pages(world, cluster):
    secrets = world.client("secretsmanager")
    other = managed(world, wait=False)
    mine, newer = arn_of(cluster), arn_of(other)
    refused("InvalidRequestException", secrets.rotate_secret, re.compile("is in creating state"), SecretId=newer)
    listed = secrets.list_secrets()["SecretList"]
    assert [one["ARN"] for one in listed][0] == newer and mine in [one["ARN"] for one in listed]
    (one,) = (one for one in listed if one["ARN"] == mine)
    seen = secrets.describe_secret(SecretId=mine)
    assert one.pop("SecretVersionsToStages") == seen.pop("VersionIdsToStages")
    seen.pop("ResponseMetadata")
    assert one == seen
    pages = secrets.get_paginator("list_secrets").paginate(SortOrder="asc", PaginationConfig={"PageSize": 1})
    assert [one["ARN"] for page in pages for one in page["SecretList"]] == [one["ARN"] for one in reversed(listed)]

    def found(key, value):
        rows = secrets.list_secrets(Filters=[{"Key": key, "Values": [value]}])["SecretList"]
        return {row["ARN"] for row in rows}

    everything, arn = {one["ARN"] for one in listed}, cluster["DBClusterArn"]
    assert found("owning-service", "RDS") == found("tag-key", "aws:rds") == found("description", "the SECRET") == everything
    assert found("name", "rds!") == everything and found("name", "RDS!") == found("primary-region", HOME) == set()
    assert found("tag-value", arn) == found("all", arn) == {mine}
    assert mine not in found("tag-value", f"!{arn}") and newer in found("tag-value", f"!{arn}")
    refused("InvalidNextTokenException", secrets.list_secrets, NextToken="x")


def test_management_is_turned_on_and_off(world):
    rds, name = world.rds(), unique("turned")
    cluster = world.new_cluster(name)
    asked = {"DBClusterIdentifier": name, "ApplyImmediately": True}
    refused("InvalidParameterCombination", rds.modify_db_cluster, RotateMasterUserPassword=True, **asked)
    made = rds.modify_db_cluster(ManageMasterUserPassword=True, **asked)["DBCluster"]
    assert made["MasterUserSecret"]["SecretStatus"] == "creating"
    cluster = wait_status(rds, name, "available")
    drawn = password(world, cluster)
    assert opens(cluster, drawn) and not opens(cluster, clients.PASSWORD)
    # It is so already.
    again = rds.modify_db_cluster(ManageMasterUserPassword=True, **asked)["DBCluster"]
    assert again["Status"] == "available" and again["MasterUserSecret"] == cluster["MasterUserSecret"]
    for wrong in (
        {"MasterUserPassword": "my-own-words"},
        {"ManageMasterUserPassword": False},
        {"ManageMasterUserPassword": True, "MasterUserSecretKmsKeyId": world.new_key()},
    ):
        refused("InvalidParameterCombination", rds.modify_db_cluster, **wrong, **asked)
    rds.modify_db_cluster(ManageMasterUserPassword=False, MasterUserPassword="my-own-words", **asked)
    after = wait_status(rds, name, "available")
    assert "MasterUserSecret" not in after and opens(after, "my-own-words") and not opens(after, drawn)
    refused("ResourceNotFoundException", world.client("secretsmanager").describe_secret, SecretId=arn_of(cluster))


def test_a_restored_cluster_gets_a_secret_of_its_own(world, cluster):
    rds, name = world.rds(), unique("restored")
    snapshot = world.new_snapshot(unique("of-managed"), cluster["DBClusterIdentifier"])
    before = password(world, cluster)
    rds.restore_db_cluster_from_snapshot(
        DBClusterIdentifier=name, SnapshotIdentifier=snapshot["DBClusterSnapshotIdentifier"], Engine="aurora-postgresql"
    )
    restored = wait_status(rds, name, "available")
    assert "MasterUserSecret" not in restored and opens(restored, before)
    rds.modify_db_cluster(DBClusterIdentifier=name, ManageMasterUserPassword=True, ApplyImmediately=True)
    restored = wait_status(rds, name, "available")
    assert arn_of(restored) != arn_of(cluster) and opens(restored, password(world, restored))
    assert not opens(restored, before) and opens(cluster, before)


@pytest.mark.parametrize("wrong", [
    {"ManageMasterUserPassword": True, "MasterUserPassword": clients.PASSWORD},
    {"MasterUserPassword": clients.PASSWORD, "MasterUserSecretKmsKeyId": "alias/aws/secretsmanager"},
    {"ManageMasterUserPassword": False, "MasterUserSecretKmsKeyId": "alias/aws/secretsmanager"},
])
def test_what_excludes_each_other(world, wrong):
    refused("InvalidParameterCombination", world.rds().create_db_cluster, DBClusterIdentifier="wrong", **NEW, **wrong)
