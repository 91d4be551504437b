"""Multi-Region keys: the same id and material in several regions, by an ordinary boto3 client.

Sources: "Multi-Region keys in AWS KMS" and "Deleting multi-Region keys" (KMS Developer Guide), ReplicateKey and
UpdatePrimaryRegion (KMS API reference), "Copying a DB cluster snapshot" (Aurora User Guide).
"""
import contextlib
import json
import re
import sqlite3

import pytest

import clients
import pairs
import relay as relays
from clients import FAR, HOME, OWNER, PARTNER, THIRD, copy_request, refused, unique
from snapferry_tools import running

CONTEXT = {"ship": "ferry"}


def arn(region, key_id):
    return f"arn:aws:kms:{region}:{OWNER}:key/{key_id}"


class Family:
    """A primary key in the home region, and clients of the three regions."""

    def __init__(self, deployment, *replicas, **more):
        self.kms = {region: deployment.kms(region) for region in (HOME, FAR, THIRD)}
        self.id = self.kms[HOME].create_key(MultiRegion=True, **more)["KeyMetadata"]["KeyId"]
        for region in replicas:
            self.kms[HOME].replicate_key(KeyId=self.id, ReplicaRegion=region)

    def metadata(self, region):
        return self.kms[region].describe_key(KeyId=self.id)["KeyMetadata"]

    def arn(self, region):
        return arn(region, self.id)

    def roles(self, *regions):
        """Each region's role; that all say the same of primary and replicas."""
        seen = {region: self.metadata(region) for region in regions}
        said = [one["MultiRegionConfiguration"] for one in seen.values()]
        assert all(one["PrimaryKey"] == said[0]["PrimaryKey"] for one in said)
        assert all(one["ReplicaKeys"] == said[0]["ReplicaKeys"] for one in said)
        return {region: one["MultiRegionConfiguration"]["MultiRegionKeyType"] for region, one in seen.items()}


@pytest.fixture
def family(closed):
    """A primary key at home with a replica in the far region."""
    return Family(closed, FAR)


def test_a_primary_key_and_its_replica(closed):
    one = Family(closed, Description="of all", Tags=[{"TagKey": "a", "TagValue": "1"}])
    assert re.fullmatch("mrk-[0-9a-f]{32}", one.id)
    alone = one.metadata(HOME)
    assert alone["MultiRegion"] is True and alone["Arn"] == one.arn(HOME)
    primary = {"Arn": one.arn(HOME), "Region": HOME}
    assert alone["MultiRegionConfiguration"] == {
        "MultiRegionKeyType": "PRIMARY", "PrimaryKey": primary, "ReplicaKeys": []
    }
    tags = [{"TagKey": "b", "TagValue": "2"}]
    made = one.kms[HOME].replicate_key(KeyId=one.arn(HOME), ReplicaRegion=FAR, Description="there", Tags=tags)
    replica = made["ReplicaKeyMetadata"]
    assert made["ReplicaTags"] == tags and json.loads(made["ReplicaPolicy"])["Id"] == "key-default-1"
    assert replica == one.metadata(FAR)
    assert replica["KeyId"] == one.id and replica["Arn"] == one.arn(FAR) and replica["Description"] == "there"
    assert replica["MultiRegionConfiguration"] == {
        "MultiRegionKeyType": "REPLICA", "PrimaryKey": primary, "ReplicaKeys": [{"Arn": one.arn(FAR), "Region": FAR}]
    }
    assert replica["CurrentKeyMaterialId"] == alone["CurrentKeyMaterialId"]
    assert one.roles(HOME, FAR) == {HOME: "PRIMARY", FAR: "REPLICA"}
    single = closed.new_key()
    assert closed.kms().describe_key(KeyId=single)["KeyMetadata"]["MultiRegion"] is False


def test_what_one_encrypts_the_other_decrypts(closed, family):
    home, far = family.kms[HOME], family.kms[FAR]
    for here, there, region in ((home, far, FAR), (far, home, HOME)):
        blob = here.encrypt(KeyId=family.id, Plaintext=b"x", EncryptionContext=CONTEXT)["CiphertextBlob"]
        for named in ({}, {"KeyId": family.id}, {"KeyId": family.arn(region)}):
            opened = there.decrypt(CiphertextBlob=blob, EncryptionContext=CONTEXT, **named)
            assert opened["Plaintext"] == b"x" and opened["KeyId"] == family.arn(region)
        refused("InvalidCiphertextException", there.decrypt, CiphertextBlob=blob)
        other = there.create_key()["KeyMetadata"]["KeyId"]
        refused("IncorrectKeyException", there.decrypt, CiphertextBlob=blob, EncryptionContext=CONTEXT, KeyId=other)
        moved = there.re_encrypt(CiphertextBlob=blob, SourceEncryptionContext=CONTEXT, DestinationKeyId=other)
        assert there.decrypt(CiphertextBlob=moved["CiphertextBlob"])["Plaintext"] == b"x"
    # Where there is no replica, and for whom neither policy is, there is no such key.
    blob = home.encrypt(KeyId=family.id, Plaintext=b"x")["CiphertextBlob"]
    refused("AccessDeniedException", family.kms[THIRD].decrypt, CiphertextBlob=blob)
    refused("AccessDeniedException", closed.kms(FAR, PARTNER).decrypt, CiphertextBlob=blob)
    # A single-Region key stays in its own.
    single = home.encrypt(KeyId=closed.new_key(), Plaintext=b"x")["CiphertextBlob"]
    refused("AccessDeniedException", far.decrypt, CiphertextBlob=single)


def test_policies_states_aliases_tags_and_grants_stay_in_their_region(closed, family):
    home, far = family.kms[HOME], family.kms[FAR]
    blob = home.encrypt(KeyId=family.id, Plaintext=b"x")["CiphertextBlob"]
    far.disable_key(KeyId=family.id)
    refused("DisabledException", far.decrypt, CiphertextBlob=blob)
    assert home.decrypt(CiphertextBlob=blob)["Plaintext"] == b"x"
    far.enable_key(KeyId=family.id)
    name = f"alias/{unique('regional')}"
    far.create_alias(AliasName=name, TargetKeyId=family.id)
    refused("NotFoundException", home.describe_key, KeyId=name)
    home.tag_resource(KeyId=family.id, Tags=[{"TagKey": "here", "TagValue": ""}])
    assert far.list_resource_tags(KeyId=family.id)["Tags"] == []
    far.create_grant(KeyId=family.id, GranteePrincipal=PARTNER, Operations=["Decrypt"])
    assert home.list_grants(KeyId=family.id)["Grants"] == []
    assert closed.kms(FAR, PARTNER).decrypt(CiphertextBlob=blob, KeyId=family.arn(FAR))["Plaintext"] == b"x"
    refused("AccessDeniedException", closed.kms(HOME, PARTNER).decrypt, CiphertextBlob=blob)
    far.put_key_policy(KeyId=family.id, PolicyName="default", Policy=clients.cross_account_policy(PARTNER))
    assert json.loads(home.get_key_policy(KeyId=family.id)["Policy"])["Id"] == "key-default-1"
    document = clients.cross_account_policy(PARTNER)
    made = home.replicate_key(KeyId=family.id, ReplicaRegion=THIRD, Policy=document)
    assert json.loads(made["ReplicaPolicy"]) == json.loads(document)


def test_what_cannot_be_replicated(closed, family):
    home, far = family.kms[HOME], family.kms[FAR]
    refused("AlreadyExistsException", home.replicate_key, KeyId=family.id, ReplicaRegion=FAR)
    refused("AlreadyExistsException", home.replicate_key, KeyId=family.id, ReplicaRegion=HOME)
    said = re.compile("multi-Region")
    refused("UnsupportedOperationException", far.replicate_key, said, KeyId=family.id, ReplicaRegion=THIRD)
    single = closed.new_key()
    refused("UnsupportedOperationException", home.replicate_key, said, KeyId=single, ReplicaRegion=FAR)
    refused("UnsupportedOperationException", home.replicate_key, KeyId=family.id, ReplicaRegion="cn-north-1")
    for wrong in ("nowhere", "eu-nowhere-1"):
        refused("ValidationException", home.replicate_key, KeyId=family.id, ReplicaRegion=wrong)
    refused("NotFoundException", home.replicate_key, KeyId=f"mrk-{'0' * 32}", ReplicaRegion=THIRD)
    refused("InvalidArnException", home.replicate_key, KeyId="alias/aws/rds", ReplicaRegion=THIRD)
    foreign = closed.kms(HOME, PARTNER)
    refused("AccessDeniedException", foreign.replicate_key, KeyId=family.arn(HOME), ReplicaRegion=THIRD)
    tags = [{"TagKey": "a", "TagValue": ""}] * 2
    refused("TagException", home.replicate_key, KeyId=family.id, ReplicaRegion=THIRD, Tags=tags)
    locked = json.dumps({"Statement": {"Effect": "Allow", "Principal": {"AWS": PARTNER}, "Action": "*", "Resource": "*"}})
    for policy in ("{}", locked):
        call = {"KeyId": family.id, "ReplicaRegion": THIRD, "Policy": policy}
        refused("MalformedPolicyDocumentException", home.replicate_key, **call)
    home.disable_key(KeyId=family.id)
    refused("DisabledException", home.replicate_key, KeyId=family.id, ReplicaRegion=THIRD)
    refused("NotFoundException", family.kms[THIRD].describe_key, KeyId=family.id)


def test_rotation_is_the_primarys_and_all_have_its_material(family):
    home, far, third = (family.kms[region] for region in (HOME, FAR, THIRD))
    old = far.encrypt(KeyId=family.id, Plaintext=b"old")["CiphertextBlob"]
    for call in (far.rotate_key_on_demand, far.enable_key_rotation, far.disable_key_rotation):
        refused("UnsupportedOperationException", call, re.compile("multi-Region replica"), KeyId=family.id)
    home.enable_key_rotation(KeyId=family.id, RotationPeriodInDays=100)
    # Also one that is out of use has the material when it is back.
    far.disable_key(KeyId=family.id)
    home.rotate_key_on_demand(KeyId=family.id)
    far.enable_key(KeyId=family.id)
    home.replicate_key(KeyId=family.id, ReplicaRegion=THIRD)
    blobs = [one.encrypt(KeyId=family.id, Plaintext=b"new")["CiphertextBlob"] for one in (home, far, third)]
    for one in (home, far, third):
        assert [one.decrypt(CiphertextBlob=blob)["Plaintext"] for blob in (old, *blobs)] == [b"old"] + [b"new"] * 3
        assert len({one.decrypt(CiphertextBlob=blob)["KeyMaterialId"] for blob in blobs}) == 1
        status = one.get_key_rotation_status(KeyId=family.id)
        assert status["KeyRotationEnabled"] is True and status["RotationPeriodInDays"] == 100
        assert len(one.list_key_rotations(KeyId=family.id)["Rotations"]) == 1


def test_another_region_becomes_the_primary(closed, family):
    home, far = family.kms[HOME], family.kms[FAR]
    home.enable_key_rotation(KeyId=family.id, RotationPeriodInDays=100)
    refused("NotFoundException", home.update_primary_region, KeyId=family.id, PrimaryRegion=THIRD)
    refused("UnsupportedOperationException", far.update_primary_region, KeyId=family.id, PrimaryRegion=FAR)
    refused("UnsupportedOperationException", home.update_primary_region, KeyId=family.id, PrimaryRegion=HOME)
    refused("UnsupportedOperationException", home.update_primary_region, KeyId=closed.new_key(), PrimaryRegion=FAR)
    far.disable_key(KeyId=family.id)
    refused("DisabledException", home.update_primary_region, KeyId=family.id, PrimaryRegion=FAR)
    far.enable_key(KeyId=family.id)
    # The replica's own policy has a say.
    mine = {"Effect": "Allow", "Principal": {"AWS": OWNER}, "Action": "kms:*", "Resource": "*"}
    deny = mine | {"Effect": "Deny", "Action": "kms:UpdatePrimaryRegion"}
    for statements, allowed in (([mine, deny], False), ([mine], True)):
        far.put_key_policy(KeyId=family.id, Policy=json.dumps({"Statement": statements}))
        if not allowed:
            refused("AccessDeniedException", home.update_primary_region, KeyId=family.id, PrimaryRegion=FAR)
    blob = home.encrypt(KeyId=family.id, Plaintext=b"x")["CiphertextBlob"]
    home.update_primary_region(KeyId=family.id, PrimaryRegion=FAR)
    assert family.roles(HOME, FAR) == {HOME: "REPLICA", FAR: "PRIMARY"}
    assert far.decrypt(CiphertextBlob=blob)["Plaintext"] == b"x"
    refused("UnsupportedOperationException", home.rotate_key_on_demand, KeyId=family.id)
    assert home.get_key_rotation_status(KeyId=family.id)["RotationPeriodInDays"] == 100
    far.rotate_key_on_demand(KeyId=family.id)
    new = far.encrypt(KeyId=family.id, Plaintext=b"y")["CiphertextBlob"]
    assert home.decrypt(CiphertextBlob=new)["Plaintext"] == b"y"
    far.replicate_key(KeyId=family.id, ReplicaRegion=THIRD)
    assert family.roles(HOME, FAR, THIRD) == {HOME: "REPLICA", FAR: "PRIMARY", THIRD: "REPLICA"}


def test_a_primary_key_outlives_its_replicas(deploy):
    deployment = deploy("--sweep-grace-seconds", "1")
    one = Family(deployment, FAR, THIRD)
    home, far, third = one.kms[HOME], one.kms[FAR], one.kms[THIRD]
    blob = home.encrypt(KeyId=one.id, Plaintext=b"x")["CiphertextBlob"]
    answer = home.schedule_key_deletion(KeyId=one.id, PendingWindowInDays=9)
    assert answer["KeyState"] == "PendingReplicaDeletion" and "DeletionDate" not in answer
    assert answer["PendingWindowInDays"] == 9
    waits = one.metadata(HOME)
    assert waits["PendingDeletionWindowInDays"] == 9 and "DeletionDate" not in waits and waits["Enabled"] is False
    refused("KMSInvalidStateException", home.decrypt, CiphertextBlob=blob)
    refused("KMSInvalidStateException", home.schedule_key_deletion, KeyId=one.id)
    assert far.decrypt(CiphertextBlob=blob)["Plaintext"] == b"x"
    home.cancel_key_deletion(KeyId=one.id)
    assert one.metadata(HOME)["KeyState"] == "Disabled" and "PendingDeletionWindowInDays" not in one.metadata(HOME)
    home.schedule_key_deletion(KeyId=one.id, PendingWindowInDays=9)

    def gone(kms, region):
        """Schedules a replica's deletion; lets its waiting period go by."""
        assert kms.schedule_key_deletion(KeyId=one.id, PendingWindowInDays=7)["KeyState"] == "PendingDeletion"
        deployment.server.stop()
        with contextlib.closing(sqlite3.connect(deployment.server.data / "catalog.sqlite")) as catalog, catalog:
            catalog.execute("update kms_keys set deletion_at = 1 where region = ? and id = ?", (region, one.id))
        deployment.server.start()
        fresh = deployment.kms(region)
        running.wait_until(lambda: not fresh.list_keys()["Keys"], 60, f"the replica in {region} is deleted")

    gone(far, FAR)
    one.kms = {region: deployment.kms(region) for region in one.kms}
    assert one.metadata(HOME)["KeyState"] == "PendingReplicaDeletion"
    assert one.metadata(HOME)["MultiRegionConfiguration"]["ReplicaKeys"] == [{"Arn": one.arn(THIRD), "Region": THIRD}]
    gone(one.kms[THIRD], THIRD)
    home = deployment.kms()
    last = home.describe_key(KeyId=one.id)["KeyMetadata"]
    assert last["KeyState"] == "PendingDeletion" and "PendingDeletionWindowInDays" not in last
    home.cancel_key_deletion(KeyId=one.id)
    home.enable_key(KeyId=one.id)
    # A replica can be made again where one was, and has the material that came meanwhile.
    home.rotate_key_on_demand(KeyId=one.id)
    new = home.encrypt(KeyId=one.id, Plaintext=b"y")["CiphertextBlob"]
    home.replicate_key(KeyId=one.id, ReplicaRegion=FAR)
    opened = [deployment.kms(FAR).decrypt(CiphertextBlob=each)["Plaintext"] for each in (blob, new)]
    assert opened == [b"x", b"y"]


def test_a_snapshot_is_copied_under_the_replica(closed, family, sealed_snapshot):
    name = unique("multi")
    rds, far = closed.rds(), closed.rds(FAR)
    rds.copy_db_cluster_snapshot(**copy_request("sealed-snapshot", name, KmsKeyId=family.id))
    source = clients.wait_snapshot(rds, name)
    assert source["KmsKeyId"] == family.arn(HOME)
    request = copy_request(source["DBClusterSnapshotArn"], name, KmsKeyId=family.id, SourceRegion=HOME)
    far.copy_db_cluster_snapshot(**request)
    copy = clients.wait_snapshot(far, name)
    assert copy["KmsKeyId"] == family.arn(FAR)
    # The primary's ARN names a key of another region, which RDS does not take, whatever its material.
    wrong = copy_request(source["DBClusterSnapshotArn"], unique("multi"), KmsKeyId=family.arn(HOME), SourceRegion=HOME)
    refused("KMSKeyNotAccessibleFault", far.copy_db_cluster_snapshot, **wrong)
    # The copy needs the replica only.
    family.kms[HOME].disable_key(KeyId=family.id)
    far.restore_db_cluster_from_snapshot(DBClusterIdentifier=name, SnapshotIdentifier=name, Engine="aurora-postgresql")
    with clients.connect(clients.wait_cluster(far, name)) as connection:
        assert clients.table_of(connection, "goods")[0] == 2_000
    far.delete_db_cluster(DBClusterIdentifier=name, SkipFinalSnapshot=True)


def test_a_region_of_another_deployment_is_refused_in_words(deploy, tmp_path):
    relay = relays.Relay()
    file = pairs.Pair.settings(tmp_path / "peers.toml", FAR, relay)
    kms = deploy("--config", file).kms()
    key = kms.create_key(MultiRegion=True)["KeyMetadata"]["KeyId"]
    said = re.compile(f"{FAR} is hosted by another deployment.*key material does not leave a deployment")
    refused("UnsupportedOperationException", kms.replicate_key, said, KeyId=key, ReplicaRegion=FAR)
    refused("UnsupportedOperationException", kms.update_primary_region, said, KeyId=key, PrimaryRegion=FAR)
    relay.close()
