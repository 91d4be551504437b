"""The main job with the AWS CLI in closed mode, as a person would type it."""
import json
import os
import pathlib
import subprocess
import sys

import pytest

import clients
from clients import FAR, HOME, PASSWORD, USER
from snapferry_tools import running


@pytest.fixture(scope="module")
def aws(closed):
    """Runs the AWS CLI with the profile that the server made; answers its JSON."""
    environment = running.clean_environment(
        AWS_PROFILE="snapferry",
        AWS_SHARED_CREDENTIALS_FILE=str(closed.server.data / "credentials"),
        AWS_CONFIG_FILE=os.devnull,
        AWS_PAGER="",
        AWS_MAX_ATTEMPTS="1",
    )

    program = pathlib.Path(sys.executable).with_name("aws")

    # The endpoint is a flag, since version 1 of the CLI overlooks AWS_ENDPOINT_URL for RDS in us-east-1.
    def run(*words, region=HOME, fails=None):
        done = subprocess.run(
            [program, "--endpoint-url", closed.server.url, "--region", region, "--output", "json", *words],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
            env=environment,
        )
        if fails:
            assert done.returncode != 0
            assert f"({fails})" in done.stderr, done.stderr
            return done.stderr
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout) if done.stdout.strip() else None

    return run


def test_a_secret_opens_its_database(aws, closed):
    aws(
        *("rds", "create-db-cluster", "--db-cluster-identifier", "cli-managed", "--engine", "aurora-postgresql"),
        *("--master-username", USER, "--manage-master-user-password", "--database-name", clients.DATABASE),
    )
    cluster = clients.wait_cluster(closed.rds(), "cli-managed")
    value = aws("secretsmanager", "get-secret-value", "--secret-id", cluster["MasterUserSecret"]["SecretArn"])
    secret = json.loads(value["SecretString"])
    with clients.connect(cluster, password=secret["password"], user=secret["username"]) as connection:
        assert connection.execute("select 1").fetchone() == (1,)
    aws("rds", "delete-db-cluster", "--db-cluster-identifier", "cli-managed", "--skip-final-snapshot")


@pytest.mark.timeout(240)
def test_the_main_job(aws, closed):
    assert aws("sts", "get-caller-identity")["Account"] == clients.OWNER
    key = aws("kms", "create-key", "--description", "cli")["KeyMetadata"]["Arn"]
    aws("kms", "create-alias", "--alias-name", "alias/cli", "--target-key-id", key)
    far_key = aws("kms", "create-key", region=FAR)["KeyMetadata"]["KeyId"]
    made = aws(
        *("rds", "create-db-cluster", "--db-cluster-identifier", "cli", "--engine", "aurora-postgresql"),
        *("--master-username", USER, "--master-user-password", PASSWORD, "--database-name", clients.DATABASE),
        *("--storage-encrypted", "--kms-key-id", "alias/cli", "--tags", "Key=team,Value=blue"),
    )["DBCluster"]
    assert made["Status"] == "creating" and made["KmsKeyId"] == key
    cluster = clients.wait_cluster(closed.rds(), "cli")
    (backups,) = aws("rds", "describe-db-cluster-automated-backups", "--db-cluster-identifier", "cli")[
        "DBClusterAutomatedBackups"
    ]
    assert (backups["Status"], backups["DbClusterResourceId"]) == ("active", cluster["DbClusterResourceId"])
    aws("rds", "wait", "db-cluster-available", "--db-cluster-identifier", "cli")
    with clients.connect(cluster) as connection:
        connection.execute("create table goods as select generate_series(1, 500) as i")
    aws(
        *("rds", "create-db-cluster-snapshot", "--db-cluster-identifier", "cli"),
        *("--db-cluster-snapshot-identifier", "cli-monday"),
    )
    clients.wait_snapshot(closed.rds(), "cli-monday")
    aws("rds", "wait", "db-cluster-snapshot-available", "--db-cluster-snapshot-identifier", "cli-monday")
    other = aws("kms", "create-key")["KeyMetadata"]["Arn"]
    copy = aws(
        *("rds", "copy-db-cluster-snapshot", "--source-db-cluster-snapshot-identifier", "cli-monday"),
        *("--target-db-cluster-snapshot-identifier", "cli-copy", "--kms-key-id", other, "--copy-tags"),
    )["DBClusterSnapshot"]
    assert copy["Status"] == "available" and copy["KmsKeyId"] == other
    aws(
        *("rds", "copy-db-cluster-snapshot", "--source-db-cluster-snapshot-identifier", "nobody"),
        *("--target-db-cluster-snapshot-identifier", "cli-never"),
        fails="DBClusterSnapshotNotFoundFault",
    )
    far = aws(
        *("rds", "copy-db-cluster-snapshot", "--source-region", HOME, "--kms-key-id", far_key),
        *("--source-db-cluster-snapshot-identifier", copy["DBClusterSnapshotArn"]),
        *("--target-db-cluster-snapshot-identifier", "cli-far", "--tags", "Key=place,Value=far"),
        region=FAR,
    )["DBClusterSnapshot"]
    assert far["Status"] in ("copying", "available")
    clients.wait_snapshot(closed.rds(FAR), "cli-far")
    described = aws(
        "rds", "describe-db-cluster-snapshots", "--db-cluster-snapshot-identifier", "cli-far", region=FAR
    )["DBClusterSnapshots"][0]
    assert described["PercentProgress"] == 100
    assert described["TagList"] == [{"Key": "place", "Value": "far"}]
    aws(
        *("rds", "restore-db-cluster-from-snapshot", "--db-cluster-identifier", "cli-far"),
        *("--snapshot-identifier", "cli-far", "--engine", "aurora-postgresql"),
        region=FAR,
    )
    with clients.connect(clients.wait_cluster(closed.rds(FAR), "cli-far")) as connection:
        assert connection.execute("select count(*), sum(i) from goods").fetchone() == (500, 125_250)
    aws("rds", "delete-db-cluster", "--db-cluster-identifier", "cli-far", "--skip-final-snapshot", region=FAR)
    aws("rds", "delete-db-cluster-snapshot", "--db-cluster-snapshot-identifier", "cli-far", region=FAR)
    aws("rds", "delete-db-cluster", "--db-cluster-identifier", "cli", "--skip-final-snapshot")
