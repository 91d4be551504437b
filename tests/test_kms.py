"""KMS: keys, aliases, states and policies, by an ordinary boto3 client."""
import datetime
import json
import re

import pytest

import clients
from clients import FAR, HOME, OWNER, PARTNER, refused, unique

UUID = r"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}"


@pytest.fixture(scope="module")
def kms(closed):
    """The owner's client."""
    return closed.kms()


@pytest.fixture
def new(kms):
    """A fresh key's id."""
    return kms.create_key()["KeyMetadata"]["KeyId"]


def state(kms, key):
    """A key's state."""
    return kms.describe_key(KeyId=key)["KeyMetadata"]["KeyState"]


def test_create_and_describe(kms):
    made = kms.create_key(Description="for snapshots", Tags=[{"TagKey": "team", "TagValue": "blue"}])["KeyMetadata"]
    assert re.fullmatch(UUID, made["KeyId"])
    assert made["Arn"] == f"arn:aws:kms:{HOME}:{OWNER}:key/{made['KeyId']}"
    assert made["AWSAccountId"] == OWNER
    assert made["KeyState"] == "Enabled" and made["Enabled"] is True
    assert made["KeyManager"] == "CUSTOMER" and made["KeyUsage"] == "ENCRYPT_DECRYPT"
    assert made["KeySpec"] == "SYMMETRIC_DEFAULT" and made["Origin"] == "AWS_KMS"
    assert made["Description"] == "for snapshots"
    age = datetime.datetime.now(datetime.timezone.utc) - made["CreationDate"]
    assert abs(age.total_seconds()) < 60
    for form in (made["KeyId"], made["Arn"]):
        assert kms.describe_key(KeyId=form)["KeyMetadata"] == made


def test_what_is_not_supported(kms):
    for wrong in ({"KeySpec": "SM2", "KeyUsage": "SIGN_VERIFY"}, {"Origin": "EXTERNAL"}):
        refused("UnsupportedOperationException", kms.create_key, status=400, **wrong)


def test_an_unknown_key(kms):
    missing = "00000000-0000-4000-8000-000000000000"
    arn = f"arn:aws:kms:{HOME}:{OWNER}:key/{missing}"
    refused("NotFoundException", kms.describe_key, f"Key '{arn}' does not exist", 400, KeyId=missing)
    refused("NotFoundException", kms.describe_key, KeyId=arn)
    refused("NotFoundException", kms.describe_key, re.compile("Alias .* is not found"), KeyId="alias/nobody")


def test_listing(closed, kms):
    made = {kms.create_key()["KeyMetadata"]["KeyId"] for _ in range(3)}
    whole, pages = set(), 0
    for page in kms.get_paginator("list_keys").paginate(PaginationConfig={"PageSize": 2}):
        pages += 1
        for row in page["Keys"]:
            assert row["KeyArn"].endswith(f":key/{row['KeyId']}")
            assert row["KeyId"] not in whole
            whole.add(row["KeyId"])
    assert made <= whole and pages >= 2
    for elsewhere in (closed.kms(FAR), closed.kms(account=PARTNER)):
        listed = {row["KeyId"] for page in elsewhere.get_paginator("list_keys").paginate() for row in page["Keys"]}
        assert not made & listed


def test_disable_and_enable(kms, new):
    kms.disable_key(KeyId=new)
    assert state(kms, new) == "Disabled"
    assert kms.describe_key(KeyId=new)["KeyMetadata"]["Enabled"] is False
    kms.disable_key(KeyId=new)
    kms.enable_key(KeyId=new)
    assert state(kms, new) == "Enabled"


def test_deletion_and_its_cancelling(kms, new):
    answer = kms.schedule_key_deletion(KeyId=new, PendingWindowInDays=7)
    assert answer["KeyState"] == "PendingDeletion"
    days = (answer["DeletionDate"] - datetime.datetime.now(datetime.timezone.utc)).total_seconds() / 86_400
    assert 6.9 < days < 7.1
    assert state(kms, new) == "PendingDeletion"
    for call in (kms.enable_key, kms.disable_key, kms.schedule_key_deletion):
        refused("KMSInvalidStateException", call, re.compile("pending deletion"), KeyId=new)
    kms.cancel_key_deletion(KeyId=new)
    # As KMS does it: a key that was rescued is disabled.
    assert state(kms, new) == "Disabled"
    kms.enable_key(KeyId=new)
    refused("KMSInvalidStateException", kms.cancel_key_deletion, KeyId=new)
    for wrong in (6, 31):
        refused("ValidationException", kms.schedule_key_deletion, KeyId=new, PendingWindowInDays=wrong)
    assert state(kms, new) == "Enabled"


def test_aliases(kms, new):
    name = f"alias/{unique('app')}"
    kms.create_alias(AliasName=name, TargetKeyId=new)
    arn = f"arn:aws:kms:{HOME}:{OWNER}:{name}"
    for form in (name, arn):
        assert kms.describe_key(KeyId=form)["KeyMetadata"]["KeyId"] == new
    rows = [row for page in kms.get_paginator("list_aliases").paginate() for row in page["Aliases"]]
    mine = next(row for row in rows if row["AliasName"] == name)
    assert mine["AliasArn"] == arn and mine["TargetKeyId"] == new
    assert [row["AliasName"] for row in kms.list_aliases(KeyId=new)["Aliases"]] == [name]
    refused("AlreadyExistsException", kms.create_alias, AliasName=name, TargetKeyId=new)
    refused("NotFoundException", kms.create_alias, AliasName=f"{name}-2", TargetKeyId="00000000-0000-4000-8000-000000000000")
    for wrong in ("alias/aws/mine", "noalias", "alias/with space", "alias/"):
        with pytest.raises(kms.exceptions.ClientError) as caught:
            kms.create_alias(AliasName=wrong, TargetKeyId=new)
        assert caught.value.response["Error"]["Code"] in (
            "InvalidAliasNameException",
            "ValidationException",
            "NotAuthorizedException",
        ), wrong


def test_an_alias_is_not_taken_where_an_id_is_asked(kms, new):
    name = f"alias/{unique('app')}"
    kms.create_alias(AliasName=name, TargetKeyId=new)
    for call in (kms.disable_key, kms.enable_key, kms.schedule_key_deletion):
        with pytest.raises(kms.exceptions.ClientError):
            call(KeyId=name)
    assert state(kms, new) == "Enabled"


def test_accounts_do_not_reach_each_others_keys(closed, kms, new):
    theirs, arn = closed.kms(account=PARTNER), f"arn:aws:kms:{HOME}:{OWNER}:key/{new}"
    refused("NotFoundException", theirs.describe_key, KeyId=new)
    for call in (theirs.describe_key, theirs.disable_key, theirs.schedule_key_deletion):
        with pytest.raises(theirs.exceptions.ClientError) as caught:
            call(KeyId=arn)
        assert caught.value.response["Error"]["Code"] in ("AccessDeniedException", "NotFoundException")
    assert state(kms, new) == "Enabled"


def test_a_policy_lets_another_account_describe(closed, kms, new):
    arn = f"arn:aws:kms:{HOME}:{OWNER}:key/{new}"
    kms.put_key_policy(KeyId=new, PolicyName="default", Policy=clients.cross_account_policy(PARTNER))
    assert json.loads(kms.get_key_policy(KeyId=new, PolicyName="default")["Policy"]) == json.loads(
        clients.cross_account_policy(PARTNER)
    )
    assert closed.kms(account=PARTNER).describe_key(KeyId=arn)["KeyMetadata"]["Arn"] == arn
    with pytest.raises(kms.exceptions.ClientError):
        closed.kms(account=PARTNER).disable_key(KeyId=arn)


@pytest.mark.parametrize("policy", ["", "{", "[]", '{"Statement": 3}'])
def test_a_malformed_policy(kms, new, policy):
    with pytest.raises(kms.exceptions.ClientError) as caught:
        kms.put_key_policy(KeyId=new, PolicyName="default", Policy=policy or " ")
    assert caught.value.response["Error"]["Code"] in ("MalformedPolicyDocumentException", "ValidationException")
    assert state(kms, new) == "Enabled"


def test_the_managed_key_is_not_its_users(closed):
    region = "eu-central-1"
    closed.new_cluster("managed", region, wait=False, StorageEncrypted=True)
    kms = closed.kms(region)
    metadata = kms.describe_key(KeyId="alias/aws/rds")["KeyMetadata"]
    assert metadata["KeyManager"] == "AWS"
    assert "alias/aws/rds" in {row["AliasName"] for row in kms.list_aliases()["Aliases"]}
    for call, more in (
        (kms.disable_key, {}),
        (kms.schedule_key_deletion, {}),
        (kms.put_key_policy, {"PolicyName": "default", "Policy": clients.cross_account_policy(PARTNER)}),
    ):
        with pytest.raises(kms.exceptions.ClientError):
            call(KeyId=metadata["KeyId"], **more)
    clients.wait_cluster(closed.rds(region), "managed")
    closed.rds(region).delete_db_cluster(DBClusterIdentifier="managed", SkipFinalSnapshot=True)


@pytest.mark.parametrize("form", ["alias/aws/rds", "arn:aws:kms:eu-central-1:{}:alias/aws/rds"])
def test_the_default_key_is_there_before_its_first_use(closed, form):
    """By name and by ARN, for whoever asks first: DescribeKey, another action of KMS, RDS."""
    region = "eu-central-1"
    for number, first in enumerate(("describe", "encrypt", "rds")):
        account = f"{300_000_000_000 + number + 10 * len(form):012}"
        kms, rds, key = closed.kms(region, account), closed.rds(region, account), form.format(account)
        before, others = kms.list_aliases()["Aliases"]
        arn = f"arn:aws:kms:{region}:{account}:alias/aws/rds"
        assert before == {"AliasName": "alias/aws/rds", "AliasArn": arn}
        assert others["AliasName"] == "alias/aws/secretsmanager" and "TargetKeyId" not in others
        if first == "describe":
            assert kms.describe_key(KeyId=key)["KeyMetadata"]["KeyManager"] == "AWS"
        elif first == "encrypt":
            # Its policy lets nobody encrypt but through RDS: the key is made, and then refuses.
            refused("AccessDeniedException", kms.encrypt, KeyId=key, Plaintext=b"x")
        elif key == arn:
            closed.new_cluster("asks", region, account, StorageEncrypted=True, KmsKeyId=key)
            used = clients.cluster_of(rds, "asks")["KmsKeyId"]
            assert used == kms.describe_key(KeyId="alias/aws/rds")["KeyMetadata"]["Arn"]
            rds.delete_db_cluster(DBClusterIdentifier="asks", SkipFinalSnapshot=True)
        else:
            continue
        after, others = kms.list_aliases()["Aliases"]
        assert "TargetKeyId" not in others
        assert after["TargetKeyId"] == kms.describe_key(KeyId=key)["KeyMetadata"]["KeyId"] and after["CreationDate"]
        refused("NotFoundException", closed.kms(HOME, account).describe_key, KeyId=arn)
        refused("AccessDeniedException", closed.kms(region, PARTNER).describe_key, KeyId=arn)


def test_a_page_of_aliases_has_the_predefined_one_in_its_place(closed):
    account = "300000000099"
    kms = closed.kms(account=account)
    key = kms.create_key()["KeyMetadata"]["KeyId"]
    names = ["alias/a", "alias/aws/rds", "alias/aws/secretsmanager", "alias/b", "alias/c"]
    for name in (names[0], names[3], names[4]):
        kms.create_alias(AliasName=name, TargetKeyId=key)
    for size in (1, 2, 3, 4, 5, 6):
        pages = list(kms.get_paginator("list_aliases").paginate(PaginationConfig={"PageSize": size}))
        assert [row["AliasName"] for page in pages for row in page["Aliases"]] == names
        assert all(len(page["Aliases"]) <= size for page in pages)
    assert len(kms.list_aliases(KeyId=key)["Aliases"]) == 3


def test_what_is_wrong_with_tags_and_aliases_is_said_as_kms_says_it(kms, new):
    over, bounds = "x" * 129, "failed to satisfy constraint: Member must have length"
    tag = {"TagKey": "a", "TagValue": "1"}
    for code, said, tags in (
        ("TagException", "Duplicate tag keys", [tag, tag]),
        ("TagException", "Tags beginning with aws: are reserved", [{"TagKey": "AWS:x", "TagValue": ""}]),
        ("TagException", "Too many tags", [{"TagKey": f"t{n}", "TagValue": ""} for n in range(51)]),
        (
            "ValidationException",
            f"1 validation error detected: Value '{over}' at 'tags.2.member.tagKey' {bounds} less than or equal to 128",
            [tag, {"TagKey": over, "TagValue": ""}],
        ),
        (
            "ValidationException",
            f"1 validation error detected: Value '{over * 2}' at 'tags.1.member.tagValue' {bounds} less than or equal to 256",
            [{"TagKey": "a", "TagValue": over * 2}],
        ),
    ):
        refused(code, kms.tag_resource, said, 400, KeyId=new, Tags=tags)
        refused(code, kms.create_key, said, 400, Tags=tags)
    # RDS keeps this prefix for itself, KMS does not.
    kms.tag_resource(KeyId=new, Tags=[{"TagKey": "rds:x", "TagValue": ""}])
    assert kms.list_resource_tags(KeyId=new)["Tags"] == [{"TagKey": "rds:x", "TagValue": ""}]
    for said, name in (
        (re.compile('^Alias must start with the prefix "alias/". Please see https://docs.aws'), "nope"),
        ("Invalid identifier", "alias/"),
        (re.compile("Member must have length less than or equal to 256$"), f"alias/{'a' * 251}"),
        (re.compile(r"Member must satisfy regular expression pattern: \^\[a-zA-Z0-9:/_-\]\+\$$"), "alias/a b"),
        ("alias/a:b contains invalid characters for an alias", "alias/a:b"),
    ):
        refused("ValidationException", kms.create_alias, said, 400, AliasName=name, TargetKeyId=new)


def test_faults_are_json(closed):
    signer = clients.Signer(closed, service="kms")
    headers = {"Content-Type": "application/x-amz-json-1.1", "X-Amz-Target": "TrentService.FlyToTheMoon"}
    answer = signer.post(b"{}", extra=headers)
    assert answer.status == 400
    assert json.loads(answer.text)["__type"] == "UnknownOperationException"
    headers["X-Amz-Target"] = "TrentService.DescribeKey"
    for body in (b"{", b"[]", b'{"KeyId": 3}', b'{"KeyId": "a", "KeyId": "b"}', b"\xff"):
        answer = signer.post(body, extra=headers)
        assert answer.status == 400, body
        assert json.loads(answer.text)["__type"]
    unsigned = clients.send(closed.server, headers=headers, body=b"{}")
    assert unsigned.status in (400, 403)
    assert json.loads(unsigned.text)["__type"] == "MissingAuthenticationToken"
