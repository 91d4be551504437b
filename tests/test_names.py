"""Names reach only what they name: every action that takes an identifier, with ARNs that are wrong in one part each.

What an action takes is read from the API models, so that a new action is walked as soon as it is there.
"""
import itertools
import re

import botocore.exceptions
import pytest

import contract
import clients
from contract import DECIDED
from clients import FAR, HOME, OWNER, PARTNER

ROLE = f"arn:aws:iam::{OWNER}:role/walked"
# Members that hold the name or ARN of a resource.
NAMING = re.compile(r"(Identifier|KeyId|KMSKeyId|Arn|ARN|ARNList|ResourceName)$")
FILTER = re.compile(r"db-cluster(?:-snapshot)?-id\b")
# What is said of a name that reaches nothing.
SAID = {
    "DBClusterNotFoundFault": "not found",
    "DBClusterSnapshotNotFoundFault": "not found",
    "DBClusterAutomatedBackupNotFoundFault": "not found",
    "DBInstanceNotFound": "not found",
    "GlobalClusterNotFoundFault": "not found",
    "SubscriptionNotFound": "does not exist",
    "KMSKeyNotAccessibleFault": "does not exist, is not enabled or you do not have permissions",
    "InvalidParameterValue": "not a valid identifier|Invalid resource name|does not match an RDS resource",
    "NotFoundException": "",
    "InvalidArnException": "",
    "AccessDeniedException": "",
    "AccessDenied": "",
    "InvalidParameterValueException": "must be the ARN of a KMS key|does not exist, is not enabled|not the ARN of",
    "ResourceNotFoundException": "cannot be found|not found|Cannot find",
    "ValidationError": "is invalid: a role's ARN",
}


# What the actions on instances and on secrets refuse as a whole: it is their cluster's.
OF_THE_CLUSTER = {
    ("CreateDBInstance", "KmsKeyId"), ("DeleteDBInstance", "FinalDBSnapshotIdentifier"), ("UpdateSecret", "KmsKeyId"),
}


def _kind(member):
    """The kinds of resources that a member can name, as the resource's own ARNs here are kept."""
    kinds = {
        r"^DBInstanceIdentifier$": ["instance"],
        r"^EncryptionKeyArn$": ["key"],
        r"^ResourceArn$": ["vault", "cluster"],
        r"^RecoveryPointArn$": ["snapshot"],
        r"^DestinationBackupVaultArn$": ["vault"],
        # Kept and answered again, refused as a whole, or only what lists are narrowed by.
        r"^IamRoleArn$|^LogicallyAirGapped|^By": [],
        # Groups, topics, instances, and what is not here: their own tests show what they reach.
        r"ParameterGroupIdentifier$|^(SnsTopic|Source)Arn$|^(Certificate|Resource)Identifier$": [],
        r"^(ExportTask|BlueGreenDeployment|Integration|DBShardGroup|DBSnapshot|.*DBInstance)Identifier$": [],
        r"AutomatedBackupsArn$": [],
        # Kept and answered again, and looked for nowhere.
        r"^RotationLambdaARN$|^ExternalSecretRotationRoleArn$": [],
        r"^MonitoringRoleArn$|^CACertificateIdentifier$|^GlobalClusterIdentifier$|EndpointIdentifier$|^NewDB": [],
        r"KeyId$": ["key", "alias"],
        r"^ResourceName$": ["cluster", "snapshot"],
        r"^ResourceARNList$": ["cluster", "snapshot", "key"],
        r"Snapshot.*Identifier$": ["snapshot"],
        r"Cluster.*Identifier$": ["cluster"],
        r"^SourceIdentifier$": ["cluster"],
        r"^RoleArn$": ["role"],
    }
    found = [kinds for pattern, kinds in kinds.items() if re.search(pattern, member, re.IGNORECASE)]
    assert found, f"what kind of resource does {member} name? Say so here."
    return found[0]


def _walked():
    """(service, action, member, kind) of all that names something; members that are ignored name nothing."""
    for service, action in contract.operations():
        shape = contract.operation(service, action).input_shape
        ignored = {member for row in DECIDED["ignored"] if action in row["actions"] for member in row["members"]}
        # What is refused, or only recorded, is not looked for either.
        fates = DECIDED["members"].get(action, {})
        ignored |= {*fates.get("recorded", ()), *fates.get("refused", ())}
        ignored |= {member for of, member in OF_THE_CLUSTER if of == action}
        for member, inner in (shape.members if shape else {}).items():
            if NAMING.search(member) and member not in ignored:
                for kind in _kind(member):
                    yield service, action, member, kind
            elif member == "Filters" and member not in ignored:
                for name in sorted(set(FILTER.findall(inner.documentation))):
                    yield service, action, name, "snapshot" if "snapshot" in name else "cluster"


WALKED = list(_walked())


class World:
    """One of each resource, and what there is of all kinds."""

    def __init__(self, deployment):
        self.deployment = deployment
        kms = deployment.kms()
        key = deployment.new_key()
        kms.create_alias(AliasName="alias/walked", TargetKeyId=key)
        deployment.new_cluster("walked", StorageEncrypted=True, KmsKeyId=key, Tags=[{"Key": "stays", "Value": "put"}])
        snapshot = deployment.new_snapshot("walked-snapshot", "walked")
        made = {"DBInstanceClass": "db.r6g.large", "Engine": "aurora-postgresql"}
        rds = deployment.rds()
        instance = rds.create_db_instance(DBInstanceIdentifier="walked-one", DBClusterIdentifier="walked", **made)
        clients.wait_cluster(rds, "walked")
        self.arns = {
            "cluster": clients.cluster_of(deployment.rds(), "walked")["DBClusterArn"],
            "snapshot": snapshot["DBClusterSnapshotArn"],
            "instance": instance["DBInstance"]["DBInstanceArn"],
            "key": key,
            "alias": key.replace(key.rpartition(":")[2], "alias/walked"),
            "role": ROLE,
            "vault": deployment.client("backup").create_backup_vault(BackupVaultName="walked")["BackupVaultArn"],
        }
        self.key_id = key.rpartition("/")[2]
        self.ciphertext = kms.encrypt(KeyId=key, Plaintext=b"walked")["CiphertextBlob"]

    def wrong(self, kind):
        """(part, ARN) for each part that can be wrong, each alone."""
        right = self.arns[kind].split(":", 5)
        resource = right[5]
        kinds = {
            "cluster": resource.replace("cluster:", "db:"), "snapshot": resource.replace("cluster-snapshot:", "snapshot:"),
            "key": resource.replace("key/", "alias/"), "alias": f"key/{resource}", "role": resource.replace("role", "user"),
            "instance": resource.replace("db:", "cluster:"), "vault": resource.replace("vault", "plan"),
        }
        others = {
            "partition": (1, ["aws-cn", "aws-us-gov"]),
            "service": (2, ["neptune", "kms" if right[2] == "rds" else "rds"]),
            "region": (3, [FAR, "cn-north-1"]),
            "account": (4, [PARTNER]),
            "type": (5, [kinds[kind]]),
            "name": (5, [resource[:-1] + ("0" if resource[-1] != "0" else "1")]),
        }
        for part, (place, values) in others.items():
            for value in values:
                yield part, ":".join([*right[:place], value, *right[place + 1 :]])

    def state(self):
        """Everything that a call could have changed."""
        rds, kms = self.deployment.rds(), self.deployment.kms()
        key = self.arns["key"]
        shared = rds.describe_db_cluster_snapshot_attributes(DBClusterSnapshotIdentifier="walked-snapshot")
        clusters = rds.describe_db_clusters()["DBClusters"]
        for cluster in clusters:
            # On a busy machine a running server may be looked at anew meanwhile.
            cluster["Status"] = cluster["Status"].replace("starting", "available")
        return [
            clusters,
            rds.describe_db_cluster_snapshots()["DBClusterSnapshots"],
            shared["DBClusterSnapshotAttributesResult"],
            kms.list_keys()["Keys"],
            kms.describe_key(KeyId=key)["KeyMetadata"],
            kms.list_aliases()["Aliases"],
            kms.list_resource_tags(KeyId=key)["Tags"],
            kms.get_key_policy(KeyId=key)["Policy"],
            kms.get_key_rotation_status(KeyId=key)["KeyRotationEnabled"],
            kms.list_grants(KeyId=key)["Grants"],
            self.deployment.client("backup").list_backup_vaults()["BackupVaultList"],
            self.deployment.client("backup").list_tags(ResourceArn=self.arns["vault"])["Tags"],
        ]


@pytest.fixture(scope="module")
def world(deploy_for_module, tmp_path_factory):
    """A deployment of this file's own: what is walked must not meet other tests' resources."""
    file = tmp_path_factory.mktemp("walked") / "role.toml"
    file.write_text(f'[[role]]\narn = "{ROLE}"\ntrusts = ["{OWNER}"]\n', encoding="utf-8")
    return World(deploy_for_module("--config", str(file)))


_numbers = itertools.count(1)


def _filler(world, name, shape):
    """A value for a member that is not the one looked at."""
    known = {
        "SourceDBClusterSnapshotIdentifier": world.arns["snapshot"],
        "SnapshotIdentifier": world.arns["snapshot"],
        "AliasName": f"alias/walked-{next(_numbers)}",
        "KeyId": world.arns["key"],
        "TargetKeyId": world.arns["key"],
        "DestinationKeyId": world.arns["key"],
        "CiphertextBlob": world.ciphertext,
        "Policy": clients.cross_account_policy(),
        "GranteePrincipal": f"arn:aws:iam::{PARTNER}:root",
        "GrantId": "0" * 64,
        "Engine": "aurora-postgresql",
        "AttributeName": "restore",
        "ValuesToAdd": [PARTNER],
        "RoleArn": ROLE,
        "RoleSessionName": "walker",
        "MasterUsername": clients.USER,
        "MasterUserPassword": clients.PASSWORD,
        "SourceType": "db-cluster",
        "SkipFinalSnapshot": True,
        "KeySpec": "AES_256",
        "ReplicaRegion": FAR,
        "PrimaryRegion": FAR,
        "BackupVaultName": "Default",
        "SourceBackupVaultName": "Default",
        "DestinationBackupVaultArn": world.arns["vault"],
        "RecoveryPointArn": world.arns["snapshot"],
        "IamRoleArn": ROLE,
    }
    if name in known:
        return known[name]
    if name.endswith("Identifier"):
        return f"walker-{next(_numbers)}"
    kind = shape.type_name
    if kind == "structure":
        return {key: _filler(world, key, member) for key, member in shape.members.items()}
    if kind == "list":
        return [_filler(world, name + "[]", shape.member)]
    return {"string": (shape.enum or ["walked"])[0] if kind == "string" else "", "map": {"walked": "walked"},
            "blob": b"walked", "boolean": True, "integer": 30, "long": 30}[kind]


def _request(world, service, action, member, value):
    """A request that is right but for one member."""
    shape = contract.operation(service, action).input_shape
    # Not required by the model, and yet needed for the name to be looked at.
    wanted = {"MasterUsername", "MasterUserPassword", "SkipFinalSnapshot", "SourceType", "ValuesToAdd", "KeySpec", "GrantId", "CiphertextBlob"}
    if member == "FinalDBSnapshotIdentifier":
        wanted.remove("SkipFinalSnapshot")
    if member == "MasterUserSecretKmsKeyId":
        wanted = wanted - {"MasterUserPassword"} | {"ManageMasterUserPassword"}
    if action.endswith("DBInstance"):
        wanted -= {"MasterUsername", "MasterUserPassword"}
    names = {name for name in shape.members if name in wanted or name in shape.required_members} - {member}
    if action in ("GenerateDataKey", "GenerateDataKeyWithoutPlaintext"):
        names.discard("NumberOfBytes")
    if action == "CreateKey":
        names.discard("KeySpec")
    request = {name: _filler(world, name, shape.members[name]) for name in names}
    if action == "RestoreDBClusterToPointInTime":
        request |= {"SourceDBClusterIdentifier": "walked", "UseLatestRestorableTime": True}
    if member not in shape.members:
        return request | {"Filters": [{"Name": member, "Values": [value]}]}
    return request | {member: [value] if shape.members[member].type_name == "list" else value}


def _reached(answer, arn):
    """Whether an answer without a fault tells of something."""
    answer.pop("ResponseMetadata")
    if "FailedResourcesMap" in answer:
        return arn not in answer["FailedResourcesMap"]
    return not all(value in ([], "", None) for value in answer.values())


@pytest.mark.parametrize(("service", "action", "member", "kind"), WALKED, ids=["-".join(row[1:]) for row in WALKED])
def test_an_arn_that_is_wrong_in_one_part_reaches_nothing(world, service, action, member, kind):
    client = world.deployment.client(service)
    call = getattr(client, botocore.xform_name(contract.operation(service, action).name))
    before = world.state()
    for part, arn in world.wrong(kind):
        request = _request(world, service, action, member, arn)
        try:
            answer = call(**request)
        except botocore.exceptions.ClientError as error:
            code, said = error.response["Error"]["Code"], error.response["Error"].get("Message", "")
            assert code in SAID and re.search(SAID[code], said), f"another {part}: {code}: {said}"
        else:
            reads = action.startswith(("Describe", "List", "Get"))
            assert (reads or "FailedResourcesMap" in answer) and not _reached(answer, arn), f"another {part}: {answer}"
    assert world.state() == before


def test_every_kind_of_name_is_walked():
    """The walk itself: it finds the actions that are known to take names, and each kind."""
    found = {(action, member) for _, action, member, _ in WALKED}
    for known in [
        ("DeleteDBCluster", "DBClusterIdentifier"),
        ("DescribeDBClusters", "db-cluster-id"),
        ("DescribeDBClusterSnapshots", "db-cluster-snapshot-id"),
        ("DescribeEvents", "SourceIdentifier"),
        ("AddTagsToResource", "ResourceName"),
        ("CopyDBClusterSnapshot", "KmsKeyId"),
        ("ReEncrypt", "DestinationKeyId"),
    ]:
        assert known in found
    assert {kind for *_, kind in WALKED} >= {"cluster", "snapshot", "key", "alias"}


def test_the_right_arn_reaches_in_any_case_of_its_name(world):
    """The other half: what an ARN names whole is found, by parameter, filter, tags and events."""
    rds, arn, snapshot = world.deployment.rds(), world.arns["cluster"], world.arns["snapshot"]
    shouted = arn.replace(":walked", ":WALKED")
    for value in (arn, shouted, "WALKED"):
        assert len(rds.describe_db_clusters(DBClusterIdentifier=value)["DBClusters"]) == 1
        for name, call in (("DBClusters", rds.describe_db_clusters), ("DBClusterSnapshots", rds.describe_db_cluster_snapshots)):
            assert len(call(Filters=[{"Name": "db-cluster-id", "Values": [value]}])[name]) == 1, value
        assert len(rds.describe_db_cluster_snapshots(DBClusterIdentifier=value)["DBClusterSnapshots"]) == 1
        events = rds.describe_events(SourceType="db-cluster", SourceIdentifier=value, Duration=60)["Events"]
        assert {event["SourceArn"] for event in events} == {arn}
    both = {"DBClusterIdentifier": arn, "Filters": [{"Name": "db-cluster-id", "Values": ["other", "walked"]}]}
    assert len(rds.describe_db_cluster_snapshots(**both)["DBClusterSnapshots"]) == 1
    sts, tagging = world.deployment.client("sts"), world.deployment.client("tagging")
    assert sts.assume_role(RoleArn=ROLE, RoleSessionName="walker")["Credentials"]
    rows = tagging.get_resources(ResourceARNList=[arn])["ResourceTagMappingList"]
    assert [row["ResourceARN"] for row in rows] == [arn]
    assert rds.list_tags_for_resource(ResourceName=shouted)["TagList"] == [{"Key": "stays", "Value": "put"}]
    by_id = {"Filters": [{"Name": "db-cluster-snapshot-id", "Values": [snapshot, "nothing"]}]}
    assert len(rds.describe_db_cluster_snapshots(**by_id)["DBClusterSnapshots"]) == 1


def test_shared_snapshots_are_told_apart_by_the_cluster_they_are_of(world):
    """Two accounts have a cluster of one name: an ARN means the one, the name means both."""
    deployment = world.deployment
    owner, partner = deployment.rds(), deployment.rds(account=PARTNER)
    deployment.new_cluster("twin")
    deployment.new_cluster("twin", account=PARTNER)
    deployment.new_snapshot("twin-snapshot", "twin")
    deployment.new_snapshot("twin-snapshot", "twin", account=PARTNER)
    partner.modify_db_cluster_snapshot_attribute(
        DBClusterSnapshotIdentifier="twin-snapshot", AttributeName="restore", ValuesToAdd=[OWNER]
    )

    def seen(value, **more):
        rows = owner.describe_db_cluster_snapshots(DBClusterIdentifier=value, IncludeShared=True, **more)
        return sorted(row["DBClusterSnapshotArn"].split(":")[4] for row in rows["DBClusterSnapshots"])

    arn = f"arn:aws:rds:{HOME}:{{}}:cluster:twin"
    assert seen("twin") == [OWNER, PARTNER]
    assert seen(arn.format(OWNER)) == [OWNER]
    assert seen(arn.format(PARTNER)) == [PARTNER]
    both = {"Filters": [{"Name": "db-cluster-id", "Values": ["twin"]}]}
    assert seen(arn.format(PARTNER), **both) == [PARTNER]
    assert seen(arn.format(PARTNER), Filters=[{"Name": "db-cluster-id", "Values": [arn.format(OWNER)]}]) == []
    for account in (OWNER, PARTNER):
        deployment.rds(account=account).delete_db_cluster_snapshot(DBClusterSnapshotIdentifier="twin-snapshot")
        deployment.rds(account=account).delete_db_cluster(DBClusterIdentifier="twin", SkipFinalSnapshot=True)
    clients.refused("DBClusterNotFoundFault", owner.delete_db_cluster, DBClusterIdentifier=arn.format(PARTNER), SkipFinalSnapshot=True)
