"""Links between deployments when something breaks: killed nodes, deleted sources, certificates, full rows of nodes."""
import ssl
import subprocess

import pytest

import clients
import relay as relays
from clients import FAR, HOME, refused, unique
from fleet import Bucket, Fleet
from pairs import UNREACHABLE, Asked, Pair, hashes, start

LIMIT = 8_000_000


@pytest.fixture(scope="module")
def pair(deploy_for_module, tmp_path_factory):
    """Two deployments; the far one copies slowly, the home one forgets soon."""
    made = Pair(
        deploy_for_module,
        tmp_path_factory.mktemp("pair"),
        home_flags=("--sweep-grace-seconds", "1"),
        far_flags=("--cross-region-bytes-per-second", str(LIMIT), "--lease-seconds", "2"),
    )
    yield made
    made.close()


@pytest.fixture(scope="module")
def noise(pair):
    """An encrypted cluster at home whose snapshots have several packs."""
    cluster = pair.home.new_cluster("noise", StorageEncrypted=True, KmsKeyId=pair.home.new_key(HOME))
    with clients.connect(cluster) as connection:
        clients.fill_with_noise(connection, 64)
    return cluster


def test_a_killed_destination_asks_for_no_pack_again(pair, noise):
    source = pair.home.new_snapshot("killed", "noise")
    pair.to_home.change = asked = Asked()
    rds, name, _ = start(pair, source, KmsKeyId=pair.far.new_key(FAR))
    clients.wait_percent(rds, name, 60)
    pair.far.server.kill()
    whole = {one for one in asked.bytes if one in hashes(pair.far)}
    assert whole, "some packs had arrived"
    before = dict(asked.bytes)
    pair.far.server.start()
    pair.aim()
    clients.wait_snapshot(pair.far.rds(FAR), name)
    assert {one for one in whole if asked.bytes[one] != before[one]} == set()
    pair.to_home.change = None


def test_a_source_that_is_deleted_on_the_way_is_read_to_its_end(pair, noise):
    """As in one deployment: what a copy reads is held, although nothing else needs it any more."""
    home = pair.home.rds(HOME)
    cluster = pair.home.new_cluster("brief", StorageEncrypted=True, KmsKeyId=pair.home.new_key(HOME))
    with clients.connect(cluster) as connection:
        clients.fill_with_noise(connection, 32)
        expected = clients.table_of(connection, "noise")
    source = pair.home.new_snapshot("brief-snapshot", "brief")
    rds, name, _ = start(pair, source, KmsKeyId=pair.far.new_key(FAR))
    home.delete_db_cluster_snapshot(DBClusterSnapshotIdentifier="brief-snapshot")
    home.delete_db_cluster(DBClusterIdentifier="brief", SkipFinalSnapshot=True)
    clients.wait_gone(home, "brief-snapshot")
    before = hashes(pair.home)
    # Two rounds of the sweep, which come every second here.
    done = clients.wait_snapshot(rds, name)
    assert done["Status"] == "available" and before <= hashes(pair.home)
    rds.restore_db_cluster_from_snapshot(
        DBClusterIdentifier="brief-far", SnapshotIdentifier=name, Engine="aurora-postgresql"
    )
    with clients.connect(clients.wait_cluster(rds, "brief-far")) as connection:
        assert clients.table_of(connection, "noise") == expected


def certificate(folder, name):
    """A key and a certificate of a private authority for localhost."""
    key, made = folder / f"{name}.key", folder / f"{name}.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2"]
        + ["-keyout", key, "-out", made, "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"]
        + ["-addext", "basicConstraints=critical,CA:FALSE"],
        check=True,
        capture_output=True,
    )
    return key, made


def test_a_private_authority_is_trusted_when_it_is_named(deploy, tmp_path):
    (key, made), (_, other) = certificate(tmp_path, "good"), certificate(tmp_path, "other")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(made, key)
    sealed = Pair(deploy, tmp_path, to_home=relays.Relay(context), far_more=f'ca = "{made}"\n')
    try:
        sealed.home.new_cluster("plain")
        source = sealed.home.new_snapshot("plain-snapshot", "plain")
        rds, name, _ = start(sealed, source)
        clients.wait_snapshot(rds, name)

        for more in (f'ca = "{other}"\n', ""):
            Pair.settings(tmp_path / "far.toml", HOME, sealed.to_home, more=more)
            sealed.far.server.stop()
            sealed.far.server.start()
            seen = len(sealed.far.server.log.read_text())
            refused("ServiceUnavailable", start, UNREACHABLE, pair=sealed, source=source)
            assert "its certificate is not trusted" in sealed.far.server.log.read_text()[seen:]
        sealed.to_home.close()
        said = refused("ServiceUnavailable", start, UNREACHABLE, pair=sealed, source=source)
        assert "Nothing was changed" in said and sealed.to_home.url not in said
        assert "no connection" in sealed.far.server.log.read_text()
    finally:
        sealed.close()


def test_nodes_on_both_sides_take_over_from_each_other(deploy, tmp_path):
    """Two nodes a side behind a balancer; the far vault is a bucket. One node of each side dies."""
    to_home, to_far = relays.Relay(), relays.Relay()
    rows = Pair.settings(tmp_path / "home.toml", FAR, to_far), Pair.settings(tmp_path / "far.toml", HOME, to_home)
    home = Fleet(deploy, ("--config", rows[0], "--default-region", HOME))
    slow = ("--cross-region-bytes-per-second", str(LIMIT), "--lease-seconds", "2")
    far = Fleet(deploy, ("--config", rows[1], "--default-region", FAR, *slow), vault=Bucket())
    try:
        for name in ("one", "two"):
            home.add(f"home-{name}")
            far.add(f"far-{name}")
        to_home.target = [node.server.port for node in home.nodes.values()]
        to_home.change = asked = Asked()
        here, there = home.nodes["home-one"], far.nodes["far-one"]
        cluster = here.new_cluster("noise", StorageEncrypted=True, KmsKeyId=here.new_key(HOME))
        with clients.connect(cluster) as connection:
            clients.fill_with_noise(connection, 32)
        source = here.new_snapshot("noise-snapshot", "noise")
        rds, name = there.rds(FAR), unique("across")
        rds.copy_db_cluster_snapshot(
            SourceDBClusterSnapshotIdentifier=source["DBClusterSnapshotArn"],
            TargetDBClusterSnapshotIdentifier=name,
            KmsKeyId=there.new_key(FAR),
        )
        runner = far.runner(name)
        clients.wait_percent(rds, name, 30)
        far.nodes[runner].server.kill()
        home.nodes["home-two"].server.kill()
        survivor = next(node for node in far.nodes.values() if node.server.is_running)
        clients.wait_snapshot(survivor.rds(FAR), name)
        assert far.job(name)["attempts"] == 2 and asked.bytes
    finally:
        to_home.close()
        to_far.close()
        home.remove()
        far.remove()
