"""Every request member of the actions that make or change clusters is applied, recorded or refused, as the table says."""
import pytest

import clients
import contract
from clients import PASSWORD, USER, refused, unique

FATES = ("applied", "recorded", "refused")
TABLE = contract.DECIDED["members"]
NEW = {"Engine": "aurora-postgresql", "MasterUsername": USER, "MasterUserPassword": PASSWORD}
# Who changes while nobody asks.
PASSING = ("Status", "PercentProgress", "Endpoint", "ReaderEndpoint", "Port")

# A value of each recorded member that is not the default, another to change it to, and how it is answered.
RECORDED = {
    "AllocatedStorage": (120, 150),
    "AutoMinorVersionUpgrade": (False, True),
    "AvailabilityZones": (["us-east-1c", "us-east-1d"], None),
    "BackupRetentionPeriod": (9, 11),
    "CACertificateIdentifier": (
        "rds-ca-rsa4096-g1", "rds-ca-ecc384-g1", lambda cluster: cluster["CertificateDetails"]["CAIdentifier"],
    ),
    "CloudwatchLogsExportConfiguration": (
        None, {"EnableLogTypes": ["instance"], "DisableLogTypes": ["upgrade"]},
        lambda cluster: {
            "EnableLogTypes": [kind for kind in cluster["EnabledCloudwatchLogsExports"] if kind != "postgresql"],
            "DisableLogTypes": ["upgrade"] if "upgrade" not in cluster["EnabledCloudwatchLogsExports"] else [],
        },
    ),
    "DBClusterInstanceClass": ("db.r6gd.large", "db.r6gd.xlarge"),
    "DBClusterParameterGroupName": ("blue", "green", lambda cluster: cluster["DBClusterParameterGroup"]),
    "DBSubnetGroupName": ("blue", None, lambda cluster: cluster["DBSubnetGroup"]),
    "DatabaseInsightsMode": ("advanced", "standard"),
    "DatabaseName": ("shop", None),
    "EnableCloudwatchLogsExports": (
        ["postgresql", "upgrade"], None, lambda cluster: cluster["EnabledCloudwatchLogsExports"],
    ),
    "EnablePerformanceInsights": (True, False, lambda cluster: cluster["PerformanceInsightsEnabled"]),
    "EngineLifecycleSupport": ("open-source-rds-extended-support-disabled", None),
    "Iops": (3000, 4000),
    "MonitoringInterval": (30, 60),
    "MonitoringRoleArn": ("arn:aws:iam::000000000000:role/watch", "arn:aws:iam::000000000000:role/see"),
    "NetworkType": ("DUAL", "IPV4"),
    "PerformanceInsightsKMSKeyId": ("alias/insights", "alias/others"),
    "PerformanceInsightsRetentionPeriod": (93, 731),
    "PreferredBackupWindow": ("03:00-04:00", "05:00-06:00"),
    "PreferredMaintenanceWindow": ("sun:07:00-sun:07:30", "mon:01:00-mon:02:00"),
    "PubliclyAccessible": (True, None),
    "StorageType": ("aurora-iopt1", "aurora"),
    "VpcSecurityGroupIds": (
        ["sg-1", "sg-2"], ["sg-3"], lambda cluster: [one["VpcSecurityGroupId"] for one in cluster["VpcSecurityGroups"]],
    ),
}

REFUSED = {
    "AwsBackupRecoveryPointArn": "arn:aws:backup:us-east-1:000000000000:recovery-point:0000-0000-0000-0000",
    "BacktrackWindow": 3600,
    "CharacterSetName": "LATIN1",
    "ClusterScalabilityType": "limitless",
    "DBInstanceParameterGroupName": "blue",
    "DBSystemId": "x",
    "Domain": "d-1234567890",
    "DomainIAMRoleName": "directory",
    "EnableGlobalWriteForwarding": True,
    "EnableHttpEndpoint": True,
    "EnableIAMDatabaseAuthentication": True,
    "EnableInternetAccessGateway": True,
    "EnableLimitlessDatabase": True,
    "EnableLocalWriteForwarding": True,
    "EnableVPCNetworking": True,
    "GlobalClusterIdentifier": "world",
    "MasterUserAuthenticationType": "iam-db-auth",
    "OptionGroupName": "mine",
    "RdsCustomClusterConfiguration": {"InterconnectSubnetId": "subnet-1"},
    "ReplicationSourceIdentifier": "arn:aws:rds:eu-west-1:000000000000:cluster:other",
    "ScalingConfiguration": {"MinCapacity": 2},
    "ServerlessV2ScalingConfiguration": {"MinCapacity": 0.5, "MaxCapacity": 2},
    "TagSpecifications": [{"ResourceType": "auto-backup", "Tags": [{"Key": "a", "Value": "b"}]}],
    "WithExpressConfiguration": True,
}


def sent(action, which):
    """The recorded members of an action that it is sent, with values."""
    values = {member: RECORDED[member][which] for member in TABLE[action]["recorded"]}
    return {member: value for member, value in values.items() if value is not None}


def shown(cluster, member):
    """What an answer says of a member."""
    return RECORDED[member][2](cluster) if len(RECORDED[member]) > 2 else cluster[member]


def lasting(cluster):
    """What a second look must find again."""
    return {key: value for key, value in cluster.items() if key not in PASSING}


def assert_recorded(rds, made, asked):
    """What was asked for is in the answer, and in two looks that are equal."""
    assert {member: shown(made, member) for member in asked} == asked
    first, second = (clients.wait_cluster(rds, made["DBClusterIdentifier"]) for _ in range(2))
    assert lasting(first) == lasting(made) and first == second


def new_groups(rds):
    """The groups that are named, where groups are more than names."""
    for kind, more in (("DBSubnetGroup", {"SubnetIds": ["subnet-1", "subnet-2"]}), ("DBClusterParameterGroup", {})):
        if ("rds", f"Create{kind}") not in contract.operations():
            continue
        for name in ("blue", "green"):
            words = {f"{kind}Name": name, f"{kind}Description": name, "Description": name, **more}
            words["DBParameterGroupFamily"] = "aurora-postgresql15"
            members = contract.model("rds").operation_model(f"Create{kind}").input_shape.members
            getattr(rds, {"DBSubnetGroup": "create_db_subnet_group"}.get(kind, "create_db_cluster_parameter_group"))(
                **{member: value for member, value in words.items() if member in members}
            )


@pytest.mark.parametrize("action", TABLE)
def test_every_member_of_the_model_has_its_fate(action):
    assert set(TABLE[action]) == set(FATES)
    said = [member for fate in FATES for member in TABLE[action][fate]]
    passed_over = {
        member for row in contract.DECIDED["ignored"] if action in row["actions"] for member in row["members"]
    }
    members = contract.model("rds").operation_model(action).input_shape.members
    assert len(said) == len(set(said)) and set(said) | passed_over >= set(members)
    assert set(said) <= set(members) and not set(said) & passed_over


def test_what_is_recorded_comes_back(deploy):
    rds = deploy().rds()
    new_groups(rds)
    asked = sent("CreateDBCluster", 0)
    made = rds.create_db_cluster(DBClusterIdentifier="all", **NEW, **asked)["DBCluster"]
    assert_recorded(rds, made, asked)

    asked = sent("ModifyDBCluster", 1)
    made = rds.modify_db_cluster(DBClusterIdentifier="all", ApplyImmediately=True, **asked)["DBCluster"]
    assert_recorded(rds, made, asked)
    assert made["EnabledCloudwatchLogsExports"] == ["instance", "postgresql"]

    rds.create_db_cluster_snapshot(DBClusterSnapshotIdentifier="of-all", DBClusterIdentifier="all")
    snapshot = clients.wait_snapshot(rds, "of-all")
    assert snapshot["StorageType"] == "aurora" and snapshot["VpcId"].startswith("vpc-")
    asked = sent("RestoreDBClusterFromSnapshot", 0)
    made = rds.restore_db_cluster_from_snapshot(
        DBClusterIdentifier="again", SnapshotIdentifier="of-all", Engine="aurora-postgresql", **asked
    )["DBCluster"]
    assert_recorded(rds, made, asked)


def test_what_nobody_chose_is_answered_as_by_amazon(closed, plain):
    """No null where AWS always says something, and nothing that is not true."""
    cluster = clients.cluster_of(closed.rds(), "plain")
    series = cluster["EngineVersion"].partition(".")[0]
    expected = {
        "DBClusterParameterGroup": f"default.aurora-postgresql{series}",
        "DBSubnetGroup": "default",
        "VpcSecurityGroups": [],
        "ReadReplicaIdentifiers": [],
        "AssociatedRoles": [],
        "DomainMemberships": [],
        "HttpEndpointEnabled": False,
        "CrossAccountClone": False,
        "ActivityStreamStatus": "stopped",
        "NetworkType": "IPV4",
        "StorageType": "aurora",
        "AutoMinorVersionUpgrade": True,
        "BacktrackWindow": 0,
        "EngineLifecycleSupport": "open-source-rds-extended-support",
        "DatabaseInsightsMode": "standard",
        "LocalWriteForwardingStatus": "disabled",
    }
    assert {member: cluster[member] for member in expected} == expected
    assert cluster["HostedZoneId"] and len(cluster["AvailabilityZones"]) == 3
    assert cluster["PreferredMaintenanceWindow"] == cluster["PreferredMaintenanceWindow"].lower()
    # This deployment keeps no backups.
    assert "EarliestRestorableTime" not in cluster and "LatestRestorableTime" not in cluster
    assert "PendingModifiedValues" not in cluster


@pytest.mark.parametrize("action", [action for action in TABLE if TABLE[action]["refused"]])
def test_what_cannot_be_had_is_refused_by_name(closed, plain, plain_snapshot, action):
    rds = closed.rds()
    call, base = {
        "CreateDBCluster": (rds.create_db_cluster, {"DBClusterIdentifier": "refused", **NEW}),
        "ModifyDBCluster": (rds.modify_db_cluster, {"DBClusterIdentifier": "plain"}),
        "RestoreDBClusterFromSnapshot": (rds.restore_db_cluster_from_snapshot, {
            "DBClusterIdentifier": "refused", "SnapshotIdentifier": "plain-snapshot", "Engine": "aurora-postgresql",
        }),
        "RestoreDBClusterToPointInTime": (rds.restore_db_cluster_to_point_in_time, {
            "DBClusterIdentifier": "refused", "SourceDBClusterIdentifier": "plain", "UseLatestRestorableTime": True,
        }),
    }[action]
    for member in TABLE[action]["refused"]:
        said = refused("InvalidParameterCombination", call, **base, **{member: REFUSED[member]})
        assert said.startswith(f"{member} is not supported here: "), said


@pytest.mark.parametrize(("change", "says"), [
    ({"PreferredMaintenanceWindow": "sun:07:00"}, "ddd:hh24:mi-ddd:hh24:mi"),
    ({"PreferredMaintenanceWindow": "sun:07:00-sun:07:29"}, "at least 30 minutes"),
    ({"StorageType": "gp3"}, "Invalid value gp3 for StorageType"),
    ({"NetworkType": "ipv6"}, "Invalid value ipv6 for NetworkType"),
    ({"EngineLifecycleSupport": "for-ever"}, "for EngineLifecycleSupport"),
])
def test_values_out_of_their_rules(closed, change, says):
    said = refused("InvalidParameterValue", closed.rds().create_db_cluster, DBClusterIdentifier="wrong", **NEW, **change)
    assert says in said


def test_windows_must_not_meet(closed):
    said = "The backup window and maintenance window must not overlap."
    both = {"PreferredBackupWindow": "23:45-00:15", "PreferredMaintenanceWindow": "Mon:00:00-mon:01:00"}
    refused(
        "InvalidParameterValue", closed.rds().create_db_cluster, said, DBClusterIdentifier="wrong", **NEW, **both
    )


def test_a_drawn_window_makes_way_for_a_given_one(closed):
    rds, name = closed.rds(), unique("windows")
    made = rds.create_db_cluster(
        DBClusterIdentifier=name, PreferredMaintenanceWindow="Mon:00:00-Mon:23:30", **NEW
    )["DBCluster"]
    assert made["PreferredMaintenanceWindow"] == "mon:00:00-mon:23:30"
    assert made["PreferredBackupWindow"] == "23:30-00:00"
    clients.wait_cluster(rds, name)
    rds.delete_db_cluster(DBClusterIdentifier=name, SkipFinalSnapshot=True)
