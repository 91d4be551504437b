"""STS: who am I, and temporary credentials: of roles that the settings name, and of accounts themselves."""
import datetime
import os
import subprocess

import boto3
import botocore.config
import botocore.credentials
import botocore.exceptions
import pytest

import clients
from clients import FAR, HOME, OWNER, PARTNER, STRANGER, refused
from snapferry_tools import running

BACKUP = f"arn:aws:iam::{PARTNER}:role/ops/backup"
NAMED = f"arn:aws:iam::{PARTNER}:role/named"
CHAINED = f"arn:aws:iam::{STRANGER}:role/chained"
ROLES = f"""
[[role]]
arn = "{BACKUP}"
trusts = ["{OWNER}"]
session-seconds-max = 7200

[[role]]
arn = "{NAMED}"
trusts = ["{OWNER}"]
external-id = "said-so"

[[role]]
arn = "{CHAINED}"
trusts = ["{PARTNER}"]
session-seconds-max = 43200
"""
INVALID = "The security token included in the request is invalid."


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    """The settings file of `own`."""
    file = tmp_path_factory.mktemp("roles") / "roles.toml"
    file.write_text(ROLES, encoding="utf-8")
    return file


@pytest.fixture(scope="module")
def own(deploy_for_module, file):
    """A deployment with roles."""
    return deploy_for_module("--config", str(file))


def client(deployment, credentials, service="sts", region=HOME):
    """A boto3 client with temporary credentials as STS answered them."""
    session = boto3.Session(credentials["AccessKeyId"], credentials["SecretAccessKey"], credentials["SessionToken"])
    session.events.register("before-parse", clients.contract.check_answer)
    config = botocore.config.Config(retries={"total_max_attempts": 1})
    name = clients.contract.CLIENTS.get(service, service)
    return session.client(name, region, endpoint_url=deployment.server.url, config=config)


def assumed(deployment, role=BACKUP, session="tool", account=OWNER, **more):
    """The answer of AssumeRole."""
    return deployment.client("sts", account=account).assume_role(RoleArn=role, RoleSessionName=session, **more)


@pytest.mark.parametrize("account", [clients.OWNER, clients.PARTNER])
def test_get_caller_identity(closed, account):
    found = closed.client("sts", account=account).get_caller_identity()
    assert found["Account"] == account
    assert found["Arn"].split(":")[4] == account
    assert found["UserId"]


def test_an_unknown_caller(closed):
    signer = clients.Signer(closed, service="sts")
    signer.credentials.access_key = "AKIAAAAAAAAAAAAAAAAA"
    answer = signer.post(b"Action=GetCallerIdentity&Version=2011-06-15")
    assert answer.status == 403
    assert answer.fault()[0] == "InvalidClientTokenId"


def test_a_role_acts_for_its_account(own):
    before = datetime.datetime.now(datetime.timezone.utc)
    answer = assumed(own, SourceIdentity="alice", Tags=[{"Key": "a", "Value": "b"}])
    credentials, user = answer["Credentials"], answer["AssumedRoleUser"]
    assert credentials["AccessKeyId"].startswith("ASIA")
    assert 3595 <= (credentials["Expiration"] - before).total_seconds() <= 3605
    assert user["Arn"] == f"arn:aws:sts::{PARTNER}:assumed-role/backup/tool"
    assert user["AssumedRoleId"].startswith("AROA") and user["AssumedRoleId"].endswith(":tool")
    assert answer["SourceIdentity"] == "alice"
    who = client(own, credentials).get_caller_identity()
    assert (who["Account"], who["Arn"], who["UserId"]) == (PARTNER, user["Arn"], user["AssumedRoleId"])
    # The same role's sessions have one id, and each its name.
    other = assumed(own, session="other")["AssumedRoleUser"]["AssumedRoleId"]
    assert other == user["AssumedRoleId"].replace(":tool", ":other")
    # What it makes is the role's account's, in every API and region.
    key = client(own, credentials, "kms", FAR).create_key(Tags=[{"TagKey": "made", "TagValue": "by-role"}])
    assert key["KeyMetadata"]["AWSAccountId"] == PARTNER
    listed = client(own, credentials, "tagging", FAR).get_resources()["ResourceTagMappingList"]
    assert [row["ResourceARN"] for row in listed] == [key["KeyMetadata"]["Arn"]]
    assert own.kms(FAR, PARTNER).describe_key(KeyId=key["KeyMetadata"]["KeyId"])
    assert client(own, credentials, "rds").describe_db_clusters()["DBClusters"] == []


def test_a_session_is_kept_nowhere_and_survives_a_restart(own):
    credentials = assumed(own)["Credentials"]
    clients.assert_nowhere(own.server, [credentials["SecretAccessKey"].encode(), credentials["SessionToken"].encode()])
    own.server.stop()
    own.server.start()
    assert client(own, credentials).get_caller_identity()["Account"] == PARTNER
    assert "a role was assumed" in own.server.log.read_text()


def test_who_is_not_trusted_assumes_nothing(own):
    said = "User: arn:aws:iam::{}:root is not authorized to perform: sts:AssumeRole on resource: {}"
    for account, role in ((STRANGER, BACKUP), (PARTNER, BACKUP), (OWNER, CHAINED)):
        refused("AccessDenied", assumed, said.format(account, role), 403, deployment=own, role=role, account=account)
    # All of a role's ARN counts, and a role that is nowhere is like one that is not for the caller.
    for role in (
        f"arn:aws:iam::{PARTNER}:role/backup",
        f"arn:aws:iam::{PARTNER}:role/ops/Backup",
        f"arn:aws:iam::{STRANGER}:role/ops/backup",
        f"arn:aws-cn:iam::{PARTNER}:role/ops/backup",
    ):
        refused("AccessDenied", assumed, said.format(OWNER, role), 403, deployment=own, role=role)
    for role in (f"arn:aws:iam::{PARTNER}:user/ops/backup", f"arn:aws:sts::{PARTNER}:role/ops/backup", "x" * 20):
        refused("ValidationError", assumed, status=400, deployment=own, role=role)
    refused("AccessDenied", assumed, deployment=own, role=NAMED)
    refused("AccessDenied", assumed, deployment=own, role=NAMED, ExternalId="said-otherwise")
    assert assumed(own, NAMED, ExternalId="said-so")["Credentials"]


def test_without_roles_in_the_settings_nothing_is_assumed(closed):
    refused("AccessDenied", assumed, status=403, deployment=closed, role=f"arn:aws:iam::{OWNER}:role/admin")


def test_what_would_narrow_a_session_is_refused(own):
    policy = '{"Version": "2012-10-17", "Statement": []}'
    for more in (
        {"Policy": policy},
        {"PolicyArns": [{"arn": "arn:aws:iam::aws:policy/ReadOnlyAccess"}]},
        {"SerialNumber": "GAHT12345678", "TokenCode": "123456"},
        {"DurationSeconds": 7201},
        {"DurationSeconds": 43201},
        {"session": "with space"},
    ):
        with pytest.raises(botocore.exceptions.ClientError) as caught:
            assumed(own, **more)
        assert caught.value.response["Error"]["Code"] == "ValidationError", more
    assert assumed(own, DurationSeconds=7200)["Credentials"]


def test_only_the_sessions_own_key_signs_for_it(own):
    one, other = assumed(own)["Credentials"], assumed(own)["Credentials"]
    ident = {"AccessKeyId": one["AccessKeyId"]}
    long_lived = dict(zip(("AccessKeyId", "SecretAccessKey"), own.credentials()))
    for wrong, code, said in (
        (one | {"SecretAccessKey": other["SecretAccessKey"]}, "SignatureDoesNotMatch", None),
        (one | {"SessionToken": other["SessionToken"]}, "InvalidClientTokenId", INVALID),
        (other | ident, "InvalidClientTokenId", INVALID),
        (one | {"SessionToken": one["SessionToken"][:-2] + "AA"}, "InvalidClientTokenId", INVALID),
        (one | {"SessionToken": None}, "InvalidClientTokenId", INVALID),
        (one | long_lived, "InvalidClientTokenId", INVALID),
    ):
        for service, call in (("sts", "get_caller_identity"), ("rds", "describe_db_clusters"), ("kms", "list_keys")):
            refused(code, getattr(client(own, wrong, service), call), said, 403)


def test_a_presigned_url_carries_its_session(own):
    credentials = assumed(own)["Credentials"]
    signer = clients.Signer(own)
    signer.credentials = botocore.credentials.Credentials(
        credentials["AccessKeyId"], credentials["SecretAccessKey"], credentials["SessionToken"]
    )
    path = signer.presigned("DescribeDBClusters")
    assert "X-Amz-Security-Token=" in path
    assert clients.send(own.server, method="GET", path=path).status == 200
    answer = clients.send(own.server, method="GET", path=path.replace(credentials["SessionToken"], "x" * 40))
    assert (answer.status, answer.fault()[0]) == (403, "InvalidClientTokenId")
    unsigned = signer.headers(clients.form("DescribeDBClusters"))
    unsigned["X-Amz-Security-Token"] = assumed(own)["Credentials"]["SessionToken"]
    assert clients.send(own.server, headers=unsigned, body=clients.form("DescribeDBClusters")).status == 403


def test_a_roles_session_assumes_the_next(own):
    first = client(own, assumed(own)["Credentials"])
    refused("AccessDenied", first.get_session_token, "Cannot call GetSessionToken with session credentials", 403)
    refused(
        "AccessDenied",
        first.assume_role,
        f"User: arn:aws:sts::{PARTNER}:assumed-role/backup/tool is not authorized to perform: sts:AssumeRole on resource: {BACKUP}",
        403,
        RoleArn=BACKUP,
        RoleSessionName="again",
    )
    chained = first.assume_role(RoleArn=CHAINED, RoleSessionName="on")["Credentials"]
    assert client(own, chained).get_caller_identity()["Arn"] == f"arn:aws:sts::{STRANGER}:assumed-role/chained/on"
    refused("ValidationError", first.assume_role, RoleArn=CHAINED, RoleSessionName="on", DurationSeconds=3601)


def test_get_session_token(own):
    credentials = own.client("sts").get_session_token(DurationSeconds=900)["Credentials"]
    calls = client(own, credentials)
    assert calls.get_caller_identity()["Arn"] == f"arn:aws:iam::{OWNER}:root"
    assert client(own, credentials, "rds").describe_db_clusters()["DBClusters"] == []
    # As the account's own, it may assume what the account may.
    assert calls.assume_role(RoleArn=BACKUP, RoleSessionName="on")["Credentials"]
    refused("AccessDenied", calls.get_session_token, status=403)
    refused("ValidationError", own.client("sts").get_session_token, DurationSeconds=129601)
    refused("ValidationError", own.client("sts").get_session_token, SerialNumber="GAHT12345678", TokenCode="123456")


def test_a_session_ends_with_its_ground(own, file):
    """The access key that it came from, the role, the trust, the account."""
    def key_of(account):
        made = own.server.create_access_key(account)
        return made, {"AccessKeyId": made["access_key_id"], "SecretAccessKey": made["secret_access_key"], "SessionToken": None}

    made, owners = key_of(OWNER)
    sts = client(own, owners)
    role = client(own, sts.assume_role(RoleArn=BACKUP, RoleSessionName="on")["Credentials"])
    plain = client(own, sts.get_session_token()["Credentials"])
    on = client(own, role.assume_role(RoleArn=CHAINED, RoleSessionName="on")["Credentials"])
    own.server.run("access-key", "disable", made["access_key_id"])
    for session in (role, plain, on):
        refused("InvalidClientTokenId", session.get_caller_identity, INVALID, 403)
    own.server.run("access-key", "enable", made["access_key_id"])
    for session in (role, plain, on):
        assert session.get_caller_identity()

    untrusted = ROLES.replace(f'trusts = ["{OWNER}"]', f'trusts = ["{STRANGER}"]')
    for settings in (untrusted, ROLES.replace("ops/backup", "ops/other")):
        file.write_text(settings, encoding="utf-8")
        own.server.stop()
        own.server.start()
        ended = assumed_client(own, role)
        refused("InvalidClientTokenId", ended.get_caller_identity, INVALID, 403)
    file.write_text(ROLES, encoding="utf-8")
    own.server.stop()
    own.server.start()
    assert assumed_client(own, role).get_caller_identity()["Account"] == PARTNER
    own.server.run("access-key", "delete", made["access_key_id"])
    refused("InvalidClientTokenId", assumed_client(own, role).get_caller_identity, INVALID, 403)


def assumed_client(deployment, before):
    """The same credentials, where the server listens now."""
    found = before._request_signer._credentials.get_frozen_credentials()
    return client(deployment, {"AccessKeyId": found.access_key, "SecretAccessKey": found.secret_key, "SessionToken": found.token})


@pytest.mark.parametrize(
    ("roles", "says"),
    [
        ('[[role]]\narn = "arn:aws:iam::1:role/x"\ntrusts = ["111122223333"]', "a role's arn must be as arn:aws:iam::ACCOUNT:role/NAME"),
        (f'[[role]]\narn = "{BACKUP}"\ntrusts = []', "a role's trusts must be at least one account"),
        (f'[[role]]\narn = "{BACKUP}"\ntrusts = ["{OWNER}"]\n' * 2, "role must be given once for each arn"),
        (f'[[role]]\narn = "{BACKUP}"\ntrusts = ["{OWNER}"]\npolicy = "x"', "policy"),
    ],
)
def test_settings_of_roles_are_whole_or_refused(binary, tmp_path, roles, says):
    file = tmp_path / "wrong.toml"
    file.write_text(roles, encoding="utf-8")
    words = [binary, "serve", "--config", str(file), "--data", str(tmp_path / "data"), "--listen", "127.0.0.1:0"]
    done = subprocess.run(words, capture_output=True, text=True, check=False, timeout=20, env=running.clean_environment())
    assert done.returncode != 0 and says in done.stderr, done.stderr


def test_dev_gives_sessions_of_any_role(dev):
    """Nothing is checked there: an access key of twelve digits picks the account, and a session's key picks its own."""
    role = f"arn:aws:iam::{PARTNER}:role/anything"
    answer = assumed(dev, role)
    calls = client(dev, answer["Credentials"])
    assert calls.get_caller_identity()["Arn"] == f"arn:aws:sts::{PARTNER}:assumed-role/anything/tool"
    key = client(dev, answer["Credentials"], "kms").create_key()["KeyMetadata"]
    assert key["AWSAccountId"] == PARTNER
    again = calls.assume_role(RoleArn=f"arn:aws:iam::{STRANGER}:role/next", RoleSessionName="on")
    assert client(dev, again["Credentials"]).get_caller_identity()["Account"] == STRANGER
    plain = dev.client("sts", account=PARTNER).get_session_token()["Credentials"]
    assert client(dev, plain).get_caller_identity()["Account"] == PARTNER
    # The habit stays, also with a token of another's making.
    for token in (None, "FwoGZXIvYXdzEBYaDJ" + "a" * 200):
        habit = {"AccessKeyId": STRANGER, "SecretAccessKey": "x", "SessionToken": token}
        assert client(dev, habit).get_caller_identity()["Account"] == STRANGER


def test_the_aws_cli_assumes_a_role_by_its_profile(own, dev, tmp_path):
    """As people set it up: a profile with role_arn and source_profile."""
    program = os.path.join(os.path.dirname(os.sys.executable), "aws")
    for deployment in (own, dev):
        ident, secret = deployment.credentials()
        # The CLI keeps the credentials of roles in its user's folder.
        home = tmp_path / ("dev" if deployment.dev else "own")
        home.mkdir()
        config = home / "config"
        config.write_text(
            f"[profile base]\naws_access_key_id = {ident}\naws_secret_access_key = {secret}\n"
            f"[profile backup]\nrole_arn = {BACKUP}\nsource_profile = base\nrole_session_name = nightly\n",
            encoding="utf-8",
        )
        environment = running.clean_environment(
            AWS_CONFIG_FILE=str(config), AWS_SHARED_CREDENTIALS_FILE=os.devnull, AWS_PAGER="", HOME=str(home),
            AWS_ENDPOINT_URL=deployment.server.url, AWS_ENDPOINT_URL_STS=deployment.server.url,
        )
        words = [program, "--region", HOME, "--output", "text"]
        words += ["--endpoint-url", deployment.server.url, "sts", "get-caller-identity", "--query", "Arn"]
        for profile, arn in (("base", f"arn:aws:iam::{OWNER}:root"), ("backup", f"arn:aws:sts::{PARTNER}:assumed-role/backup/nightly")):
            done = subprocess.run([*words, "--profile", profile], capture_output=True, text=True, check=False, timeout=60, env=environment)
            assert (done.returncode, done.stdout.strip()) == (0, arn), done.stderr
