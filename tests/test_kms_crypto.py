"""KMS with secrets: Encrypt, Decrypt, ReEncrypt, data keys and rotation, by an ordinary boto3 client."""
import contextlib
import re
import sqlite3

import pytest

import clients
from clients import FAR, HOME, OWNER, PARTNER, refused
from snapferry_tools import running

CONTEXT = {"ship": "ferry", "port": "one"}


@pytest.fixture(scope="module")
def kms(closed):
    """The owner's client."""
    return closed.kms()


@pytest.fixture
def new(closed):
    """A fresh key's ARN."""
    return closed.new_key()


def test_what_is_encrypted_is_decrypted(kms, new):
    sealed = kms.encrypt(KeyId=new, Plaintext=b"a secret", EncryptionContext=CONTEXT)
    assert sealed["KeyId"] == new and sealed["EncryptionAlgorithm"] == "SYMMETRIC_DEFAULT"
    assert b"a secret" not in sealed["CiphertextBlob"]
    for more in ({}, {"KeyId": new}, {"KeyId": new.rpartition("/")[2]}):
        opened = kms.decrypt(CiphertextBlob=sealed["CiphertextBlob"], EncryptionContext=CONTEXT, **more)
        assert opened["Plaintext"] == b"a secret"
        assert opened["KeyId"] == new and opened["EncryptionAlgorithm"] == "SYMMETRIC_DEFAULT"
    assert kms.encrypt(KeyId=new, Plaintext=b"a secret")["CiphertextBlob"] != sealed["CiphertextBlob"]


@pytest.mark.parametrize("context", [{}, {"ship": "ferry"}, {"ship": "ferry", "port": "two"}, CONTEXT | {"more": ""}])
def test_another_context_opens_nothing(kms, new, context):
    blob = kms.encrypt(KeyId=new, Plaintext=b"x", EncryptionContext=CONTEXT)["CiphertextBlob"]
    refused("InvalidCiphertextException", kms.decrypt, status=400, CiphertextBlob=blob, EncryptionContext=context)


def test_a_wrong_blob_or_key(closed, kms, new):
    blob = kms.encrypt(KeyId=new, Plaintext=b"x")["CiphertextBlob"]
    broken = blob[:-1] + bytes([blob[-1] ^ 1])
    for wrong in (b"x", b"\x01" * 200, blob[:-20], broken):
        refused("InvalidCiphertextException", kms.decrypt, CiphertextBlob=wrong)
    # Says that it was wrapped with material that no rotation brought.
    later = blob[:1] + b"\x00\x00\x00\x07" + blob[5:]
    # KMS says no word beside the code.
    refused("InvalidCiphertextException", kms.decrypt, "", 400, CiphertextBlob=later)
    refused("IncorrectKeyException", kms.decrypt, CiphertextBlob=blob, KeyId=closed.new_key())
    refused("AccessDeniedException", closed.kms(account=PARTNER).decrypt, CiphertextBlob=blob)
    refused("AccessDeniedException", closed.kms(FAR).decrypt, CiphertextBlob=blob)
    refused("ValidationException", kms.decrypt, CiphertextBlob=b"x" * 6_145)


def test_sizes(kms, new):
    blob = kms.encrypt(KeyId=new, Plaintext=b"x" * 4_096)["CiphertextBlob"]
    assert kms.decrypt(CiphertextBlob=blob)["Plaintext"] == b"x" * 4_096
    refused("ValidationException", kms.encrypt, KeyId=new, Plaintext=b"x" * 4_097)
    big = {"name": "v" * 9_000}
    refused("ValidationException", kms.encrypt, KeyId=new, Plaintext=b"x", EncryptionContext=big)
    refused("ValidationException", kms.encrypt, KeyId=new, Plaintext=b"x", GrantTokens=["t"] * 11)
    refused("InvalidGrantTokenException", kms.encrypt, KeyId=new, Plaintext=b"x", GrantTokens=["nonsense"])
    asymmetric = {"EncryptionAlgorithm": "RSAES_OAEP_SHA_1"}
    refused("InvalidKeyUsageException", kms.encrypt, KeyId=new, Plaintext=b"x", **asymmetric)


def test_data_keys(kms, new):
    made = kms.generate_data_key(KeyId=new, KeySpec="AES_256", EncryptionContext=CONTEXT)
    assert len(made["Plaintext"]) == 32 and made["KeyId"] == new
    opened = kms.decrypt(CiphertextBlob=made["CiphertextBlob"], EncryptionContext=CONTEXT)
    assert opened["Plaintext"] == made["Plaintext"]
    assert len(kms.generate_data_key(KeyId=new, KeySpec="AES_128")["Plaintext"]) == 16
    assert len(kms.generate_data_key(KeyId=new, NumberOfBytes=1_024)["Plaintext"]) == 1_024
    hidden = kms.generate_data_key_without_plaintext(KeyId=new, KeySpec="AES_256")
    assert "Plaintext" not in hidden
    assert len(kms.decrypt(CiphertextBlob=hidden["CiphertextBlob"])["Plaintext"]) == 32
    for wrong in ({}, {"NumberOfBytes": 1_025}, {"KeySpec": "AES_256", "NumberOfBytes": 32}):
        refused("ValidationException", kms.generate_data_key, KeyId=new, **wrong)
    drawn = {kms.generate_random(NumberOfBytes=24)["Plaintext"] for _ in range(2)}
    assert len(drawn) == 2 and {len(one) for one in drawn} == {24}
    refused("ValidationException", kms.generate_random, NumberOfBytes=1_025)


def test_re_encrypt(closed, kms, new):
    other = closed.new_key()
    blob = kms.encrypt(KeyId=new, Plaintext=b"moved", EncryptionContext=CONTEXT)["CiphertextBlob"]
    moved = kms.re_encrypt(
        CiphertextBlob=blob,
        SourceEncryptionContext=CONTEXT,
        SourceKeyId=new,
        DestinationKeyId=other,
        DestinationEncryptionContext={"ship": "tug"},
    )
    assert (moved["SourceKeyId"], moved["KeyId"]) == (new, other)
    opened = kms.decrypt(CiphertextBlob=moved["CiphertextBlob"], EncryptionContext={"ship": "tug"})
    assert (opened["Plaintext"], opened["KeyId"]) == (b"moved", other)
    wrong = {"CiphertextBlob": blob, "DestinationKeyId": other}
    refused("InvalidCiphertextException", kms.re_encrypt, **wrong)
    refused("IncorrectKeyException", kms.re_encrypt, **wrong, SourceKeyId=other, SourceEncryptionContext=CONTEXT)
    kms.disable_key(KeyId=other)
    refused("DisabledException", kms.re_encrypt, **wrong, SourceEncryptionContext=CONTEXT)


def test_a_key_out_of_use_does_nothing(kms, new):
    blob = kms.encrypt(KeyId=new, Plaintext=b"x")["CiphertextBlob"]
    calls = (
        lambda: kms.encrypt(KeyId=new, Plaintext=b"x"),
        lambda: kms.decrypt(CiphertextBlob=blob),
        lambda: kms.generate_data_key(KeyId=new, KeySpec="AES_256"),
        lambda: kms.create_grant(KeyId=new, GranteePrincipal=PARTNER, Operations=["Decrypt"]),
        lambda: kms.rotate_key_on_demand(KeyId=new),
        lambda: kms.enable_key_rotation(KeyId=new),
    )
    kms.disable_key(KeyId=new)
    for call in calls:
        refused("DisabledException", call, f"{new} is disabled.", 400)
    kms.schedule_key_deletion(KeyId=new, PendingWindowInDays=7)
    for call in calls:
        refused("KMSInvalidStateException", call, f"{new} is pending deletion.", 400)
    kms.cancel_key_deletion(KeyId=new)
    kms.enable_key(KeyId=new)
    assert kms.decrypt(CiphertextBlob=blob)["Plaintext"] == b"x"


def test_a_dry_run_does_nothing(kms, new):
    dry = {"KeyId": new, "DryRun": True}
    refused("DryRunOperationException", kms.encrypt, Plaintext=b"x", **dry)
    refused("DryRunOperationException", kms.generate_data_key, KeySpec="AES_256", **dry)
    refused("DryRunOperationException", kms.create_grant, GranteePrincipal=PARTNER, Operations=["Decrypt"], **dry)
    assert kms.list_grants(KeyId=new)["Grants"] == []
    refused("NotFoundException", kms.encrypt, Plaintext=b"x", DryRun=True, KeyId="alias/nobody")


def test_aliases_move_and_go(closed, kms, new):
    name, other = f"alias/{clients.unique('moving')}", closed.new_key()
    kms.create_alias(AliasName=name, TargetKeyId=new)
    blob = kms.encrypt(KeyId=name, Plaintext=b"x")["CiphertextBlob"]
    kms.update_alias(AliasName=name, TargetKeyId=other)
    assert kms.describe_key(KeyId=name)["KeyMetadata"]["Arn"] == other
    # The old blob names the old key.
    refused("IncorrectKeyException", kms.decrypt, CiphertextBlob=blob, KeyId=name)
    assert kms.decrypt(CiphertextBlob=blob)["KeyId"] == new
    refused("InvalidArnException", kms.update_alias, AliasName=name, TargetKeyId=name)
    refused("NotFoundException", kms.update_alias, AliasName=f"{name}-2", TargetKeyId=other)
    kms.delete_alias(AliasName=name)
    refused("NotFoundException", kms.delete_alias, AliasName=name)
    refused("InvalidAliasNameException", kms.delete_alias, AliasName="alias/aws/rds")


def test_tags_description_and_policies(kms, new):
    kms.tag_resource(KeyId=new, Tags=[{"TagKey": "team", "TagValue": "blue"}, {"TagKey": "tier", "TagValue": ""}])
    kms.tag_resource(KeyId=new, Tags=[{"TagKey": "team", "TagValue": "red"}])
    first = kms.list_resource_tags(KeyId=new, Limit=1)
    assert first["Tags"] == [{"TagKey": "team", "TagValue": "red"}] and first["Truncated"]
    rest = kms.list_resource_tags(KeyId=new, Limit=1, Marker=first["NextMarker"])
    assert rest["Tags"] == [{"TagKey": "tier", "TagValue": ""}] and not rest["Truncated"]
    kms.untag_resource(KeyId=new, TagKeys=["team", "none"])
    assert [tag["TagKey"] for tag in kms.list_resource_tags(KeyId=new)["Tags"]] == ["tier"]
    refused("TagException", kms.tag_resource, KeyId=new, Tags=[{"TagKey": "aws:x", "TagValue": ""}])
    many = [{"TagKey": f"t{n}", "TagValue": ""} for n in range(51)]
    refused("TagException", kms.tag_resource, KeyId=new, Tags=many)
    kms.update_key_description(KeyId=new, Description="renamed")
    assert kms.describe_key(KeyId=new)["KeyMetadata"]["Description"] == "renamed"
    assert kms.list_key_policies(KeyId=new)["PolicyNames"] == ["default"]


def test_old_material_still_opens(kms, new):
    blobs = [kms.encrypt(KeyId=new, Plaintext=b"0")["CiphertextBlob"]]
    for number in (b"1", b"2"):
        assert kms.rotate_key_on_demand(KeyId=new)["KeyId"] == new
        blobs.append(kms.encrypt(KeyId=new, Plaintext=number)["CiphertextBlob"])
    assert [kms.decrypt(CiphertextBlob=blob)["Plaintext"] for blob in blobs] == [b"0", b"1", b"2"]
    # The same blob under another material's number opens nothing.
    swapped = blobs[2][:1] + blobs[1][1:5] + blobs[2][5:]
    refused("InvalidCiphertextException", kms.decrypt, CiphertextBlob=swapped)
    done = kms.list_key_rotations(KeyId=new)["Rotations"]
    assert [one["RotationType"] for one in done] == ["ON_DEMAND", "ON_DEMAND"]
    assert done[0]["RotationDate"] > done[1]["RotationDate"]
    # Every answer says which material it used.
    whole = kms.list_key_rotations(KeyId=new, IncludeKeyMaterial="ALL_KEY_MATERIAL")["Rotations"]
    ids = [one["KeyMaterialId"] for one in reversed(whole)]
    assert len(set(ids)) == 3 and all(re.fullmatch("[0-9a-f]{64}", one) for one in ids)
    assert [one["KeyMaterialState"] for one in whole] == ["CURRENT", "NON_CURRENT", "NON_CURRENT"]
    assert "RotationDate" not in whole[2]
    assert [kms.decrypt(CiphertextBlob=blob)["KeyMaterialId"] for blob in blobs] == ids
    assert kms.describe_key(KeyId=new)["KeyMetadata"]["CurrentKeyMaterialId"] == ids[2]
    assert kms.generate_data_key(KeyId=new, KeySpec="AES_256")["KeyMaterialId"] == ids[2]
    assert kms.generate_data_key_without_plaintext(KeyId=new, KeySpec="AES_256")["KeyMaterialId"] == ids[2]
    again = kms.re_encrypt(CiphertextBlob=blobs[0], DestinationKeyId=new)
    assert [again["SourceKeyMaterialId"], again["DestinationKeyMaterialId"]] == [ids[0], ids[2]]
    assert len(kms.list_key_rotations(KeyId=new, Limit=1)["Rotations"]) == 1


def test_the_rotation_plan(kms, new):
    assert kms.get_key_rotation_status(KeyId=new)["KeyRotationEnabled"] is False
    kms.enable_key_rotation(KeyId=new)
    on = kms.get_key_rotation_status(KeyId=new)
    assert on["KeyRotationEnabled"] is True and on["RotationPeriodInDays"] == 365
    days = (on["NextRotationDate"] - kms.describe_key(KeyId=new)["KeyMetadata"]["CreationDate"]).days
    assert days == 365
    kms.enable_key_rotation(KeyId=new, RotationPeriodInDays=90)
    kms.enable_key_rotation(KeyId=new)
    assert kms.get_key_rotation_status(KeyId=new)["RotationPeriodInDays"] == 90
    kms.disable_key_rotation(KeyId=new)
    assert kms.get_key_rotation_status(KeyId=new)["KeyRotationEnabled"] is False
    for _ in range(25):
        kms.rotate_key_on_demand(KeyId=new)
    said = (
        "The on-demand rotations limit has been reached for the given keyId. No more on-demand rotations can be "
        f"performed for this key: {new}"
    )
    refused("LimitExceededException", kms.rotate_key_on_demand, said, 400, KeyId=new)


def test_a_due_key_is_rotated_by_itself(deploy):
    deployment = deploy("--sweep-grace-seconds", "1")
    kms, key = deployment.kms(), deployment.new_key()
    kms.enable_key_rotation(KeyId=key)
    old = kms.encrypt(KeyId=key, Plaintext=b"old")["CiphertextBlob"]
    deployment.server.stop()
    # A year goes by.
    with contextlib.closing(sqlite3.connect(deployment.server.data / "catalog.sqlite")) as catalog, catalog:
        catalog.execute(
            "update kms_keys set rotation_at = 1, body = json_set(body, '$.rotation.next_at', 1) where id = ?",
            (key.rpartition("/")[2],),
        )
    deployment.server.start()
    kms = deployment.kms()
    done = running.wait_until(
        lambda: kms.list_key_rotations(KeyId=key)["Rotations"], 60, "the key is rotated"
    )
    assert [one["RotationType"] for one in done] == ["AUTOMATIC"]
    assert kms.decrypt(CiphertextBlob=old)["Plaintext"] == b"old"
    new = kms.encrypt(KeyId=key, Plaintext=b"new")["CiphertextBlob"]
    assert new[1:5] == b"\x00\x00\x00\x01"
    assert kms.get_key_rotation_status(KeyId=key)["NextRotationDate"].year > 2020


def test_a_snapshot_outlives_rotations(closed, sealed_snapshot):
    key = closed.new_key()
    first = clients.copied(closed, "sealed-snapshot", KmsKeyId=key)
    closed.kms().rotate_key_on_demand(KeyId=key)
    again = clients.copied(closed, first["DBClusterSnapshotIdentifier"])
    assert again["KmsKeyId"] == key
    name = clients.unique("rotated")
    rds = closed.rds()
    rds.restore_db_cluster_from_snapshot(
        DBClusterIdentifier=name,
        SnapshotIdentifier=first["DBClusterSnapshotIdentifier"],
        Engine="aurora-postgresql",
    )
    with clients.connect(clients.wait_cluster(rds, name)) as connection:
        assert clients.table_of(connection, "goods")[0] == 2_000
    rds.delete_db_cluster(DBClusterIdentifier=name, SkipFinalSnapshot=True)


def test_secrets_are_nowhere_in_the_clear(deploy):
    """Plaintexts and data keys: not in the data folder, not in the log, in no spelling."""
    deployment = deploy("--log-level", "trace")
    kms, key = deployment.kms(), deployment.new_key()
    secret = b"correct-horse-battery-staple-" + HOME.encode() + OWNER.encode()
    blob = kms.encrypt(KeyId=key, Plaintext=secret)["CiphertextBlob"]
    drawn = [kms.generate_data_key(KeyId=key, KeySpec="AES_256")["Plaintext"] for _ in range(3)]
    drawn.append(kms.generate_random(NumberOfBytes=32)["Plaintext"])
    kms.decrypt(CiphertextBlob=blob)
    kms.re_encrypt(CiphertextBlob=blob, DestinationKeyId=deployment.new_key())
    kms.rotate_key_on_demand(KeyId=key)
    deployment.new_cluster("dark", StorageEncrypted=True, KmsKeyId=key)
    deployment.new_snapshot("dark-snapshot", "dark")
    _, access_secret = deployment.credentials(PARTNER)
    master = bytes.fromhex((deployment.server.data / "master.key").read_text(encoding="utf-8").strip())
    wrapped = clients.wrapped_keys(deployment.server)
    assert len(wrapped) >= 2
    drawn += [kms.decrypt(CiphertextBlob=blob, EncryptionContext=context)["Plaintext"] for _, blob, context in wrapped]
    clients.assert_nowhere(deployment.server, [secret, master, access_secret.encode(), *drawn])
