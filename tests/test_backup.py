"""AWS Backup's vaults by unmodified clients: requests with labels in their paths, signed as boto3 signs them."""
import datetime
import json
import re

import pytest

import clients
from clients import FAR, HOME, OWNER, PARTNER, refused, unique
from test_aws_cli import aws  # noqa: F401

MISSING = re.compile("cannot be found")
KEEP = {
    "Version": "2012-10-17",
    "Statement": [{"Effect": "Deny", "Principal": "*", "Action": "backup:DeleteBackupVault", "Resource": "*"}],
}


@pytest.fixture(scope="module")
def backup(closed):
    """The owner's client."""
    return closed.client("backup")


@pytest.fixture
def vault(backup):
    """A new vault's ARN; it goes with the test."""
    name = unique("Vault")
    yield backup.create_backup_vault(BackupVaultName=name)["BackupVaultArn"]
    backup.delete_backup_vault_access_policy(BackupVaultName=name)
    backup.delete_backup_vault(BackupVaultName=name)


def name_of(arn):
    """A vault's name."""
    return arn.rpartition(":")[2]


def names(client, **more):
    """The names of the vaults that a caller sees."""
    return [row["BackupVaultName"] for row in client.list_backup_vaults(**more)["BackupVaultList"]]


def test_as_terraform_does(backup, key):
    """Create, read, update, read, delete: what is read is what was sent, twice the same."""
    name = unique("Prod_vault")
    made = backup.create_backup_vault(
        BackupVaultName=name, EncryptionKeyArn=key, BackupVaultTags={"team": "blue", "empty": ""}, CreatorRequestId="tf-1"
    )
    arn = made["BackupVaultArn"]
    assert arn == f"arn:aws:backup:{HOME}:{OWNER}:backup-vault:{name}"
    age = datetime.datetime.now(datetime.timezone.utc) - made["CreationDate"]
    assert abs(age.total_seconds()) < 60

    def read():
        vault = backup.describe_backup_vault(BackupVaultName=name)
        del vault["ResponseMetadata"]
        return vault, backup.list_tags(ResourceArn=arn)["Tags"]

    vault, tags = read()
    assert vault == {
        "BackupVaultName": name, "BackupVaultArn": arn, "VaultType": "BACKUP_VAULT", "VaultState": "AVAILABLE",
        "EncryptionKeyArn": key, "CreationDate": made["CreationDate"], "CreatorRequestId": "tf-1",
        "NumberOfRecoveryPoints": 0, "Locked": False,
    }
    assert tags == {"team": "blue", "empty": ""}
    assert read() == (vault, tags)
    (listed,) = [row for row in backup.list_backup_vaults()["BackupVaultList"] if row["BackupVaultName"] == name]
    assert listed == vault
    backup.tag_resource(ResourceArn=arn, Tags={"team": "red", "more": "x/y=z"})
    backup.untag_resource(ResourceArn=arn, TagKeyList=["empty", "never-there"])
    assert read() == (vault, {"team": "red", "more": "x/y=z"})
    backup.delete_backup_vault(BackupVaultName=name)
    refused("ResourceNotFoundException", backup.describe_backup_vault, MISSING, 400, BackupVaultName=name)
    refused("ResourceNotFoundException", backup.delete_backup_vault, MISSING, 400, BackupVaultName=name)
    refused("ResourceNotFoundException", backup.list_tags, MISSING, 400, ResourceArn=arn)


def test_a_request_made_again_is_answered_again(backup, key):
    name = unique("again")
    ask = {"BackupVaultName": name, "CreatorRequestId": "one.request_1"}
    made = backup.create_backup_vault(**ask)
    again = backup.create_backup_vault(**ask)
    assert (again["BackupVaultArn"], again["CreationDate"]) == (made["BackupVaultArn"], made["CreationDate"])
    for other in (
        {"BackupVaultName": name}, ask | {"CreatorRequestId": "another"}, ask | {"EncryptionKeyArn": key},
    ):
        with pytest.raises(backup.exceptions.AlreadyExistsException) as caught:
            backup.create_backup_vault(**other)
        told = caught.value.response
        assert told["Error"]["Message"] == f"A Backup vault with the name {name} already exists"
        assert (told["Arn"], told["CreatorRequestId"], told["Context"]) == (made["BackupVaultArn"], "one.request_1", name)
        assert told["Type"] == "Client" and told["ResponseMetadata"]["HTTPStatusCode"] == 400
    # A name's case counts.
    other = backup.create_backup_vault(BackupVaultName=name.upper())
    assert other["BackupVaultArn"] != made["BackupVaultArn"]
    for gone in (name, name.upper()):
        backup.delete_backup_vault(BackupVaultName=gone)


def test_the_default_vault_is_always_there(closed):
    """Its tags and policy can be changed; it is neither made nor deleted."""
    backup = closed.client("backup", FAR, PARTNER)
    assert names(backup) == ["Default"]
    arn = f"arn:aws:backup:{FAR}:{PARTNER}:backup-vault:Default"
    assert backup.describe_backup_vault(BackupVaultName="Default")["BackupVaultArn"] == arn
    backup.tag_resource(ResourceArn=arn, Tags={"a": "b"})
    assert backup.list_tags(ResourceArn=arn)["Tags"] == {"a": "b"}
    assert names(backup) == ["Default"]
    refused("AlreadyExistsException", backup.create_backup_vault, BackupVaultName="Default")
    refused("InvalidRequestException", backup.delete_backup_vault, re.compile("cannot be deleted"), 400, BackupVaultName="Default")
    backup.untag_resource(ResourceArn=arn, TagKeyList=["a"])


def test_a_policy_is_kept_and_holds(backup, vault):
    """What it denies is refused; its owner can always take it back."""
    name, text = name_of(vault), json.dumps(KEEP)
    missing = re.compile("has no access policy")
    refused("ResourceNotFoundException", backup.get_backup_vault_access_policy, missing, 400, BackupVaultName=name)
    backup.put_backup_vault_access_policy(BackupVaultName=name, Policy=text)
    read = backup.get_backup_vault_access_policy(BackupVaultName=name)
    assert (read["Policy"], read["BackupVaultArn"], read["BackupVaultName"]) == (text, vault, name)
    denied = re.compile("perform: backup:DeleteBackupVault on resource: .* with an explicit deny")
    refused("AccessDeniedException", backup.delete_backup_vault, denied, BackupVaultName=name)
    assert name in names(backup)
    for action, call in {
        "DescribeBackupVault": lambda: backup.describe_backup_vault(BackupVaultName=name),
        "ListTags": lambda: backup.list_tags(ResourceArn=vault),
        "TagResource": lambda: backup.tag_resource(ResourceArn=vault, Tags={"a": "b"}),
        "UntagResource": lambda: backup.untag_resource(ResourceArn=vault, TagKeyList=["a"]),
    }.items():
        call()
        statement = KEEP["Statement"][0] | {"Action": f"backup:{action}", "Resource": vault}
        backup.put_backup_vault_access_policy(BackupVaultName=name, Policy=json.dumps(KEEP | {"Statement": [statement]}))
        refused("AccessDeniedException", call, re.compile(f"backup:{action} "))
        elsewhere = statement | {"Resource": vault + "x"}
        backup.put_backup_vault_access_policy(BackupVaultName=name, Policy=json.dumps(KEEP | {"Statement": [elsewhere]}))
        call()
    for wrong in ("{", "{}", json.dumps(KEEP | {"Statement": [{"Effect": "Maybe"}]})):
        refused("InvalidParameterValueException", backup.put_backup_vault_access_policy, BackupVaultName=name, Policy=wrong)
    refused("MissingParameterValueException", backup.put_backup_vault_access_policy, BackupVaultName=name)
    for _ in range(2):
        backup.delete_backup_vault_access_policy(BackupVaultName=name)
    refused("ResourceNotFoundException", backup.get_backup_vault_access_policy, missing, BackupVaultName=name)


def test_vaults_are_their_accounts_and_regions(closed, backup, vault):
    """Others, and the same account in another region, neither see nor change them, by name or by ARN."""
    name = name_of(vault)
    for stranger in (closed.client("backup", HOME, PARTNER), closed.client("backup", FAR)):
        assert name not in names(stranger)
        for call, ask in {
            stranger.describe_backup_vault: {}, stranger.delete_backup_vault: {},
            stranger.get_backup_vault_access_policy: {}, stranger.delete_backup_vault_access_policy: {},
            stranger.put_backup_vault_access_policy: {"Policy": json.dumps(KEEP)},
        }.items():
            refused("ResourceNotFoundException", call, MISSING, 400, BackupVaultName=name, **ask)
        for call, ask in {
            stranger.list_tags: {}, stranger.tag_resource: {"Tags": {"a": "b"}}, stranger.untag_resource: {"TagKeyList": ["a"]},
        }.items():
            refused("ResourceNotFoundException", call, MISSING, 400, ResourceArn=vault, **ask)
    ask = {"BackupVaultName": name, "BackupVaultAccountId": OWNER}
    assert backup.describe_backup_vault(**ask)["BackupVaultArn"] == vault
    refused("ResourceNotFoundException", backup.describe_backup_vault, MISSING, **ask | {"BackupVaultAccountId": PARTNER})
    assert backup.list_tags(ResourceArn=vault)["Tags"] == {}


def test_what_is_refused(closed, backup, key, far_key, vault):
    for name in ("a", "a" * 51, "a b", "a.b", "ä_ö", "a/b"):
        said = refused("InvalidParameterValueException", backup.create_backup_vault, status=400, BackupVaultName=name)
        assert "2 to 50 letters" in said
    theirs = closed.new_key(account=PARTNER)
    for wrong in (far_key, theirs, key[:-1] + "!", "alias/mine", key.rpartition("/")[2]):
        refused("InvalidParameterValueException", backup.create_backup_vault, BackupVaultName=unique("x"), EncryptionKeyArn=wrong)
    for wrong in ("a b", "x" * 51):
        refused("InvalidParameterValueException", backup.create_backup_vault, BackupVaultName=unique("x"), CreatorRequestId=wrong)
    for wrong in ({"aws:x": "y"}, {"": "y"}, {"k" * 129: ""}, {"k": "v" * 257}, {"k": "\x01"}):
        refused("InvalidParameterValueException", backup.tag_resource, ResourceArn=vault, Tags=wrong)
    many = {f"k{number}": "" for number in range(51)}
    refused("LimitExceededException", backup.tag_resource, status=400, ResourceArn=vault, Tags=many)
    with pytest.raises(backup.exceptions.InvalidParameterValueException) as caught:
        backup.list_tags(ResourceArn="arn:aws:s3:::bucket")
    assert caught.value.response["Context"] == "arn:aws:s3:::bucket"
    for wrong in ({"MaxResults": 1001}, {"NextToken": "nonsense"}):
        refused("InvalidParameterValueException", backup.list_backup_vaults, **wrong)
        refused("InvalidParameterValueException", backup.list_tags, ResourceArn=vault, **wrong)


def test_pages_types_and_the_quota(dev):
    backup = dev.client("backup", account=PARTNER)
    made = [f"page-{number:03}" for number in range(300)]
    for name in made:
        backup.create_backup_vault(BackupVaultName=name)
    said = refused("LimitExceededException", backup.create_backup_vault, status=400, BackupVaultName="page-300")
    assert "at most 300" in said
    assert names(backup) == ["Default", *made]
    pages = backup.get_paginator("list_backup_vaults").paginate(PaginationConfig={"PageSize": 90})
    rows = [[row["BackupVaultName"] for row in page["BackupVaultList"]] for page in pages]
    assert [len(page) for page in rows] == [90, 90, 90, 31] and sum(rows, []) == ["Default", *made]
    assert names(backup, ByVaultType="BACKUP_VAULT", MaxResults=2) == ["Default", "page-000"]
    assert names(backup, ByVaultType="LOGICALLY_AIR_GAPPED_BACKUP_VAULT") == names(backup, ByShared=True) == []
    arn = f"arn:aws:backup:{HOME}:{PARTNER}:backup-vault:page-000"
    backup.tag_resource(ResourceArn=arn, Tags={f"k{number:02}": str(number) for number in range(50)})
    first = backup.list_tags(ResourceArn=arn, MaxResults=40)
    rest = backup.list_tags(ResourceArn=arn, NextToken=first["NextToken"])
    assert len(first["Tags"]) == 40 and first["Tags"] | rest["Tags"] == {f"k{n:02}": str(n) for n in range(50)}
    for name in made:
        backup.delete_backup_vault(BackupVaultName=name)
    assert names(backup) == ["Default"]


def test_the_tagging_api_knows_vaults(closed, backup, vault):
    tagging = closed.client("tagging")
    assert tagging.tag_resources(ResourceARNList=[vault], Tags={"via": "tagging"})["FailedResourcesMap"] == {}
    assert backup.list_tags(ResourceArn=vault)["Tags"] == {"via": "tagging"}
    found = tagging.get_resources(ResourceTypeFilters=["backup:backup-vault"], TagFilters=[{"Key": "via"}])
    assert [row["ResourceARN"] for row in found["ResourceTagMappingList"]] == [vault]
    backup.put_backup_vault_access_policy(BackupVaultName=name_of(vault), Policy=json.dumps(
        KEEP | {"Statement": [KEEP["Statement"][0] | {"Action": "backup:UntagResource"}]}))
    failed = tagging.untag_resources(ResourceARNList=[vault], TagKeys=["via"])["FailedResourcesMap"]
    assert "backup:UntagResource" in failed[vault]["ErrorMessage"]
    assert backup.list_tags(ResourceArn=vault)["Tags"] == {"via": "tagging"}


def test_by_the_aws_cli(aws):  # noqa: F811
    name = unique("cli-vault")
    made = aws("backup", "create-backup-vault", "--backup-vault-name", name, "--backup-vault-tags", "team=blue")
    arn = made["BackupVaultArn"]
    assert aws("backup", "list-tags", "--resource-arn", arn)["Tags"] == {"team": "blue"}
    assert aws("backup", "tag-resource", "--resource-arn", arn, "--tags", "a=b") is None
    assert aws("backup", "untag-resource", "--resource-arn", arn, "--tag-key-list", "team") is None
    assert aws("backup", "list-tags", "--resource-arn", arn)["Tags"] == {"a": "b"}
    listed = aws("backup", "list-backup-vaults", "--by-vault-type", "BACKUP_VAULT", "--max-results", "1000")
    assert arn in [row["BackupVaultArn"] for row in listed["BackupVaultList"]]
    assert aws("backup", "delete-backup-vault", "--backup-vault-name", name) is None
    aws("backup", "describe-backup-vault", "--backup-vault-name", name, fails="ResourceNotFoundException")


def test_paths_and_methods(closed, dev, vault):
    """A label's escapes are undone once, a slash at the end says nothing, and what no route has is told so."""
    signer = clients.Signer(closed, service="backup")
    plain = f"/tags/{vault}"
    escaped = plain.replace(":", "%3A")

    def get(path, method="GET", body=b"", by=signer):
        headers = by.headers(body, path=path, extra={"Content-Type": "application/json"}, method=method)
        answer = clients.send(closed.server, method, path, headers, body)
        return answer, json.loads(answer.text) if answer.text else None

    for path in (plain, escaped, escaped + "/", escaped.replace("%3A", "%3a")):
        answer, told = get(path)
        assert (answer.status, told) == (200, {"Tags": {}}), path
        assert answer.headers["content-type"] == "application/json"
    answer, told = get(plain, "POST", b'{"Tags": {"a": "b"}, "Stranger": 1}')
    assert (answer.status, told) == (200, None)
    answer, told = get(escaped.replace("%3A", "%253A"))
    assert (answer.status, answer.headers["x-amzn-errortype"]) == (400, "InvalidParameterValueException")
    for path, method in ((plain, "PUT"), ("/nowhere", "GET"), (plain + "/x", "GET")):
        answer, told = get(path, method)
        assert (answer.status, told["Code"]) == (400, "UnknownOperationException"), path
        assert answer.headers["x-amzn-errortype"] == "UnknownOperationException"
        assert f"the method {method} and the path {path}" in told["Message"]
    answer, told = get(plain, by=clients.Signer(closed, service="rds"))
    assert (answer.status, told["Code"]) == (400, "UnknownOperationException")
    answer = clients.send(closed.server, "GET", plain)
    assert (answer.status, answer.headers["x-amzn-errortype"]) == (403, "MissingAuthenticationToken")
    answer, told = get(plain, "POST", b"{")
    assert (answer.status, told["Code"]) == (400, "InvalidParameterValueException")
    answer, told = get(plain, "POST", b"{}")
    assert (answer.status, told["Code"]) == (400, "MissingParameterValueException")
    # Without a signature, as in dev mode, the path says whose it is.
    answer = clients.send(dev.server, "GET", "/backup-vaults/?maxResults=1")
    assert [row["BackupVaultName"] for row in json.loads(answer.text)["BackupVaultList"]] == ["Default"]


def test_the_json_door_has_names_of_its_own(dev):
    """Two services have a TagResource: KMS's has the plain name."""
    def call(action, **members):
        body = json.dumps(members).encode()
        answer = clients.send(dev.server, path=f"/{action}", headers={"Content-Type": "application/json"}, body=body)
        return answer.status, json.loads(answer.text)

    name = unique("door")
    status, told = call("CreateBackupVault", BackupVaultName=name, BackupVaultTags={"a": "b"})
    assert status == 200, told
    arn = told["data"]["BackupVaultArn"]
    assert call("BackupTagResource", ResourceArn=arn, Tags={"c": "d"})[0] == 200
    assert call("ListTags", ResourceArn=arn)[1]["data"] == {"Tags": {"a": "b", "c": "d"}}
    status, told = call("TagResource", ResourceArn=arn, Tags={"c": "d"})
    assert (status, told["error"]["fault"]) == (400, "ValidationException")
    assert call("DeleteBackupVault", BackupVaultName=name)[0] == 200


def test_the_routes_are_the_models():
    """Every action of the model has its method, path, status and names of the query."""
    source = (clients.contract.ROOT / "crates/api/src/routes.rs").read_text(encoding="utf-8")
    row = re.compile(r'^    (GET|PUT|POST|DELETE) (\w+) "([^"]+)"(?: (\d+))?(?: \?((?:\s+"\w+" => \w+,?)+))?;$', re.MULTILINE)
    found = {}
    for method, action, path, status, query in row.findall(source):
        names_of_query = dict(re.findall(r'"(\w+)" => (\w+)', query))
        found[action] = (method, path, int(status or 200), names_of_query)
    model = clients.contract.model("backup")
    wanted = {}
    for action in model.operation_names:
        operation = model.operation_model(action)
        http = operation.http
        path, query = http["requestUri"].partition("?")[0], {}
        for member, shape in (operation.input_shape.members if operation.input_shape else {}).items():
            where, name = shape.serialization.get("location"), shape.serialization.get("name", member)
            if where == "uri":
                path = path.replace("{" + name + "}", "{" + member + "}")
            elif where == "querystring":
                query[name] = member
        wanted[action] = (http["method"], path, http.get("responseCode", 200), query)
    assert found == wanted
