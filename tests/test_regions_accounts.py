"""Copies between deployments that share no key with their source: another account's, and where the setting says so."""
import pytest

import clients
from clients import FAR, HOME, OWNER, PARTNER, cross_account_policy, refused, unique
from pairs import Asked, Pair, hashes, job_of, objects, start
from snapferry_tools import running

MEGABYTES, LIMIT = 12, 4_000_000


@pytest.fixture(scope="module")
def pair(deploy_for_module, tmp_path_factory):
    """Two deployments; the far one copies slowly."""
    flags = ("--cross-region-bytes-per-second", str(LIMIT), "--lease-seconds", "2")
    made = Pair(deploy_for_module, tmp_path_factory.mktemp("pair"), far_flags=flags)
    yield made
    made.close()


@pytest.fixture(scope="module")
def home_key(pair):
    """The key of the snapshots at home; the partner may use it."""
    return pair.home.new_key(HOME, Policy=cross_account_policy(PARTNER))


@pytest.fixture(scope="module")
def far_key(pair):
    """The partner's key in the far deployment."""
    return pair.far.new_key(FAR, PARTNER)


@pytest.fixture(scope="module")
def noise(pair, home_key):
    """An encrypted cluster at home, of incompressible rows."""
    cluster = pair.home.new_cluster("noise", StorageEncrypted=True, KmsKeyId=home_key)
    with clients.connect(cluster) as connection:
        clients.fill_with_noise(connection, MEGABYTES)
    return cluster


def share(pair, snapshot, add=(), remove=()):
    """Shares a snapshot at home, or no longer."""
    pair.home.rds(HOME).modify_db_cluster_snapshot_attribute(
        DBClusterSnapshotIdentifier=snapshot["DBClusterSnapshotIdentifier"],
        AttributeName="restore",
        ValuesToAdd=list(add),
        ValuesToRemove=list(remove),
    )


def rows(pair, snapshot, table, account=OWNER):
    """The rows of a cluster that is restored in the far deployment."""
    rds, name = pair.far.rds(FAR, account), unique("back")
    rds.restore_db_cluster_from_snapshot(
        DBClusterIdentifier=name, SnapshotIdentifier=snapshot, Engine="aurora-postgresql"
    )
    with clients.connect(clients.wait_cluster(rds, name)) as connection:
        found = clients.table_of(connection, table)
    rds.delete_db_cluster(DBClusterIdentifier=name, SkipFinalSnapshot=True)
    return found


def test_a_shared_snapshot_crosses_under_keys_of_its_own(pair, noise, home_key, far_key):
    with clients.connect(noise) as connection:
        expected = clients.table_of(connection, "noise")
    source = pair.home.new_snapshot("first", "noise")
    wanted = {"pair": pair, "account": PARTNER, "source": source, "KmsKeyId": far_key}
    refused("DBClusterSnapshotNotFoundFault", start, status=404, **wanted)
    share(pair, source, [PARTNER])
    pair.home.kms(HOME).put_key_policy(KeyId=home_key, PolicyName="default", Policy=cross_account_policy())
    refused("KMSKeyNotAccessibleFault", start, **wanted)
    pair.home.kms(HOME).put_key_policy(KeyId=home_key, PolicyName="default", Policy=cross_account_policy(PARTNER))
    refused("InvalidParameterValue", start, pair=pair, account=PARTNER, source=source)

    # Once it has begun, neither the sharing nor the source's key is needed.
    rds, name, made = start(**wanted)
    assert made["Status"] == "copying" and made["KmsKeyId"] == far_key
    clients.wait_percent(rds, name, 30)
    share(pair, source, remove=[PARTNER])
    pair.home.kms(HOME).disable_key(KeyId=home_key)
    refused("DBClusterSnapshotNotFoundFault", start, **wanted)
    done = clients.wait_snapshot(rds, name)
    assert done["SnapshotCreateTime"] == source["SnapshotCreateTime"]
    assert done["SourceDBClusterSnapshotArn"] == source["DBClusterSnapshotArn"]
    pair.home.kms(HOME).enable_key(KeyId=home_key)

    # No object of the source is here, no volume but the partner's, and no data key but the copy's.
    assert hashes(pair.far).isdisjoint(hashes(pair.home))
    assert {path.split("/")[1] for path in objects(pair.far)} == {PARTNER}
    kept = [context for key, _, context in clients.wrapped_keys(pair.far.server) if key == far_key]
    assert len(kept) == 1

    # The next copy is small, and goes on when its deployment dies.
    with clients.connect(noise) as connection:
        connection.execute("create table added as select generate_series(1, 1000) as n")
    whole = job_of(pair.far, name)["progress"]["bytes_shipped"]
    second = pair.home.new_snapshot("second", "noise")
    share(pair, second, [PARTNER])
    pair.to_home.target = 9
    pair.far.server.kill()
    pair.far.server.start()
    pair.aim()
    rds, again, _ = start(pair, second, PARTNER, KmsKeyId=far_key)
    clients.wait_snapshot(rds, again)
    assert job_of(pair.far, again)["progress"]["bytes_shipped"] < whole / 3

    pair.to_home.target = 9
    rds.delete_db_cluster_snapshot(DBClusterSnapshotIdentifier=name)
    assert rows(pair, again, "noise", PARTNER) == expected
    pair.aim()


def test_a_public_snapshot_crosses_without_what_is_not_its_own(pair):
    cluster = pair.home.new_cluster("plain")
    with clients.connect(cluster) as connection:
        connection.execute("create table goods as select i, repeat(md5(i::text), 20) t from generate_series(1, 5000) i")
        expected = clients.table_of(connection, "goods")
    source = pair.home.new_snapshot("public", "plain")
    share(pair, source, ["all"])
    before = objects(pair.far)
    rds, name, made = start(pair, source, PARTNER)
    assert made["StorageEncrypted"] is False and "KmsKeyId" not in made
    clients.wait_snapshot(rds, name)
    new = objects(pair.far) - before
    assert new and {path.split("/")[1] for path in new} == {PARTNER}
    assert rows(pair, name, "goods", PARTNER) == expected


def test_a_region_that_seals_anew_does_so_with_copies_of_other_deployments(deploy, tmp_path):
    strict = Pair(deploy, tmp_path, far_flags=("--reencrypt", FAR))
    try:
        key = strict.far.new_key(FAR)
        cluster = strict.home.new_cluster("noise", StorageEncrypted=True, KmsKeyId=strict.home.new_key(HOME))
        with clients.connect(cluster) as connection:
            clients.fill_with_noise(connection, 2)
            expected = clients.table_of(connection, "noise")
        source = strict.home.new_snapshot("first", "noise")
        strict.to_home.change = asked = Asked()
        rds, name, _ = start(strict, source, KmsKeyId=key)
        clients.wait_snapshot(rds, name)
        assert hashes(strict.far).isdisjoint(hashes(strict.home))
        asked.bytes.clear()
        # The same once more: the map tells that nothing is to be fetched.
        rds, again, _ = start(strict, source, KmsKeyId=key)
        clients.wait_snapshot(rds, again)
        assert not asked.bytes
        assert rows(strict, again, "noise") == expected
    finally:
        strict.close()


def test_a_target_key_that_is_disabled_on_the_way_fails_the_copy(pair, noise, home_key):
    """Nothing of it becomes visible, and an event says why."""
    source = pair.home.new_snapshot("late", "noise")
    share(pair, source, [PARTNER])
    key = pair.far.new_key(FAR, PARTNER)
    rds, name, _ = start(pair, source, PARTNER, KmsKeyId=key)
    clients.wait_percent(rds, name, 20)
    pair.far.kms(FAR, PARTNER).disable_key(KeyId=key)
    # The try under way has its keys; the next process has not.
    pair.far.server.kill()
    pair.far.server.start()
    rds = pair.far.rds(FAR, PARTNER)
    ended = running.wait_until(
        lambda: (now := clients.snapshot_of(rds, name))["Status"] != "copying" and now, 60, "the copy has ended"
    )
    assert ended["Status"] == "failed"
    assert "is disabled" in job_of(pair.far, name)["error"]
    events = rds.describe_events(SourceType="db-cluster-snapshot", SourceIdentifier=name)["Events"]
    assert "is disabled" in events[-1]["Message"]
    assert not [context for wrapped, _, context in clients.wrapped_keys(pair.far.server) if wrapped == key]
