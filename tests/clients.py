"""What the client tests share: callers of a deployment, waits with a bound, refusals, raw requests.

Knows the clients and the documented answers; nothing of how the server is made.
"""
import base64
import configparser
import contextlib
import datetime
import functools
import http.client
import itertools
import json
import re
import sqlite3
import urllib.parse
import xml.etree.ElementTree as ElementTree

import boto3
import botocore.auth
import botocore.awsrequest
import botocore.config
import botocore.credentials
import botocore.exceptions
import botocore.loaders
import botocore.session
import pytest

import contract
from snapferry_tools import policies, proof, running

HOME, FAR, THIRD = "us-east-1", "eu-west-1", "ap-southeast-2"
OWNER, PARTNER, STRANGER = "000000000000", "111122223333", "444455556666"
USER, PASSWORD, DATABASE = "ferryman", "correct-horse-7", "shop"
VERSION = "2014-10-31"
FORM = "application/x-www-form-urlencoded; charset=utf-8"

_numbers = itertools.count(1)

# What reads the services' models, each once: a session that reads them itself takes 40 ms for its first client.
MODELS = botocore.loaders.create_loader()


def unique(stem):
    """A name that no other test uses."""
    return f"{stem}-{next(_numbers)}"


class Deployment:
    """A running server and the people who call it."""

    def __init__(self, server, dev=False):
        self.server = server
        self.dev = dev

    @functools.cache
    def credentials(self, account=OWNER):
        """(access key id, secret) of an account."""
        if self.dev:
            return account, "anything"
        if account == OWNER:
            found = configparser.ConfigParser()
            found.read(self.server.data / "credentials")
            return found["snapferry"]["aws_access_key_id"], found["snapferry"]["aws_secret_access_key"]
        made = self.server.create_access_key(account)
        return made["access_key_id"], made["secret_access_key"]

    def environment(self, account=OWNER):
        """What points verbs over the API at this deployment, as an account."""
        identity, secret = self.credentials(account)
        return running.clean_environment(
            AWS_ENDPOINT_URL=self.server.url, AWS_REGION=HOME,
            AWS_ACCESS_KEY_ID=identity, AWS_SECRET_ACCESS_KEY=secret,
        )

    @functools.cache
    def _session(self, account):
        core = botocore.session.Session()
        core.register_component("data_loader", MODELS)
        session = boto3.Session(*self.credentials(account), botocore_session=core)
        session.events.register("before-parse", contract.check_answer)
        return session

    # The port may change when a test starts the server anew, so it is part of what is cached.
    @functools.cache
    def _client(self, url, service, region, account):
        config = botocore.config.Config(connect_timeout=5, read_timeout=60, retries={"total_max_attempts": 1})
        return self._session(account).client(service, region, endpoint_url=url, config=config)

    def client(self, service, region=HOME, account=OWNER):
        """An ordinary boto3 client without retries."""
        return self._client(self.server.url, contract.CLIENTS.get(service, service), region, account)

    def rds(self, region=HOME, account=OWNER):
        """An RDS client."""
        return self.client("rds", region, account)

    def kms(self, region=HOME, account=OWNER):
        """A KMS client."""
        return self.client("kms", region, account)

    def new_key(self, region=HOME, account=OWNER, **more):
        """A new KMS key's ARN."""
        return self.kms(region, account).create_key(**more)["KeyMetadata"]["Arn"]

    def new_cluster(self, name, region=HOME, account=OWNER, wait=True, **more):
        """A new cluster; by default one that is available."""
        rds = self.rds(region, account)
        asked = {
            "DBClusterIdentifier": name,
            "Engine": "aurora-postgresql",
            "DatabaseName": DATABASE,
            "MasterUsername": USER,
            "MasterUserPassword": PASSWORD,
        } | more
        made = rds.create_db_cluster(**{key: value for key, value in asked.items() if value is not None})["DBCluster"]
        return wait_cluster(rds, name) if wait else made

    def noise(self, megabytes, name="noise", **more):
        """A snapshot of a new cluster of incompressible rows, and their count and checksum."""
        with connect(self.new_cluster(name, **more)) as connection:
            fill_with_noise(connection, megabytes)
            rows = table_of(connection, "noise")
        return self.new_snapshot(f"{name}-snapshot", name), rows

    def new_snapshot(self, name, cluster, region=HOME, account=OWNER, **more):
        """A new snapshot that is available."""
        rds = self.rds(region, account)
        rds.create_db_cluster_snapshot(DBClusterSnapshotIdentifier=name, DBClusterIdentifier=cluster, **more)
        return wait_snapshot(rds, name)


def connect(cluster, password=PASSWORD, user=USER, database=DATABASE):
    """SQL on a cluster, as its master user."""
    return proof.connect(cluster, user, password, database)


def fill_with_noise(connection, megabytes, table="noise"):
    """Makes a table of incompressible rows. Repeats lie farther apart than a frame is long."""
    connection.execute(
        f"""create table {table} as select i, (
              select string_agg(sha512((i::text || ':' || j::text)::bytea), ''::bytea)
              from generate_series(1, 16) j) as content
            from generate_series(1, 7 * 128 * least({megabytes}, 8)) i"""
    )
    made = 8
    while made < megabytes:
        connection.execute(f"insert into {table} select i + {made * 1000}, content from {table}")
        made *= 2


def table_of(connection, table):
    """Count and order-independent checksum of a table."""
    return connection.execute(
        f"select count(*), coalesce(sum(hashtextextended(t::text, 0)::numeric), 0) from {table} t"
    ).fetchone()


def cluster_of(rds, name):
    """A cluster as it is described."""
    return rds.describe_db_clusters(DBClusterIdentifier=name)["DBClusters"][0]


def snapshot_of(rds, name):
    """A snapshot as it is described."""
    return rds.describe_db_cluster_snapshots(DBClusterSnapshotIdentifier=name)["DBClusterSnapshots"][0]


def exists(rds, name):
    """Whether a snapshot of that name is there."""
    try:
        return bool(snapshot_of(rds, name))
    except rds.exceptions.DBClusterSnapshotNotFoundFault:
        return False


def wait_cluster(rds, name, seconds=60):
    """Waits until a cluster is available, by boto3's own waiter."""
    rds.get_waiter("db_cluster_available").wait(
        DBClusterIdentifier=name, WaiterConfig={"Delay": 0.1, "MaxAttempts": seconds * 10}
    )
    return cluster_of(rds, name)


def wait_snapshot(rds, name, seconds=60):
    """Waits until a snapshot is available, by boto3's own waiter."""
    rds.get_waiter("db_cluster_snapshot_available").wait(
        DBClusterSnapshotIdentifier=name, WaiterConfig={"Delay": 0.1, "MaxAttempts": seconds * 10}
    )
    return snapshot_of(rds, name)


def wait_percent(rds, name, percent, seconds=60):
    """Waits until a copy has come so far; it must not have ended by then."""
    def far_enough():
        snapshot = snapshot_of(rds, name)
        assert snapshot["Status"] in ("copying", "creating"), f"{name} is {snapshot['Status']} already"
        return snapshot if snapshot["PercentProgress"] >= percent else None

    return running.wait_until(far_enough, seconds, f"{name} has come {percent} percent", every=0.02)


def wait_cluster_gone(rds, name, seconds=60):
    """Waits until a cluster is gone, by boto3's own waiter."""
    rds.get_waiter("db_cluster_deleted").wait(
        DBClusterIdentifier=name, WaiterConfig={"Delay": 0.1, "MaxAttempts": seconds * 10}
    )


def wait_gone(rds, name, seconds=60):
    """Waits until a snapshot is gone, by boto3's own waiter."""
    rds.get_waiter("db_cluster_snapshot_deleted").wait(
        DBClusterSnapshotIdentifier=name, WaiterConfig={"Delay": 0.1, "MaxAttempts": seconds * 10}
    )


def refused(code, call, message=None, status=None, **arguments):
    """Asserts that a call is refused with a documented fault; returns the fault's message.

    `message` is the whole text, or a compiled pattern to be found in it.
    """
    with pytest.raises(botocore.exceptions.ClientError) as caught:
        call(**arguments)
    answer = caught.value.response
    assert answer["Error"]["Code"] == code, answer["Error"]
    said = answer["Error"]["Message"]
    if isinstance(message, re.Pattern):
        assert message.search(said), said
    elif message is not None:
        assert said == message
    if status is not None:
        assert answer["ResponseMetadata"]["HTTPStatusCode"] == status
    assert answer["ResponseMetadata"]["RequestId"]
    return said


def copy_request(source, target, **more):
    """The two parameters that every copy has, and more."""
    return {"SourceDBClusterSnapshotIdentifier": source, "TargetDBClusterSnapshotIdentifier": target} | more


def copied(deployment, source, region=HOME, account=OWNER, **more):
    """Copies a snapshot under a fresh name and waits until the copy is available."""
    rds = deployment.rds(region, account)
    name = unique("copy")
    rds.copy_db_cluster_snapshot(**copy_request(source, name, **more))
    return wait_snapshot(rds, name)


def wrapped_keys(server):
    """(KMS key, blob, encryption context) of each data key that a server keeps."""
    found = []

    def walk(value):
        if isinstance(value, dict):
            if {"key", "blob", "context"} <= set(value):
                found.append((value["key"], bytes.fromhex(value["blob"]), value["context"]))
            value = list(value.values())
        for part in value if isinstance(value, list) else []:
            walk(part)

    with contextlib.closing(sqlite3.connect(f"file:{server.data / 'catalog.sqlite'}?mode=ro", uri=True)) as catalog:
        for table in ("snapshots", "clusters", "jobs"):
            for (body,) in catalog.execute(f"select body from {table}"):
                walk(json.loads(body))
    return found


def assert_nowhere(server, secrets):
    """Asserts that bytes lie in no file of a server and not in its log, in no common spelling."""
    spellings = [text for value in secrets for text in (value, base64.b64encode(value), value.hex().encode())]
    own = ("master.key", "credentials")  # Made to hold a secret, for their owner alone.
    files = [file for file in server.data.rglob("*") if file.is_file() and file.name not in own]
    assert any(file.name.endswith("-wal") for file in files), "the catalog's log is looked through too"
    for file in [*files, server.log]:
        with contextlib.suppress(FileNotFoundError):
            content = file.read_bytes()
            for spelling in spellings:
                assert spelling not in content, f"a secret lies in {file}"


def cross_account_policy(*partners, owner=OWNER):
    """The documented key policy for sharing encrypted snapshots."""
    return policies.cross_account(owner, partners)


class Answer:
    """A raw HTTP answer."""

    def __init__(self, status, headers, body):
        self.status = status
        self.headers = headers
        self.body = body

    @property
    def text(self):
        """The body as text."""
        return self.body.decode()

    def fault(self):
        """(code, message) of an XML error, whose request id must stand in body and header."""
        root = ElementTree.fromstring(self.text)
        parts = {element.tag.rpartition("}")[2]: element.text for element in root.iter()}
        assert root.tag.endswith("ErrorResponse"), self.text
        assert parts["RequestId"] == self.headers["x-amzn-requestid"]
        assert parts["Type"] == ("Sender" if self.status < 500 else "Receiver")
        return parts["Code"], parts.get("Message")


def send(server, method="POST", path="/", headers=None, body=b""):
    """One raw request, exactly as given."""
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=20)
    try:
        headers = dict(headers or {})
        connection.putrequest(method, path, skip_host="Host" in headers, skip_accept_encoding=True)
        for name, value in headers.items():
            for one in value if isinstance(value, list) else [value]:
                connection.putheader(name, one)
        if "Content-Length" not in headers and (body or method == "POST"):
            connection.putheader("Content-Length", str(len(body)))
        connection.endheaders(body or None)
        answer = connection.getresponse()
        return Answer(answer.status, {k.lower(): v for k, v in answer.getheaders()}, answer.read())
    finally:
        connection.close()


def form(action, **parameters):
    """A Query body."""
    return urllib.parse.urlencode({"Action": action, "Version": VERSION} | parameters).encode()


class Signer:
    """Signs raw requests as botocore does, at any moment."""

    def __init__(self, deployment, account=OWNER, region=HOME, service="rds"):
        self.server = deployment.server
        self.credentials = botocore.credentials.Credentials(*deployment.credentials(account))
        self.region = region
        self.service = service

    def at(self, when, sign):
        """Runs a signature as if it were that moment."""
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(botocore.auth, "get_current_datetime", lambda: when)
            return sign()

    def headers(self, body, path="/", when=None, extra=None, method="POST"):
        """The headers of a signed request."""
        request = botocore.awsrequest.AWSRequest(
            method, self.server.url + path, headers={"Content-Type": FORM} | (extra or {}), data=body
        )
        auth = botocore.auth.SigV4Auth(self.credentials, self.service, self.region)
        self.at(when or now(), lambda: auth.add_auth(request))
        return dict(request.headers.items())

    def presigned(self, action, expires=60, when=None, **parameters):
        """The path and query of a presigned GET."""
        query = urllib.parse.urlencode({"Action": action, "Version": VERSION} | parameters)
        request = botocore.awsrequest.AWSRequest("GET", f"{self.server.url}/?{query}")
        auth = botocore.auth.SigV4QueryAuth(self.credentials, self.service, self.region, expires)
        self.at(when or now(), lambda: auth.add_auth(request))
        return request.url.removeprefix(self.server.url)

    def post(self, body, **more):
        """Sends a signed request."""
        return send(self.server, path=more.get("path", "/"), headers=self.headers(body, **more), body=body)


def now():
    """The present, as botocore takes it: UTC without a zone."""
    return datetime.datetime.now(datetime.timezone.utc).replace(tzinfo=None)
