"""Keys that another KMS holds; here a second deployment of the same server."""
import contextlib
import re
import sqlite3

import pytest

import clients
from clients import FAR, HOME, OWNER, PARTNER, copied, copy_request, refused, unique
from snapferry_tools import running

ENGINE = "aurora-postgresql"


def table_of(key):
    """A `[[kms.credentials]]` table."""
    return (
        f"[[kms.credentials]]\naccount = '{key['account']}'\naccess-key-id = '{key['access_key_id']}'\n"
        f"secret-access-key = '{key['secret_access_key']}'\n"
    )


@pytest.fixture(scope="module")
def outside(deploy_for_module):
    """The deployment that holds the keys."""
    return deploy_for_module()


@pytest.fixture(scope="module")
def ours(deploy_for_module, outside, tmp_path_factory):
    """The deployment that asks for them: the owner and the partner have credentials there."""
    default = outside.new_key()
    outside.kms().create_alias(AliasName="alias/ferry", TargetKeyId=default)
    keys = [outside.server.create_access_key(account) for account in (OWNER, PARTNER)]
    settings = tmp_path_factory.mktemp("outside") / "snapferry.toml"
    settings.write_text(
        f"[kms]\nendpoint = '{outside.server.url}'\ndefault-key = 'alias/ferry'\n" + "".join(map(table_of, keys)),
        encoding="utf-8",
    )
    return deploy_for_module("--config", str(settings), "--log-level", "trace")


@pytest.fixture(scope="module")
def key(outside):
    """A key of the owner in the outside KMS."""
    return outside.new_key()


@pytest.fixture(scope="module")
def sealed(ours, key):
    """An encrypted cluster with rows, and a snapshot of it."""
    cluster = ours.new_cluster("sealed", StorageEncrypted=True, KmsKeyId=key)
    with clients.connect(cluster) as connection:
        connection.execute("create table goods as select generate_series(1, 500) i")
    return ours.new_snapshot("sealed-snapshot", "sealed")


def rows_of(ours, snapshot, region=HOME, **more):
    """How many rows a snapshot restores to."""
    rds, name = ours.rds(region), unique("restored")
    rds.restore_db_cluster_from_snapshot(
        DBClusterIdentifier=name, SnapshotIdentifier=snapshot, Engine=ENGINE, **more
    )
    with clients.connect(clients.wait_cluster(rds, name)) as connection:
        count = clients.table_of(connection, "goods")[0]
    rds.delete_db_cluster(DBClusterIdentifier=name, SkipFinalSnapshot=True)
    return count


def target(key):
    """The target key's wording."""
    return (
        f"The target KMS key [{key}] does not exist, is not enabled or you do not have permissions to access it."
    )


def test_a_snapshot_is_copied_and_restored(outside, ours, key, sealed):
    assert sealed["StorageEncrypted"] and sealed["KmsKeyId"] == key
    other = outside.new_key()
    alias = f"alias/{unique('copies')}"
    outside.kms().create_alias(AliasName=alias, TargetKeyId=other)
    copy = copied(ours, "sealed-snapshot", KmsKeyId=alias)
    assert copy["KmsKeyId"] == other
    far_key = outside.new_key(FAR)
    far = copied(ours, sealed["DBClusterSnapshotArn"], FAR, KmsKeyId=far_key)
    assert far["KmsKeyId"] == far_key
    # Copies need their own keys only.
    outside.kms().disable_key(KeyId=key)
    try:
        assert rows_of(ours, copy["DBClusterSnapshotIdentifier"]) == 500
        assert rows_of(ours, far["DBClusterSnapshotIdentifier"], FAR) == 500
        refused(
            "KMSKeyNotAccessibleFault",
            ours.rds().copy_db_cluster_snapshot,
            re.compile(re.escape(f"[{key}] does not exist, is not enabled")),
            400,
            **copy_request("sealed-snapshot", unique("copy"), KmsKeyId=other),
        )
        refused(
            "KMSKeyNotAccessibleFault",
            ours.rds().copy_db_cluster_snapshot,
            target(key),
            400,
            **copy_request(copy["DBClusterSnapshotIdentifier"], unique("copy"), KmsKeyId=key),
        )
    finally:
        outside.kms().enable_key(KeyId=key)
    assert rows_of(ours, "sealed-snapshot") == 500


def test_keys_that_cannot_be_used(outside, ours, sealed):
    for wrong in (outside.new_key(FAR), f"arn:aws:kms:{HOME}:{OWNER}:key/none", "alias/nobody", "no key"):
        request = copy_request("sealed-snapshot", unique("copy"), KmsKeyId=wrong)
        refused("KMSKeyNotAccessibleFault", ours.rds().copy_db_cluster_snapshot, target(wrong), 400, **request)


def test_the_default_key(outside, ours, sealed):
    default = outside.kms().describe_key(KeyId="alias/ferry")["KeyMetadata"]["Arn"]
    assert copied(ours, "sealed-snapshot", KmsKeyId="alias/aws/rds")["KmsKeyId"] == default
    request = copy_request(sealed["DBClusterSnapshotArn"], unique("copy"), KmsKeyId="alias/aws/rds")
    refused("KMSKeyNotAccessibleFault", ours.rds(FAR).copy_db_cluster_snapshot, **request)


def test_accounts_are_told_apart_there(outside, ours, sealed):
    """The outside KMS's policies decide which account may use a shared snapshot's key."""
    shared_key, own = outside.new_key(), outside.new_key(account=PARTNER)
    shared = copied(ours, "sealed-snapshot", KmsKeyId=shared_key)
    ours.rds().modify_db_cluster_snapshot_attribute(
        DBClusterSnapshotIdentifier=shared["DBClusterSnapshotIdentifier"],
        AttributeName="restore",
        ValuesToAdd=[PARTNER],
    )
    theirs = ours.rds(account=PARTNER)
    request = copy_request(shared["DBClusterSnapshotArn"], unique("theirs"), KmsKeyId=own)
    wording = re.compile(re.escape(f"The source snapshot KMS key [{shared_key}]"))
    refused("KMSKeyNotAccessibleFault", theirs.copy_db_cluster_snapshot, wording, 400, **request)
    outside.kms().put_key_policy(
        KeyId=shared_key, PolicyName="default", Policy=clients.cross_account_policy(PARTNER)
    )
    theirs.copy_db_cluster_snapshot(**request)
    assert clients.wait_snapshot(theirs, request["TargetDBClusterSnapshotIdentifier"])["KmsKeyId"] == own
    # An account without credentials has no keys at all.
    refused(
        "KMSKeyNotAccessibleFault",
        ours.rds(account=clients.STRANGER).create_db_cluster,
        DBClusterIdentifier="theirs",
        Engine=ENGINE,
        MasterUsername=clients.USER,
        MasterUserPassword=clients.PASSWORD,
        StorageEncrypted=True,
        KmsKeyId=shared_key,
    )


def test_the_built_in_kms_is_silent(outside, ours):
    said = refused("UnsupportedOperationException", ours.kms().create_key, status=400)
    assert outside.server.url in said
    refused("UnsupportedOperationException", ours.kms().list_keys)


def test_an_outside_kms_that_is_down(outside, ours, key, sealed):
    """Requests are refused in words and change nothing; jobs wait until it is back."""
    rds, port = ours.rds(), outside.server.port
    request = copy_request("sealed-snapshot", unique("copy"), KmsKeyId=key)
    rds.create_db_cluster_snapshot(DBClusterSnapshotIdentifier="waits", DBClusterIdentifier="sealed")
    outside.server.kill()
    before = len(rds.describe_db_cluster_snapshots()["DBClusterSnapshots"])
    refused(
        "ServiceUnavailable",
        rds.copy_db_cluster_snapshot,
        re.compile("key management service does not answer"),
        503,
        **request,
    )
    assert len(rds.describe_db_cluster_snapshots()["DBClusterSnapshots"]) == before
    # What needs no key goes on.
    assert clients.cluster_of(rds, "sealed")["Status"] == "available"

    def error_of_the_job():
        row = next(row for row in ours.server.jobs() if row["subject"] == "waits")
        assert row["state"] == "open", row
        return row["error"]

    error = running.wait_until(error_of_the_job, 60, "the job meets the outage")
    assert "outside KMS" in error
    outside.server.listen = f"127.0.0.1:{port}"
    outside.server.start()
    clients.wait_snapshot(rds, "waits")
    rds.copy_db_cluster_snapshot(**request)
    clients.wait_snapshot(rds, request["TargetDBClusterSnapshotIdentifier"])


def test_no_key_is_kept_here_in_the_clear(outside, ours, sealed):
    """No keys of our own beside the outside KMS, and of the data keys only what it wrapped."""
    with contextlib.closing(sqlite3.connect(f"file:{ours.server.data / 'catalog.sqlite'}?mode=ro", uri=True)) as rows:
        assert rows.execute("select count(*) from kms_keys").fetchone() == (0,)
    drawn = []
    for key, blob, context in clients.wrapped_keys(ours.server):
        _, _, _, region, account, _ = key.split(":", 5)
        kms = outside.kms(region, account)
        drawn.append(kms.decrypt(CiphertextBlob=blob, EncryptionContext=context, KeyId=key)["Plaintext"])
    assert len(set(drawn)) >= 2
    secrets = [outside.credentials(account)[1].encode() for account in (OWNER, PARTNER)]
    for server in (ours.server, outside.server):
        clients.assert_nowhere(server, drawn + secrets)


def test_half_settings_are_refused(binary, tmp_path):
    for flags in (
        ["--kms-endpoint", "http://127.0.0.1:1"],
        ["--kms-endpoint", "http://kms.example", "--kms-access-key-id", "A", "--kms-secret-access-key", "s"],
        ["--kms-default-key", "alias/x"],
    ):
        server = running.Server(binary, tmp_path / "data", *flags)
        with pytest.raises(running.StartError, match="kms-"):
            server.start()
        server.stop()
