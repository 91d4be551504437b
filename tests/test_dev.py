"""The main job once in dev mode, as users of local AWS stand-ins work: any credentials will do."""
import pytest

import clients
from clients import FAR, HOME, PARTNER, copied, copy_request, refused, unique


def test_the_main_job(dev):
    key, other, far = dev.new_key(), dev.new_key(), dev.new_key(FAR)
    cluster = dev.new_cluster("dev-shop", StorageEncrypted=True, KmsKeyId=key)
    with clients.connect(cluster) as connection:
        connection.execute("create table goods as select generate_series(1, 300) as i")
    snapshot = dev.new_snapshot("dev-monday", "dev-shop")
    assert copied(dev, "dev-monday", KmsKeyId=other)["KmsKeyId"] == other
    arn = snapshot["DBClusterSnapshotArn"]
    theirs, request = dev.rds(account=PARTNER), copy_request(arn, "theirs", KmsKeyId=dev.new_key(account=PARTNER))
    refused("DBClusterSnapshotNotFoundFault", theirs.copy_db_cluster_snapshot, **request)
    dev.rds().modify_db_cluster_snapshot_attribute(
        DBClusterSnapshotIdentifier="dev-monday", AttributeName="restore", ValuesToAdd=[PARTNER]
    )
    dev.kms().put_key_policy(KeyId=key, PolicyName="default", Policy=clients.cross_account_policy(PARTNER))
    theirs.copy_db_cluster_snapshot(**request)
    copy = copied(dev, arn, FAR, KmsKeyId=far, SourceRegion=HOME)
    name = unique("dev-far")
    dev.rds(FAR).restore_db_cluster_from_snapshot(
        DBClusterIdentifier=name,
        SnapshotIdentifier=copy["DBClusterSnapshotIdentifier"],
        Engine="aurora-postgresql",
    )
    with clients.connect(clients.wait_cluster(dev.rds(FAR), name)) as there, clients.connect(cluster) as here:
        assert clients.table_of(there, "goods") == clients.table_of(here, "goods")


def test_an_unknown_region_creates_nothing(dev):
    rds = dev.rds("mars-north-1")
    with pytest.raises(rds.exceptions.ClientError) as caught:
        rds.create_db_cluster(
            DBClusterIdentifier="nowhere",
            Engine="aurora-postgresql",
            MasterUsername=clients.USER,
            MasterUserPassword=clients.PASSWORD,
        )
    assert "mars-north-1" in caught.value.response["Error"]["Message"]


def test_the_start_says_what_to_paste(dev):
    said = dev.server.log.read_text(encoding="utf-8")
    line = f"export AWS_ENDPOINT_URL={dev.server.url}\n"
    assert "To connect, paste:\n" + line in said
    assert "export AWS_SECRET_ACCESS_KEY=dev\n" in said
