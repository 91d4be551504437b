"""DescribeEvents, DescribeEventCategories, DescribeAccountAttributes and DescribeSourceRegions."""
import datetime
import os
import re
import signal


import clients
from clients import FAR, HOME, OWNER, PARTNER, STRANGER, copied, copy_request, refused, unique
from snapferry_tools import running

SNAPSHOT, CLUSTER = "db-cluster-snapshot", "db-cluster"


def told(rds, name, source=SNAPSHOT, **more):
    """The messages of a source's events, in their order."""
    found = rds.describe_events(SourceType=source, SourceIdentifier=name, **more)["Events"]
    return [event["Message"] for event in found]


def test_rule_2_9_a_snapshot_and_its_copies_tell_what_happens(closed, plain):
    rds, far = closed.rds(), closed.rds(FAR)
    name = unique("Told")
    made = closed.new_snapshot(name, "plain")
    assert told(rds, name) == ["Creating manual cluster snapshot.", "Manual cluster snapshot created."]
    event = rds.describe_events(SourceType=SNAPSHOT, SourceIdentifier=name)["Events"][0]
    assert event["SourceIdentifier"] == name.lower() and event["SourceType"] == SNAPSHOT
    assert event["SourceArn"] == made["DBClusterSnapshotArn"]
    assert event["EventCategories"] == ["backup"]
    age = datetime.datetime.now(datetime.timezone.utc) - event["Date"]
    assert datetime.timedelta(0) <= age < datetime.timedelta(minutes=5)

    finished = f"Cluster snapshot copy finished: the source is {made['DBClusterSnapshotArn']}."
    near = copied(closed, name)["DBClusterSnapshotIdentifier"]
    assert told(rds, near) == [finished]
    there = copied(closed, made["DBClusterSnapshotArn"], FAR)["DBClusterSnapshotIdentifier"]
    assert told(far, there) == [finished.replace("finished", "started"), finished]
    assert told(rds, there) == []
    far.delete_db_cluster_snapshot(DBClusterSnapshotIdentifier=there)
    assert told(far, there)[2:] == ["Cluster snapshot deleted."]
    assert told(far, there, EventCategories=["deletion"]) == ["Cluster snapshot deleted."]
    assert told(far, there, EventCategories=["deletion", "notification"]) == told(far, there)
    assert told(far, there, EventCategories=["failover"]) == []
    assert told(closed.rds(FAR, PARTNER), there) == []


def test_rule_2_9_clusters_tell_too(closed):
    rds, name = closed.rds(), unique("told")
    closed.new_cluster(name)
    rds.delete_db_cluster(DBClusterIdentifier=name, FinalDBSnapshotIdentifier=f"{name}-last")
    gone = ["DB cluster created.", "DB cluster deleted."]
    running.wait_until(lambda: told(rds, name, CLUSTER) == gone, 60, "the cluster is gone")
    assert told(rds, f"{name}-last") == ["Creating manual cluster snapshot.", "Manual cluster snapshot created."]


def test_rule_2_9_times(closed, plain_snapshot):
    rds, name = closed.rds(), copied(closed, "plain-snapshot")["DBClusterSnapshotIdentifier"]
    now = datetime.datetime.now(datetime.timezone.utc)
    minute = datetime.timedelta(minutes=1)
    assert len(told(rds, name, Duration=5)) == 1
    assert len(told(rds, name, StartTime=now - minute)) == 1
    assert len(told(rds, name, StartTime=now - minute, Duration=2)) == 1
    assert len(told(rds, name, StartTime=now - minute, EndTime=now + minute)) == 1
    assert len(told(rds, name, EndTime=now + minute)) == 1
    assert told(rds, name, StartTime=now + minute) == []
    assert told(rds, name, EndTime=now - minute) == []
    assert told(rds, name, StartTime=now - 3 * minute, Duration=1) == []
    assert len(told(rds, name, StartTime=now - datetime.timedelta(days=300))) == 1
    answer = clients.Signer(closed).post(clients.form("DescribeEvents", StartTime="2009-07-08T18:00Z"))
    assert answer.status == 200, answer.text
    combination = "InvalidParameterCombination"
    refused(combination, rds.describe_events, status=400, SourceIdentifier=name)
    refused(combination, rds.describe_events, status=400, StartTime=now, EndTime=now - minute)
    for wrong in ({"Duration": -1}, {"Duration": 20161}, {"SourceType": "cluster"}, {"MaxRecords": 19}, {"Marker": "x"}):
        refused("InvalidParameterValue", rds.describe_events, status=400, **wrong)
    filters = [{"Name": "x", "Values": ["y"]}]
    refused("InvalidParameterValue", rds.describe_events, "Unrecognized filter name: x", 400, Filters=filters)
    answer = clients.Signer(closed).post(clients.form("DescribeEvents", StartTime="yesterday"))
    assert answer.status == 400 and answer.fault()[0] == "InvalidParameterValue"


def test_rule_2_9_pages_survive_new_events(closed, plain_snapshot):
    rds = closed.rds()
    names = [copied(closed, "plain-snapshot")["DBClusterSnapshotIdentifier"] for _ in range(25)]
    pages, marker = [], {}
    while True:
        page = rds.describe_events(SourceType=SNAPSHOT, MaxRecords=20, **marker)
        pages += page["Events"]
        if "Marker" not in page:
            break
        marker = {"Marker": page["Marker"]}
        names.append(copied(closed, "plain-snapshot")["DBClusterSnapshotIdentifier"])
    seen = [event["SourceIdentifier"] for event in pages if event["SourceIdentifier"] in names]
    assert seen == names
    dates = [event["Date"] for event in pages]
    assert dates == sorted(dates)


def test_rule_2_9_categories(closed):
    rds = closed.rds()
    listed = {
        row["SourceType"]: row["EventCategories"]
        for row in rds.describe_event_categories()["EventCategoriesMapList"]
    }
    assert listed == {
        CLUSTER: ["configuration change", "creation", "deletion", "failover", "failure", "maintenance", "notification"],
        "db-instance": ["availability", "creation", "deletion", "failure"],
        SNAPSHOT: ["backup", "deletion", "failure", "notification"],
    }
    one = rds.describe_event_categories(SourceType=SNAPSHOT)["EventCategoriesMapList"]
    assert [row["SourceType"] for row in one] == [SNAPSHOT]
    assert rds.describe_event_categories(SourceType="db-proxy")["EventCategoriesMapList"] == []
    refused("InvalidParameterValue", rds.describe_event_categories, status=400, SourceType="nothing")


def test_rule_2_11_account_attributes(closed, plain_snapshot):
    def quotas(account):
        found = closed.rds(account=account).describe_account_attributes()["AccountQuotas"]
        return {quota["AccountQuotaName"]: (quota["Used"], quota["Max"]) for quota in found}

    rds = closed.rds()
    before = quotas(OWNER)
    assert before["DBClusters"][0] >= 1 and before["DBClusters"][1] == 40
    assert before["ManualClusterSnapshots"][1] == 100
    name = copied(closed, "plain-snapshot")["DBClusterSnapshotIdentifier"]
    assert quotas(OWNER)["ManualClusterSnapshots"][0] == before["ManualClusterSnapshots"][0] + 1
    rds.delete_db_cluster_snapshot(DBClusterSnapshotIdentifier=name)
    assert quotas(OWNER) == before
    assert quotas(PARTNER)["DBClusters"] == (0, 40)


def test_rule_2_10_source_regions(closed):
    def regions(region, **more):
        pages = closed.rds(region).get_paginator("describe_source_regions").paginate(**more)
        return {row["RegionName"]: row for page in pages for row in page["SourceRegions"]}

    here = regions(HOME, PaginationConfig={"PageSize": 20})
    assert HOME not in here and {FAR, "us-west-2"} <= set(here)
    assert not [name for name in here if name.startswith(("cn-", "us-gov-"))]
    assert here[FAR]["Endpoint"] == f"https://rds.{FAR}.amazonaws.com" and here[FAR]["Status"] == "available"
    assert set(regions("us-gov-west-1")) == {"us-gov-east-1"}
    assert regions("cn-north-1") == {}
    assert set(regions(HOME, RegionName=FAR)) == {FAR}
    assert regions(HOME, RegionName=HOME) == {}
    refused("InvalidParameterValue", closed.rds().describe_source_regions, re.compile("moon-1"), RegionName="moon-1")


def test_rule_2_9_a_canceled_copy_tells(closed, deploy, plain_snapshot):
    slow = deploy("--cross-region-bytes-per-second", "200000")
    slow.new_cluster("told")
    made = slow.new_snapshot("told-snapshot", "told")
    far = slow.rds(FAR)
    far.copy_db_cluster_snapshot(**copy_request(made["DBClusterSnapshotArn"], "canceled"))
    far.delete_db_cluster_snapshot(DBClusterSnapshotIdentifier="canceled")
    source = made["DBClusterSnapshotArn"]
    assert told(far, "canceled") == [
        f"Cluster snapshot copy started: the source is {source}.",
        f"Cluster snapshot copy canceled: the source is {source}.",
    ]
    answer = clients.Signer(slow, region=FAR)
    body = b'{"Action": "DescribeEvents", "SourceType": "db-cluster-snapshot"}'
    headers = answer.headers(body, extra={"Content-Type": "application/json"})
    door = clients.send(slow.server, headers=headers, body=body)
    assert door.status == 200 and '"items":[' in door.text.replace(" ", ""), door.text


def test_rule_2_9_nothing_of_others(closed, plain_snapshot):
    assert closed.rds(account=STRANGER).describe_events(Duration=20160)["Events"] == [] or all(
        STRANGER in event["SourceArn"]
        for event in closed.rds(account=STRANGER).describe_events(Duration=20160)["Events"]
    )


def test_a_failures_event_says_the_cause_and_nothing_of_the_host(deploy):
    """The server's files are broken, so that it ends at once: its log and the host's paths are the operator's."""
    own = deploy()
    made = own.new_cluster("broken")
    [version] = own.server.data.glob("clusters/**/data/PG_VERSION")
    own.server.stop()
    for postmaster in running.postmasters_within(own.server.data):
        os.kill(postmaster, signal.SIGKILL)
    (version.parent / "pg_wal").rename(version.parent / "pg_wal.gone")
    own.server.start()
    rds = own.rds()
    rds.create_db_cluster_snapshot(DBClusterSnapshotIdentifier="cannot", DBClusterIdentifier="broken")

    def failed():
        events = rds.describe_events(SourceType="db-cluster-snapshot", SourceIdentifier="cannot")["Events"]
        return [event["Message"] for event in events if event["EventCategories"] == ["failure"]]

    [said] = running.wait_until(failed, 60, "the snapshot has failed")
    assert said.startswith("Cluster snapshot creation failed: the database server ended before it took connections")
    for leak in (str(own.server.data), "/data", "FATAL", "LOG", "\n", "postmaster", str(made["Port"])):
        assert leak not in said, said
    # The operator has the rest, in the log and in the list of jobs.
    [job] = [job for job in own.server.jobs() if job["subject"] == "cannot"]
    assert str(own.server.data) in job["error"] and "FATAL" in job["error"]
    assert "FATAL" in own.server.log.read_text()
