"""The contract: requests, answers and faults against AWS's own API models, and the OpenAPI document against itself."""
import re

import pytest

import contract
import clients
from contract import DECIDED, OPENAPI

ACTIONS = contract.operations()
SCHEMAS = OPENAPI["components"]["schemas"]
TYPES = {
    "string": "string", "timestamp": "string", "blob": "string", "boolean": "boolean", "integer": "integer",
    "long": "integer", "structure": "object", "map": "object", "list": "array",
}
SOURCES = contract.ROOT / "crates/api/src/actions"
# A member that is read and put aside: a field whose name begins with an underscore.
PUT_ASIDE = re.compile(r'rename = "(\w+)"[^\]]*\)\]\s*(?:///[^\n]*\s*)*_\w+:', re.DOTALL)


def kind(schema):
    """A schema's type, but for null."""
    found = schema.get("type", "string" if "enum" in schema or "const" in schema else None)
    if isinstance(found, list):
        found = next(one for one in found if one != "null")
    if found is None and "anyOf" in schema:
        found = next(kind(one) for one in schema["anyOf"] if one.get("type") != "null")
    return found


def inner(schema):
    """The alternative that is not null."""
    return next((one for one in schema.get("anyOf", []) if one.get("type") != "null"), schema)


def differences(schema, shape, path, numbers=False):
    """(member, what) of everything in which a schema is not its shape."""
    schema = inner(schema)
    expected = TYPES[shape.type_name]
    if numbers and shape.type_name == "timestamp":
        expected = "number"
    if kind(schema) != expected:
        yield path, f"is {kind(schema)} instead of {expected}"
        return
    if shape.type_name == "structure":
        known = schema.get("properties", {})
        for name, member in shape.members.items():
            if name in known:
                # Moments are numbers in bodies and texts in queries.
                is_number = numbers and member.serialization.get("location") != "querystring"
                yield from differences(known[name], member, f"{path}.{name}", is_number)
            else:
                yield f"{path}.{name}", "is missing"
        for name in known.keys() - shape.members.keys():
            yield f"{path}.{name}", "is unknown to the model"
        for name in set(shape.required_members) - set(schema.get("required", [])):
            yield f"{path}.{name}", "is not required"
    elif shape.type_name == "list" and kind(schema.get("items", {})) != "null":
        yield from differences(schema["items"], shape.member, f"{path}[]", numbers)


def ignored(action):
    """An action's members that are listed as ignored, with the reasons."""
    rows = [row for row in DECIDED["ignored"] if action in row["actions"] or row["actions"] == ["*"]]
    return {member: row["reason"] for row in rows for member in row["members"]}


def loosened(path):
    """The row that lets a member be looser than the model, if there is one."""
    rows = (path, "*." + path.partition(".")[2])
    return next((row for row in rows if row in DECIDED["looser"]), None)


def put_aside():
    """Members that the actions read only to put them aside, by action."""
    found = {}
    for path in SOURCES.rglob("*.rs"):
        text = path.read_text(encoding="utf-8")
        name = re.search(r'const NAME: &\'static str = "(\w+)"', text)
        for member in PUT_ASIDE.findall(text) if name else ():
            found.setdefault(name.group(1), set()).add(member)
    return found


def test_the_document_is_the_binarys_and_the_servers(binary, dev):
    assert contract.printed(binary) == OPENAPI
    assert contract.served(dev.server) == OPENAPI


@pytest.mark.parametrize(("service", "action"), ACTIONS, ids=[action for _, action in ACTIONS])
def test_every_request_member_is_handled_or_listed(service, action):
    """One list of what is ignored, with reasons; nothing on it that is not true any more."""
    shape = contract.operation(service, action).input_shape
    schema = SCHEMAS[f"{action}Input"]
    found = dict(differences(schema, shape, action, numbers=service in ("backup", "cloudtrail"))) if shape else {}
    missing = {path.partition(".")[2] for path, what in found.items() if what == "is missing"}
    assert (missing | put_aside().get(action, set())) - ignored(action).keys() == set()
    others = {path: what for path, what in found.items() if what != "is missing" and not loosened(path)}
    assert others == {}


@pytest.mark.parametrize(("service", "action"), ACTIONS, ids=[action for _, action in ACTIONS])
def test_every_answer_member_is_the_models(service, action):
    shape = contract.operation(service, action).output_shape
    data = SCHEMAS[f"{action}Data"]
    if shape is None:
        assert not data.get("properties")
        return
    properties = data.get("properties", {})
    if set(properties) == {"items", "next"}:
        lists = [member for member in shape.members.values() if member.type_name == "list"]
        assert len(lists) == 1
        data, shape = properties["items"], lists[0]
    elif "id" in properties:
        structures = [member for member in shape.members.values() if member.type_name == "structure"]
        assert len(structures) == 1
        known = {key: value for key, value in properties.items() if key not in ("id", "created_at")}
        data, shape = data | {"properties": known}, structures[0]
    wrong = {
        path: what
        for path, what in differences(data, shape, action, numbers=service in ("kms", "secretsmanager", "backup", "cloudtrail"))
        if what not in ("is missing", "is not required")
    }
    assert wrong == {}


def test_the_lists_only_shrink():
    """What is handled by now, or gone, must leave the lists."""
    needed, loose = set(), set()
    for service, action in ACTIONS:
        shape = contract.operation(service, action).input_shape
        found = dict(differences(SCHEMAS[f"{action}Input"], shape, action)) if shape else {}
        needed |= {(action, path.partition(".")[2]) for path, what in found.items() if what == "is missing"}
        needed |= {(action, member) for member in put_aside().get(action, ())}
        loose |= {loosened(path) for path, what in found.items() if what != "is missing"}
    assert set(DECIDED["looser"]) - loose == set()
    for row in DECIDED["ignored"]:
        for member in row["members"]:
            users = {action for action, name in needed if name == member}
            assert users & set(row["actions"]) or (users and row["actions"] == ["*"]), (member, "is handled by now")
        assert len(row["reason"]) > 10


def test_every_fault_has_the_models_status():
    """And the table holds no code that neither a model nor the list knows."""
    declared = {}
    for service in ("rds", "kms", "sts", "tagging", "secretsmanager", "backup", "cloudtrail"):
        for shape in contract.model(service).error_shapes:
            status = shape.metadata.get("error", {}).get("httpStatusCode", 400)
            declared.setdefault(shape.error_code, set()).add(status)
    listed = {code for table in DECIDED["undeclared_faults"].values() for code in table}
    for code, row in contract.fault_table().items():
        if code in declared:
            assert row["status"] in declared[code], code
        else:
            assert code in listed, f"{code} is in no model; list it in docs/reference/contract.toml with its reason"
    assert listed <= set(contract.fault_table())


def test_an_action_without_an_answer_is_named():
    """What `whole_run` fails a run by."""
    answered = {action for _, action in ACTIONS}
    assert contract.without_answer(answered) == set()
    assert contract.without_answer(answered - {"CopyDBClusterSnapshot"}) == {"CopyDBClusterSnapshot"}


def test_the_hook_sees_what_is_wrong():
    """The check itself: wrong names, items, numbers, namespaces and faults are found."""
    describe = contract.model("rds").operation_model("DescribeDBClusterSnapshots")
    head = '<DescribeDBClusterSnapshotsResponse xmlns="http://rds.amazonaws.com/doc/2014-10-31/"><DescribeDBClusterSnapshotsResult>'
    tail = "</DescribeDBClusterSnapshotsResult><ResponseMetadata><RequestId>r</RequestId></ResponseMetadata></DescribeDBClusterSnapshotsResponse>"
    rows = "<DBClusterSnapshots><DBClusterSnapshot>{}</DBClusterSnapshot></DBClusterSnapshots>"
    contract.check_xml(describe, head + rows.format("<Port>0</Port>") + tail)
    for wrong in (
        rows.format("<Port>x</Port>"),
        rows.format("<Colour>red</Colour>"),
        rows.format("<StorageEncrypted>True</StorageEncrypted>"),
        rows.format("<AvailabilityZones><member>a</member></AvailabilityZones>"),
        "<DBClusterSnapshots><member/></DBClusterSnapshots>",
    ):
        with pytest.raises(contract.Mismatch):
            contract.check_xml(describe, head + wrong + tail)
    with pytest.raises(contract.Mismatch):
        contract.check_xml(describe, head.replace("2014", "2013") + tail)
    with pytest.raises(contract.Mismatch):
        contract.check_fault(describe, "DBClusterSnapshotNotFoundFault", 400)
    with pytest.raises(contract.Mismatch):
        contract.check_fault(describe, "SnapshotQuotaExceeded", 400)
    with pytest.raises(contract.Mismatch):
        contract.check_envelope("ListKeys", 200, {"success": True, "data": {"items": []}, "request_id": "r"})
    assert clients.unique("checked")
