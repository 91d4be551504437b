"""ModifyDBCluster, StopDBCluster, StartDBCluster, RebootDBCluster, roles and endpoints: a cluster's server is changed and goes on."""
import contextlib
import datetime
import json
import re
import sqlite3

import psycopg
import pytest

import clients
from clients import PASSWORD, PARTNER, refused, unique
from snapferry_tools import running

# Only these may ever be seen; Terraform gives up on any other.
STATES = {
    "creating", "available", "stopping", "stopped", "starting", "rebooting", "modifying", "upgrading",
    "resetting-master-credentials", "deleting",
}


@pytest.fixture(scope="module")
def changing(deploy_for_module):
    """A deployment that is stopped and killed. Its leases are short, so that work is taken up soon."""
    return deploy_for_module("--lease-seconds", "3")


def with_rows(deployment, name):
    """A new cluster with a table."""
    made = deployment.new_cluster(name)
    with clients.connect(made) as connection:
        connection.execute("create table kept as select generate_series(1, 100) i")
    return made


@pytest.fixture(scope="module")
def lasting(changing):
    """The name of a cluster that tests leave available, under its name and with its password."""
    return with_rows(changing, "lasting")["DBClusterIdentifier"]


@pytest.fixture
def cluster(changing, lasting):
    """That cluster as it is now."""
    return wait_status(changing.rds(), lasting, "available")


@pytest.fixture
def fresh(changing):
    """A cluster of the test's own."""
    made = with_rows(changing, unique("changing"))
    yield made
    rds = changing.rds()
    with contextlib.suppress(rds.exceptions.ClientError):
        rds.delete_db_cluster(DBClusterIdentifier=made["DBClusterIdentifier"], SkipFinalSnapshot=True)


def wait_status(rds, name, status, seconds=60):
    """Waits until a cluster stands there; on the way it is in no state that RDS does not have."""
    def there():
        found = clients.cluster_of(rds, name)
        assert found["Status"] in STATES
        return found if found["Status"] == status else None

    return running.wait_until(there, seconds, f"cluster {name} is {status}", every=0.05)


def wait_deleted(rds, name):
    """Waits until a cluster is gone, by boto3's own waiter."""
    rds.get_waiter("db_cluster_deleted").wait(
        DBClusterIdentifier=name, WaiterConfig={"Delay": 0.1, "MaxAttempts": 300}
    )


def rows(cluster, **more):
    """How many rows there are."""
    with clients.connect(cluster, **more) as connection:
        return connection.execute("select count(*) from kept").fetchone()[0]


def told(rds, name):
    """What events tell of a cluster."""
    events = rds.describe_events(SourceType="db-cluster", SourceIdentifier=name)["Events"]
    return [event["Message"] for event in events]


def in_catalog(server, name, change):
    """Changes a cluster's record while its server is stopped."""
    with contextlib.closing(sqlite3.connect(server.data / "catalog.sqlite")) as catalog, catalog:
        (body,) = catalog.execute("select body from clusters where name = ?", (name,)).fetchone()
        record = json.loads(body)
        change(record)
        catalog.execute("update clusters set body = ? where name = ?", (json.dumps(record), name))


def test_protection_is_taken_off_and_put_on(changing, fresh):
    rds, name = changing.rds(), fresh["DBClusterIdentifier"]
    for protected in (True, False):
        made = rds.modify_db_cluster(DBClusterIdentifier=name.upper(), DeletionProtection=protected)["DBCluster"]
        assert made["DeletionProtection"] is protected and made["Status"] == "available"
        if protected:
            refused(
                "InvalidParameterCombination", rds.delete_db_cluster, re.compile("disable deletion protection"),
                DBClusterIdentifier=name, SkipFinalSnapshot=True,
            )
    rds.delete_db_cluster(DBClusterIdentifier=name, SkipFinalSnapshot=True)
    wait_deleted(rds, name)


def test_another_password(changing, fresh):
    rds, name = changing.rds(), fresh["DBClusterIdentifier"]
    with clients.connect(fresh) as connection:
        connection.execute(f"alter role {clients.USER} nocreatedb valid until '2001-01-01'")
    made = rds.modify_db_cluster(DBClusterIdentifier=name, MasterUserPassword="battery-staple-9")["DBCluster"]
    assert made["Status"] == "resetting-master-credentials"
    assert made["PendingModifiedValues"] == {"MasterUserPassword": "****"}
    refused(
        "InvalidDBClusterStateFault", rds.modify_db_cluster,
        "DB cluster is not available for modification with status resetting-master-credentials", 400,
        DBClusterIdentifier=name, BackupRetentionPeriod=2,
    )
    after = wait_status(rds, name, "available")
    assert "PendingModifiedValues" not in after
    with clients.connect(after, password="battery-staple-9") as connection:
        # What it had given away it has again.
        rights = connection.execute("select rolcreatedb, rolcreaterole from pg_roles where rolname = current_user")
        assert rights.fetchone() == (True, True)
    with pytest.raises(psycopg.OperationalError):
        clients.connect(after, password=PASSWORD)
    assert "Reset master credentials." in told(rds, name)
    clients.assert_nowhere(changing.server, [b"battery-staple-9"])


@pytest.mark.parametrize("password", ["short", "with/slash-in-it", "x" * 42, ""])
def test_passwords_are_judged_as_at_creation(changing, cluster, password):
    said = refused(
        "InvalidParameterValue", changing.rds().modify_db_cluster,
        DBClusterIdentifier=cluster["DBClusterIdentifier"], MasterUserPassword=password or " ",
    )
    assert "MasterUserPassword" in said


def test_another_name(changing, fresh):
    rds, old, new = changing.rds(), fresh["DBClusterIdentifier"], unique("Renamed")
    changing.new_snapshot(f"{old}-snapshot", old)
    taken = changing.new_cluster(unique("taken"), wait=False)["DBClusterIdentifier"]
    refused(
        "DBClusterAlreadyExistsFault", rds.modify_db_cluster, DBClusterIdentifier=old, NewDBClusterIdentifier=taken,
        ApplyImmediately=True,
    )
    waits = rds.modify_db_cluster(DBClusterIdentifier=old, NewDBClusterIdentifier=new)["DBCluster"]
    assert waits["DBClusterIdentifier"] == old
    assert waits["PendingModifiedValues"] == {"DBClusterIdentifier": new.lower()}
    made = rds.modify_db_cluster(DBClusterIdentifier=old, ApplyImmediately=True)["DBCluster"]
    assert made["DBClusterIdentifier"] == new.lower() and "PendingModifiedValues" not in made
    assert made["DbClusterResourceId"] == fresh["DbClusterResourceId"]
    assert made["DBClusterArn"].endswith(f":cluster:{new.lower()}")
    refused("DBClusterNotFoundFault", rds.describe_db_clusters, status=404, DBClusterIdentifier=old)
    assert rows(clients.cluster_of(rds, new)) == 100
    assert f"Renamed cluster from {old} to {new.lower()}." in told(rds, new)
    # The name is free again, and a snapshot can be taken under the new one.
    changing.new_snapshot(f"{old}-again", new)
    again = changing.new_cluster(old)
    assert again["DbClusterResourceId"] != fresh["DbClusterResourceId"]
    for name in (new, taken):
        clients.wait_cluster(rds, name)
        rds.delete_db_cluster(DBClusterIdentifier=name, SkipFinalSnapshot=True)


def test_another_port(changing, cluster):
    rds, name = changing.rds(), cluster["DBClusterIdentifier"]
    port = 15_432 if cluster["Port"] != 15_432 else 15_433
    made = rds.modify_db_cluster(DBClusterIdentifier=name, Port=port, ApplyImmediately=True)["DBCluster"]
    assert made["Status"] == "modifying"
    after = wait_status(rds, name, "available")
    assert (after["Endpoint"], after["Port"]) == (cluster["Endpoint"], port)
    assert rows(after) == 100
    with pytest.raises(psycopg.OperationalError):
        clients.connect(cluster)
    assert f"DB cluster has another port: {port} instead of {cluster['Port']}." in told(rds, name)
    # Another cluster may have the old one, and the moved one goes on where it is after a crash.
    changing.server.kill()
    changing.server.start()
    assert wait_status(changing.rds(), name, "available")["Port"] == port
    assert rows(after) == 100


def test_what_waits_is_done_by_a_restart(changing, cluster):
    rds, name = changing.rds(), cluster["DBClusterIdentifier"]
    rds.modify_db_cluster(DBClusterIdentifier=name, Port=15_441)
    assert clients.cluster_of(rds, name)["Port"] == cluster["Port"]
    assert rds.reboot_db_cluster(DBClusterIdentifier=name)["DBCluster"]["Status"] == "rebooting"
    after = wait_status(rds, name, "available")
    assert after["Port"] == 15_441 and rows(after) == 100
    assert "DB cluster restarted." in told(rds, name)


def test_what_waits_is_done_in_the_maintenance_window(changing, fresh):
    rds, old, new = changing.rds(), fresh["DBClusterIdentifier"], unique("in-its-window")
    now = datetime.datetime.now(datetime.UTC)
    begin, end, later = (now + datetime.timedelta(minutes=minutes) for minutes in (-20, 20, 120))
    form = "%a:%H:%M"
    window = f"{begin.strftime(form)}-{end.strftime(form)}"
    apart = f"{later.strftime('%H:%M')}-{(later + datetime.timedelta(hours=1)).strftime('%H:%M')}"
    rds.modify_db_cluster(DBClusterIdentifier=old, Port=15_442, NewDBClusterIdentifier=new)
    assert clients.cluster_of(rds, old)["Port"] == fresh["Port"]
    made = rds.modify_db_cluster(
        DBClusterIdentifier=old, PreferredMaintenanceWindow=window, PreferredBackupWindow=apart
    )["DBCluster"]
    assert made["PreferredMaintenanceWindow"] == window.lower()
    # The next look comes with the next start.
    changing.server.stop()
    changing.server.start()
    rds = changing.rds()

    def changed():
        found = [one for one in rds.describe_db_clusters()["DBClusters"] if one["DBClusterIdentifier"] == new]
        return found if found and found[0]["Port"] == 15_442 else None

    running.wait_until(changed, 60, "the cluster has its new name and port")
    after = wait_status(rds, new, "available")
    assert rows(after) == 100 and "PendingModifiedValues" not in after
    changing.rds().delete_db_cluster(DBClusterIdentifier=new, SkipFinalSnapshot=True)


def test_versions(changing, cluster):
    rds, name, version = changing.rds(), cluster["DBClusterIdentifier"], cluster["EngineVersion"]
    series = version.partition(".")[0]
    for same in (version, series):
        made = rds.modify_db_cluster(DBClusterIdentifier=name, EngineVersion=same, ApplyImmediately=True)["DBCluster"]
        assert made["Status"] == "available" and "PendingModifiedValues" not in made
    for asked, allow, says in (
        (f"{series}.999", False, f"Cannot find version {series}.999 for aurora-postgresql. Installed here: "),
        (f"{series}.1", False, f"Cannot upgrade aurora-postgresql from {version} to {series}.1"),
        ("99.1", False, "The AllowMajorVersionUpgrade flag must be present"),
        ("99.1", True, f"Cannot upgrade aurora-postgresql from {version} to 99.1"),
    ):
        said = refused(
            "InvalidParameterCombination", rds.modify_db_cluster, DBClusterIdentifier=name, EngineVersion=asked,
            AllowMajorVersionUpgrade=allow,
        )
        assert said.startswith(says), said


def test_an_upgrade_of_the_machines_postgresql_is_taken(changing, cluster):
    """The record says an older minor version, as after an upgrade of the packages."""
    name, version = cluster["DBClusterIdentifier"], cluster["EngineVersion"]
    older = f"{version.partition('.')[0]}.0"
    changing.server.stop()
    in_catalog(changing.server, name, lambda record: record.update(engine_version=older))
    changing.server.start()
    rds = changing.rds()
    assert wait_status(rds, name, "available")["EngineVersion"] == older
    made = rds.modify_db_cluster(DBClusterIdentifier=name, EngineVersion=version)["DBCluster"]
    assert made["PendingModifiedValues"] == {"EngineVersion": version}
    made = rds.modify_db_cluster(DBClusterIdentifier=name, ApplyImmediately=True)["DBCluster"]
    assert made["Status"] == "upgrading"
    after = wait_status(rds, name, "available")
    assert after["EngineVersion"] == version and "PendingModifiedValues" not in after
    assert "Database cluster engine version has been upgraded." in told(rds, name)


def test_a_cluster_is_stopped_and_started(changing, cluster):
    rds, name = changing.rds(), cluster["DBClusterIdentifier"]
    low = name.lower()
    refused(
        "InvalidDBClusterStateFault", rds.start_db_cluster,
        f"DbCluster {low} is in available state but expected it to be one of "
        "stopped,inaccessible-encryption-credentials-recoverable.", 400, DBClusterIdentifier=name,
    )
    assert rds.stop_db_cluster(DBClusterIdentifier=name)["DBCluster"]["Status"] == "stopping"
    stopped = wait_status(rds, name, "stopped")
    assert (stopped["Endpoint"], stopped["Port"]) == (cluster["Endpoint"], cluster["Port"])
    days = stopped["AutomaticRestartTime"] - datetime.datetime.now(datetime.UTC)
    assert datetime.timedelta(days=6, hours=23) < days < datetime.timedelta(days=7, seconds=5)
    with pytest.raises(psycopg.OperationalError):
        clients.connect(cluster)
    for call, says, more in (
        (rds.stop_db_cluster, f"DbCluster {low} is in stopped state but expected it to be one of available.", {}),
        (rds.reboot_db_cluster, f"DbCluster {low} is in stopped state but expected it to be one of available.", {}),
        (rds.modify_db_cluster, "DB cluster is not available for modification with status stopped", {"Port": 15_999}),
        (
            rds.create_db_cluster_snapshot,
            f"Can't create a snapshot because the database cluster {low} isn't currently in the available state",
            {"DBClusterSnapshotIdentifier": "never"},
        ),
        (
            rds.delete_db_cluster,
            f"Can't create a snapshot because the database cluster {low} isn't currently in the available state",
            {"FinalDBSnapshotIdentifier": "never"},
        ),
    ):
        refused("InvalidDBClusterStateFault", call, says, 400, DBClusterIdentifier=name, **more)
    # Neither an orderly restart of the server nor a crash starts it.
    for end in (changing.server.stop, changing.server.kill):
        end()
        changing.server.start()
        rds = changing.rds()
        others = [one for one in rds.describe_db_clusters()["DBClusters"] if one["Status"] != "stopped"]
        for other in others:
            wait_status(rds, other["DBClusterIdentifier"], "available")
        assert clients.cluster_of(rds, name) == stopped
        with pytest.raises(psycopg.OperationalError):
            clients.connect(cluster)
    assert rds.start_db_cluster(DBClusterIdentifier=name)["DBCluster"]["Status"] == "starting"
    after = wait_status(rds, name, "available")
    assert after == cluster and rows(after) == 100
    assert {"DB cluster stopped.", "DB cluster started."} <= set(told(rds, name))


def test_a_stopped_cluster_that_somebody_started_is_stopped_again(changing, cluster):
    """What the record says holds, whoever began the server."""
    rds, name = changing.rds(), cluster["DBClusterIdentifier"]
    changing.server.stop()
    in_catalog(changing.server, name, lambda record: record.update(status="stopped"))
    with contextlib.closing(sqlite3.connect(changing.server.data / "catalog.sqlite")) as catalog, catalog:
        catalog.execute("update clusters set status = 'stopped' where name = ?", (name,))
    changing.server.start()
    rds = changing.rds()
    assert clients.cluster_of(rds, name)["Status"] == "stopped"

    def is_refused():
        with contextlib.suppress(psycopg.OperationalError):
            clients.connect(cluster).close()
            return False
        return True

    running.wait_until(is_refused, 60, "its server has ended")
    rds.start_db_cluster(DBClusterIdentifier=name)
    assert rows(wait_status(rds, name, "available")) == 100


def test_after_seven_days_it_is_started(changing, cluster):
    rds, name = changing.rds(), cluster["DBClusterIdentifier"]
    rds.stop_db_cluster(DBClusterIdentifier=name)
    wait_status(rds, name, "stopped")
    changing.server.stop()
    week = 7 * 24 * 3_600 * 1_000_000
    in_catalog(changing.server, name, lambda record: record.update(restarts_at=record["restarts_at"] - week))
    changing.server.start()
    rds = changing.rds()
    after = wait_status(rds, name, "available")
    assert rows(after) == 100 and "AutomaticRestartTime" not in after
    assert (
        "DB cluster is being started due to it exceeding the maximum allowed time being stopped." in told(rds, name)
    )


def test_a_stopped_cluster_is_deleted(changing, fresh):
    rds, name = changing.rds(), fresh["DBClusterIdentifier"]
    rds.stop_db_cluster(DBClusterIdentifier=name)
    wait_status(rds, name, "stopped")
    rds.delete_db_cluster(DBClusterIdentifier=name, SkipFinalSnapshot=True, DeleteAutomatedBackups=False)
    wait_deleted(rds, name)


def test_a_kill_in_the_middle_of_a_change(changing, fresh):
    """Each change goes on after kill -9, and ends as it was asked for."""
    name = fresh["DBClusterIdentifier"]
    for call, more, status in (
        ("stop_db_cluster", {}, "stopped"),
        ("start_db_cluster", {}, "available"),
        ("reboot_db_cluster", {}, "available"),
        ("modify_db_cluster", {"Port": 15_444, "ApplyImmediately": True}, "available"),
        ("modify_db_cluster", {"MasterUserPassword": "after-the-kill-1"}, "available"),
    ):
        getattr(changing.rds(), call)(DBClusterIdentifier=name, **more)
        changing.server.kill()
        changing.server.start()
        after = wait_status(changing.rds(), name, status)
    assert after["Port"] == 15_444
    assert rows(after, password="after-the-kill-1") == 100


@pytest.mark.long
def test_a_cluster_with_readers_is_changed_as_a_whole(changing):
    """Stopped, started and moved with its readers, which follow again and have what was written before."""
    rds, name = changing.rds(), unique("whole")
    changing.new_cluster(
        name, Engine="postgres", DBClusterInstanceClass="db.r6gd.large", AllocatedStorage=100, Iops=1000,
        StorageType="io1",
    )
    before = wait_status(rds, name, "available")
    with clients.connect(before) as connection:
        connection.execute("create table kept as select generate_series(1, 100) i")

    def instances():
        of = [{"Name": "db-cluster-id", "Values": [name]}]
        return rds.describe_db_instances(Filters=of)["DBInstances"]

    rds.stop_db_cluster(DBClusterIdentifier=name)
    stopped = wait_status(rds, name, "stopped")
    assert {one["DBInstanceStatus"] for one in instances()} == {"stopped"} and len(instances()) == 3
    for host in (stopped["Endpoint"], stopped["ReaderEndpoint"]):
        with pytest.raises(psycopg.OperationalError):
            clients.connect(stopped | {"Endpoint": host})
    rds.start_db_cluster(DBClusterIdentifier=name)
    wait_status(rds, name, "available")
    rds.modify_db_cluster(DBClusterIdentifier=name, Port=15_455, ApplyImmediately=True)
    after = wait_status(rds, name, "available")
    assert {one["Endpoint"]["Port"] for one in instances()} == {after["Port"]} == {15_455}
    assert (after["Endpoint"], after["ReaderEndpoint"]) == (before["Endpoint"], before["ReaderEndpoint"])
    with clients.connect(after) as connection:
        connection.execute("insert into kept select 101")

    def followed():
        with contextlib.suppress(psycopg.OperationalError):
            return rows(after | {"Endpoint": after["ReaderEndpoint"]}) == 101
        return False

    running.wait_until(followed, 60, "the readers have what was written")
    rds.delete_db_cluster(DBClusterIdentifier=name, SkipFinalSnapshot=True)


def test_what_is_under_way_keeps_others_out(changing, cluster):
    rds, name = changing.rds(), cluster["DBClusterIdentifier"]
    with clients.connect(cluster) as connection:
        clients.fill_with_noise(connection, 48)
    rds.create_db_cluster_snapshot(DBClusterSnapshotIdentifier=f"{name}-busy", DBClusterIdentifier=name)
    assert clients.snapshot_of(rds, f"{name}-busy")["Status"] == "creating", "the snapshot was too quick to be met"
    refused(
        "InvalidDBClusterStateFault", rds.stop_db_cluster,
        f"DbCluster {name} is in backing-up state but expected it to be one of available.", DBClusterIdentifier=name,
    )
    refused(
        "InvalidDBClusterStateFault", rds.modify_db_cluster,
        "DB cluster is not available for modification with status backing-up", DBClusterIdentifier=name, Port=15_446,
        ApplyImmediately=True,
    )
    # What is only recorded keeps no snapshot from its end.
    rds.modify_db_cluster(DBClusterIdentifier=name, BackupRetentionPeriod=3)
    clients.wait_snapshot(rds, f"{name}-busy")
    rds.stop_db_cluster(DBClusterIdentifier=name)
    refused(
        "InvalidDBClusterStateFault", rds.delete_db_cluster, DBClusterIdentifier=name, SkipFinalSnapshot=True
    )
    wait_status(rds, name, "stopped")
    rds.start_db_cluster(DBClusterIdentifier=name)


def test_clusters_of_others_are_not_there(closed, plain):
    rds = closed.rds(account=PARTNER)
    role = {"RoleArn": "arn:aws:iam::000000000000:role/x"}
    for call, more in (
        (rds.modify_db_cluster, {}), (rds.stop_db_cluster, {}), (rds.start_db_cluster, {}), (rds.reboot_db_cluster, {}),
        (rds.add_role_to_db_cluster, role), (rds.remove_role_from_db_cluster, role),
        (rds.describe_db_cluster_endpoints, {}),
    ):
        refused("DBClusterNotFoundFault", call, "DBCluster plain not found.", 404, DBClusterIdentifier="plain", **more)


def test_roles_are_recorded(changing, cluster):
    rds, name = changing.rds(), cluster["DBClusterIdentifier"]
    arn = "arn:aws:iam::000000000000:role/export"
    for feature in ({"FeatureName": "s3Export"}, {"FeatureName": "s3Import"}, {}):
        rds.add_role_to_db_cluster(DBClusterIdentifier=name, RoleArn=arn, **feature)
        refused(
            "DBClusterRoleAlreadyExists", rds.add_role_to_db_cluster, DBClusterIdentifier=name, RoleArn=arn, **feature
        )
    roles = [
        {"RoleArn": arn, "Status": "ACTIVE", "FeatureName": "s3Export"},
        {"RoleArn": arn, "Status": "ACTIVE", "FeatureName": "s3Import"},
        {"RoleArn": arn, "Status": "ACTIVE"},
    ]
    assert clients.cluster_of(rds, name)["AssociatedRoles"] == roles
    rds.remove_role_from_db_cluster(DBClusterIdentifier=name, RoleArn=arn, FeatureName="s3Import")
    assert clients.cluster_of(rds, name)["AssociatedRoles"] == [roles[0], roles[2]]
    refused(
        "DBClusterRoleNotFound", rds.remove_role_from_db_cluster, status=404, DBClusterIdentifier=name, RoleArn=arn,
        FeatureName="s3Import",
    )
    for more in range(3):
        rds.add_role_to_db_cluster(DBClusterIdentifier=name, RoleArn=f"{arn}-{more}")
    refused("DBClusterRoleQuotaExceeded", rds.add_role_to_db_cluster, DBClusterIdentifier=name, RoleArn=f"{arn}-9")
    for wrong in ("export", "arn:aws:iam::000000000000:user/x", "arn:aws:iam::1:role/x", "arn:aws:iam::000000000000:role/"):
        refused("InvalidParameterValue", rds.add_role_to_db_cluster, DBClusterIdentifier=name, RoleArn=wrong)


def test_endpoints(changing, cluster):
    rds, name = changing.rds(), cluster["DBClusterIdentifier"]

    def types(**asked):
        found = rds.describe_db_cluster_endpoints(**asked)["DBClusterEndpoints"]
        return [(one["DBClusterIdentifier"], one["EndpointType"]) for one in found]

    both = [(name, "READER"), (name, "WRITER")]
    found = rds.describe_db_cluster_endpoints(DBClusterIdentifier=name)["DBClusterEndpoints"]
    assert {one["Endpoint"] for one in found} == {cluster["Endpoint"], cluster["ReaderEndpoint"]}
    assert {one["Status"] for one in found} == {"available"}
    assert types(DBClusterIdentifier=name) == both
    assert set(both) <= set(types())
    writers = [{"Name": "db-cluster-endpoint-type", "Values": ["writer"]}]
    assert types(DBClusterIdentifier=name, Filters=writers) == both[1:]
    other = [{"Name": "db-cluster-endpoint-status", "Values": ["creating"]}]
    assert types(DBClusterIdentifier=name, Filters=other) == []
    assert types(DBClusterEndpointIdentifier="mine") == []
    refused(
        "InvalidParameterValue", rds.describe_db_cluster_endpoints, "Unrecognized filter name: colour",
        Filters=[{"Name": "colour", "Values": ["red"]}],
    )
    paged = rds.get_paginator("describe_db_cluster_endpoints").paginate(PaginationConfig={"PageSize": 20})
    assert set(both) <= {(one["DBClusterIdentifier"], one["EndpointType"]) for page in paged for one in page["DBClusterEndpoints"]}


def test_there_are_no_global_clusters(closed, plain):
    rds = closed.rds()
    assert rds.describe_global_clusters()["GlobalClusters"] == []
    of = [{"Name": "db-cluster-id", "Values": [clients.cluster_of(rds, "plain")["DBClusterArn"]]}]
    assert rds.describe_global_clusters(Filters=of)["GlobalClusters"] == []
    refused(
        "GlobalClusterNotFoundFault", rds.describe_global_clusters, status=404, GlobalClusterIdentifier="world"
    )
