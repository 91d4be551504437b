"""Parameter groups: kept, checked against the server's own list, and given to the servers of clusters."""
import time

import psycopg
import pytest

import clients
from clients import FAR, OWNER, PARTNER, refused, unique

CLUSTER = {
    "group": "DBClusterParameterGroup", "action": "db_cluster_parameter_group", "scope": "cluster-pg", "parameters": "describe_db_cluster_parameters",
    "defaults": "describe_engine_default_cluster_parameters",
}
INSTANCE = {
    "group": "DBParameterGroup", "action": "db_parameter_group", "scope": "pg", "parameters": "describe_db_parameters",
    "defaults": "describe_engine_default_parameters",
}


class Groups:
    """The actions of one kind of groups, by the verbs of their names."""

    def __init__(self, deployment, kind, **where):
        self.deployment, self.kind, self.member = deployment, kind, f"{kind['group']}Name"
        self.where = where

    @property
    def rds(self):
        """A client; the server may have been started anew."""
        return self.deployment.rds(**self.where)

    def call(self, verb, **arguments):
        """One of the actions."""
        plural = "s" if verb == "describe" else ""
        return getattr(self.rds, f"{verb}_{self.kind['action']}{plural}")(**arguments)

    def create(self, name, family="aurora-postgresql15", **more):
        """A new group."""
        made = self.call("create", **{self.member: name, "DBParameterGroupFamily": family, "Description": "mine"} | more)
        return made[self.kind["group"]]

    def one(self, name):
        """A group by its name."""
        (found,) = self.call("describe", **{self.member: name})[f"{self.kind['group']}s"]
        return found

    def modify(self, name, method="pending-reboot", **values):
        """Sets parameters."""
        parameters = [
            {"ParameterName": parameter.replace("__", "."), "ParameterValue": value, "ApplyMethod": method}
            for parameter, value in values.items()
        ]
        answer = self.call("modify", **{self.member: name}, Parameters=parameters)
        assert answer[self.member] == name

    def reset(self, name, **more):
        """Takes parameters back."""
        return self.call("reset", **{self.member: name} | more)

    def delete(self, name):
        """Forgets a group."""
        return self.call("delete", **{self.member: name})

    def parameters(self, name, **more):
        """A group's parameters, by name, from all pages."""
        pages = self.rds.get_paginator(self.kind["parameters"]).paginate(**{self.member: name}, **more)
        return {one["ParameterName"]: one for page in pages for one in page["Parameters"]}


@pytest.fixture(params=[CLUSTER, INSTANCE], ids=["cluster", "instance"])
def groups(request, closed):
    """The actions of each kind of groups."""
    return Groups(closed, request.param)


@pytest.fixture
def group(groups):
    """A new group's name; it is gone afterwards."""
    name = unique("params")
    groups.create(name)
    yield name
    groups.delete(name)


def test_as_terraform_does(closed, groups):
    """Create, read, update, read, delete: what is read is what was sent."""
    rds, name = closed.rds(), unique("TF")
    made = groups.create(name, Tags=[{"Key": "a", "Value": "b"}])
    assert made == groups.one(name)
    low = name.lower()
    scope = groups.kind["scope"]
    arn = f"arn:aws:rds:us-east-1:{OWNER}:{scope}:{low}"
    assert made == {
        groups.member: low, "DBParameterGroupFamily": "aurora-postgresql15", "Description": "mine",
        f"{groups.kind['group']}Arn": arn,
    }
    assert rds.list_tags_for_resource(ResourceName=arn)["TagList"] == [{"Key": "a", "Value": "b"}]
    assert groups.parameters(name, Source="user") == {}
    groups.modify(low, "immediate", work_mem="8192", log_min_duration_statement="500")
    groups.modify(low, "pending-reboot", max_connections="60", autovacuum="1")
    set_values = {one["ParameterName"]: (one["ParameterValue"], one["ApplyMethod"], one["ApplyType"])
                  for one in groups.parameters(name, Source="user").values()}
    assert set_values == {
        "work_mem": ("8192", "immediate", "dynamic"),
        "log_min_duration_statement": ("500", "immediate", "dynamic"),
        "max_connections": ("60", "pending-reboot", "static"),
        "autovacuum": ("1", "pending-reboot", "dynamic"),
    }
    assert set(groups.parameters(name, Source="system")) & set(set_values) == set()
    groups.reset(name, Parameters=[{"ParameterName": "work_mem", "ApplyMethod": "immediate"}])
    assert set(groups.parameters(name, Source="user")) == set(set_values) - {"work_mem"}
    groups.reset(name, ResetAllParameters=True)
    assert groups.parameters(name, Source="user") == {}
    groups.delete(name)
    refused("DBParameterGroupNotFound", groups.one, status=404, name=name)
    refused("DBParameterGroupNotFound", groups.delete, status=404, name=name)


def test_parameters_are_the_installed_servers(closed, groups, group, plain):
    found = groups.parameters(group)
    work_mem = found["work_mem"]
    assert work_mem["Description"].startswith("(kB) Sets the maximum memory")
    assert {key: value for key, value in work_mem.items() if key != "Description"} == {
        "ParameterName": "work_mem", "ParameterValue": "4096", "Source": "engine-default", "ApplyType": "dynamic",
        "DataType": "integer", "AllowedValues": "64-2147483647", "IsModifiable": True, "ApplyMethod": "pending-reboot",
        "SupportedEngineModes": ["provisioned"],
    }
    assert found["log_statement"]["AllowedValues"] == "none,ddl,mod,all"
    assert found["autovacuum"]["AllowedValues"] == "0,1" and found["autovacuum"]["DataType"] == "boolean"
    assert found["random_page_cost"]["DataType"] == "float"
    assert (found["shared_buffers"]["Source"], found["shared_buffers"]["ParameterValue"]) == ("system", "4096")
    assert "pg_stat_statements" in found["shared_preload_libraries"]["AllowedValues"]
    assert found["pg_stat_statements.track"]["AllowedValues"] == "none,top,all"
    for kept in ("data_directory", "port", "archive_command", "ssl_key_file", "fsync", "hba_file", "listen_addresses"):
        assert found[kept]["IsModifiable"] is False
    with clients.connect(plain) as connection:
        rows = connection.execute("select name, context from pg_settings where context <> 'internal' and name !~ '[.]'").fetchall()
    own = {name: parameter["ApplyType"] for name, parameter in found.items() if "." not in name}
    # What only superusers may look at is not among the rows.
    seen = {name: "static" if context == "postmaster" else "dynamic" for name, context in rows}
    assert 200 < len(seen) and seen.items() <= own.items()
    family = groups.one(group)["DBParameterGroupFamily"]
    defaults = getattr(closed.rds(), groups.kind["defaults"])
    page = defaults(DBParameterGroupFamily=family, MaxRecords=20)["EngineDefaults"]
    assert len(page["Parameters"]) == 20 and page["DBParameterGroupFamily"] == family
    more = defaults(DBParameterGroupFamily=family, Marker=page["Marker"])["EngineDefaults"]["Parameters"]
    assert len(more) == 100 and more[0]["ParameterName"] > page["Parameters"][-1]["ParameterName"]
    only = {"Name": "parameter-name", "Values": ["work_mem", "port"]}
    named = defaults(DBParameterGroupFamily=family, Filters=[only])["EngineDefaults"]["Parameters"]
    assert [one["ParameterName"] for one in named] == ["port", "work_mem"]


def test_values_are_checked(groups, group):
    for name, value in {
        "work_mem": "1", "autovacuum": "2", "log_statement": "some", "random_page_cost": "nan",
        "shared_preload_libraries": "evil", "max_connections": "64kB", "rds__force_ssl": "0",
    }.items():
        said = refused("InvalidParameterValue", groups.modify, name=group, **{name: value})
        assert said.startswith(f"Invalid parameter value: {value} for: {name.replace('__', '.')} allowed values are: ")
    said = refused("InvalidParameterValue", groups.modify, name=group, timezone="Mars/Station")
    assert 'invalid value for parameter "TimeZone": "Mars/Station"' in said
    for kept in ("data_directory", "archive_command", "unix_socket_directories", "session_preload_libraries", "wal_level"):
        said = refused("InvalidParameterValue", groups.modify, name=group, **{kept: "x"})
        assert said.startswith(f"The parameter {kept} cannot be modified: ")
    assert refused("InvalidParameterValue", groups.modify, name=group, no_such="1").endswith("name: no_such")
    refused("InvalidParameterCombination", groups.modify, name=group, method="immediate", max_connections="50")
    refused("InvalidParameterCombination", groups.reset, name=group)
    refused("InvalidParameterCombination", groups.reset, name=group, ResetAllParameters=True,
            Parameters=[{"ParameterName": "work_mem"}])
    many = [{"ParameterName": "work_mem", "ParameterValue": "64"}] * 21
    refused("InvalidParameterValue", groups.call, verb="modify", **{groups.member: group}, Parameters=many)
    assert groups.parameters(group, Source="user") == {}
    refused("InvalidParameterValue", groups.create, name=unique("wrong"), family="aurora-postgresql9.6")
    refused("DBParameterGroupAlreadyExists", groups.create, name=group)
    for wrong in ("default.mine", "1a", "a--b", "a.b"):
        refused("InvalidParameterValue", groups.create, name=wrong)


def test_default_groups_cannot_be_changed(groups):
    name = "default.aurora-postgresql15"
    assert groups.one(name)["DBParameterGroupFamily"] == "aurora-postgresql15"
    listed = groups.call("describe")[f"{groups.kind['group']}s"]
    assert {name, "default.postgres15"} <= {one[groups.member] for one in listed}
    refused("InvalidDBParameterGroupState", groups.modify, name=name, work_mem="8192")
    refused("InvalidDBParameterGroupState", groups.reset, name=name, ResetAllParameters=True)
    refused("InvalidDBParameterGroupState", groups.delete, name=name)
    refused("DBParameterGroupNotFound", groups.one, name="default.nothing1")


def test_a_copy_has_the_values(groups, group):
    groups.modify(group, "immediate", work_mem="8192")
    member = groups.kind["group"]
    target = unique("copied")
    made = groups.call("copy", **{
        f"Source{member}Identifier": groups.one(group)[f"{member}Arn"], f"Target{member}Identifier": target,
        f"Target{member}Description": "a copy",
    })[member]
    assert made["Description"] == "a copy"
    assert groups.parameters(target, Source="user") == groups.parameters(group, Source="user") != {}
    groups.delete(target)


def test_groups_are_their_accounts_and_regions(closed, groups, group):
    for other in ({"region": FAR}, {"account": PARTNER}):
        refused("DBParameterGroupNotFound", Groups(closed, groups.kind, **other).one, name=group)


def shown(cluster, setting):
    """A setting as the cluster's server has it."""
    with clients.connect(cluster) as connection:
        return connection.execute("select current_setting(%s)", [setting]).fetchone()[0]


def until(expected, call, seconds=60):
    """Waits until a call answers what is expected."""
    end = time.monotonic() + seconds
    while (found := call()) != expected:
        assert time.monotonic() < end, found
        time.sleep(0.1)


@pytest.fixture(scope="module")
def own(deploy_for_module):
    """A deployment that these tests stop and start."""
    return deploy_for_module("--dev")


@pytest.fixture
def with_cluster(own):
    """A cluster with a group of its own: the group's actions, its name, and the cluster."""
    groups, name = Groups(own, CLUSTER), unique("with-group")
    groups.create(name)
    groups.modify(name, max_connections="40", work_mem="5120", shared_preload_libraries="pg_stat_statements")
    cluster = own.new_cluster(name, DBClusterParameterGroupName=name)
    yield groups, name, cluster
    for member in clients.cluster_of(own.rds(), name)["DBClusterMembers"]:
        own.rds().delete_db_instance(DBInstanceIdentifier=member["DBInstanceIdentifier"])
    own.rds().delete_db_cluster(DBClusterIdentifier=name, SkipFinalSnapshot=True)
    clients.wait_cluster_gone(own.rds(), name)
    groups.delete(name)


def test_a_new_cluster_has_all_of_it_and_gets_changes(own, with_cluster):
    groups, name, cluster = with_cluster
    assert shown(cluster, "max_connections") == "40"
    assert shown(cluster, "work_mem") == "5MB"
    assert shown(cluster, "pg_stat_statements.max") == "5000", "the library is loaded"
    groups.modify(name, "immediate", work_mem="6144", rds__force_ssl="1")
    until("6MB", lambda: shown(cluster, "work_mem"))
    groups.modify(name, "pending-reboot", work_mem="7168", max_connections="45", rds__logical_replication="1")
    groups.modify(name, "immediate", statement_timeout="60000")
    until("1min", lambda: shown(cluster, "statement_timeout"))
    assert (shown(cluster, "work_mem"), shown(cluster, "max_connections")) == ("6MB", "40"), "they wait"
    own.rds().create_db_instance(
        DBInstanceIdentifier=f"{name}-1", DBClusterIdentifier=name, DBInstanceClass="db.r6g.large", Engine="aurora-postgresql")

    def status():
        (member,) = clients.cluster_of(own.rds(), name)["DBClusterMembers"]
        return member["DBClusterParameterGroupStatus"]

    until("pending-reboot", status)
    refused("InvalidDBParameterGroupState", groups.delete, name=name)
    own.server.stop()
    own.server.start()
    cluster = clients.wait_cluster(own.rds(), name)
    until("7MB", lambda: shown(cluster, "work_mem"))
    assert shown(cluster, "max_connections") == "45" and shown(cluster, "wal_level") == "logical"
    until("in-sync", status)
    groups.reset(name, ResetAllParameters=True)
    until("4MB", lambda: shown(cluster, "work_mem"))


def test_a_server_that_does_not_start_with_it_starts_without(own, with_cluster):
    groups, name, cluster = with_cluster
    groups.modify(name, shared_buffers="1073741823")
    own.server.stop()
    own.server.start()
    cluster = clients.wait_cluster(own.rds(), name)
    assert shown(cluster, "shared_buffers") == "32MB"
    assert shown(cluster, "max_connections") == "40", "what was good stays"

    def told():
        events = own.rds().describe_events(SourceType="db-cluster", SourceIdentifier=name)["Events"]
        return [event["Message"] for event in events if "parameters" in event["Message"]]

    until(["DB cluster does not start with its parameters: its server did not start with the values of shared_buffers, "
           "and has those before."], told)
    groups.modify(name, shared_buffers="8192")
    own.server.stop()
    own.server.start()
    cluster = clients.wait_cluster(own.rds(), name)
    until("64MB", lambda: shown(cluster, "shared_buffers"))
    assert len(told()) == 1


def of_instance(deployment, name):
    """An instance's parameter group and how its server stands to it."""
    (found,) = deployment.rds().describe_db_instances(DBInstanceIdentifier=name)["DBInstances"]
    ((group, status),) = ((one["DBParameterGroupName"], one["ParameterApplyStatus"]) for one in found["DBParameterGroups"])
    return group, status


def test_an_instances_own_group_reaches_its_server(own, with_cluster):
    """And comes before its cluster's; the others' servers have the cluster's."""
    rds, (_, name, cluster), mine = own.rds(), with_cluster, Groups(own, INSTANCE)
    group, one, other = unique("mine"), f"{name}-1", f"{name}-2"
    mine.create(group)
    mine.modify(group, "immediate", work_mem="8192")
    made = {"DBClusterIdentifier": name, "DBInstanceClass": "db.r6g.large", "Engine": "aurora-postgresql"}
    for wrong in ({"DBParameterGroupName": "not-there"}, {"DBSubnetGroupName": "not-there"}):
        code = "DBParameterGroupNotFound" if "DBParameterGroupName" in wrong else "DBSubnetGroupNotFoundFault"
        refused(code, rds.create_db_instance, status=404, DBInstanceIdentifier=one, **made, **wrong)
    mine.create(f"{group}-newer", family="postgres15")
    refused("InvalidParameterCombination", rds.create_db_instance, DBInstanceIdentifier=one, DBParameterGroupName=f"{group}-newer", **made)
    created = rds.create_db_instance(DBInstanceIdentifier=one, DBParameterGroupName=group.upper(), **made)["DBInstance"]
    assert created["DBParameterGroups"] == [{"DBParameterGroupName": group, "ParameterApplyStatus": "applying"}]
    until((group, "in-sync"), lambda: of_instance(own, one))
    assert (shown(cluster, "work_mem"), shown(cluster, "max_connections")) == ("8MB", "40"), "both groups' values"
    rds.create_db_instance(DBInstanceIdentifier=other, **made)
    rds.get_waiter("db_instance_available").wait(DBInstanceIdentifier=other, WaiterConfig={"Delay": 0.1, "MaxAttempts": 600})
    # What a new reader cannot have without another start waits, and is told.
    until("pending-reboot", lambda: of_instance(own, other)[1])
    rds.reboot_db_instance(DBInstanceIdentifier=other)
    until("in-sync", lambda: of_instance(own, other)[1], seconds=60)
    (reader,) = rds.describe_db_instances(DBInstanceIdentifier=other)["DBInstances"]

    # A reader needs as many as its writer has, so that the cluster's counts.
    mine.modify(group, max_connections="50")
    mine.modify(group, "pending-reboot", shared_buffers="8192")
    until((group, "pending-reboot"), lambda: of_instance(own, one))
    seen = {member["DBInstanceIdentifier"]: member["DBClusterParameterGroupStatus"]
            for member in rds.modify_db_cluster(DBClusterIdentifier=name, CopyTagsToSnapshot=True)["DBCluster"]["DBClusterMembers"]}
    assert seen[one] == "pending-reboot"
    assert shown({**cluster, "Endpoint": reader["Endpoint"]["Address"], "Port": reader["Endpoint"]["Port"]}, "work_mem") == "5MB"
    rds.reboot_db_instance(DBInstanceIdentifier=one)
    until((group, "in-sync"), lambda: of_instance(own, one), seconds=60)
    assert (shown(cluster, "shared_buffers"), shown(cluster, "max_connections")) == ("64MB", "40")
    refused("InvalidDBParameterGroupState", mine.delete, name=group)
    for wrong in ({"DBParameterGroupName": "not-there"}, {"DBSubnetGroupName": "not-there"}):
        code = "DBParameterGroupNotFound" if "DBParameterGroupName" in wrong else "DBSubnetGroupNotFoundFault"
        refused(code, rds.modify_db_instance, status=404, DBInstanceIdentifier=one, **wrong)
    changed = rds.modify_db_instance(DBInstanceIdentifier=one, DBParameterGroupName="default.aurora-postgresql15")["DBInstance"]
    assert changed["DBParameterGroups"][0]["ParameterApplyStatus"] == "applying"
    # The cluster's value counts again, and says that it waits.
    until(("default.aurora-postgresql15", "pending-reboot"), lambda: of_instance(own, one))
    mine.delete(group)
    mine.delete(f"{group}-newer")
    rds.delete_db_instance(DBInstanceIdentifier=other)
    rds.get_waiter("db_instance_deleted").wait(DBInstanceIdentifier=other, WaiterConfig={"Delay": 0.1, "MaxAttempts": 600})


def test_tls_is_forced_by_a_group(deploy):
    deployment = deploy("--dev")
    groups = Groups(deployment, CLUSTER)
    groups.create("forced")
    groups.modify("forced", "immediate", rds__force_ssl="1")
    cluster = deployment.new_cluster("forced", DBClusterParameterGroupName="forced")

    def plain():
        try:
            with psycopg.connect(
                host=cluster["Endpoint"], port=cluster["Port"], user=clients.USER, password=clients.PASSWORD,
                dbname="postgres", sslmode="disable",
            ):
                return "taken"
        except psycopg.OperationalError as error:
            return "refused" if "rejects connection" in str(error) else str(error)

    until("refused", plain)
    groups.modify("forced", "immediate", rds__force_ssl="0")
    until("taken", plain)
