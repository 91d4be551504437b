"""A vault in a bucket: the main job, copies inside the store, and a store that fails now and then."""
import collections
import datetime
import hashlib
import itertools
import re
import subprocess
import sys
import time
import urllib.parse

import boto3
import botocore.auth
import botocore.awsrequest
import botocore.credentials
import botocore.exceptions
import pytest

import clients
import relay as relays
from clients import FAR, HOME, copy_request
from snapferry_tools import network, running
from test_rebuild import lose, rebuild, settle

ACCOUNT = {"AWS_ACCESS_KEY_ID": "AKTEST", "AWS_SECRET_ACCESS_KEY": "SKTEST", "AWS_REGION": "us-east-1"}


def refuse_unsigned(method, path, body, headers):
    """The answer to a request that the account has not signed, or not with this body."""
    headers = {name.lower(): value for name, value in headers.items()}
    given = re.fullmatch(r"AWS4-HMAC-SHA256 .*SignedHeaders=([^,]+), ?Signature=(\w+)", headers.get("authorization", ""))
    if given:
        signed = {name: headers[name] for name in given[1].split(";")}
        request = botocore.awsrequest.AWSRequest(method, f"http://{headers['host']}{path}", signed, body)
        request.context["timestamp"] = headers["x-amz-date"]
        key = botocore.credentials.Credentials(ACCOUNT["AWS_ACCESS_KEY_ID"], ACCOUNT["AWS_SECRET_ACCESS_KEY"])
        signer = botocore.auth.S3SigV4Auth(key, "s3", ACCOUNT["AWS_REGION"])
        text = signer.string_to_sign(request, signer.canonical_request(request))
        is_body = signed["x-amz-content-sha256"] in ("UNSIGNED-PAYLOAD", hashlib.sha256(body).hexdigest())
        if is_body and given[2] == signer.signature(text, request):
            return None
    return 403, {"Content-Type": "application/xml"}, b"<Error><Code>SignatureDoesNotMatch</Code></Error>"


class Store:
    """An S3 server behind a relay, and its own client."""

    def __init__(self, port, relay):
        self.relay, relay.target, relay.refuse = relay, port, refuse_unsigned
        self.client = boto3.client(
            "s3",
            "us-east-1",
            endpoint_url=f"http://127.0.0.1:{port}",
            aws_access_key_id=ACCOUNT["AWS_ACCESS_KEY_ID"],
            aws_secret_access_key=ACCOUNT["AWS_SECRET_ACCESS_KEY"],
        )

    def names(self, prefix=""):
        """The names of all objects."""
        pages = self.client.get_paginator("list_objects_v2").paginate(Bucket="vault", Prefix=prefix)
        return [one["Key"] for page in pages for one in page.get("Contents", [])]


@pytest.fixture(scope="module")
def store():
    """moto's S3 server, with a bucket."""
    port = network.free_port()
    process = subprocess.Popen(
        [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    relay = relays.Relay()
    try:
        made = Store(port, relay)

        def is_up():
            try:
                return made.client.create_bucket(Bucket="vault")
            except botocore.exceptions.EndpointConnectionError:
                return None

        running.wait_until(is_up, 60, "the S3 server answers")
        yield made
    finally:
        relay.close()
        process.kill()
        process.wait(10)


def flags(store):
    """What tells a server to keep its vault in the store."""
    return ["--vault", "s3://vault/ferry/one", "--vault-endpoint", store.relay.url]


@pytest.fixture(scope="module")
def bucketed(deploy_for_module, store):
    """A deployment with its vault in the store."""
    return deploy_for_module(*flags(store), environment=ACCOUNT)


@pytest.fixture(scope="module")
def snapshot(bucketed):
    """An encrypted snapshot of incompressible rows."""
    cluster = bucketed.new_cluster("stored", StorageEncrypted=True, KmsKeyId=bucketed.new_key())
    with clients.connect(cluster) as connection:
        clients.fill_with_noise(connection, 2)
    return bucketed.new_snapshot("stored-snapshot", "stored")


@pytest.fixture(autouse=True)
def sound(store):
    """After each test the store is sound again."""
    yield
    store.relay.change = None


def restores(deployment, region, name, cluster):
    """The snapshot restores to the rows of the cluster it is of."""
    rds = deployment.rds(region)
    rds.restore_db_cluster_from_snapshot(
        DBClusterIdentifier=cluster, SnapshotIdentifier=name, Engine="aurora-postgresql"
    )
    with clients.connect(clients.wait_cluster(rds, cluster)) as there:
        with clients.connect(clients.cluster_of(deployment.rds(), "stored")) as here:
            assert clients.table_of(there, "noise") == clients.table_of(here, "noise")


def copy_far(deployment, snapshot, name):
    """Copies to the far region."""
    rds = deployment.rds(FAR)
    rds.copy_db_cluster_snapshot(
        **copy_request(snapshot["DBClusterSnapshotArn"], name, KmsKeyId=deployment.new_key(FAR))
    )
    return clients.wait_snapshot(rds, name)


def test_the_main_job_in_a_bucket(bucketed, snapshot, store):
    names = store.names("ferry/one/")
    assert any(name.startswith(f"ferry/one/{HOME}/volumes/") and "/packs/" in name for name in names)
    assert not (bucketed.server.data / "vaults" / HOME / "volumes").exists()
    copies = []

    def watch(method, path, _, status, headers, data):
        copies.append((method, path, status))
        return status, headers, data

    store.relay.change = watch
    copy_far(bucketed, snapshot, "stored-far")
    store.relay.change = None
    packs = [path for method, path, _ in copies if "/packs/" in path and method == "GET"]
    assert packs == [], "the store copied the packs itself"
    assert any(name.startswith(f"ferry/one/{FAR}/volumes/") for name in store.names("ferry/one/"))
    restores(bucketed, FAR, "stored-far", "stored-there")


@pytest.mark.long
def test_a_log_is_in_the_bucket_within_five_seconds(deploy, store):
    """Commits are restorable 5 s after they were told, of an idle cluster too, and come back from there."""
    place = deploy(
        "--vault", "s3://vault/ferry/log", "--vault-endpoint", store.relay.url,
        environment=ACCOUNT | {"SNAPFERRY_NO_AUTOMATED_BACKUPS": None},
    )
    cluster = place.new_cluster("logged", StorageEncrypted=True, KmsKeyId=place.new_key())
    running.wait_until(lambda: chunks(store), 60, "its log goes to the bucket")
    place.new_snapshot("logged-base", "logged")
    with clients.connect(cluster) as connection:
        connection.execute("create table t (i bigint)")
        for number in range(3):
            connection.execute("insert into t values (%s)", [number])
            told = datetime.datetime.now(datetime.UTC)
            running.wait_until(lambda: latest(place, "logged") >= told, 60, "it can be restored")
    assert chunks(store), "where the bucket is"
    place.rds().restore_db_cluster_to_point_in_time(
        DBClusterIdentifier="logged-again", SourceDBClusterIdentifier="logged", UseLatestRestorableTime=True
    )
    with clients.connect(clients.wait_cluster(place.rds(), "logged-again")) as connection:
        assert connection.execute("select array_agg(i order by i) from t").fetchone()[0] == [0, 1, 2]
    # Now and then for as long as it takes a slow machine to be fast once.
    running.wait_until(
        lambda: datetime.datetime.now(datetime.UTC) - latest(place, "logged") < datetime.timedelta(seconds=5), 60, "5 s behind"
    )


def chunks(store):
    """Objects of clusters' logs."""
    return [name for name in store.names("ferry/log/") if "/log/" in name]


def latest(deployment, name):
    """The latest moment that a cluster can be restored to; long ago when there is none."""
    found = clients.cluster_of(deployment.rds(), name).get("LatestRestorableTime")
    return found or datetime.datetime.fromtimestamp(0, datetime.UTC)


def test_large_objects_go_in_parts_and_come_in_ranges(deploy, store):
    """Objects above 5 MiB, through a server that is told to part them."""
    seen = collections.Counter()

    def watch(method, path, _, status, headers, data):
        query = urllib.parse.parse_qs(urllib.parse.urlsplit(path).query, keep_blank_values=True)
        if "uploads" in query or "uploadId" in query:
            seen[method] += status == 200
        seen["range"] += status == 206
        return status, headers, data

    parting = deploy(
        "--vault", "s3://vault/ferry/parts", "--vault-endpoint", store.relay.url, "--vault-part-size", "5MiB", environment=ACCOUNT
    )
    cluster = parting.new_cluster("parted")
    with clients.connect(cluster) as connection:
        clients.fill_with_noise(connection, 12)
        rows = clients.table_of(connection, "noise")
    store.relay.change = watch
    snapshot = parting.new_snapshot("parted-snapshot", "parted")
    assert seen["POST"] == 2 and 2 <= seen["PUT"], f"one upload, begun and completed: {seen}"
    # The store gives a copy another entity tag, so it is read back, in ranges.
    parting.rds(FAR).copy_db_cluster_snapshot(**copy_request(snapshot["DBClusterSnapshotArn"], "parted-far"))
    clients.wait_snapshot(parting.rds(FAR), "parted-far")
    assert 2 <= seen["range"]
    seen.clear()
    parting.rds(FAR).restore_db_cluster_from_snapshot(
        DBClusterIdentifier="parted-there", SnapshotIdentifier="parted-far", Engine="aurora-postgresql"
    )
    with clients.connect(clients.wait_cluster(parting.rds(FAR), "parted-there")) as there:
        assert clients.table_of(there, "noise") == rows
    assert 2 <= seen["range"]
    assert not store.client.list_multipart_uploads(Bucket="vault").get("Uploads"), "none is left unfinished"


def test_a_store_that_fails_now_and_then(bucketed, snapshot, store):
    """Every third answer is a 500, a 503, torn, none at all, or has a wrong byte in an object."""
    turn = itertools.count()
    ways = itertools.cycle(["500", "503", "torn", "none", "wrong"])

    def spoil(method, path, _, status, headers, data):
        if next(turn) % 3:
            return status, headers, data
        way = next(ways)
        if way == "none" or (way == "torn" and not data):
            return None
        if way == "wrong":
            is_object = method == "GET" and "/volumes/" in path and "list-type" not in path and data
            return status, headers, bytes([data[0] ^ 1]) + data[1:] if is_object else data
        if way == "torn":
            return status, headers, relays.Torn(data)
        return int(way), {"Content-Type": "application/xml"}, b"<Error><Code>SlowDown</Code></Error>"

    store.relay.change = spoil
    with clients.connect(clients.cluster_of(bucketed.rds(), "stored")) as connection:
        connection.execute("insert into noise select i + 100000, content from noise limit 500")
    later = bucketed.new_snapshot("stored-later", "stored")
    copy_far(bucketed, later, "later-far")
    restores(bucketed, FAR, "later-far", "later-there")


def test_a_store_that_is_slow_and_stale(bucketed, snapshot, store):
    """The first list leaves a new name out, and the first two reads of it say 404."""
    unread, unlisted, told = {}, set(), collections.Counter()

    def is_late(name):
        late = name in unlisted
        unlisted.discard(name)
        told["list"] += late
        return late

    def forget(method, path, _, status, headers, data):
        name = urllib.parse.unquote(path.partition("?")[0]).removeprefix("/vault/")
        time.sleep(0.05)
        if "list-type" in path:
            drop = lambda row: b"" if is_late(row[1].decode()) else row[0]
            return status, headers, re.sub(rb"<Contents>\s*<Key>([^<]*).*?</Contents>", drop, data, flags=re.S)
        if method == "PUT" and "/volumes/" in name:
            unread[name] = 2
            unlisted.add(name)
        elif method in ("GET", "HEAD") and unread.get(name, 0):
            unread[name] -= 1
            told[method] += 1
            return 404, {"Content-Type": "application/xml"}, b"<Error><Code>NoSuchKey</Code></Error>"
        return status, headers, data

    store.relay.change = forget
    with clients.connect(clients.cluster_of(bucketed.rds(), "stored")) as connection:
        connection.execute("insert into noise select i + 200000, content from noise limit 500")
    later = bucketed.new_snapshot("stored-stale", "stored")
    copy_far(bucketed, later, "stale-far")
    restores(bucketed, FAR, "stale-far", "stale-there")
    assert told["GET"] and told["HEAD"] and told["list"], told


def test_a_lost_catalog_comes_back_from_a_store_that_lies_at_first(deploy, store):
    """The first answer for each record of the record log has a wrong byte, is torn, or says that it is not there."""
    place = ["--vault", "s3://vault/ferry/lost", "--vault-endpoint", store.relay.url]
    deployment = deploy(*place, environment=ACCOUNT)
    key = deployment.new_key()
    deployment.new_cluster("lost", StorageEncrypted=True, KmsKeyId=key)
    taken = deployment.new_snapshot("lost-snapshot", "lost")
    settle(deployment.server)
    lose(deployment.server)
    lies, told = itertools.cycle(["wrong", "torn", "404"]), {}

    def lie(method, path, _, status, headers, data):
        is_record = method == "GET" and status == 200 and ("/records/" in path or "/keys/" in path) and "list-type" not in path
        if not is_record or path in told:
            return status, headers, data
        told[path] = next(lies)
        if told[path] == "404":
            return 404, {"Content-Type": "application/xml"}, b"<Error><Code>NoSuchKey</Code></Error>"
        if told[path] == "torn":
            return status, headers, relays.Torn(data)
        return status, headers, data[:-1] + bytes([data[-1] ^ 1])

    store.relay.change = lie
    report = rebuild(deployment.server, *place)
    assert report["record_log"]["damaged"] == [] and report["records"]["snapshots"] == 1, report
    assert {"wrong", "404"} <= set(told.values()), told
    deployment.server.start()
    found = clients.snapshot_of(deployment.rds(), "lost-snapshot")
    assert found["Status"] == "available" and found["KmsKeyId"] == taken["KmsKeyId"]
    assert deployment.kms().describe_key(KeyId=key)["KeyMetadata"]["KeyState"] == "Enabled"


@pytest.mark.parametrize("what", ["bucket", "secret"])
def test_what_is_wrong_is_told_at_the_start(deploy, store, what):
    environment = ACCOUNT | ({"AWS_SECRET_ACCESS_KEY": "other"} if what == "secret" else {})
    vault = "s3://vault/ferry/one" if what == "secret" else "s3://none"
    wrong = deploy("--vault", vault, "--vault-endpoint", store.relay.url, start=False, environment=environment)
    with pytest.raises(running.StartError, match=re.compile("the bucket cannot be used.*hint: check that", re.S)):
        wrong.server.start()
