"""CreateDBClusterSnapshot, DescribeDBClusterSnapshots, DeleteDBClusterSnapshot."""
import re

import pytest

import clients
from clients import FAR, OWNER, PARTNER, copied, refused, unique

LONG = re.compile(
    r"^The parameter DBClusterSnapshotIdentifier is not a valid identifier\. Identifiers must begin with a letter; must"
    r" contain only ASCII letters, digits, and hyphens; and must not end with a hyphen or contain two consecutive"
    r" hyphens\.$"
)


def listed(rds, **arguments):
    """Names that a Describe answers."""
    found = rds.describe_db_cluster_snapshots(**arguments)["DBClusterSnapshots"]
    return [snapshot["DBClusterSnapshotIdentifier"] for snapshot in found]


def test_a_snapshot_from_creation_to_deletion(closed, sealed, key):
    rds = closed.rds()
    name = unique("Made")
    made = rds.create_db_cluster_snapshot(DBClusterSnapshotIdentifier=name, DBClusterIdentifier="SEALED")
    made = made["DBClusterSnapshot"]
    low = name.lower()
    assert made["DBClusterSnapshotIdentifier"] == low
    assert made["Status"] == "creating" and made["PercentProgress"] == 0
    assert made["SnapshotType"] == "manual"
    assert made["AllocatedStorage"] == 1 and made["Port"] == 0
    assert made["SnapshotCreateTime"]
    done = clients.wait_snapshot(rds, name)
    assert done["PercentProgress"] == 100
    assert done["DBClusterSnapshotArn"] == f"arn:aws:rds:us-east-1:{OWNER}:cluster-snapshot:{low}"
    assert done["DBClusterIdentifier"] == "sealed"
    assert done["StorageEncrypted"] is True and done["KmsKeyId"] == key
    assert "SourceDBClusterSnapshotArn" not in done
    for copied_field in ("Engine", "EngineVersion", "MasterUsername", "ClusterCreateTime", "DbClusterResourceId"):
        assert done[copied_field] == sealed[copied_field], copied_field
    gone = rds.delete_db_cluster_snapshot(DBClusterSnapshotIdentifier=low)["DBClusterSnapshot"]
    assert gone["DBClusterSnapshotIdentifier"] == low
    clients.wait_gone(rds, low)
    refused(
        "DBClusterSnapshotNotFoundFault",
        rds.describe_db_cluster_snapshots,
        f"DBClusterSnapshot not found: {low}",
        404,
        DBClusterSnapshotIdentifier=low,
    )


def test_an_unencrypted_snapshot_names_no_key(plain_snapshot):
    assert plain_snapshot["StorageEncrypted"] is False
    assert "KmsKeyId" not in plain_snapshot


def test_a_name_is_taken_once(closed, plain_snapshot):
    refused(
        "DBClusterSnapshotAlreadyExistsFault",
        closed.rds().create_db_cluster_snapshot,
        "Cannot create the cluster snapshot because one with the identifier plain-snapshot already exists.",
        400,
        DBClusterSnapshotIdentifier="Plain-Snapshot",
        DBClusterIdentifier="plain",
    )


def test_an_unknown_cluster(closed):
    rds = closed.rds()
    name = unique("none")
    refused(
        "DBClusterNotFoundFault",
        rds.create_db_cluster_snapshot,
        status=404,
        DBClusterSnapshotIdentifier=name,
        DBClusterIdentifier="nobody",
    )
    assert not clients.exists(rds, name)


def test_a_cluster_that_is_not_available(closed):
    rds = closed.rds()
    name = unique("early")
    closed.new_cluster(name, wait=False)
    refused(
        "InvalidDBClusterStateFault",
        rds.create_db_cluster_snapshot,
        status=400,
        DBClusterSnapshotIdentifier=unique("none"),
        DBClusterIdentifier=name,
    )
    clients.wait_cluster(rds, name)
    rds.delete_db_cluster(DBClusterIdentifier=name, SkipFinalSnapshot=True)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("1abc", "Invalid snapshot identifier:  1abc"),
        ("-abc", "Invalid snapshot identifier:  -abc"),
        ("abc-", LONG),
        ("a--b", LONG),
        ("a_b", LONG),
        ("rds:abc", LONG),
        ("x" * 64, LONG),
    ],
    ids=["digit", "hyphen", "end", "double", "underscore", "colon", "long"],
)
def test_wrong_names(closed, plain, name, message):
    refused(
        "InvalidParameterValue",
        closed.rds().create_db_cluster_snapshot,
        message,
        400,
        DBClusterSnapshotIdentifier=name,
        DBClusterIdentifier="plain",
    )


def test_a_blank_name(closed, plain):
    refused(
        "InvalidParameterValue",
        closed.rds().create_db_cluster_snapshot,
        "The parameter DBClusterSnapshotIdentifier must be provided and must not be blank.",
        DBClusterSnapshotIdentifier=" ",
        DBClusterIdentifier="plain",
    )


def test_a_missing_name(closed):
    answer = clients.Signer(closed).post(clients.form("CreateDBClusterSnapshot", DBClusterIdentifier="plain"))
    assert answer.status == 400
    assert answer.fault() == (
        "MissingParameter",
        "The request must contain the parameter DBClusterSnapshotIdentifier.",
    )


def test_listing(closed, plain_snapshot, sealed_snapshot):
    rds = closed.rds()
    both = {"plain-snapshot", "sealed-snapshot"}
    assert set(listed(rds)) >= both
    assert listed(rds, DBClusterSnapshotIdentifier="PLAIN-snapshot") == ["plain-snapshot"]
    assert listed(rds, DBClusterSnapshotIdentifier=plain_snapshot["DBClusterSnapshotArn"]) == ["plain-snapshot"]
    assert "plain-snapshot" in listed(rds, DBClusterIdentifier="Plain")
    assert "sealed-snapshot" not in listed(rds, DBClusterIdentifier="plain")
    assert set(listed(rds, SnapshotType="manual")) >= both
    assert not both & set(listed(rds, SnapshotType="automated"))
    assert listed(rds, SnapshotType="shared") == []
    assert listed(rds, DBClusterIdentifier="nobody") == []
    assert listed(closed.rds(FAR)) == [] or not both & set(listed(closed.rds(FAR)))


def test_filters(closed, plain, plain_snapshot, sealed_snapshot):
    rds = closed.rds()

    def matching(**values):
        return listed(rds, Filters=[{"Name": name.replace("_", "-"), "Values": v} for name, v in values.items()])

    assert matching(db_cluster_snapshot_id=["plain-snapshot"]) == ["plain-snapshot"]
    assert set(matching(db_cluster_snapshot_id=["plain-snapshot", "sealed-snapshot"])) == {
        "plain-snapshot",
        "sealed-snapshot",
    }
    assert matching(db_cluster_snapshot_id=["nobody"]) == []
    assert "plain-snapshot" in matching(db_cluster_id=[plain["DBClusterArn"]])
    assert "sealed-snapshot" not in matching(db_cluster_id=["plain"], engine=["aurora-postgresql"])
    assert matching(engine=["mysql"]) == []
    assert "plain-snapshot" in matching(snapshot_type=["manual"])
    refused(
        "InvalidParameterValue",
        rds.describe_db_cluster_snapshots,
        "Unrecognized filter name: colour",
        Filters=[{"Name": "colour", "Values": ["red"]}],
    )


def test_pages(closed, plain_snapshot):
    rds = closed.rds()
    source = plain_snapshot["DBClusterSnapshotArn"]
    made = [copied(closed, source)["DBClusterSnapshotIdentifier"] for _ in range(21)]
    first = rds.describe_db_cluster_snapshots(MaxRecords=20)
    assert len(first["DBClusterSnapshots"]) == 20
    second = rds.describe_db_cluster_snapshots(MaxRecords=20, Marker=first["Marker"])
    pages = [one["DBClusterSnapshotIdentifier"] for page in (first, second) for one in page["DBClusterSnapshots"]]
    assert len(pages) == len(set(pages))
    whole = [
        one["DBClusterSnapshotIdentifier"]
        for page in rds.get_paginator("describe_db_cluster_snapshots").paginate(PaginationConfig={"PageSize": 20})
        for one in page["DBClusterSnapshots"]
    ]
    assert set(made) <= set(whole) and len(whole) == len(set(whole))
    for name in made:
        rds.delete_db_cluster_snapshot(DBClusterSnapshotIdentifier=name)
    for wrong in (19, 101, 1000):
        refused(
            "InvalidParameterValue",
            rds.describe_db_cluster_snapshots,
            f"Invalid value {wrong} for MaxRecords. Must be between 20 and 100",
            MaxRecords=wrong,
        )
    refused("InvalidParameterValue", rds.describe_db_cluster_snapshots, Marker="nonsense", MaxRecords=20)


def test_deleting_what_is_not_there(closed, plain_snapshot):
    for account in (OWNER, PARTNER):
        refused(
            "DBClusterSnapshotNotFoundFault",
            closed.rds(account=account).delete_db_cluster_snapshot,
            "DBClusterSnapshot not found: nobody",
            404,
            DBClusterSnapshotIdentifier="nobody",
        )
    with pytest.raises(closed.rds().exceptions.ClientError):
        closed.rds(account=PARTNER).delete_db_cluster_snapshot(
            DBClusterSnapshotIdentifier=plain_snapshot["DBClusterSnapshotArn"]
        )
    assert clients.exists(closed.rds(), "plain-snapshot")


def test_tags_of_a_snapshot(closed):
    rds = closed.rds()
    name = unique("tagged")
    tags = [{"Key": "team", "Value": "blue"}, {"Key": "cost", "Value": ""}]
    closed.new_cluster(name, CopyTagsToSnapshot=True, Tags=tags)
    inherits = closed.new_snapshot(unique("inherits"), name)
    assert sorted(inherits["TagList"], key=lambda tag: tag["Key"]) == sorted(tags, key=lambda tag: tag["Key"])
    own = closed.new_snapshot(unique("own"), name, Tags=[{"Key": "mine", "Value": "1"}])
    assert own["TagList"] == [{"Key": "mine", "Value": "1"}]
    rds.delete_db_cluster(DBClusterIdentifier=name, SkipFinalSnapshot=True)


def test_rule_2_3_tags_are_taken_only_when_the_cluster_says_so(closed):
    rds, name = closed.rds(), unique("keeps")
    closed.new_cluster(name, Tags=[{"Key": "team", "Value": "blue"}])
    assert closed.new_snapshot(unique("bare"), name)["TagList"] == []
    rds.delete_db_cluster(DBClusterIdentifier=name, SkipFinalSnapshot=True)


def test_the_next_snapshot_keeps_only_what_changed(closed):
    name = unique("grows")
    cluster = closed.new_cluster(name, StorageEncrypted=True)
    with clients.connect(cluster) as connection:
        clients.fill_with_noise(connection, 16)
        first, second = unique("first"), unique("second")
        closed.new_snapshot(first, name)
        connection.execute("create table more as select generate_series(1, 100) as i")
        closed.new_snapshot(second, name)
    stored = {
        job["subject"]: job["progress"]["bytes_shipped"]
        for job in closed.server.jobs()
        if job["kind"] == "create-snapshot"
    }
    assert stored[first] > 8 << 20
    # PostgreSQL itself fills the rest of the last log segment with zeros, so that is no part of it.
    assert stored[second] < 2 << 20
    closed.rds().delete_db_cluster(DBClusterIdentifier=name, SkipFinalSnapshot=True)
