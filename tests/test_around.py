"""What tools ask for around clusters: engine versions, classes, certificates, and lists of what is not here."""
import datetime
import hashlib
import re
import ssl

import pytest

from clients import OWNER, refused

NONE = {
    "describe_export_tasks": ("ExportTasks", {"ExportTaskIdentifier": "ExportTaskNotFound"}),
    "describe_db_snapshots": ("DBSnapshots", {"DBSnapshotIdentifier": "DBSnapshotNotFound"}),
    "describe_db_proxies": ("DBProxies", {"DBProxyName": "DBProxyNotFoundFault"}),
    "describe_db_proxy_endpoints": ("DBProxyEndpoints", {
        "DBProxyName": "DBProxyNotFoundFault", "DBProxyEndpointName": "DBProxyEndpointNotFoundFault",
    }),
    "describe_reserved_db_instances": ("ReservedDBInstances", {"ReservedDBInstanceId": "ReservedDBInstanceNotFound"}),
    "describe_reserved_db_instances_offerings": ("ReservedDBInstancesOfferings", {
        "ReservedDBInstancesOfferingId": "ReservedDBInstancesOfferingNotFound",
    }),
    "describe_db_instance_automated_backups": ("DBInstanceAutomatedBackups", {
        "DbiResourceId": "DBInstanceAutomatedBackupNotFound",
        "DBInstanceAutomatedBackupsArn": "DBInstanceAutomatedBackupNotFound",
    }),
    "describe_option_groups": ("OptionGroupsList", {"OptionGroupName": "OptionGroupNotFoundFault"}),
    "describe_db_security_groups": ("DBSecurityGroups", {"DBSecurityGroupName": "DBSecurityGroupNotFound"}),
    "describe_blue_green_deployments": ("BlueGreenDeployments", {
        "BlueGreenDeploymentIdentifier": "BlueGreenDeploymentNotFoundFault",
    }),
    "describe_integrations": ("Integrations", {"IntegrationIdentifier": "IntegrationNotFoundFault"}),
    "describe_db_shard_groups": ("DBShardGroups", {"DBShardGroupIdentifier": "DBShardGroupNotFound"}),
}


@pytest.mark.parametrize("action", NONE)
def test_what_is_not_here_is_an_empty_list(closed, action):
    call = getattr(closed.rds(), action)
    found, members = NONE[action]
    assert call()[found] == []
    for member, code in members.items():
        assert "nothing-here" in refused(code, call, status=404, **{member: "nothing-here"})
    refused("InvalidParameterValue", call, Filters=[{"Name": "no-such-filter", "Values": ["x"]}])
    refused("InvalidParameterValue", call, MaxRecords=101)


def test_nothing_is_ever_pending(closed, plain):
    call = closed.rds().describe_pending_maintenance_actions
    assert call()["PendingMaintenanceActions"] == []
    assert call(ResourceIdentifier=plain["DBClusterArn"])["PendingMaintenanceActions"] == []
    missing = f"arn:aws:rds:us-east-1:{OWNER}:cluster:nothing-here"
    refused("ResourceNotFoundFault", call, status=404, ResourceIdentifier=missing)


def test_engine_versions_are_those_that_are_installed(closed, plain):
    rds = closed.rds()
    versions = rds.describe_db_engine_versions()["DBEngineVersions"]
    installed = {one["Engine"] for one in versions}
    assert {"aurora-postgresql", "postgres"} <= installed <= {"aurora-postgresql", "postgres", "aurora-mysql", "mysql"}
    versions = [one for one in versions if "postgres" in one["Engine"]]
    assert plain["EngineVersion"] in {one["EngineVersion"] for one in versions}
    for one in versions:
        major = one["EngineVersion"].partition(".")[0]
        assert one["MajorEngineVersion"] == major
        assert one["DBParameterGroupFamily"] == f"{one['Engine']}{major}"
        assert one["Status"] == "available" and one["SupportedEngineModes"] == ["provisioned"]
        assert all(target["EngineVersion"].startswith(f"{major}.") for target in one["ValidUpgradeTarget"])
    (default,) = rds.describe_db_engine_versions(Engine="aurora-postgresql", DefaultOnly=True)["DBEngineVersions"]
    assert "SupportedCharacterSets" not in default
    made = rds.describe_db_clusters(DBClusterIdentifier="plain")["DBClusters"][0]
    assert made["EngineVersion"] == default["EngineVersion"], "new clusters get the default"
    (asked,) = rds.describe_db_engine_versions(
        DBParameterGroupFamily=default["DBParameterGroupFamily"], EngineVersion=default["EngineVersion"],
        ListSupportedCharacterSets=True, ListSupportedTimezones=True,
    )["DBEngineVersions"]
    assert asked["SupportedCharacterSets"] == asked["SupportedTimezones"] == []
    by = {"engine": "postgres", "engine-mode": "provisioned", "status": "available", "engine-version": default["MajorEngineVersion"]}
    filters = [{"Name": name, "Values": [value]} for name, value in by.items()]
    found = rds.describe_db_engine_versions(Filters=filters)["DBEngineVersions"]
    assert {one["Engine"] for one in found} == {"postgres"}
    assert rds.describe_db_engine_versions(Engine="oracle-se2")["DBEngineVersions"] == []
    assert rds.describe_db_engine_versions(EngineVersion="9.6")["DBEngineVersions"] == []


def test_orderable_options_are_classes_of_installed_versions(closed):
    rds = closed.rds()
    (default,) = rds.describe_db_engine_versions(Engine="postgres", DefaultOnly=True)["DBEngineVersions"]
    pages = rds.get_paginator("describe_orderable_db_instance_options").paginate(
        Engine="postgres", EngineVersion=default["EngineVersion"], PaginationConfig={"PageSize": 20})
    options = [option for page in pages for option in page["OrderableDBInstanceOptions"]]
    classes = [option["DBInstanceClass"] for option in options]
    assert len(classes) == len(set(classes)) and "db.m5d.large" in classes
    assert all(option["SupportsClusters"] and option["MultiAZCapable"] for option in options)
    assert [zone["Name"] for zone in options[0]["AvailabilityZones"]] == ["us-east-1a", "us-east-1b", "us-east-1c"]
    found = rds.describe_orderable_db_instance_options(
        Engine="aurora-postgresql", DBInstanceClass="db.r6g.large", LicenseModel="postgresql-license", Vpc=True,
        AvailabilityZoneGroup="us-east-1")["OrderableDBInstanceOptions"]
    assert {option["EngineVersion"].partition(".")[0] for option in found} >= {default["MajorEngineVersion"]}
    assert rds.describe_orderable_db_instance_options(Engine="postgres", Vpc=False)["OrderableDBInstanceOptions"] == []
    refused("InvalidParameterValue", rds.describe_orderable_db_instance_options, Engine="oracle-se2")


def test_the_certificate_is_the_deployments_authority(closed, plain):
    rds = closed.rds()
    answer = rds.describe_certificates()
    (shown,) = answer["Certificates"]
    der = ssl.PEM_cert_to_DER_cert(closed.server.run("ca", "export"))
    assert shown["Thumbprint"] == hashlib.sha1(der).hexdigest()
    assert shown["CertificateType"] == "CA" and shown["CustomerOverride"] is False
    assert answer["DefaultCertificateForNewLaunches"] == shown["CertificateIdentifier"]
    assert re.fullmatch(r"arn:aws:rds:us-east-1::cert:[a-z-]+", shown["CertificateArn"])
    now = datetime.datetime.now(datetime.timezone.utc)
    assert shown["ValidFrom"] < now < shown["ValidTill"]
    assert 19 < (shown["ValidTill"] - now).days / 365 < 21
    assert rds.describe_certificates(CertificateIdentifier=shown["CertificateIdentifier"])["Certificates"] == [shown]
    refused("CertificateNotFound", rds.describe_certificates, status=404, CertificateIdentifier="rds-ca-2019")
