"""A data folder that an older version left opens, and what is in it is whole. data/make_old_folder.py made it."""
import json
import pathlib
import tarfile

import pytest

import clients
from clients import FAR, HOME, OWNER, PARTNER, copied, unique
from snapferry_tools import running

PACKED = pathlib.Path(__file__).parent / "data" / "folder-bcc4fbd.tar.xz"
MAJOR = "15"


@pytest.fixture(scope="module")
def opened(deploy_for_module):
    """A deployment on the old folder, and what was found in it when it was made."""
    deployment = deploy_for_module("--region", HOME, "--region", FAR, start=False)
    # Before 3.12 there is no other way than all as it was packed.
    how = {"filter": "fully_trusted"} if hasattr(tarfile, "fully_trusted_filter") else {}
    with tarfile.open(PACKED) as packed:
        packed.extractall(deployment.server.data.parent, **how)
    found = json.loads((deployment.server.data / "found.json").read_text(encoding="utf-8"))
    deployment.server.start()
    deployment.credentials = {OWNER: deployment.credentials(OWNER), PARTNER: tuple(found["partner"])}.__getitem__
    return deployment, found


def places(deployment):
    """Each snapshot's name and its region's client."""
    return {"monday": deployment.rds(), "sealed": deployment.rds(), "monday-far": deployment.rds(FAR)}


def test_everything_is_listed_as_it_was(opened):
    deployment, found = opened
    for name, rds in places(deployment).items():
        now = json.loads(json.dumps(clients.snapshot_of(rds, name), default=str))
        assert {member: now.get(member) for member in found["snapshots"][name]} == found["snapshots"][name]
    assert deployment.rds().describe_db_clusters()["DBClusters"] == []
    aliases = {alias["AliasName"]: alias.get("TargetKeyId") for alias in deployment.kms().list_aliases()["Aliases"]}
    assert aliases["alias/sealed"] == found["key"].rpartition("/")[2]
    assert deployment.kms().describe_key(KeyId=found["key"])["KeyMetadata"]["KeyState"] == "Enabled"


def test_the_partners_key_and_share_are_still_good(opened):
    deployment, found = opened
    shared = deployment.rds(account=PARTNER).describe_db_cluster_snapshots(IncludeShared=True)["DBClusterSnapshots"]
    assert [one["DBClusterSnapshotArn"] for one in shared] == [found["snapshots"]["monday"]["DBClusterSnapshotArn"]]


@pytest.mark.skipif(not pathlib.Path(f"/usr/lib/postgresql/{MAJOR}/bin/postgres").exists(), reason=f"needs PostgreSQL {MAJOR}")
@pytest.mark.parametrize(("name", "row"), [("monday", "monday"), ("sealed", "sealed"), ("monday-far", "monday")])
def test_every_row_is_restored(opened, name, row):
    deployment, found = opened
    rds, cluster = places(deployment)[name], unique("restored")
    rds.restore_db_cluster_from_snapshot(
        DBClusterIdentifier=cluster, SnapshotIdentifier=name, Engine="aurora-postgresql"
    )
    with clients.connect(clients.wait_cluster(rds, cluster), database="postgres") as connection:
        assert [str(value) for value in clients.table_of(connection, "goods")] == found["rows"][row]


def test_it_goes_on(opened):
    """Copies from what is old, of both kinds and across regions, and then all of it goes."""
    deployment, found = opened
    made = [copied(deployment, "monday"), copied(deployment, "sealed", KmsKeyId=deployment.new_key())]
    arn = clients.snapshot_of(deployment.rds(FAR), "monday-far")["DBClusterSnapshotArn"]
    made.append(copied(deployment, arn, SourceRegion=FAR))
    assert [one["StorageEncrypted"] for one in made] == [False, True, False]
    for name, rds in places(deployment).items():
        rds.delete_db_cluster_snapshot(DBClusterSnapshotIdentifier=name)
        clients.wait_gone(rds, name)
    left = {one["DBClusterSnapshotIdentifier"] for one in deployment.rds().describe_db_cluster_snapshots()["DBClusterSnapshots"]}
    assert left == {one["DBClusterSnapshotIdentifier"] for one in made}
    running.wait_until(lambda: {job["state"] for job in deployment.server.jobs()} == {"done"}, 60, "all jobs are done")
