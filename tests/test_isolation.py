"""Every action, asked by an account that owns nothing, about what another account owns.

Which arguments an action takes is read from the models, so a new action is walked without a word
here unless it requires a member that nothing below fills.
"""
import json

import botocore
import botocore.exceptions
import pytest

import clients
import contract
from clients import HOME, OWNER, STRANGER, unique
from snapferry_tools import running
from test_backup_copies import copied, copy
from test_backup_drills import named, plan_of as restore_plan_of, selection_of as restore_selection_of
from test_backup_jobs import ROLE, ended, points, start
from test_backup_plans import plan_of
from test_backup_restores import restored

# Members that name a resource, and which of the owner's identifiers they are given.
NAMES = {
    "DBClusterIdentifier": ("cluster", "cluster_arn"),
    "SourceDBClusterIdentifier": ("cluster", "cluster_arn"),
    "DBClusterSnapshotIdentifier": ("snapshot", "snapshot_arn"),
    "SourceDBClusterSnapshotIdentifier": ("snapshot", "snapshot_arn"),
    "SnapshotIdentifier": ("snapshot", "snapshot_arn"),
    "SourceIdentifier": ("snapshot", "cluster"),
    "DBInstanceIdentifier": ("instance", "instance_arn"),
    "DBClusterParameterGroupName": ("parameters", "parameters_arn"),
    "SourceDBClusterParameterGroupIdentifier": ("parameters", "parameters_arn"),
    "DBParameterGroupName": ("instance_parameters", "instance_parameters_arn"),
    "SourceDBParameterGroupIdentifier": ("instance_parameters", "instance_parameters_arn"),
    "DBSubnetGroupName": ("subnets",),
    "SourceArn": ("snapshot_arn", "cluster_arn"),
    "DbClusterResourceId": ("resource",),
    "SourceDbClusterResourceId": ("resource",),
    "ResourceName": ("snapshot_arn", "cluster_arn"),
    "ResourceARNList": ("snapshot_arn", "cluster_arn", "key"),
    "KmsKeyId": ("key_id", "key", "alias", "alias_arn"),
    "KeyId": ("key_id", "key", "alias_arn"),
    "TargetKeyId": ("key_id", "key"),
    "DestinationKeyId": ("key_id", "key"),
    "SourceKeyId": ("key_id", "key"),
    "AliasName": ("alias",),
    "CiphertextBlob": ("blob",),
    "GrantId": ("grant",),
    "GrantToken": ("token",),
    "BackupVaultName": ("vault",),
    "SourceBackupVaultName": ("vault",),
    "DestinationBackupVaultArn": ("vault_arn",),
    "BackupPlanId": ("plan",),
    "SelectionId": ("selection",),
    "BackupJobId": ("backup_job",),
    "CopyJobId": ("copy_job",),
    "RestoreJobId": ("restore_job",),
    "LegalHoldId": ("hold",),
    "RestoreTestingPlanName": ("testing_plan",),
    "RestoreTestingSelectionName": ("testing_selection",),
    "RecoveryPointArn": ("point",),
    "ResourceArn": ("vault_arn", "cluster_arn", "plan_arn", "point"),
    "SecretId": ("secret", "secret_arn"),
}
# What other members that are required get.
FILL = {
    "AttributeName": lambda: "restore",
    "BackupPlan": lambda: plan_of("stolen"),
    "BackupPlanTemplateJson": lambda: json.dumps(plan_of("stolen")),
    "BackupSelection": lambda: {"SelectionName": unique("stolen"), "IamRoleArn": ROLE, "Resources": ["*"]},
    "CancelDescription": lambda: "mine",
    "DBInstanceClass": lambda: "db.r6g.large",
    "DBParameterGroupFamily": lambda: "aurora-postgresql15",
    "DBSubnetGroupDescription": lambda: "mine",
    "Description": lambda: "mine",
    "Engine": lambda: "aurora-postgresql",
    "GlobalSettings": lambda: {},
    "GranteePrincipal": lambda: STRANGER,
    "IamRoleArn": lambda: ROLE,
    "Key": lambda: "team",
    "Mac": lambda: b"x" * 32,
    "MacAlgorithm": lambda: "HMAC_SHA_256",
    "Message": lambda: b"x",
    "Metadata": lambda: {"DBClusterIdentifier": unique("stolen"), "Engine": "aurora-postgresql"},
    "Operations": lambda: ["Decrypt"],
    "Parameters": lambda: [{"ParameterName": "work_mem", "ParameterValue": "8192", "ApplyMethod": "immediate"}],
    "Plaintext": lambda: b"x",
    "PrimaryRegion": lambda: clients.FAR,
    "ReplicaRegion": lambda: clients.FAR,
    "RestoreTestingPlan": lambda: restore_plan_of(named("stolen")),
    "RestoreTestingSelection": lambda: restore_selection_of(named("stolen")),
    "RoleArn": lambda: f"arn:aws:iam::{OWNER}:role/admin",
    "RoleSessionName": lambda: "stranger",
    "Signature": lambda: b"x" * 64,
    "SigningAlgorithm": lambda: "ECDSA_SHA_256",
    "SnsTopicArn": lambda: f"arn:aws:sns:{HOME}:{OWNER}:topic",
    "SubnetIds": lambda: ["subnet-1", "subnet-2"],
    # Events go where the settings say: there is no subscription without.
    "SubscriptionName": lambda: unique("stolen"),
    "TargetDBClusterParameterGroupDescription": lambda: "mine",
    "TargetDBClusterParameterGroupIdentifier": lambda: unique("stolen"),
    "TargetDBParameterGroupDescription": lambda: "mine",
    "TargetDBParameterGroupIdentifier": lambda: unique("stolen"),
    "Policy": lambda: clients.cross_account_policy(owner=STRANGER),
    "TargetDBClusterSnapshotIdentifier": lambda: unique("stolen"),
    "TagKeyList": lambda: ["team"],
    "Title": lambda: "mine",
    "ValidationStatus": lambda: "SUCCESSFUL",
    "TagKeys": lambda: ["team"],
}
# What makes a call get as far as the resource.
MORE = {
    "CreateDBCluster": {
        "StorageEncrypted": True,
        "MasterUsername": clients.USER,
        "MasterUserPassword": clients.PASSWORD,
    },
    "CreateLegalHold": {"RecoveryPointSelection": {"ResourceIdentifiers": [f"arn:aws:rds:{HOME}:{STRANGER}:cluster:none"]}},
    "DeleteDBCluster": {"SkipFinalSnapshot": True},
    "GenerateDataKey": {"KeySpec": "AES_256"},
    "GenerateDataKeyWithoutPlaintext": {"KeySpec": "AES_256"},
    "GenerateRandom": {"NumberOfBytes": 8},
    "ModifyDBClusterSnapshotAttribute": {"ValuesToAdd": [STRANGER]},
    "RemoveTagsFromResource": {"TagKeys": ["team"]},
    "RestoreDBClusterToPointInTime": {"UseLatestRestorableTime": True},
    # What changes, without the names.
    "UpdateRestoreTestingPlan": {"RestoreTestingPlan": {"StartWindowHours": 1}},
    "UpdateRestoreTestingSelection": {"RestoreTestingSelection": {"ValidationWindowHours": 1}},
}
# Members that name what the call is to make, not what is there.
MADE = {
    "CreateDBCluster": {"DBClusterIdentifier"},
    "CreateDBClusterParameterGroup": {"DBClusterParameterGroupName"},
    "CreateDBClusterSnapshot": {"DBClusterSnapshotIdentifier"},
    "CreateDBInstance": {"DBInstanceIdentifier"},
    "CreateDBParameterGroup": {"DBParameterGroupName"},
    "CreateDBSubnetGroup": {"DBSubnetGroupName"},
    "RestoreDBClusterFromSnapshot": {"DBClusterIdentifier"},
    "RestoreDBClusterToPointInTime": {"DBClusterIdentifier"},
    "CreateAlias": {"AliasName"},
    "CreateBackupVault": {"BackupVaultName"},
}


@pytest.fixture(scope="module")
def owned(closed, sealed, sealed_snapshot):
    """The identifiers of what the owner has: all kinds of resources, with tags and a grant."""
    kms, rds = closed.kms(), closed.rds()
    tags = [{"Key": "team", "Value": "blue"}]
    snapshot = clients.copied(closed, "sealed-snapshot", Tags=tags)
    key = closed.new_key(Tags=[{"TagKey": "team", "TagValue": "blue"}])
    alias = f"alias/{unique('owned')}"
    kms.create_alias(AliasName=alias, TargetKeyId=key)
    grant = kms.create_grant(KeyId=key, GranteePrincipal=clients.PARTNER, Operations=["Decrypt"])
    cluster = rds.describe_db_clusters(DBClusterIdentifier="sealed")["DBClusters"][0]
    home = unique("owned")
    secret = closed.new_cluster(home, MasterUserPassword=None, ManageMasterUserPassword=True)["MasterUserSecret"]["SecretArn"]
    vault = closed.client("backup").create_backup_vault(BackupVaultName=home, BackupVaultTags={"team": "blue"})["BackupVaultArn"]
    backups = backed_up(closed.client("backup"), home, cluster["DBClusterArn"])
    instance = rds.create_db_instance(
        DBInstanceIdentifier=f"{home}-1", DBClusterIdentifier=home, Engine="aurora-postgresql", DBInstanceClass="db.r6g.large"
    )["DBInstance"]
    rds.get_waiter("db_instance_available").wait(
        DBInstanceIdentifier=f"{home}-1", WaiterConfig={"Delay": 0.1, "MaxAttempts": 300}
    )
    family = {"DBParameterGroupFamily": "aurora-postgresql15", "Description": "mine"}
    group = rds.create_db_cluster_parameter_group(DBClusterParameterGroupName=f"{home}-parameters", **family)
    instance_group = rds.create_db_parameter_group(DBParameterGroupName=f"{home}-instances", **family)
    rds.create_db_subnet_group(
        DBSubnetGroupName=f"{home}-subnets", DBSubnetGroupDescription="mine", SubnetIds=["subnet-1", "subnet-2"]
    )
    yield {
        "instance": instance["DBInstanceIdentifier"],
        "instance_arn": instance["DBInstanceArn"],
        "parameters": f"{home}-parameters",
        "parameters_arn": group["DBClusterParameterGroup"]["DBClusterParameterGroupArn"],
        "instance_parameters": f"{home}-instances",
        "instance_parameters_arn": instance_group["DBParameterGroup"]["DBParameterGroupArn"],
        "subnets": f"{home}-subnets",
        "cluster": "sealed",
        "cluster_arn": cluster["DBClusterArn"],
        "resource": cluster["DbClusterResourceId"],
        "snapshot": snapshot["DBClusterSnapshotIdentifier"],
        "snapshot_arn": snapshot["DBClusterSnapshotArn"],
        "key": key,
        "key_id": key.rpartition("/")[2],
        "alias": alias,
        "alias_arn": f"arn:aws:kms:{HOME}:{OWNER}:{alias}",
        "blob": kms.encrypt(KeyId=key, Plaintext=b"x")["CiphertextBlob"],
        "grant": grant["GrantId"],
        "token": grant["GrantToken"],
        "vault": home,
        "vault_arn": vault,
        "secret": secret.rpartition(":secret:")[2][:-7],
        "secret_arn": secret,
    } | backups
    forget(closed.client("backup"), home, backups)
    rds.delete_db_cluster(DBClusterIdentifier=f"{home}-back", SkipFinalSnapshot=True)
    clients.wait_cluster_gone(rds, f"{home}-back")


def backed_up(backup, vault, resource):
    """What AWS Backup makes of a cluster: a recovery point, jobs of all kinds, a plan and its selection."""
    job = ended(backup, start(backup, vault, {"DBClusterArn": resource}))
    point = job["RecoveryPointArn"]
    other = backup.create_backup_vault(BackupVaultName=f"{vault}-other")["BackupVaultArn"]
    copied_by = copied(backup, copy(backup, job, other))
    metadata = backup.get_recovery_point_restore_metadata(BackupVaultName=vault, RecoveryPointArn=point)["RestoreMetadata"]
    metadata["DBClusterIdentifier"] = f"{vault}-back"
    restore = backup.start_restore_job(RecoveryPointArn=point, Metadata=metadata, IamRoleArn=ROLE)["RestoreJobId"]
    restored(backup, restore)
    plan = backup.create_backup_plan(BackupPlan=plan_of(vault))
    selection = {"SelectionName": "all", "IamRoleArn": ROLE, "Resources": [resource]}
    selected = backup.create_backup_selection(BackupPlanId=plan["BackupPlanId"], BackupSelection=selection)
    testing, chosen = named("ours"), named("chosen")
    backup.create_restore_testing_plan(RestoreTestingPlan=restore_plan_of(testing))
    backup.create_restore_testing_selection(RestoreTestingPlanName=testing, RestoreTestingSelection=restore_selection_of(chosen))
    return {
        "testing_plan": testing,
        "testing_selection": chosen,
        "backup_job": job["BackupJobId"],
        "copy_job": copied_by["CopyJobId"],
        "restore_job": restore,
        "point": point,
        "plan": plan["BackupPlanId"],
        "plan_arn": plan["BackupPlanArn"],
        "selection": selected["SelectionId"],
        "hold": backup.create_legal_hold(Title="ours", Description="ours", RecoveryPointSelection={
            "VaultNames": [vault]})["LegalHoldId"],
    }


def forget(backup, vault, made):
    """Takes away what only AWS Backup may."""
    backup.cancel_legal_hold(LegalHoldId=made["hold"], CancelDescription="over", RetainRecordInDays=0)
    backup.delete_backup_selection(BackupPlanId=made["plan"], SelectionId=made["selection"])
    backup.delete_backup_plan(BackupPlanId=made["plan"])
    testing = {"RestoreTestingPlanName": made["testing_plan"]}
    backup.delete_restore_testing_selection(**testing, RestoreTestingSelectionName=made["testing_selection"])
    backup.delete_restore_testing_plan(**testing)
    for name in (vault, f"{vault}-other"):
        for row in points(backup, name):
            backup.delete_recovery_point(BackupVaultName=name, RecoveryPointArn=row["RecoveryPointArn"])


@pytest.fixture(scope="module")
def ghosts(closed, owned):
    """Identifiers of the same forms, of nothing: none was ever there, or it is gone."""
    kms = closed.kms()
    absent = f"{owned['snapshot']}-ghost"
    no_alias = f"{owned['alias']}-ghost"
    key_id = "00000000-0000-4000-8000-000000000000"
    key = f"arn:aws:kms:{HOME}:{OWNER}:key/{key_id}"
    gone = kms.create_grant(KeyId=owned["key"], GranteePrincipal=clients.PARTNER, Operations=["Decrypt"])
    kms.revoke_grant(KeyId=owned["key"], GrantId=gone["GrantId"])
    numbered = enumerate(("plan", "selection", "backup_job", "copy_job", "restore_job", "hold"), 1)
    jobs = {name: f"{key_id[:-1]}{number}" for number, name in numbered}
    new = ("instance", "parameters", "instance_parameters", "subnets", "vault", "testing_plan", "testing_selection")
    return {name: f"{what}-ghost" for name, what in owned.items() if name.removesuffix("_arn") in new} | {
        "cluster": "sealed-ghost",
        "cluster_arn": f"{owned['cluster_arn']}-ghost",
        "resource": f"{owned['resource'][:-5]}GHOST",
        "snapshot": absent,
        "snapshot_arn": f"{owned['snapshot_arn']}-ghost",
        "key": key,
        "key_id": key_id,
        "alias": no_alias,
        "alias_arn": f"{owned['alias_arn']}-ghost",
        "blob": owned["blob"].replace(owned["key_id"].encode(), key_id.encode()),
        "grant": gone["GrantId"],
        "token": gone["GrantToken"],
        "secret": f"{owned['secret'][:-5]}ghost",
        "secret_arn": f"{owned['secret_arn'][:-12]}ghost-AbCdEf",
        "point": f"{owned['point'][:-12]}{'0' * 12}",
    } | jobs | {"plan_arn": owned["plan_arn"].replace(owned["plan"], jobs["plan"])}


def actions(binary):
    """(api, action) of all of AWS's that is implemented; our own, which no client has a model of, ask as strangers in their tests."""
    text = running.subprocess.check_output([binary, "actions", "--format", "json"])
    return [(row["api"], row["action"]) for row in json.loads(text) if row["api"] != contract.OWN]


def calls(model, ids):
    """Arguments for an action: what it requires, and one by one what else names a resource."""
    shape = model.input_shape
    members = dict(shape.members) if shape else {}
    made = MADE.get(model.name, set())

    def value(name, form=0):
        if name in made:
            return ("alias/" if name == "AliasName" else "") + unique("stolen")
        if name in NAMES:
            forms = NAMES[name]
            found = ids[forms[form % len(forms)]]
            return [found] if members[name].type_name == "list" else found
        if name == "Tags" and members[name].type_name == "map":
            return {"a": "b"}
        if name == "Tags":
            pair = {"TagKey": "a", "TagValue": "b"} if model.service_model.service_name == "kms" else {"Key": "a"}
            return [pair]
        assert name in FILL, f"{model.name} requires {name}: say in FILL what it is to get"
        return FILL[name]()

    required = list(shape.required_members) if shape else []
    naming = [name for name in members if name in NAMES and name not in made]
    more = {name: what for name, what in MORE.get(model.name, {}).items() if name in members}
    for form in range(4):
        given = {name: value(name, form) for name in required} | more
        if model.name not in ("CreateDBCluster",):
            yield given
        for name in naming:
            if name not in required:
                yield given | {name: value(name, form)}
    if {"GrantId", "KeyId"} <= set(members) and "KeyId" not in required:
        yield {"KeyId": ids["key"], "GrantId": ids["grant"]}


def outcome(client, action, arguments, ids):
    """What the caller learns, with the identifiers that it gave itself made alike."""
    try:
        answer = getattr(client, botocore.xform_name(action))(**arguments)
    except botocore.exceptions.ClientError as error:
        answer = {"FailedResourcesMap": {"": error.response["Error"]}}
    if answer.get("FailedResourcesMap"):
        said = repr(answer["FailedResourcesMap"])
        for name in sorted(ids, key=lambda name: -len(ids[name])):
            if isinstance(ids[name], str):
                said = said.replace(ids[name], f"<{name}>")
        return said
    del answer["ResponseMetadata"]
    return answer


def everything(closed, owned):
    """All that the owner can see of its own."""
    rds, kms = closed.rds(), closed.kms()
    tags = [rds.list_tags_for_resource(ResourceName=owned[name]) for name in ("snapshot_arn", "cluster_arn")]
    seen = [
        rds.describe_db_clusters(),
        rds.describe_db_instances(),
        rds.describe_db_subnet_groups(),
        rds.describe_db_cluster_parameter_groups(),
        rds.describe_db_parameter_groups(),
        closed.client("backup").list_backup_vaults(),
        *[closed.client("backup").list_tags(ResourceArn=owned[name]) for name in ("vault_arn", "plan_arn", "point")],
        closed.client("backup").list_backup_plans(),
        closed.client("backup").get_backup_plan(BackupPlanId=owned["plan"]),
        closed.client("backup").list_backup_selections(BackupPlanId=owned["plan"]),
        closed.client("backup").list_recovery_points_by_backup_vault(BackupVaultName=owned["vault"]),
        closed.client("backup").list_backup_jobs(),
        closed.client("backup").list_copy_jobs(),
        closed.client("backup").list_restore_jobs(),
        closed.client("backup").list_protected_resources(),
        closed.client("backup").describe_region_settings(),
        closed.client("backup").describe_global_settings(),
        closed.client("backup").list_legal_holds(),
        closed.client("backup").get_restore_testing_plan(RestoreTestingPlanName=owned["testing_plan"]),
        closed.client("backup").list_restore_testing_selections(RestoreTestingPlanName=owned["testing_plan"]),
        closed.client("backup").get_legal_hold(LegalHoldId=owned["hold"]),
        closed.client("secretsmanager").list_secrets(),
        rds.describe_db_cluster_parameters(DBClusterParameterGroupName=owned["parameters"], Source="user"),
        rds.describe_db_cluster_snapshots(),
        rds.describe_db_cluster_snapshot_attributes(DBClusterSnapshotIdentifier=owned["snapshot"]),
        *tags,
        kms.list_keys(Limit=1_000),
        kms.list_aliases(Limit=1_000),
        kms.describe_key(KeyId=owned["key"]),
        kms.get_key_policy(KeyId=owned["key"], PolicyName="default"),
        kms.list_grants(KeyId=owned["key"]),
        kms.list_resource_tags(KeyId=owned["key"]),
        kms.get_key_rotation_status(KeyId=owned["key"]),
    ]
    for answer in seen:
        del answer["ResponseMetadata"]
    return seen


def test_a_foreign_account_reaches_nothing(closed, binary, owned, ghosts):
    before = everything(closed, owned)
    walked = 0
    for api, action in actions(binary):
        client = closed.client(api, account=STRANGER)
        model = client.meta.service_model.operation_model(action)
        pairs = zip(calls(model, owned), calls(model, ghosts), strict=True)
        for real, ghost in pairs:
            where = f"{action} {real}"
            learnt = outcome(client, action, real, owned)
            told = repr(learnt)
            if isinstance(learnt, str):
                # What is there and what is not must look the same.
                for given in real.values():
                    told = told.replace(given, "<given>") if isinstance(given, str) else told
                absent = outcome(client, action, ghost, ghosts)
                strip = str.maketrans("", "", "0123456789")
                assert isinstance(absent, str), f"{where}: refused, but of nothing it is {absent}"
                assert learnt.translate(strip) == absent.translate(strip), where
            if action == "LookupEvents" and isinstance(learnt, dict):
                # A stranger's own records have what it asked for itself, and nobody else's are among them.
                records = [json.loads(event["CloudTrailEvent"]) for event in learnt["Events"]]
                assert {one["recipientAccountId"] for one in records} <= {STRANGER}, where
                continue
            for name in ("cluster_arn", "resource", "snapshot_arn", "instance_arn", "parameters_arn", "key", "key_id", "token", "secret_arn", "point", "plan"):
                assert owned[name] not in told, f"{where} told the owner's {name}: {told}"
            walked += 1
    assert walked > 150
    assert everything(closed, owned) == before
