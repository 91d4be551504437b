"""PreSignedUrl: ignored where RDS ignores it, verified in GovCloud and where a setting demands it."""
import datetime
import json
import pathlib
import shutil
import subprocess
import urllib.parse

import pytest

import clients
from clients import FAR, HOME, PARTNER, THIRD, copy_request, refused, unique
from snapferry_tools import running

NOT_AUTHENTICATED = "PreSignedurl could not be authenticated"
EAST, WEST = "us-gov-east-1", "us-gov-west-1"
SDK = "@aws-sdk/client-rds@3"
FOLDER = pathlib.Path(__file__).parent.parent / ".test" / "js-sdk"


@pytest.fixture(scope="module")
def strict(deploy_for_module):
    """A deployment that demands presigned URLs in every region."""
    return deploy_for_module("--require-presigned-url")


@pytest.fixture(scope="module")
def sealed_source(strict):
    """An encrypted snapshot in the home region."""
    strict.new_cluster("sealed", StorageEncrypted=True)
    return strict.new_snapshot("sealed-snapshot", "sealed")


@pytest.fixture(scope="module")
def far_keys(strict):
    """Keys of the far region: to copy under, and another."""
    return strict.new_key(FAR), strict.new_key(FAR)


@pytest.fixture
def ask(strict, sealed_source, far_keys):
    """A refused or accepted copy into the far region with a URL of its own making."""
    def copy(change=None, when=None, account=clients.OWNER, region=HOME, service="rds", drop=(), expires=60, **more):
        source, name = sealed_source["DBClusterSnapshotArn"], unique("signed")
        request = copy_request(source, name, KmsKeyId=far_keys[0])
        signed = {"SourceDBClusterSnapshotIdentifier": source, "KmsKeyId": far_keys[0], "DestinationRegion": FAR} | more
        for dropped in drop:
            del signed[dropped]
        action = signed.pop("Action", "CopyDBClusterSnapshot")
        signer = clients.Signer(strict, account, region, service)
        url = "http://192.0.2.1:9" + presign(signer, action, expires, when, signed)
        return name, request | {"PreSignedUrl": change(url) if change else url}

    return copy


def presign(signer, action, expires, when, parameters):
    """A presigned URL for a host that no one answers at."""
    class Elsewhere:
        url = "http://192.0.2.1:9"

    server, signer.server = signer.server, Elsewhere
    try:
        return signer.presigned(action, expires=expires, when=when, **parameters)
    finally:
        signer.server = server


def test_rule_1_7_a_right_url_is_enough(strict, ask):
    name, request = ask()
    strict.rds(FAR).copy_db_cluster_snapshot(**request)
    assert clients.wait_snapshot(strict.rds(FAR), name)["StorageEncrypted"]


def replace(old, new):
    """A change of a URL's text, which must be there."""
    def change(url):
        assert old in url
        return url.replace(old, new)

    return change


MINUTE = datetime.timedelta(minutes=1)
DEFECTS = {
    "action": {"Action": "CopyDBSnapshot"},
    "destination": {"DestinationRegion": THIRD},
    "no_destination": {"drop": ["DestinationRegion"]},
    "source": {"SourceDBClusterSnapshotIdentifier": "arn:aws:rds:us-east-1:000000000000:cluster-snapshot:other"},
    "no_source": {"drop": ["SourceDBClusterSnapshotIdentifier"]},
    "key": {"KmsKeyId": "alias/other"},
    "no_key": {"drop": ["KmsKeyId"]},
    "scope_region": {"region": FAR},
    "scope_service": {"service": "kms"},
    "another_account": {"account": PARTNER},
    "expired": {"when": clients.now() - 10 * MINUTE},
    "from_the_future": {"when": clients.now() + 60 * MINUTE},
    "signature": {"change": replace("X-Amz-Signature=", "X-Amz-Signature=0")},
    "unsigned": {"change": lambda url: url.partition("&X-Amz-Algorithm")[0]},
    "host": {"change": replace("192.0.2.1", "192.0.2.2")},
    "port": {"change": replace(":9/", ":8/")},
    "encoded_twice": {"change": lambda url: url.replace("%3A", "%253A")},
    "no_url": {"change": lambda url: "nonsense"},
}


@pytest.mark.parametrize("defect", DEFECTS.values(), ids=DEFECTS.keys())
def test_rule_1_7_any_defect_is_refused(strict, ask, defect):
    name, request = ask(**defect)
    copy = strict.rds(FAR).copy_db_cluster_snapshot
    refused("InvalidParameterValue", copy, NOT_AUTHENTICATED, 400, **request)
    assert not clients.exists(strict.rds(FAR), name)


def test_rule_1_7_an_encrypted_copy_between_regions_needs_one(strict, sealed_source, far_keys):
    request = copy_request(sealed_source["DBClusterSnapshotArn"], unique("bare"), KmsKeyId=far_keys[0])
    said = refused("InvalidParameterCombination", strict.rds(FAR).copy_db_cluster_snapshot, status=400, **request)
    assert said == f"Source cluster snapshot {sealed_source['DBClusterSnapshotArn']} is encrypted; pre-signed URL has to be specified"


def test_rule_1_7_within_a_region_it_is_not_looked_at(strict, sealed_source):
    for url in ({"SourceRegion": HOME}, {"PreSignedUrl": "nonsense"}, {"PreSignedUrl": "http://192.0.2.1/?Action=x"}):
        strict.rds().copy_db_cluster_snapshot(**copy_request("sealed-snapshot", unique("near"), **url))


def test_rule_1_7_boto3s_own_urls_are_right(strict, sealed_source, far_keys):
    rds, name = strict.rds(FAR), unique("boto")
    tags = [{"Key": "with space", "Value": "a+b c"}]
    request = copy_request(sealed_source["DBClusterSnapshotArn"], name, KmsKeyId=far_keys[0], Tags=tags)
    rds.copy_db_cluster_snapshot(**request, SourceRegion=HOME)
    assert clients.wait_snapshot(rds, name)["TagList"] == tags
    wrong = request | {"TargetDBClusterSnapshotIdentifier": unique("boto"), "SourceRegion": THIRD}
    refused("InvalidParameterValue", rds.copy_db_cluster_snapshot, NOT_AUTHENTICATED, 400, **wrong)


def test_rule_1_7_govcloud_demands_it_without_a_setting(closed):
    east, west = closed.rds(EAST), closed.rds(WEST)
    name = unique("gov")
    closed.new_cluster(name, EAST, StorageEncrypted=True)
    source = closed.new_snapshot(f"{name}-snapshot", name, EAST)["DBClusterSnapshotArn"]
    assert source.startswith("arn:aws-us-gov:")
    request = copy_request(source, name, KmsKeyId=closed.new_key(WEST))
    refused("InvalidParameterCombination", west.copy_db_cluster_snapshot, status=400, **request)
    refused("InvalidParameterValue", west.copy_db_cluster_snapshot, NOT_AUTHENTICATED, 400, **request, PreSignedUrl="x")
    west.copy_db_cluster_snapshot(**request, SourceRegion=EAST)
    clients.wait_snapshot(west, name)
    for rds, snapshot in ((west, name), (east, f"{name}-snapshot")):
        rds.delete_db_cluster_snapshot(DBClusterSnapshotIdentifier=snapshot)
    east.delete_db_cluster(DBClusterIdentifier=name, SkipFinalSnapshot=True)


def test_rule_1_7_elsewhere_it_is_ignored(closed, sealed_snapshot, far_key):
    rds, source = closed.rds(FAR), sealed_snapshot["DBClusterSnapshotArn"]
    for url in ({}, {"PreSignedUrl": "nonsense"}, {"PreSignedUrl": "http://192.0.2.1/"}, {"SourceRegion": THIRD}):
        name = unique("ignored")
        rds.copy_db_cluster_snapshot(**copy_request(source, name, KmsKeyId=far_key, **url))
        clients.wait_snapshot(rds, name)


def test_rule_1_7_dev_mode_checks_all_but_the_signature(deploy):
    dev = deploy("--dev", "--require-presigned-url")
    dev.new_cluster("sealed", StorageEncrypted=True)
    source = dev.new_snapshot("sealed-snapshot", "sealed")["DBClusterSnapshotArn"]
    rds, request = dev.rds(FAR), copy_request(source, "far", KmsKeyId=dev.new_key(FAR))
    refused("InvalidParameterValue", rds.copy_db_cluster_snapshot, NOT_AUTHENTICATED, **request, SourceRegion=THIRD)
    refused("InvalidParameterValue", rds.copy_db_cluster_snapshot, NOT_AUTHENTICATED, **request, PreSignedUrl="http://a/")
    rds.copy_db_cluster_snapshot(**request, SourceRegion=HOME)
    clients.wait_snapshot(rds, "far")


@pytest.fixture(scope="module")
def javascript():
    """The folder with the AWS SDK for JavaScript, installed once."""
    if not shutil.which("npm"):
        pytest.skip("npm is not installed")
    if not (FOLDER / "node_modules" / "@aws-sdk" / "client-rds").is_dir():
        FOLDER.mkdir(parents=True, exist_ok=True)
        (FOLDER / "package.json").write_text('{"private": true}\n')
        install = ["npm", "install", "--no-audit", "--no-fund", "--silent", SDK]
        subprocess.run(install, cwd=FOLDER, check=True, timeout=300)
    return FOLDER


def in_javascript(folder, deployment, region, request, *change):
    """What the JavaScript SDK sent and was answered."""
    key, secret = deployment.credentials()
    script = pathlib.Path(__file__).with_name("copy_snapshot.mjs")
    environment = running.clean_environment(
        SDK=str(folder), AWS_ACCESS_KEY_ID=key, AWS_SECRET_ACCESS_KEY=secret
    )
    command = ["node", script, deployment.server.url, region, json.dumps(request), *change]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_rule_1_7_the_javascript_sdks_urls_are_right(javascript, strict, sealed_source, far_keys):
    source, name = sealed_source["DBClusterSnapshotArn"], unique("js")
    said = in_javascript(javascript, strict, FAR, copy_request(source, name, KmsKeyId=far_keys[0]))
    url = urllib.parse.urlsplit(said["url"])
    assert url.hostname == f"rds.{HOME}.amazonaws.com"
    assert said["code"] is None and said["status"] == "copying", said
    clients.wait_snapshot(strict.rds(FAR), name)
    # One that was changed on the way is refused.
    request = copy_request(source, unique("js"), KmsKeyId=far_keys[0])
    said = in_javascript(javascript, strict, FAR, request, f"rds.{HOME}.=>rds.{THIRD}.")
    assert (said["code"], said["message"]) == ("InvalidParameterValue", NOT_AUTHENTICATED), said
    # Within a region it sends none.
    said = in_javascript(javascript, strict, HOME, copy_request(source, unique("js")))
    assert said["code"] is None and said["url"] is None and said["status"] == "available", said
