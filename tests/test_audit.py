"""Records of who changed what: by every way in, of every outcome, and what is found when somebody lays hands on them."""
import contextlib
import datetime
import json
import os
import shutil
import subprocess

import boto3
import botocore.exceptions
import pytest

import clients
from browser import Browser
from clients import HOME, OWNER, PARTNER
from snapferry_tools import running
from test_webhooks import SECRET, receive  # noqa: F401

HIDDEN = "****"


@pytest.fixture(scope="module")
def kept(deploy_for_module):
    """A closed deployment."""
    return deploy_for_module("--no-automated-backups")


def records(deployment):
    """All records that the files have."""
    lines = []
    for path in sorted((deployment.server.data / "audit").glob("*.jsonl")):
        text = path.read_text(encoding="utf-8")
        # What has no end is being written.
        lines += text[: text.rfind("\n") + 1].splitlines()
    return [json.loads(line) for line in lines]


def found(deployment, **wanted):
    """The records that have these members, once there is one."""
    def matching():
        return [one for one in records(deployment) if all(one.get(name) == value for name, value in wanted.items())]
    running.wait_until(matching, 60, f"a record with {wanted}")
    return matching()


def group(deployment, name, account=OWNER):
    """A change that takes no time."""
    deployment.rds(account=account).create_db_cluster_parameter_group(
        DBClusterParameterGroupName=name, DBParameterGroupFamily="aurora-postgresql15", Description="d", Tags=[{"Key": "k", "Value": "v"}])


def verify(deployment, data=None):
    """What `audit verify` says, and how it ends."""
    server = deployment.server
    done = subprocess.run(
        [server.binary, "audit", "verify", "--format", "json", "--data", data or server.data], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode in (0, 3), done.stderr
    report = json.loads(done.stdout)
    assert (done.returncode == 3) == bool(report["findings"])
    return report


def test_a_change_has_one_record_with_who_when_where_and_what(kept):
    name = clients.unique("group")
    begun = datetime.datetime.now(datetime.UTC).replace(microsecond=0)
    group(kept, name)
    [record] = [one for one in found(kept, eventName="CreateDBClusterParameterGroup") if name in json.dumps(one)]
    identity, _ = kept.credentials()
    assert record["userIdentity"] == {
        "type": "Root", "principalId": OWNER, "arn": f"arn:aws:iam::{OWNER}:root", "accountId": OWNER, "accessKeyId": identity}
    assert begun <= datetime.datetime.fromisoformat(record["eventTime"]) <= datetime.datetime.now(datetime.UTC)
    assert (record["sourceIPAddress"], record["eventSource"], record["awsRegion"]) == ("127.0.0.1", "rds.amazonaws.com", HOME)
    assert (record["readOnly"], record["recipientAccountId"], record["responseElements"]) == (False, OWNER, None)
    assert record["userAgent"].startswith("Boto3/") and "errorCode" not in record
    assert record["requestParameters"] == {
        "dBClusterParameterGroupName": name, "dBParameterGroupFamily": "aurora-postgresql15", "description": "d", "tags": [{"key": "k", "value": "v"}]}
    assert record["resources"] == [
        {"ARN": f"arn:aws:rds:{HOME}:{OWNER}:cluster-pg:{name}", "accountId": OWNER, "type": "AWS::RDS::DBClusterParameterGroup"}]


def test_every_way_in_leaves_a_record(kept):
    """The Query protocol by boto3 has its own test."""
    key = kept.new_key()
    [made] = [one for one in found(kept, eventName="CreateKey", eventSource="kms.amazonaws.com") if one.get("resources")]
    assert made["resources"] == [{"ARN": key, "accountId": OWNER, "type": "AWS::KMS::Key"}]
    vault = clients.unique("vault")
    kept.client("backup").create_backup_vault(BackupVaultName=vault)
    [made] = found(kept, eventName="CreateBackupVault")
    assert made["requestParameters"]["backupVaultName"] == vault
    # The JSON door, and a presigned URL.
    signer = clients.Signer(kept)
    doored, signed, shown = clients.unique("door"), clients.unique("signed"), clients.unique("shown")
    members = {"DBParameterGroupFamily": "aurora-postgresql15", "Description": "d"}
    body = json.dumps({"DBClusterParameterGroupName": doored} | members).encode()
    answer = signer.post(body, path="/?Action=CreateDBClusterParameterGroup", extra={"Content-Type": "application/json"})
    assert answer.status == 200, answer.text
    presigned = signer.presigned("CreateDBClusterParameterGroup", DBClusterParameterGroupName=signed, **members)
    assert clients.send(kept.server, "GET", presigned).status == 200
    browser = Browser(kept.server)
    browser.sign_in(kept)
    home = f"/console/{OWNER}/{HOME}/"
    token = browser.get(home).form("/sign-out").fields["token"]
    browser.post(home + "take", {"id": "there-is-none", "name": shown, "token": token})
    for name, action in ((doored, "CreateDBClusterParameterGroup"), (signed, "CreateDBClusterParameterGroup"), (shown, "CreateDBClusterSnapshot")):
        running.wait_until(lambda name=name: name in json.dumps(records(kept)), 60, f"the record of {name}")
        [record] = [one for one in records(kept) if name in json.dumps(one["requestParameters"])]
        assert (record["eventName"], record["sourceIPAddress"], record["userIdentity"]["accountId"]) == (action, "127.0.0.1", OWNER)
    assert record["errorCode"] == "DBClusterNotFoundFault"
    # The console shows it, too.
    page = browser.get(f"{home}audit?name={shown}")
    assert page.status == 200 and shown in page.text and "DBClusterNotFoundFault" in page.text and "CreateDBClusterSnapshot" in page.text
    assert doored not in page.text and doored in browser.get(f"{home}audit").text


def test_what_fails_and_what_is_denied_is_told_and_reads_are_not(kept):
    rds = kept.rds()
    rds.describe_db_clusters()
    with pytest.raises(botocore.exceptions.ClientError):
        rds.delete_db_cluster(DBClusterIdentifier="there-is-none", SkipFinalSnapshot=True)
    [failed] = found(kept, eventName="DeleteDBCluster")
    assert failed["errorCode"] == "DBClusterNotFoundFault" and "there-is-none" in failed["errorMessage"]
    # Another account's key: a read that is denied.
    key = kept.new_key()
    with pytest.raises(botocore.exceptions.ClientError):
        kept.kms(account=PARTNER).describe_key(KeyId=key)
    [denied] = found(kept, eventName="DescribeKey")
    assert (denied["errorCode"], denied["readOnly"], denied["recipientAccountId"]) == ("AccessDeniedException", True, PARTNER)
    assert denied["resources"] == [{"ARN": key, "accountId": OWNER, "type": "AWS::KMS::Key"}]
    stranger = boto3.client(
        "rds", region_name=HOME, endpoint_url=kept.server.url, aws_access_key_id="AKIAAAAAAAAAAAAAAAAA", aws_secret_access_key="x" * 40)
    with pytest.raises(botocore.exceptions.ClientError):
        stranger.delete_db_cluster(DBClusterIdentifier="x")
    unknown = found(kept, errorCode="InvalidClientTokenId")[0]
    assert unknown["userIdentity"] == {"type": "Unknown"} and unknown["sourceIPAddress"] == "127.0.0.1"
    assert not [one for one in records(kept) if one["eventName"] == "DescribeDBClusters"]


def test_secrets_are_in_no_record(kept):
    password = "Hunter2-" + clients.unique("x")
    with pytest.raises(botocore.exceptions.ClientError):
        kept.rds().create_db_cluster(DBClusterIdentifier="c", Engine="nothing", MasterUsername="u", MasterUserPassword=password)
    [made] = found(kept, eventName="CreateDBCluster")
    assert made["requestParameters"]["masterUserPassword"] == HIDDEN
    kms = kept.kms()
    key = kept.new_key()
    sealed = kms.encrypt(KeyId=key, Plaintext=password.encode())["CiphertextBlob"]
    assert kms.decrypt(CiphertextBlob=sealed)["Plaintext"] == password.encode()
    assert found(kept, eventName="Decrypt") and found(kept, eventName="Encrypt")[0]["requestParameters"]["plaintext"] == HIDDEN
    text = "".join(path.read_text(encoding="utf-8") for path in (kept.server.data / "audit").glob("*.jsonl"))
    assert password not in text


def pages(client, **asked):
    """All events of a look-up."""
    return [event for page in client.get_paginator("lookup_events").paginate(**asked) for event in page["Events"]]


def test_an_account_looks_up_its_own_events(kept):
    name, theirs = clients.unique("mine"), clients.unique("theirs")
    before = datetime.datetime.now(datetime.UTC).replace(microsecond=0)
    group(kept, name)
    group(kept, theirs, account=PARTNER)
    trail = kept.client("cloudtrail")

    def by(key, value):
        return pages(trail, LookupAttributes=[{"AttributeKey": key, "AttributeValue": value}])
    running.wait_until(lambda: by("ResourceName", name), 60, "its event")
    [event] = by("ResourceName", name)
    assert (event["EventName"], event["EventSource"], event["ReadOnly"], event["Username"]) == (
        "CreateDBClusterParameterGroup", "rds.amazonaws.com", "false", "root")
    assert before <= event["EventTime"] <= datetime.datetime.now(datetime.UTC)
    assert event["Resources"] == [{"ResourceType": "AWS::RDS::DBClusterParameterGroup", "ResourceName": name}]
    told = json.loads(event["CloudTrailEvent"])
    assert told["requestParameters"]["dBClusterParameterGroupName"] == name and "snapferry" not in told
    for key, value in (
        ("EventId", event["EventId"]), ("EventName", "CreateDBClusterParameterGroup"), ("EventSource", "rds.amazonaws.com"),
        ("ReadOnly", "false"), ("Username", "root"), ("AccessKeyId", event["AccessKeyId"]), ("ResourceType", "AWS::RDS::DBClusterParameterGroup"),
    ):
        assert event["EventId"] in [one["EventId"] for one in by(key, value)], key
    everything = pages(trail)
    assert {json.loads(one["CloudTrailEvent"])["recipientAccountId"] for one in everything} == {OWNER}
    times = [one["EventTime"] for one in everything]
    assert times == sorted(times, reverse=True)
    assert pages(kept.client("cloudtrail", account=PARTNER), LookupAttributes=[{"AttributeKey": "ResourceName", "AttributeValue": name}]) == []
    assert pages(kept.client("cloudtrail", region="eu-west-1"), LookupAttributes=[{"AttributeKey": "ResourceName", "AttributeValue": name}]) == []
    later = datetime.datetime.now(datetime.UTC) + datetime.timedelta(days=1)
    assert pages(trail, StartTime=later) == [] and name in json.dumps(pages(trail, StartTime=before), default=str)
    assert pages(trail, EndTime=before - datetime.timedelta(days=1)) == []
    # One at a time, each once.
    walked, token = [], {}
    while token is not None:
        page = trail.lookup_events(MaxResults=1, **token)
        assert len(page["Events"]) <= 1
        walked += [one["EventId"] for one in page["Events"]]
        token = {"NextToken": page["NextToken"]} if "NextToken" in page else None
    assert walked[-len(everything):] == [one["EventId"] for one in everything]
    assert trail.lookup_events(EventCategory="insight")["Events"] == []


@pytest.mark.parametrize("code, asked", [
    ("InvalidLookupAttributesException", {"LookupAttributes": [{"AttributeKey": "EventName", "AttributeValue": "x"}] * 2}),
    ("InvalidTimeRangeException", {"StartTime": 20, "EndTime": 10}),
    ("InvalidNextTokenException", {"NextToken": "nonsense"}),
])
def test_what_is_no_look_up_is_refused(kept, code, asked):
    with pytest.raises(botocore.exceptions.ClientError) as refused:
        kept.client("cloudtrail").lookup_events(**asked)
    assert refused.value.response["Error"]["Code"] == code


def change(lines, number, old, new):
    """One line with another word."""
    assert old in lines[number]
    lines[number] = lines[number].replace(old, new)


def cut_everything(folder):
    """Every file gone."""
    for path in folder.glob("*.jsonl"):
        path.unlink()


@pytest.mark.parametrize("hand, says", [
    (lambda lines: change(lines, 2, '"127.0.0.1"', '"127.0.0.2"'), "altered"),
    (lambda lines: lines.pop(2), "removed or moved"),
    (lambda lines: lines.insert(1, lines.pop(3)), "removed or moved"),
    (lambda lines: lines.insert(3, lines[3]), "removed or moved"),
    (lambda lines: lines.pop(), "cut off"),
    (lambda lines: lines.clear(), "cut off"),
    (lambda lines: lines.pop(0), "older files were removed"),
])
def test_whoever_lays_hands_on_them_is_found(kept, tmp_path, hand, says):
    for _ in range(6):
        group(kept, clients.unique("hand"))
    kept.server.stop()
    try:
        assert verify(kept)["findings"] == []
        # The folder's copy, with its catalog.
        copy = tmp_path / "data"
        copy.mkdir()
        for name in ("audit", "catalog.sqlite", "catalog.sqlite-wal", "snapferry.toml", "node.toml", "master.key"):
            path = kept.server.data / name
            if path.is_dir():
                shutil.copytree(path, copy / name)
            elif path.exists():
                shutil.copy2(path, copy / name)
        [path] = (copy / "audit").glob("*.jsonl")
        lines = path.read_text(encoding="utf-8").splitlines()
        hand(lines)
        path.write_text("".join(line + "\n" for line in lines), encoding="utf-8")
        report = verify(kept, copy)
        assert report["findings"] and any(says in one["why"] for one in report["findings"]), report
    finally:
        kept.server.start()


def test_a_chain_goes_on_over_a_kill_and_a_running_server_is_whole(kept):
    name = clients.unique("kill")
    group(kept, name)
    running.wait_until(lambda: [one for one in records(kept) if name in json.dumps(one)], 60, "its record")
    kept.server.kill()
    kept.server.start()
    group(kept, clients.unique("after"))
    report = verify(kept)
    assert report["findings"] == [] and report["first"] == 1
    chains = {one["snapferry"]["chain"] for one in records(kept)}
    assert len(chains) == 1


@pytest.fixture
def small_log(deploy, receive):  # noqa: F811
    """A deployment whose records lie on a small file system of their own and are required, the mount point, and who hears its events."""
    if os.geteuid() != 0:
        pytest.skip("only root can mount a small file system")
    receiver = receive()
    hook = ("--webhook-url", f"http://127.0.0.1:{receiver.port}/", "--webhook-secret", SECRET)
    deployment = deploy("--no-automated-backups", "--audit-required", *hook, start=False)
    folder = deployment.server.data / "audit"
    deployment.server.start()
    deployment.server.stop()
    shutil.rmtree(folder)
    folder.mkdir(mode=0o700)
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m,mode=0700", "tmpfs", folder], capture_output=True, text=True, check=False)
    if mounted.returncode != 0:
        pytest.skip(f"no file system can be mounted here: {mounted.stderr.strip()}")
    try:
        deployment.server.start()
        yield deployment, folder, receiver
    finally:
        deployment.server.stop()
        subprocess.run(["umount", "-l", folder], check=True)


def test_changes_are_refused_while_no_record_can_be_written(small_log):
    deployment, folder, receiver = small_log
    group(deployment, "before")
    assert "before" in json.dumps(records(deployment)), "the record is there before the answer"
    filler = folder / "filler"
    with filler.open("wb", buffering=0) as file, contextlib.suppress(OSError):
        while True:
            file.write(bytes(4096))
    names = (clients.unique("during") for _ in range(100))
    with pytest.raises(botocore.exceptions.ClientError) as refused:
        for name in names:
            group(deployment, name)
    error = refused.value.response
    assert (error["Error"]["Code"], error["ResponseMetadata"]["HTTPStatusCode"]) == ("ServiceUnavailable", 503)
    deployment.rds().describe_db_clusters()
    ready = json.loads(clients.send(deployment.server, "GET", "/readyz").text)
    assert [check["name"] for check in ready["checks"] if "reason" in check] == ["audit"]
    assert "snapferry_audit_failing 1" in clients.send(deployment.server, "GET", "/metrics").text

    def told():
        details = [json.loads(body)["detail"] for _, _, body in list(receiver.taken)]
        return [(detail["Message"], detail["EventCategories"]) for detail in details if detail["SourceType"] == "AUDIT_LOG"]
    said = running.wait_until(told, 90, "the event that no records can be written")
    assert said == [("Records of who changed what cannot be written: the disk is full.", ["failure"])]
    # RDS's clients know no such source.
    assert all(event["SourceType"] != "audit-log" for event in deployment.rds().describe_events(Duration=60)["Events"])
    filler.unlink()
    group(deployment, "after")
    text = json.dumps(records(deployment))
    made = [one["DBClusterParameterGroupName"] for one in deployment.rds().describe_db_cluster_parameter_groups()["DBClusterParameterGroups"]]
    assert all(name in text for name in made if not name.startswith("default"))
    assert clients.send(deployment.server, "GET", "/readyz").status == 200
    assert verify(deployment)["findings"] == []
    said = running.wait_until(lambda: len(told()) == 2 and told(), 90, "the event that they are written again")
    assert said[1] == ("Records of who changed what are written again: all that waited are there.", ["notification"])


def test_without_records_there_is_nothing_to_look_up(deploy):
    deployment = deploy("--no-audit")
    group(deployment, "g")
    with pytest.raises(botocore.exceptions.ClientError) as refused:
        deployment.client("cloudtrail").lookup_events()
    assert refused.value.response["Error"]["Code"] == "UnsupportedOperationException"
    assert not (deployment.server.data / "audit").exists()
