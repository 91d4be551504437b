"""Accounts and access keys by the command line, and when a running server minds them."""
import configparser
import json
import re

import botocore.exceptions
import boto3
import pytest

import clients
import contract
from clients import HOME, PARTNER, refused
from snapferry_tools import running


@pytest.fixture(scope="module")
def own(deploy_for_module):
    """A deployment of this file's own."""
    return deploy_for_module()


def accounts(server):
    """Rows of `account list` by number."""
    return {row["account"]: row for row in json.loads(server.run("account", "list", "--format", "json"))}


def client(own, key, service="sts"):
    """A client that signs with a key as the command line printed it."""
    session = boto3.Session(key["access_key_id"], key["secret_access_key"])
    config = botocore.config.Config(retries={"total_max_attempts": 1})
    return session.client(service, HOME, endpoint_url=own.server.url, config=config)


def wait_refused(call):
    """Waits for a second until a key is refused, as is promised."""
    def is_refused():
        try:
            call()
        except botocore.exceptions.ClientError as error:
            assert error.response["Error"]["Code"] == "InvalidClientTokenId"
            return True
        return False

    running.wait_until(is_refused, 1, "the access key is refused", every=0.02)


def test_an_account_is_made_and_deleted(own):
    number = own.server.run("account", "create", "--name", "staging").strip()
    assert re.fullmatch(r"[1-9]\d{11}", number)
    assert accounts(own.server)[number] == accounts(own.server)[number] | {"name": "staging", "access_keys": 0}
    with pytest.raises(RuntimeError, match="is there already"):
        own.server.run("account", "create", "--account", number)
    key = own.server.create_access_key(number)
    calls = client(own, key)
    assert calls.get_caller_identity()["Account"] == number
    kms = client(own, key, "kms")
    made = kms.create_key()["KeyMetadata"]["KeyId"]
    with pytest.raises(RuntimeError, match="still owns 1 KMS key"):
        own.server.run("account", "delete", number)
    assert kms.describe_key(KeyId=made)["KeyMetadata"]["Enabled"]
    second = own.server.run("account", "create").strip()
    assert "staging" in own.server.run("account", "list")
    own.server.run("account", "delete", second)
    assert second not in accounts(own.server)
    with pytest.raises(RuntimeError, match="there is no account"):
        own.server.run("account", "delete", second)


def test_an_account_takes_its_access_keys_along(own):
    key = own.server.create_access_key(PARTNER)
    assert accounts(own.server)[PARTNER]["access_keys"] == 1
    calls = client(own, key)
    assert calls.get_caller_identity()["Account"] == PARTNER
    own.server.run("account", "delete", PARTNER)
    wait_refused(calls.get_caller_identity)


def test_an_access_key_is_disabled_enabled_and_deleted(own):
    keys = [own.server.create_access_key(PARTNER) for _ in range(2)]
    first, other = (client(own, key) for key in keys)
    first.get_caller_identity()
    own.server.run("access-key", "disable", keys[0]["access_key_id"])
    wait_refused(first.get_caller_identity)
    assert other.get_caller_identity()["Account"] == PARTNER
    own.server.run("access-key", "enable", keys[0]["access_key_id"])
    assert first.get_caller_identity()["Account"] == PARTNER
    own.server.run("access-key", "delete", keys[0]["access_key_id"])
    wait_refused(first.get_caller_identity)
    for verb in ("enable", "disable", "delete", "rotate"):
        with pytest.raises(RuntimeError, match="there is no access key"):
            own.server.run("access-key", verb, keys[0]["access_key_id"])
    assert other.get_caller_identity()["Account"] == PARTNER


def test_an_access_key_is_rotated(own):
    old = own.server.create_access_key(PARTNER)
    before = client(own, old)
    before.get_caller_identity()
    new = json.loads(own.server.run("access-key", "rotate", old["access_key_id"], "--format", "json"))
    assert new["account"] == PARTNER and new["access_key_id"] != old["access_key_id"]
    assert client(own, new).get_caller_identity()["Account"] == PARTNER
    wait_refused(before.get_caller_identity)
    listed = json.loads(own.server.run("access-key", "list", "--account", PARTNER, "--format", "json"))
    status = {row["access_key_id"]: row["status"] for row in listed}
    assert (status[old["access_key_id"]], status[new["access_key_id"]]) == ("inactive", "active")


def test_the_administrators_file_follows(own):
    def file():
        found = configparser.ConfigParser()
        found.read(own.server.data / "credentials")
        return dict(found["snapferry"])

    old = file()
    own.server.run("access-key", "rotate", old["aws_access_key_id"])
    new = file()
    assert new["aws_access_key_id"] != old["aws_access_key_id"] and new["region"] == old["region"]
    assert (own.server.data / "credentials").stat().st_mode & 0o777 == 0o600
    key = {"access_key_id": new["aws_access_key_id"], "secret_access_key": new["aws_secret_access_key"]}
    assert client(own, key).get_caller_identity()["Account"] == clients.OWNER


@pytest.mark.parametrize("service", ["rds", "sts", "kms"])
def test_session_tokens_of_others_are_refused(own, service):
    key = own.server.create_access_key(PARTNER)
    session = boto3.Session(key["access_key_id"], key["secret_access_key"], "FwoGZXIvYXdzEBYaDJ" + "a" * 200)
    config = botocore.config.Config(retries={"total_max_attempts": 1})
    calls = session.client(service, HOME, endpoint_url=own.server.url, config=config)
    call = {"rds": "describe_db_clusters", "sts": "get_caller_identity", "kms": "list_keys"}[service]
    refused(
        "InvalidClientTokenId",
        getattr(calls, call),
        "The security token included in the request is invalid.",
        403,
    )


def test_dev_has_no_accounts_to_keep(dev):
    with pytest.raises(RuntimeError, match="no access keys are needed"):
        dev.server.run("account", "list")


def printed(binary, *flags):
    """Rows of `snapferry actions`."""
    return json.loads(running.subprocess.check_output([binary, "actions", "--format", "json", *flags]))


def test_actions_are_listed(binary):
    rows = printed(binary)
    assert all(row["implemented"] for row in rows)
    assert {"api": "rds", "action": "CopyDBClusterSnapshot", "implemented": True} in rows
    everything = {(row["api"], row["action"]): row["implemented"] for row in printed(binary, "--all")}
    assert everything["rds", "CreateDBProxy"] is False
    assert {name for name, done in everything.items() if done} == {(row["api"], row["action"]) for row in rows}


def test_the_known_actions_are_the_models(binary):
    models = {
        (api, name) for api in ("rds", "kms", "sts", "tagging", "secretsmanager", "backup", "cloudtrail") for name in contract.model(api).operation_names
    }
    rows = printed(binary, "--all")
    assert {(row["api"], row["action"]) for row in rows if row["api"] != contract.OWN} == models
    assert all(row["implemented"] for row in rows if row["api"] == contract.OWN)


def test_what_is_not_implemented_says_so(closed):
    pattern = re.compile("not implemented here. `snapferry actions`")
    refused("InvalidAction", closed.rds().describe_db_log_files, pattern, 400, DBInstanceIdentifier="x")
    refused("UnsupportedOperationException", closed.kms().describe_custom_key_stores, pattern, 400)
    refused("InvalidAction", closed.client("sts").get_federation_token, pattern, 400, Name="walker")
    refused("UnsupportedOperationException", closed.client("resourcegroupstaggingapi").list_required_tags, pattern, 400)
    refused("UnsupportedOperationException", closed.client("backup").list_frameworks, pattern, 400)
