"""Grants and key policies: who may use a key, directly and through RDS."""
import json

import pytest

import clients
from clients import FAR, HOME, OWNER, PARTNER, STRANGER, copied, copy_request, refused, unique

USE = ["Decrypt", "Encrypt", "GenerateDataKey", "DescribeKey", "CreateGrant"]


@pytest.fixture(scope="module")
def kms(closed):
    """The owner's client."""
    return closed.kms()


@pytest.fixture(scope="module")
def theirs(closed):
    """The partner's client."""
    return closed.kms(account=PARTNER)


@pytest.fixture
def new(closed):
    """A fresh key's ARN."""
    return closed.new_key()


def grant(kms, key, operations=("Decrypt",), grantee=PARTNER, **more):
    """A new grant's id and token."""
    principal = f"arn:aws:iam::{grantee}:root"
    made = kms.create_grant(KeyId=key, GranteePrincipal=principal, Operations=list(operations), **more)
    return made["GrantId"], made["GrantToken"]


def test_a_grant_opens_what_it_names(kms, theirs, new):
    blob = kms.encrypt(KeyId=new, Plaintext=b"x")["CiphertextBlob"]
    refused("AccessDeniedException", theirs.decrypt, CiphertextBlob=blob)
    made, token = grant(kms, new)
    assert theirs.decrypt(CiphertextBlob=blob, GrantTokens=[token])["Plaintext"] == b"x"
    assert theirs.decrypt(CiphertextBlob=blob)["Plaintext"] == b"x"
    refused("AccessDeniedException", theirs.encrypt, KeyId=new, Plaintext=b"x")
    refused("AccessDeniedException", theirs.describe_key, KeyId=new)
    kms.revoke_grant(KeyId=new, GrantId=made)
    refused("AccessDeniedException", theirs.decrypt, CiphertextBlob=blob)
    refused("InvalidGrantTokenException", theirs.decrypt, CiphertextBlob=blob, GrantTokens=[token])
    refused("NotFoundException", kms.revoke_grant, KeyId=new, GrantId=made)


def test_constraints(kms, theirs, new):
    context = {"ship": "ferry", "port": "one"}
    grant(kms, new, ["Encrypt"], Constraints={"EncryptionContextSubset": {"ship": "ferry"}})
    grant(kms, new, ["Decrypt"], Constraints={"EncryptionContextEquals": context})
    refused("AccessDeniedException", theirs.encrypt, KeyId=new, Plaintext=b"x")
    blob = theirs.encrypt(KeyId=new, Plaintext=b"x", EncryptionContext=context)["CiphertextBlob"]
    assert theirs.decrypt(CiphertextBlob=blob, EncryptionContext=context)["Plaintext"] == b"x"
    less = {"ship": "ferry"}
    blob = theirs.encrypt(KeyId=new, Plaintext=b"x", EncryptionContext=less)["CiphertextBlob"]
    refused("AccessDeniedException", theirs.decrypt, CiphertextBlob=blob, EncryptionContext=less)


def test_a_deny_in_the_policy_wins(kms, theirs, new):
    grant(kms, new, ["Encrypt"])
    theirs.encrypt(KeyId=new, Plaintext=b"x")
    policy = json.loads(clients.cross_account_policy())
    policy["Statement"].append(
        {"Effect": "Deny", "Principal": {"AWS": PARTNER}, "Action": "kms:Encrypt", "Resource": "*"}
    )
    kms.put_key_policy(KeyId=new, PolicyName="default", Policy=json.dumps(policy))
    refused("AccessDeniedException", theirs.encrypt, KeyId=new, Plaintext=b"x")


def test_grants_are_listed(kms, theirs, new):
    constraints = {"EncryptionContextSubset": {"a": "b"}}
    first, _ = grant(kms, new, ["Encrypt", "Decrypt"], Name="first", Constraints=constraints)
    second, _ = grant(kms, new, grantee=STRANGER, RetiringPrincipal=f"arn:aws:iam::{PARTNER}:root")
    listed = {one["GrantId"]: one for one in kms.list_grants(KeyId=new)["Grants"]}
    assert set(listed) == {first, second}
    entry = listed[first]
    assert entry["KeyId"] == new and entry["Name"] == "first" and entry["Constraints"] == constraints
    assert entry["Operations"] == ["Decrypt", "Encrypt"]
    assert entry["IssuingAccount"] == f"arn:aws:iam::{OWNER}:root"
    assert listed[second]["RetiringPrincipal"] == f"arn:aws:iam::{PARTNER}:root"
    pages = list(kms.get_paginator("list_grants").paginate(KeyId=new, PaginationConfig={"PageSize": 1}))
    assert [len(page["Grants"]) for page in pages] == [1, 1]
    assert [one["GrantId"] for one in kms.list_grants(KeyId=new, GrantId=first)["Grants"]] == [first]
    refused("AccessDeniedException", theirs.list_grants, KeyId=new)


def test_the_same_grant_again_is_one(kms, new):
    first = grant(kms, new, Name="same")
    assert grant(kms, new, Name="same") == first
    assert grant(kms, new, ["Encrypt"], Name="same") != first
    assert grant(kms, new) != grant(kms, new)
    assert len(kms.list_grants(KeyId=new)["Grants"]) == 4


def test_wrong_grants(kms, new):
    call = {"KeyId": new, "GranteePrincipal": PARTNER, "Operations": ["Decrypt"]}
    refused("ValidationException", kms.create_grant, **call | {"Operations": ["Sign"]})
    refused("ValidationException", kms.create_grant, **call, Name="with space")
    refused("InvalidArnException", kms.create_grant, **call | {"GranteePrincipal": "nobody"})
    refused("InvalidArnException", kms.create_grant, **call | {"GranteePrincipal": "*"})
    alias = f"alias/{unique('granted')}"
    kms.create_alias(AliasName=alias, TargetKeyId=new)
    refused("InvalidArnException", kms.create_grant, **call | {"KeyId": alias})


def test_who_may_retire(closed, kms, theirs, new):
    strangers = closed.kms(account=STRANGER)
    _, token = grant(kms, new)
    for client in (theirs, strangers):
        refused("AccessDeniedException", client.retire_grant, GrantToken=token)
    kms.retire_grant(GrantToken=token)
    refused("NotFoundException", kms.retire_grant, GrantToken=token)
    made, _ = grant(kms, new, ["Decrypt", "RetireGrant"])
    theirs.retire_grant(KeyId=new, GrantId=made)
    _, token = grant(kms, new, RetiringPrincipal=f"arn:aws:iam::{STRANGER}:root")
    refused("AccessDeniedException", theirs.retire_grant, GrantToken=token)
    strangers.retire_grant(GrantToken=token)
    assert kms.list_grants(KeyId=new)["Grants"] == []
    refused("ValidationException", kms.retire_grant, KeyId=new)
    refused("InvalidGrantTokenException", kms.retire_grant, GrantToken="nonsense")


def test_a_grantee_hands_on_no_more_than_it_has(closed, kms, theirs, new):
    grant(kms, new, ["Decrypt", "CreateGrant"], Constraints={"EncryptionContextSubset": {"a": "1"}})
    wider = {"KeyId": new, "GranteePrincipal": STRANGER, "Operations": ["Decrypt"]}
    refused("AccessDeniedException", theirs.create_grant, **wider)
    tight = {"Constraints": {"EncryptionContextSubset": {"a": "1", "b": "2"}}}
    refused("AccessDeniedException", theirs.create_grant, **wider | {"Operations": ["Encrypt"]}, **tight)
    theirs.create_grant(**wider, **tight)
    context = {"a": "1", "b": "2"}
    blob = kms.encrypt(KeyId=new, Plaintext=b"x", EncryptionContext=context)["CiphertextBlob"]
    opened = closed.kms(account=STRANGER).decrypt(CiphertextBlob=blob, EncryptionContext=context)
    assert opened["Plaintext"] == b"x"


def test_policies_do_not_hand_over_a_key(closed, kms, theirs, new):
    """Whatever a policy says, only the key's own account manages it."""
    everything = json.loads(clients.cross_account_policy())
    everything["Statement"].append(
        {"Effect": "Allow", "Principal": {"AWS": PARTNER}, "Action": "kms:*", "Resource": "*"}
    )
    kms.put_key_policy(KeyId=new, PolicyName="default", Policy=json.dumps(everything))
    assert theirs.describe_key(KeyId=new)["KeyMetadata"]["Arn"] == new
    for call, more in (
        (theirs.disable_key, {}),
        (theirs.schedule_key_deletion, {}),
        (theirs.get_key_policy, {"PolicyName": "default"}),
        (theirs.put_key_policy, {"PolicyName": "default", "Policy": clients.cross_account_policy()}),
        (theirs.tag_resource, {"Tags": [{"TagKey": "a", "TagValue": "b"}]}),
        (theirs.enable_key_rotation, {}),
        (theirs.rotate_key_on_demand, {}),
        (theirs.update_key_description, {"Description": "theirs"}),
    ):
        refused("AccessDeniedException", call, KeyId=new, **more)
    assert closed.kms().describe_key(KeyId=new)["KeyMetadata"]["Enabled"]


def test_a_refusal_tells_nothing_of_a_foreign_alias(kms, theirs, new):
    name = f"alias/{unique('hidden')}"
    kms.create_alias(AliasName=name, TargetKeyId=new)
    said = [
        refused("AccessDeniedException", theirs.describe_key, KeyId=f"arn:aws:kms:{HOME}:{OWNER}:{one}")
        for one in (name, f"{name}-none")
    ]
    assert said[0].replace(name, "") == said[1].replace(f"{name}-none", "")
    assert new.rpartition("/")[2] not in said[0]


def test_rds_uses_a_key_by_a_grant(closed, kms, new, sealed_snapshot):
    """A snapshot shared with an account that a grant, not the policy, lets use its key."""
    source = copied(closed, "sealed-snapshot", KmsKeyId=new)
    name, arn = source["DBClusterSnapshotIdentifier"], source["DBClusterSnapshotArn"]
    closed.rds().modify_db_cluster_snapshot_attribute(
        DBClusterSnapshotIdentifier=name, AttributeName="restore", ValuesToAdd=[PARTNER]
    )
    own = closed.new_key(account=PARTNER)
    rds, request = closed.rds(account=PARTNER), copy_request(arn, unique("theirs"), KmsKeyId=own)
    wording = (
        f"The source snapshot KMS key [{new}] does not exist, is not enabled or you do not have permissions to "
        "access it."
    )
    refused("KMSKeyNotAccessibleFault", rds.copy_db_cluster_snapshot, wording, 400, **request)
    made, _ = grant(kms, new, ["Decrypt"])
    refused("KMSKeyNotAccessibleFault", rds.copy_db_cluster_snapshot, wording, 400, **request)
    kms.revoke_grant(KeyId=new, GrantId=made)
    grant(kms, new, USE)
    rds.copy_db_cluster_snapshot(**request)
    copy = clients.wait_snapshot(rds, request["TargetDBClusterSnapshotIdentifier"])
    assert copy["KmsKeyId"] == own
    rds.delete_db_cluster_snapshot(DBClusterSnapshotIdentifier=request["TargetDBClusterSnapshotIdentifier"])


def test_grants_stay_in_their_region(closed, new):
    far = closed.kms(FAR)
    for call in (far.list_grants, far.describe_key, far.get_key_rotation_status):
        refused("NotFoundException", call, KeyId=new)
