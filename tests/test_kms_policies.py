"""Key policies as guides and modules have them: each is put, and then decides who copies a shared snapshot.

Sources: the policy of aws/rds itself, "Sharing encrypted snapshots" (Aurora User Guide), CreateKey (KMS API reference),
"IAM JSON policy elements reference".
"""
import json
import re

import pytest

import clients
from clients import HOME, OWNER, PARTNER, STRANGER, copied, copy_request, refused, unique

USE = ["Encrypt", "Decrypt", "ReEncrypt*", "GenerateDataKey*", "DescribeKey"]
WHOLE = [f"kms:{action}" for action in (*USE, "CreateGrant")]
ROOT = {"Effect": "Allow", "Principal": {"AWS": f"arn:aws:iam::{OWNER}:root"}, "Action": "kms:*", "Resource": "*"}
THEM = {"AWS": f"arn:aws:iam::{PARTNER}:root"}
ELSEWHERE = f"arn:aws:kms:{HOME}:{OWNER}:key/00000000-0000-0000-0000-000000000000"


def statement(*without, **members):
    """What the documented sharing statement has, but for what is given or left out."""
    whole = {"Effect": "Allow", "Principal": THEM, "Action": WHOLE, "Resource": "*"} | members
    return {name: value for name, value in whole.items() if name not in without}


def through(region, **more):
    return {"StringEquals": {"kms:ViaService": f"rds.{region}.amazonaws.com"} | more}


# What stands beside the owner's statement, and whether the partner copies.
TAKEN = {
    "a role of the account": ([statement(Principal={"AWS": f"arn:aws:iam::{PARTNER}:role/backup"})], True),
    "everybody of an account through RDS": (
        [statement(Principal={"AWS": "*"}, Condition=through(HOME, **{"kms:CallerAccount": PARTNER}))], True
    ),
    "everybody through RDS elsewhere": ([statement(Principal={"AWS": "*"}, Condition=through("eu-west-1"))], False),
    "grants for AWS resources apart": (
        [
            statement(Action=WHOLE[:-1]),
            statement(Action="kms:CreateGrant", Condition={"Bool": {"kms:GrantIsForAWSResource": "true"}}),
        ],
        True,
    ),
    "no CreateGrant": ([statement(Action=WHOLE[:-1])], False),
    "the service principal only": ([statement(Principal={"Service": "rds.amazonaws.com"})], False),
    "an organisation": ([statement(Principal="*", Condition={"StringEquals": {"aws:PrincipalOrgID": "o-1"}})], False),
    "a deny of one action": ([statement(), statement(Effect="Deny", Action="kms:Decrypt")], False),
    "another key": ([statement(Resource=ELSEWHERE)], False),
    "no Resource": ([statement("Resource")], False),
    "no Action": ([statement("Action")], False),
    "no Resource beside a good one": ([statement("Resource"), statement()], True),
    "a deny without Resource": ([statement(), statement("Resource", Effect="Deny")], True),
    "NotAction": ([statement("Action", NotAction="kms:PutKeyPolicy")], True),
    "NotAction of what is needed": ([statement("Action", NotAction=["kms:Put*", "kms:Decrypt"])], False),
    "NotResource": ([statement("Resource", NotResource=ELSEWHERE)], True),
    "NotResource of all": ([statement("Resource", NotResource="arn:aws:kms:*")], False),
    "a deny for all but them": (
        [statement(), statement("Principal", Effect="Deny", Action="kms:Decrypt", NotPrincipal=THEM)], True
    ),
    "a deny for all but others": (
        [
            statement(),
            statement("Principal", Effect="Deny", Action="kms:Decrypt", NotPrincipal={"AWS": STRANGER}),
        ],
        False,
    ),
}
REFUSED = {
    "NotPrincipal with Allow": [statement("Principal", NotPrincipal={"AWS": STRANGER})],
    "both Action and NotAction": [statement(NotAction="kms:PutKeyPolicy")],
    "both Resource and NotResource": [statement(NotResource=ELSEWHERE)],
    "both principals": [statement(NotPrincipal={"AWS": STRANGER}, Effect="Deny")],
    "no Principal": [statement("Principal")],
    "no Effect": [statement("Effect")],
    "a unique id": [statement(Principal={"AWS": "AIDACKCEVSQ6C2EXAMPLE"})],
    "a wildcard within a principal": [statement(Principal={"AWS": "arn:aws:iam::*:root"})],
}


def put(kms, key, statements):
    document = json.dumps({"Version": "2012-10-17", "Statement": [ROOT, *statements]})
    kms.put_key_policy(KeyId=key, PolicyName="default", Policy=document)


@pytest.fixture(scope="module")
def shared(closed, sealed_snapshot):
    """(key, snapshot's ARN): a snapshot under a key of its own, shared with the partner."""
    key = closed.new_key()
    source = copied(closed, "sealed-snapshot", KmsKeyId=key)
    closed.rds().modify_db_cluster_snapshot_attribute(
        DBClusterSnapshotIdentifier=source["DBClusterSnapshotIdentifier"], AttributeName="restore", ValuesToAdd=[PARTNER]
    )
    return key, source["DBClusterSnapshotArn"]


@pytest.fixture(scope="module")
def theirs(closed):
    return closed.new_key(account=PARTNER)


@pytest.mark.parametrize("name", TAKEN)
def test_a_policy_decides_who_copies(closed, shared, theirs, name):
    (key, arn), (statements, may) = shared, TAKEN[name]
    put(closed.kms(), key, statements)
    rds, request = closed.rds(account=PARTNER), copy_request(arn, unique("policy"), KmsKeyId=theirs)
    if not may:
        refused("KMSKeyNotAccessibleFault", rds.copy_db_cluster_snapshot, **request)
        return
    rds.copy_db_cluster_snapshot(**request)
    target = request["TargetDBClusterSnapshotIdentifier"]
    clients.wait_snapshot(rds, target)
    rds.delete_db_cluster_snapshot(DBClusterSnapshotIdentifier=target)


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_no_policy_is_refused(closed, shared, name):
    kms, key = closed.kms(), shared[0]
    before = kms.get_key_policy(KeyId=key)["Policy"]
    with pytest.raises(kms.exceptions.MalformedPolicyDocumentException):
        put(kms, key, REFUSED[name])
    assert kms.get_key_policy(KeyId=key)["Policy"] == before


def test_a_question_beyond_its_price_is_answered_no(closed):
    """And the owner can still change such a policy: questions without the long context cost nothing."""
    kms, key = closed.kms(), closed.new_key()
    like = {"StringLike": {"kms:EncryptionContext:x": ["*" + "a" * 3_900 + "?b*"] * 8}}
    put(kms, key, [statement(Effect="Deny", Principal="*", Action="kms:Encrypt", Condition=like)])
    kms.encrypt(KeyId=key, Plaintext=b"x", EncryptionContext={"x": "a" * 100})
    refused("AccessDeniedException", kms.encrypt, KeyId=key, Plaintext=b"x", EncryptionContext={"x": "a" * 8_000})
    put(kms, key, [])
    kms.encrypt(KeyId=key, Plaintext=b"x", EncryptionContext={"x": "a" * 8_000})


def test_a_grants_constraint_is_small(closed):
    kms, key = closed.kms(), closed.new_key()
    request = {"KeyId": key, "GranteePrincipal": PARTNER, "Operations": ["Decrypt"]}
    for wrong in ({str(n): "" for n in range(9)}, {"a": "x" * 384}):
        for member in ("EncryptionContextSubset", "EncryptionContextEquals"):
            said = re.compile("at most 8 pairs of at most 384 characters")
            refused("ValidationException", kms.create_grant, said, Constraints={member: wrong}, **request)
    kms.create_grant(Constraints={"EncryptionContextSubset": {str(n): "x" * 40 for n in range(8)}}, **request)
