"""The JSON door, with curl as the documentation shows it."""
import json
import re
import subprocess

import pytest

import clients
import contract
from clients import OWNER, PARTNER, unique
from snapferry_tools import running

AS_DOCUMENTED = [
    "curl",
    "--silent",
    "--show-error",
    "--request",
    "POST",
    "--url",
    "http://rds.{region}.amazonaws.com/#Action=CopyDBClusterSnapshot",
    "--header",
    "accept: application/json",
    "--header",
    "content-type: application/json",
]


def curl(*words, data=None):
    """Runs curl; answers (status, body as JSON)."""
    done = subprocess.run(
        [*words, "--write-out", "\n%{http_code}"],
        input=data,
        capture_output=True,
        text=True,
        timeout=30,
        check=True,
        env=running.clean_environment(),
    )
    body, _, status = done.stdout.rpartition("\n")
    return int(status), json.loads(body)


def documented(deployment, *more):
    """The documented call, connected to a deployment."""
    return curl(*AS_DOCUMENTED, "--connect-to", f"::127.0.0.1:{deployment.server.port}", *more)


def post(deployment, action, members, *more, accept="application/json"):
    """A JSON call to the server's own address."""
    status, body = curl(
        *("curl", "--silent", "--show-error", "--header", "content-type: application/json"),
        *(("--header", f"accept: {accept}") if accept else ("--header", "accept:")),
        *("--data-binary", "@-", *more),
        f"{deployment.server.url}/" + (f"?Action={action}" if action else ""),
        data=members if isinstance(members, str) else json.dumps(members),
    )
    # What no action is named for is a copy; an unknown action is answered like any.
    named = action or "CopyDBClusterSnapshot"
    known = f"/{named}" in contract.OPENAPI["paths"]
    contract.check_envelope(named if known else "CopyDBClusterSnapshot", status, body)
    return status, body


def error(answer, status, code):
    """Asserts a refusal; returns its message."""
    found, body = answer
    assert found == status, body
    assert body["success"] is False and "data" not in body
    assert body["error"]["code"] == code, body
    assert re.fullmatch(r"[0-9a-f-]{36}", body["error"]["request_id"])
    assert body["error"]["fault"]
    return body["error"]["message"]


@pytest.fixture(scope="module")
def source(dev):
    """A snapshot in the dev deployment."""
    dev.new_cluster("door")
    return dev.new_snapshot("s1", "door", Tags=[{"Key": "a", "Value": "b"}])


def test_the_documented_call_word_for_word(dev):
    # curl drops the fragment and sends no body, so there is nothing to copy.
    message = error(documented(dev), 400, "VALIDATION_ERROR")
    assert "SourceDBClusterSnapshotIdentifier" in message


def test_the_documented_call_with_a_body(dev, source):
    name = unique("s2")
    status, body = documented(
        dev,
        "--data",
        json.dumps({"SourceDBClusterSnapshotIdentifier": "s1", "TargetDBClusterSnapshotIdentifier": name}),
    )
    assert status == 200, body
    assert body["success"] is True and "error" not in body
    data = body["data"]
    assert data["id"] == name
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", data["created_at"])
    assert data["DBClusterSnapshotIdentifier"] == name
    assert data["Status"] == "available" and data["PercentProgress"] == 100
    assert data["StorageEncrypted"] is False
    assert data["SourceDBClusterSnapshotArn"] == source["DBClusterSnapshotArn"]
    assert data["TagList"] == []
    assert clients.snapshot_of(dev.rds(), name)["Status"] == "available"


def test_lists_booleans_and_numbers(dev, source):
    name = unique("typed")
    members = {
        "Action": "CopyDBClusterSnapshot",
        "SourceDBClusterSnapshotIdentifier": "s1",
        "TargetDBClusterSnapshotIdentifier": name,
        "CopyTags": True,
        "KmsKeyId": None,
    }
    status, body = post(dev, None, members)
    assert status == 200 and body["data"]["TagList"] == [{"Key": "a", "Value": "b"}]
    members |= {"TargetDBClusterSnapshotIdentifier": unique("typed"), "Tags": [{"Key": "k", "Value": "v"}]}
    assert post(dev, None, members)[1]["data"]["TagList"] == [{"Key": "k", "Value": "v"}]
    status, body = post(dev, "DescribeDBClusterSnapshots", {"MaxRecords": 20, "IncludeShared": False})
    assert status == 200
    assert {"s1", name} <= {item["DBClusterSnapshotIdentifier"] for item in body["data"]["items"]}
    assert body["data"]["next"] is None


@pytest.mark.parametrize(
    ("members", "says"),
    [
        ({"SourceDBClusterSnapshotIdentifier": "s1"}, "TargetDBClusterSnapshotIdentifier"),
        ({"Colour": "red"}, "Colour"),
        ({"CopyTags": "yes"}, "CopyTags"),
        ({"Tags": {"Key": "a"}}, "Tags"),
        ({"SourceDBClusterSnapshotIdentifier": 7}, "SourceDBClusterSnapshotIdentifier"),
        ("{", None),
        ("[]", None),
        ('{"CopyTags": true, "CopyTags": false}', "CopyTags"),
        ("\x00", None),
    ],
)
def test_bad_bodies(dev, source, members, says):
    if isinstance(members, dict) and "SourceDBClusterSnapshotIdentifier" not in members:
        members = {"SourceDBClusterSnapshotIdentifier": "s1", "TargetDBClusterSnapshotIdentifier": unique("no")} | members
    message = error(post(dev, "CopyDBClusterSnapshot", members), 400, "VALIDATION_ERROR")
    assert says is None or says in message


def test_refusals_have_their_codes(dev, source):
    def copy(source, target, **more):
        return post(
            dev,
            "CopyDBClusterSnapshot",
            {"SourceDBClusterSnapshotIdentifier": source, "TargetDBClusterSnapshotIdentifier": target} | more,
        )

    error(copy("nobody", unique("no")), 404, "NOT_FOUND")
    error(copy("s1", "s1"), 400, "ALREADY_EXISTS")
    error(copy("s1", "-x"), 400, "VALIDATION_ERROR")
    error(copy("s1", unique("no"), KmsKeyId="alias/x"), 400, "VALIDATION_ERROR")
    error(post(dev, "FlyToTheMoon", {}), 400, "VALIDATION_ERROR")
    error(post(dev, "DescribeDBClusters", {"DBClusterIdentifier": "nobody"}), 404, "NOT_FOUND")
    status, body = copy("nobody", unique("no"))
    assert body["error"]["fault"] == "DBClusterSnapshotNotFoundFault" and status == 404


def test_which_form_the_answer_has(dev, source):
    for accept in ("application/json", None, "*/*"):
        assert post(dev, "DescribeDBClusters", {}, accept=accept)[1]["success"] is True
    xml = clients.send(
        dev.server,
        path="/?Action=DescribeDBClusters",
        headers={"Content-Type": "application/json", "Accept": "text/xml"},
        body=b"{}",
    )
    assert xml.status == 200 and xml.text.startswith("<DescribeDBClustersResponse")
    wrapped = clients.send(
        dev.server,
        headers={"Content-Type": clients.FORM, "Accept": "application/json"},
        body=clients.form("DescribeDBClusters"),
    )
    assert json.loads(wrapped.text)["success"] is True
    assert wrapped.headers["content-type"].startswith("application/json")


def test_every_action_speaks_json(dev, source):
    arn, name = source["DBClusterSnapshotArn"], unique("json")
    calls = [
        ("AddTagsToResource", {"ResourceName": arn, "Tags": [{"Key": "x", "Value": "y"}]}),
        ("ListTagsForResource", {"ResourceName": arn}),
        ("RemoveTagsFromResource", {"ResourceName": arn, "TagKeys": ["x"]}),
        (
            "ModifyDBClusterSnapshotAttribute",
            {"DBClusterSnapshotIdentifier": "s1", "AttributeName": "restore", "ValuesToAdd": [PARTNER]},
        ),
        ("DescribeDBClusterSnapshotAttributes", {"DBClusterSnapshotIdentifier": "s1"}),
        ("CreateDBClusterSnapshot", {"DBClusterSnapshotIdentifier": name, "DBClusterIdentifier": "door"}),
        ("DescribeDBClusters", {"DBClusterIdentifier": "door"}),
    ]
    for action, members in calls:
        status, body = post(dev, action, members)
        assert status == 200 and body["success"] is True, (action, body)
    clients.wait_snapshot(dev.rds(), name)
    status, body = post(dev, "DeleteDBClusterSnapshot", {"DBClusterSnapshotIdentifier": name})
    assert status == 200 and body["data"]["id"] == name
    assert dev.rds().describe_db_cluster_snapshot_attributes(DBClusterSnapshotIdentifier="s1")[
        "DBClusterSnapshotAttributesResult"
    ]["DBClusterSnapshotAttributes"][0]["AttributeValues"] == [PARTNER]


def test_pages(dev, source):
    made = [unique("page") for _ in range(21)]
    for name in made:
        dev.rds().copy_db_cluster_snapshot(**clients.copy_request("s1", name))
    first = post(dev, "DescribeDBClusterSnapshots", {"MaxRecords": 20})[1]["data"]
    assert len(first["items"]) == 20 and first["next"]
    second = post(dev, "DescribeDBClusterSnapshots", {"MaxRecords": 20, "Marker": first["next"]})[1]["data"]
    names = [item["DBClusterSnapshotIdentifier"] for item in first["items"] + second["items"]]
    assert len(names) == len(set(names))
    for name in made:
        dev.rds().delete_db_cluster_snapshot(DBClusterSnapshotIdentifier=name)


def test_unsigned_in_closed_mode(closed):
    message = error(documented(closed), 403, "UNAUTHENTICATED")
    assert message == "Request is missing Authentication Token"


def test_signed_by_curl(closed, plain_snapshot):
    user = ("--user", ":".join(closed.credentials()), "--aws-sigv4", "aws:amz:us-east-1:rds")
    name = unique("curled")
    members = {"SourceDBClusterSnapshotIdentifier": "plain-snapshot", "TargetDBClusterSnapshotIdentifier": name}
    status, body = post(closed, "CopyDBClusterSnapshot", members, *user)
    assert status == 200, body
    assert body["data"]["id"] == name
    assert body["data"]["DBClusterSnapshotArn"].endswith(f":{OWNER}:cluster-snapshot:{name}")
    wrong = ("--user", "AKIAAAAAAAAAAAAAAAAA:nonsense", "--aws-sigv4", "aws:amz:us-east-1:rds")
    error(post(closed, "CopyDBClusterSnapshot", members, *wrong), 403, "UNAUTHENTICATED")


def test_signed_by_curl_without_an_action(closed, plain_snapshot):
    """The documented address, signed: curl puts the host it was told into the signature."""
    user = ("--user", ":".join(closed.credentials()), "--aws-sigv4", "aws:amz:us-east-1:rds")
    members = {"SourceDBClusterSnapshotIdentifier": "plain-snapshot", "TargetDBClusterSnapshotIdentifier": unique("c")}
    status, body = documented(closed, *user, "--data", json.dumps(members))
    assert status == 200, body
