"""Regions as deployments of their own: copies across, rights, cuts, and peers that lie."""
import hashlib
import hmac
import json
import re
import secrets
import time

import pytest

import clients
import relay as relays
from clients import FAR, HOME, OWNER, PARTNER, copy_request, refused, unique
from pairs import KEY, UNREACHABLE, Pair, job_of, objects, start
from snapferry_tools import running

MEGABYTES, LIMIT = 12, 4_000_000


@pytest.fixture(scope="module")
def pair(deploy_for_module, tmp_path_factory):
    """The two deployments that most tests here share."""
    made = Pair(
        deploy_for_module,
        tmp_path_factory.mktemp("pair"),
        far_flags=("--cross-region-bytes-per-second", str(LIMIT)),
    )
    yield made
    made.close()


@pytest.fixture(scope="module")
def source(pair):
    """An encrypted snapshot at home, of incompressible rows."""
    cluster = pair.home.new_cluster("noise", StorageEncrypted=True, KmsKeyId=pair.home.new_key(HOME))
    with clients.connect(cluster) as connection:
        clients.fill_with_noise(connection, MEGABYTES)
    return pair.home.new_snapshot("noise-snapshot", "noise", Tags=[{"Key": "ship", "Value": "Anna"}])


@pytest.fixture(scope="module")
def small(pair):
    """A small unencrypted snapshot at home."""
    pair.home.new_cluster("plain")
    return pair.home.new_snapshot("plain-snapshot", "plain")


@pytest.fixture(scope="module")
def far_key(pair):
    """A key in the far deployment."""
    return pair.far.new_key(FAR)


@pytest.fixture(autouse=True)
def honest(pair):
    """After each test the relays are honest again."""
    yield
    pair.to_home.change = None
    pair.aim()


def test_a_copy_crosses_and_restores_to_the_same_rows(pair, source, far_key):
    rds, name, made = start(pair, source, KmsKeyId=far_key, CopyTags=True)
    assert made["Status"] == "copying" and made["KmsKeyId"] == far_key
    assert made["SourceDBClusterSnapshotArn"] == source["DBClusterSnapshotArn"]
    done = clients.wait_snapshot(rds, name)
    assert done["SnapshotCreateTime"] == source["SnapshotCreateTime"]
    assert done["TagList"] == [{"Key": "ship", "Value": "Anna"}]
    first = job_of(pair.far, name)["progress"]
    assert first["bytes_shipped"] >= MEGABYTES << 20

    # The copy needs neither the source, nor its key, nor its deployment.
    pair.to_home.target = 9
    rds.restore_db_cluster_from_snapshot(
        DBClusterIdentifier="noise-far", SnapshotIdentifier=name, Engine="aurora-postgresql"
    )
    with clients.connect(clients.wait_cluster(rds, "noise-far")) as there:
        with clients.connect(clients.cluster_of(pair.home.rds(HOME), "noise")) as here:
            assert clients.table_of(there, "noise") == clients.table_of(here, "noise")
            here.execute("create table more as select generate_series(1, 1000) i")
    pair.aim()

    # The next snapshot's copy ships what is new.
    next_one = pair.home.new_snapshot("noise-next", "noise")
    rds, name, _ = start(pair, next_one, KmsKeyId=far_key)
    clients.wait_snapshot(rds, name)
    assert job_of(pair.far, name)["progress"]["bytes_shipped"] < first["bytes_shipped"] / 2


def test_an_unencrypted_copy(pair, small, far_key):
    refused("InvalidParameterValue", start, re.compile("unencrypted"), pair=pair, source=small, KmsKeyId=far_key)
    rds, name, _ = start(pair, small)
    done = clients.wait_snapshot(rds, name)
    assert done["StorageEncrypted"] is False and "KmsKeyId" not in done


def test_each_region_is_hosted_once(pair):
    refused(
        "InvalidParameterValue",
        pair.far.rds(HOME).describe_db_cluster_snapshots,
        f"Region {HOME} is hosted by another deployment: send the request to {pair.to_home.url}.",
    )


def test_the_source_region_decides(pair, source, far_key):
    rds = pair.far.rds(FAR)
    missing = source["DBClusterSnapshotArn"].replace("noise-snapshot", "none")
    refused(
        "DBClusterSnapshotNotFoundFault",
        rds.copy_db_cluster_snapshot,
        f"DBClusterSnapshot not found: {missing}",
        404,
        **copy_request(missing, unique("none"), KmsKeyId=far_key),
    )
    refused(
        "InvalidParameterValue",
        rds.copy_db_cluster_snapshot,
        "Must specify new KMS key for cross region encrypted snapshot copy.",
        **copy_request(source["DBClusterSnapshotArn"], unique("none")),
    )
    partner, partner_key = pair.far.rds(FAR, PARTNER), pair.far.new_key(FAR, PARTNER)
    foreign = copy_request(source["DBClusterSnapshotArn"], unique("none"), KmsKeyId=partner_key)
    refused("DBClusterSnapshotNotFoundFault", partner.copy_db_cluster_snapshot, **foreign)


def test_the_source_key_decides(pair, source, far_key):
    key = pair.home.new_key(HOME)
    locked = clients.copied(pair.home, "noise-snapshot", HOME, KmsKeyId=key)
    pair.home.kms(HOME).disable_key(KeyId=key)
    refused(
        "KMSKeyNotAccessibleFault",
        start,
        re.compile(re.escape(f"The source snapshot KMS key [{key}] does not exist, is not enabled")),
        pair=pair,
        source=locked,
        KmsKeyId=far_key,
    )


def test_a_cut_link_goes_on_where_it_was(pair, far_key):
    cluster = pair.home.new_cluster("cut", StorageEncrypted=True, KmsKeyId=pair.home.new_key(HOME))
    with clients.connect(cluster) as connection:
        clients.fill_with_noise(connection, MEGABYTES)
    rds, name, _ = start(pair, pair.home.new_snapshot("cut-snapshot", "cut"), KmsKeyId=far_key)
    clients.wait_percent(rds, name, 30)
    pair.home.server.kill()
    clients.wait_percent(rds, name, 30)
    assert clients.snapshot_of(rds, name)["Status"] == "copying"
    pair.home.server.start()
    pair.aim()
    clients.wait_snapshot(rds, name)
    job = job_of(pair.far, name)
    assert job["state"] == "done" and job["attempts"] == 1



def flip(_, path, __, status, headers, data):
    """One bit of each piece is another."""
    if path.endswith("/object") and data:
        data = bytes([data[0] ^ 1]) + data[1:]
    return status, headers, data


def shorten(_, path, __, status, headers, data):
    """Pieces end early, and their MAC cannot follow."""
    return status, headers, data[:-1] if path.endswith("/object") else data


def never_end(_, path, __, status, headers, data):
    """Pieces go on and on."""
    return status, headers, relays.endless if path.endswith("/object") else data


def rewrite(_, path, __, status, headers, data):
    """The description names another account's volume."""
    return status, headers, data.replace(OWNER.encode(), PARTNER.encode()) if path.endswith("/ticket") else data


def test_a_peer_with_wrong_bytes_is_caught(pair, small):
    lone = pair.home.new_cluster("lone")
    with clients.connect(lone) as connection:
        clients.fill_with_noise(connection, 1)
    snapshot = pair.home.new_snapshot("lone-snapshot", "lone")
    before = objects(pair.far)
    pair.to_home.change = flip
    rds, name, _ = start(pair, snapshot)
    ended = running.wait_until(
        lambda: (now := clients.snapshot_of(rds, name))["Status"] != "copying" and now, 60, "the copy has failed"
    )
    assert ended["Status"] == "failed"
    assert "do not have its hash" in job_of(pair.far, name)["error"]
    assert objects(pair.far) == before
    refused("InvalidDBClusterSnapshotStateFault", rds.copy_db_cluster_snapshot, **copy_request(name, unique("none")))


@pytest.mark.parametrize("lie", [shorten, never_end])
def test_a_peer_whose_answers_are_no_answers_is_not_believed(pair, small, lie):
    """Nothing of it arrives; once the peer is honest again, the copy goes on."""
    cluster = unique("liar")
    pair.home.new_cluster(cluster)
    snapshot = pair.home.new_snapshot(f"{cluster}-snapshot", cluster)
    pair.to_home.change = lie
    rds, name, _ = start(pair, snapshot)
    time.sleep(1)
    assert clients.snapshot_of(rds, name)["Status"] == "copying"
    pair.to_home.change = None
    clients.wait_snapshot(rds, name)


def test_a_changed_description_is_refused(pair, small):
    pair.to_home.change = rewrite
    said = refused("ServiceUnavailable", start, UNREACHABLE, 503, pair=pair, source=small)
    assert pair.to_home.url not in said, "the peer's address is the operator's to know"
    assert "does not prove" in pair.far.server.log.read_text()


class Link:
    """Speaks the link's protocol, as a peer would that may be up to something."""

    def __init__(self, deployment, key=KEY, here=FAR, there=HOME):
        self.deployment, self.key, self.here, self.there = deployment, bytes.fromhex(key), here, there

    @staticmethod
    def _framed(*parts):
        return b"".join(len(part).to_bytes(8, "big") + part for part in parts)

    def _mac(self, purpose, *parts):
        key = hmac.digest(self.key, self._framed(b"snapferry link 1", purpose), hashlib.sha256)
        return hmac.digest(key, self._framed(*parts), hashlib.sha256)

    def ask(self, path, question, clock=0):
        """One message; (status, answer)."""
        body = json.dumps(question).encode()
        stamp, nonce = str(int(time.time()) + clock), secrets.token_hex(16)
        words = [self.here, self.there, stamp, nonce]
        mac = self._mac(b"message", *(word.encode() for word in words), path.encode(), body)
        header = " ".join(["1", *words, mac.hex()])
        answer = clients.send(self.deployment.server, path=path, headers={"snapferry-link": header}, body=body)
        return answer.status, answer.body

    def ticket(self, snapshot, caller=OWNER):
        """A ticket and its description."""
        arn = snapshot["DBClusterSnapshotArn"]
        question = {"caller": caller, "source": arn, "source_given": arn, "kms_key_id": None, "pre_signed_url": None}
        return self.ask("/link/v1/ticket", question)


def test_strangers_and_other_versions_are_refused_in_words(pair):
    hello = {"versions": [99], "release": "9.9.9"}
    status, said = Link(pair.home).ask("/link/hello", hello)
    assert status == 503 and b"Upgrade the older of the two" in said
    assert Link(pair.home).ask("/link/hello", hello | {"versions": [1, 2]})[0] == 200
    for link, clock in [(Link(pair.home, "0" * 64), 0), (Link(pair.home), 1_000), (Link(pair.home, here="eu-west-3"), 0)]:
        assert link.ask("/link/hello", hello, clock)[0] == 403
    assert Link(pair.home, here=HOME, there=FAR).ask("/link/hello", hello)[0] == 403
    assert clients.send(pair.home.server, path="/link/v1/object", body=b"{}").status == 403


def test_tickets_are_used_once_and_passes_reach_one_snapshot(pair, small, source):
    link = Link(pair.home)
    status, said = link.ticket(small)
    assert status == 200
    offer = json.loads(said)
    redeem = {"ticket": offer["ticket"], "public": "", "target_key": None}
    status, said = link.ask("/link/v1/key", redeem)
    assert status == 200
    used_pass = json.loads(said)["pass"]
    assert link.ask("/link/v1/key", redeem)[0] == 403, "a ticket is used once"
    assert link.ask("/link/v1/key", redeem | {"ticket": used_pass})[0] == 403, "a pass is no ticket"

    def piece(kind, digest, token=used_pass, length=100):
        question = {"pass": token, "kind": kind, "hash": digest, "start": 0, "length": length}
        return link.ask("/link/v1/object", question)[0]

    own = offer["snapshot"]["manifest"]
    other = json.loads(link.ticket(source)[1])["snapshot"]["manifest"]
    assert piece("manifest", own) == 200
    assert piece("manifest", other) == 404, "another snapshot's objects"
    assert piece("pack", own) == 404
    assert piece("manifest", own, offer["ticket"]) == 403, "a ticket is no pass"
    assert piece("manifest", own, used_pass[:-4] + "AAAA") == 403
    assert piece("manifest", own, length=5 << 20) == 400
    assert link.ticket(source, PARTNER)[0] in (400, 404)


def test_a_peer_with_another_key_gets_nothing(deploy, tmp_path):
    other = Pair(deploy, tmp_path, key=secrets.token_hex(32))
    try:
        other.home.new_cluster("apart")
        snapshot = other.home.new_snapshot("apart-snapshot", "apart")
        refused("ServiceUnavailable", start, UNREACHABLE, 503, pair=other, source=snapshot)
        assert re.search("does not prove.*peer key", other.far.server.log.read_text())
    finally:
        other.close()


def test_a_source_region_that_trusts_presigned_urls_only(deploy, tmp_path):
    strict = Pair(deploy, tmp_path, home_more="demand_presigned_url = true\n")
    try:
        strict.home.new_cluster("strict", StorageEncrypted=True)
        snapshot = strict.home.new_snapshot("strict-snapshot", "strict")
        arn, key = snapshot["DBClusterSnapshotArn"], strict.far.new_key(FAR)
        refused("InvalidParameterCombination", start, re.compile("PreSignedUrl"), pair=strict, source=snapshot, KmsKeyId=key)
        parameters = {"SourceDBClusterSnapshotIdentifier": arn, "KmsKeyId": key, "DestinationRegion": FAR}
        signer = clients.Signer(strict.home)
        for wrong in [{"KmsKeyId": strict.far.new_key(FAR)}, {"DestinationRegion": "eu-west-2"}]:
            url = strict.home.server.url + signer.presigned("CopyDBClusterSnapshot", **parameters | wrong)
            refused("InvalidParameterValue", start, pair=strict, source=snapshot, KmsKeyId=key, PreSignedUrl=url)
        url = strict.home.server.url + signer.presigned("CopyDBClusterSnapshot", **parameters)
        rds, name, _ = start(strict, snapshot, KmsKeyId=key, PreSignedUrl=url)
        clients.wait_snapshot(rds, name)
    finally:
        strict.close()
