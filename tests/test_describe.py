"""DescribeDBClusterSnapshots: scopes, types, filters, and pages over many snapshots that change between them."""
import itertools
import re

import botocore
import pytest

import contract
import clients
from clients import FAR, HOME, OWNER, PARTNER, STRANGER, copy_request, refused

MANY = 230


@pytest.fixture(scope="module")
def many(deploy_for_module):
    """A deployment with a raised quota: one cluster's snapshot and many copies of it."""
    deployment = deploy_for_module("--manual-snapshots-max", "300")
    deployment.new_cluster("plain")
    deployment.new_cluster("multi", Engine="postgres", AllocatedStorage=100, DBClusterInstanceClass="db.m5d.large")
    made = deployment.new_snapshot("source", "plain")
    deployment.new_snapshot("other", "multi")
    rds = deployment.rds()
    for number in range(MANY):
        rds.copy_db_cluster_snapshot(**copy_request("source", f"copy-{number:03}"))
    deployment.source = made
    return deployment


def names(rds, **arguments):
    """Identifiers on one page."""
    found = rds.describe_db_cluster_snapshots(**arguments)["DBClusterSnapshots"]
    return [snapshot["DBClusterSnapshotIdentifier"] for snapshot in found]


def walk(rds, between=lambda number: None, **arguments):
    """Identifiers on all pages; `between` runs after each page."""
    seen, marker = [], {}
    for number in itertools.count():
        page = rds.describe_db_cluster_snapshots(**arguments, **marker)
        seen += [snapshot["DBClusterSnapshotIdentifier"] for snapshot in page["DBClusterSnapshots"]]
        if "Marker" not in page:
            return seen
        marker = {"Marker": page["Marker"]}
        between(number)


def by(**filters):
    """Filters, with - written as _."""
    return {"Filters": [{"Name": name.replace("_", "-"), "Values": values} for name, values in filters.items()]}


COPIES = [f"copy-{number:03}" for number in range(MANY)]


def test_rule_2_4_pages_have_a_stable_order_and_size(many):
    rds = many.rds()
    whole = [*COPIES, "other", "source"]
    assert names(rds) == whole[:100]
    assert names(rds, MaxRecords=20) == whole[:20]
    assert walk(rds) == whole
    assert walk(rds, MaxRecords=20) == whole
    assert walk(rds, MaxRecords=23, SnapshotType="manual", DBClusterIdentifier="plain") == [*COPIES, "source"]
    # A whole last page has no marker.
    exact = rds.describe_db_cluster_snapshots(MaxRecords=20, **by(db_cluster_snapshot_id=COPIES[:20]))
    assert len(exact["DBClusterSnapshots"]) == 20 and "Marker" not in exact


def test_rule_2_4_pages_survive_changes_between_them(many):
    """What is there throughout is met exactly once, whatever comes and goes."""
    rds = many.rds()
    fixed = [name for name in COPIES if not name.endswith("7")]

    def change(number):
        gone = f"copy-{number * 10 + 7:03}"
        rds.delete_db_cluster_snapshot(DBClusterSnapshotIdentifier=gone)
        rds.copy_db_cluster_snapshot(**copy_request("source", f"a-{number}"))
        rds.copy_db_cluster_snapshot(**copy_request("source", f"z-{number}"))

    seen = walk(rds, change, MaxRecords=20)
    assert len(seen) == len(set(seen))
    assert [name for name in seen if name in fixed] == fixed
    for name in set(names(rds, MaxRecords=100)) | set(walk(rds)):
        if name.startswith(("a-", "z-")):
            rds.delete_db_cluster_snapshot(DBClusterSnapshotIdentifier=name)
    for name in set(COPIES) - set(walk(rds)):
        rds.copy_db_cluster_snapshot(**copy_request("source", name))
    # The row that a marker names may itself be gone.
    first = rds.describe_db_cluster_snapshots(MaxRecords=20)
    rds.delete_db_cluster_snapshot(DBClusterSnapshotIdentifier="copy-019")
    assert names(rds, MaxRecords=20, Marker=first["Marker"])[0] == "copy-020"
    rds.copy_db_cluster_snapshot(**copy_request("source", "copy-019"))


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (by(db_cluster_snapshot_id=["COPY-001", "copy-002"]), ["copy-001", "copy-002"]),
        (by(db_cluster_snapshot_id=[f"arn:aws:rds:{HOME}:{OWNER}:cluster-snapshot:Copy-003"]), ["copy-003"]),
        (by(db_cluster_snapshot_id=[f"arn:aws:rds:{FAR}:{OWNER}:cluster-snapshot:copy-003"]), []),
        (by(db_cluster_snapshot_id=[f"arn:aws:rds:{HOME}:{OWNER}:snapshot:copy-003"]), []),
        (by(db_cluster_snapshot_id=["nobody"]), []),
        (by(db_cluster_id=["MULTI"]), ["other"]),
        (by(db_cluster_id=["multi"], engine=["aurora-postgresql"]), []),
        (by(engine=["postgres", "mysql"]), ["other"]),
        (by(engine=["Postgres"]), []),
        (by(snapshot_type=["manual"], db_cluster_id=["multi"]), ["other"]),
        (by(snapshot_type=["manual", "automated"], db_cluster_id=["multi"]), ["other"]),
        (by(snapshot_type=["automated"]), []),
        (by(snapshot_type=["Manual"]), []),
        (by(snapshot_type=["nonsense"]), []),
        ({"SnapshotType": "automated", **by(snapshot_type=["manual"])}, []),
        ({"SnapshotType": "nonsense"}, []),
        ({"SnapshotType": "awsbackup"}, []),
        ({"DBClusterIdentifier": "Multi"}, ["other"]),
        ({"DBClusterIdentifier": "nobody"}, []),
        ({"DBClusterSnapshotIdentifier": "Other", "DBClusterIdentifier": "multi", "SnapshotType": "manual"}, ["other"]),
        ({"DBClusterSnapshotIdentifier": "other", "DBClusterIdentifier": "plain"}, []),
        ({"DBClusterSnapshotIdentifier": "other", "SnapshotType": "automated"}, []),
        ({"DBClusterSnapshotIdentifier": "other", "SnapshotType": "public"}, []),
        ({"DBClusterSnapshotIdentifier": "other", "SnapshotType": "shared"}, []),
        ({"DbClusterResourceId": "cluster-ABCDEFGHIJKLMNOPQRSTUVWXYZ"}, []),
        ({"DbClusterResourceId": "nonsense"}, []),
    ],
)
def test_rule_2_4_filters_and_types(many, arguments, expected):
    assert names(many.rds(), **arguments) == expected


def test_rule_2_4_resource_ids_are_exact(many):
    rds = many.rds()
    resource = rds.describe_db_clusters(DBClusterIdentifier="multi")["DBClusters"][0]["DbClusterResourceId"]
    assert names(rds, DbClusterResourceId=resource) == ["other"]
    assert names(rds, DbClusterResourceId=resource.lower()) == []


def test_rule_2_4_wrong_filters(many):
    call = many.rds().describe_db_cluster_snapshots
    refused("InvalidParameterValue", call, "Unrecognized filter name: Engine", 400, **by(Engine=["postgres"]))
    answer = clients.Signer(many).post(
        clients.form("DescribeDBClusterSnapshots", **{"Filters.Filter.1.Name": "db-cluster-snapshot-id"})
    )
    assert answer.status == 400, answer.text
    assert answer.fault() == (
        "InvalidParameterCombination",
        "The list of DB Cluster Snapshot Identifiers must not be empty.",
    )


def test_rule_2_4_scopes_of_other_accounts(many):
    """Shared and public rows, over page borders, by type, flag and ARN."""
    rds, partner, stranger = many.rds(), many.rds(account=PARTNER), many.rds(account=STRANGER)
    arn = many.source["DBClusterSnapshotArn"]

    def share(name, *values):
        rds.modify_db_cluster_snapshot_attribute(
            DBClusterSnapshotIdentifier=name, AttributeName="restore", ValuesToAdd=list(values)
        )

    for name in COPIES[:25]:
        share(name, PARTNER)
    share("copy-030", "all")
    share("copy-031", "all", PARTNER)
    full = lambda name: arn.replace(":source", f":{name}")
    assert names(partner) == [] and names(stranger, IncludeShared=True) == []
    by_name = [full(name) for name in [*COPIES[:25], "copy-031"]]
    public = [full("copy-030"), full("copy-031")]
    assert walk(partner, SnapshotType="shared", MaxRecords=20) == by_name
    assert walk(partner, IncludeShared=True, MaxRecords=20) == by_name
    assert walk(partner, IncludePublic=True) == public
    assert walk(partner, IncludeShared=True, IncludePublic=True, MaxRecords=20) == sorted({*by_name, *public})
    assert walk(partner, SnapshotType="public", IncludeShared=True) == public
    assert walk(partner, SnapshotType="shared", IncludePublic=True) == by_name
    assert walk(partner, SnapshotType="manual", IncludeShared=True, IncludePublic=True) == []
    # The flags bring nothing twice, and nothing of the owner's as others'.
    assert walk(rds, IncludeShared=True, IncludePublic=True) == walk(rds)
    assert walk(rds, SnapshotType="public") == public
    partner.copy_db_cluster_snapshot(**copy_request(full("copy-030"), "mine"))
    assert walk(partner, IncludeShared=True)[-1] == "mine" or walk(partner, IncludeShared=True)[0] != "mine"
    assert set(walk(partner, IncludeShared=True, MaxRecords=20)) == {*by_name, "mine"}

    def one(client, name, **more):
        found = client.describe_db_cluster_snapshots(DBClusterSnapshotIdentifier=full(name), **more)
        return [(row["DBClusterSnapshotIdentifier"], row["SnapshotType"]) for row in found["DBClusterSnapshots"]]

    assert one(partner, "copy-000") == [(full("copy-000"), "shared")]
    assert one(partner, "copy-000", SnapshotType="shared") == [(full("copy-000"), "shared")]
    assert one(partner, "copy-000", SnapshotType="public") == []
    assert one(partner, "copy-000", SnapshotType="manual", IncludeShared=True) == []
    assert one(partner, "copy-030") == [(full("copy-030"), "public")]
    assert one(partner, "copy-030", SnapshotType="shared") == []
    assert one(partner, "copy-031", SnapshotType="public")[0][0] == full("copy-031")
    assert one(rds, "copy-030", SnapshotType="public") == [(full("copy-030"), "public")]
    assert one(rds, "copy-000", SnapshotType="public") == []
    missing = "DBClusterSnapshotNotFoundFault"
    refused(missing, stranger.describe_db_cluster_snapshots, status=404, DBClusterSnapshotIdentifier=full("copy-000"))
    refused(missing, partner.describe_db_cluster_snapshots, status=404, DBClusterSnapshotIdentifier="copy-000")


def test_rule_1_10_the_quota_is_the_settings(many):
    rds = many.rds()
    quotas = {quota["AccountQuotaName"]: quota for quota in rds.describe_account_attributes()["AccountQuotas"]}
    snapshots = quotas["ManualClusterSnapshots"]
    assert snapshots["Max"] == 300 and snapshots["Used"] == len(walk(rds))


FILTER = re.compile(r"<code>([a-z]+(?:-[a-z]+)+|engine|domain)</code> - ")
DESCRIBES = [action for service, action in contract.operations() if service == "rds" and action.startswith("Describe")]


@pytest.mark.parametrize("action", DESCRIBES)
def test_every_documented_filter_is_known(closed, plain, action):
    """By the models' own list, for whatever Describe actions there are."""
    members = contract.model("rds").operation_model(action).input_shape.members
    documented = FILTER.findall(members["Filters"].documentation) if "Filters" in members else []
    call = getattr(closed.rds(), botocore.xform_name(action))
    for name in documented:
        answer = call(Filters=[{"Name": name, "Values": ["what-nothing-has"]}])
        answer.pop("ResponseMetadata")
        assert all(rows == [] for rows in answer.values()), (name, answer)
        message = re.compile("must not be empty")
        clients.refused("InvalidParameterCombination", call, message, Filters=[{"Name": name, "Values": []}])


def test_the_filters_are_read_from_the_models():
    members = contract.model("rds").operation_model("DescribeDBClusters").input_shape.members
    found = set(FILTER.findall(members["Filters"].documentation))
    assert found == {"clone-group-id", "db-cluster-id", "db-cluster-resource-id", "domain", "engine"}
