"""What an answer must look like: by the API models of the installed botocore, and by the OpenAPI document.

Knows the models' language; nothing of any action. `clients` has every answer to boto3 checked here.
"""
import datetime
import functools
import json
import pathlib
import re
import subprocess
import tomllib
import xml.etree.ElementTree as ElementTree

import botocore.session
import botocore.utils
import jsonschema

ROOT = pathlib.Path(__file__).resolve().parent.parent
DECIDED = tomllib.loads((ROOT / "docs/reference/contract.toml").read_text(encoding="utf-8"))
OPENAPI = json.loads((ROOT / "docs/reference/openapi.json").read_text(encoding="utf-8"))

# Every operation that has answered in this run, and those that have answered with success.
SEEN, SUCCEEDED = set(), set()


class Mismatch(AssertionError):
    """An answer is not what the model says."""


# APIs whose clients have another name than their signatures' scope.
CLIENTS = {"tagging": "resourcegroupstaggingapi"}


# The API of Snapferry's own actions, which no model has.
OWN = "snapferry"


@functools.cache
def model(service):
    """A service's model."""
    return botocore.session.get_session().get_service_model(CLIENTS.get(service, service))


def operations():
    """(service, action) of everything of AWS's that is implemented, by the OpenAPI document and its names."""
    posts = [path["post"] for path in OPENAPI["paths"].values()]
    return [(post["tags"][0], post["operationId"]) for post in posts if post["tags"][0] != OWN]


@functools.cache
def _doors():
    """The document's names by (service, AWS's name): two services may have an action of one name."""
    posts = [path["post"] for path in OPENAPI["paths"].values()]
    return {(CLIENTS.get(post["tags"][0], post["tags"][0]), post["x-action"]): post["operationId"] for post in posts}


def door(operation_model):
    """What the document calls an operation of a model."""
    name = operation_model.name
    return _doors().get((operation_model.service_model.service_name, name), name)


def operation(service, action):
    """The model of an action of the document."""
    return model(service).operation_model(OPENAPI["paths"][f"/{action}"]["post"]["x-action"])


def without_answer(answered):
    """The actions that are none of these, but for those that boto3 cannot reach."""
    return {action for _, action in operations()} - set(answered) - set(DECIDED["answered_without_boto3"])


def _need(holds, where, what):
    if not holds:
        raise Mismatch(f"{where}: {what}")


def check_answer(operation_model, response_dict, **_):
    """A handler of botocore's `before-parse`: raises when a live answer is not the model's."""
    name, status = door(operation_model), response_dict["status_code"]
    body = response_dict["body"].decode()
    protocol = operation_model.service_model.metadata["protocol"]
    is_query = protocol == "query"
    SEEN.add(name)
    if 300 <= status:
        code = _xml_fault(body, operation_model) if is_query else _json_fault(protocol, response_dict, body)
        check_fault(operation_model, code, status)
        return
    if is_query:
        check_xml(operation_model, body)
    elif operation_model.output_shape is not None:
        # An answer that has no members has no body.
        told = body or ("" if operation_model.output_shape.members else "{}")
        check_value(operation_model.output_shape, json.loads(told), name)
    else:
        _need(body in ("", "{}"), name, f"the model has no output, the answer is {body}")
    SUCCEEDED.add(name)


def _json_fault(protocol, response_dict, body):
    told = json.loads(body)
    if protocol == "json":
        return told["__type"]
    code = response_dict["headers"]["x-amzn-errortype"]
    _need(told["Code"] == code and told["Type"] in ("Client", "Server"), code, f"the body says {told}")
    return code


def _plain(tag):
    return tag.rpartition("}")[2]


def _xml_fault(body, operation_model):
    root = ElementTree.fromstring(body)
    _need(_plain(root.tag) == "ErrorResponse", operation_model.name, f"an error is a {root.tag}")
    found = {_plain(element.tag): element.text for element in root.iter()}
    _need(found.get("Type") in ("Sender", "Receiver"), operation_model.name, "an error has no Type")
    _need(bool(found.get("RequestId")), operation_model.name, "an error has no RequestId")
    return found["Code"]


def check_fault(operation_model, code, status):
    """A fault must be one that the model declares for the action, or a listed one of every action."""
    declared = {shape.error_code: shape.metadata.get("error", {}) for shape in operation_model.error_shapes}
    where = f"{operation_model.name} answered {code} {status}"
    if code in declared:
        _need(status == declared[code].get("httpStatusCode", 400), where, f"the model says {declared[code]}")
        return
    listed = DECIDED["undeclared_faults"]
    _need(
        code in listed["every_action"] or code in listed.get(operation_model.name, {}),
        where,
        "neither the model nor docs/reference/contract.toml declares it for this action",
    )
    _need(status == fault_table()[code]["status"], where, "the fault table has another status")


@functools.cache
def fault_table():
    """Every fault by its code, as the server's table has it."""
    return {row["fault"]: row for row in OPENAPI["x-faults"]}


def check_xml(operation_model, body):
    """A Query answer against the operation's output."""
    name, metadata = operation_model.name, operation_model.service_model.metadata
    root = ElementTree.fromstring(body)
    _need(root.tag == f"{{{metadata['xmlNamespace']}}}{name}Response", name, f"the root is {root.tag}")
    children = {_plain(child.tag): child for child in root}
    _need(len(children) == len(root), name, "an element is there twice")
    _need(children.pop("ResponseMetadata")[0].text, name, "there is no request id")
    shape = operation_model.output_shape
    if shape is None:
        _need(not children, name, f"the model has no output, the answer has {list(children)}")
        return
    wrapper = shape.serialization["resultWrapper"]
    _need(list(children) == [wrapper], name, f"{list(children)} instead of {wrapper}")
    _check_element(shape, children[wrapper], name)


def _check_element(shape, element, where):
    """One element against its shape."""
    if shape.type_name == "structure":
        names = {member.serialization.get("name", key): (key, member) for key, member in shape.members.items()}
        tags = [_plain(child.tag) for child in element]
        _need(len(tags) == len(set(tags)), where, f"a member is there twice: {tags}")
        for child in element:
            _need(_plain(child.tag) in names, where, f"the model has no member {_plain(child.tag)}")
            key, member = names[_plain(child.tag)]
            _check_element(member, child, f"{where}.{key}")
        for key in shape.required_members:
            _need(shape.members[key].serialization.get("name", key) in tags, where, f"{key} is missing")
    elif shape.type_name == "list":
        item = shape.member.serialization.get("name", "member")
        for child in element:
            _need(_plain(child.tag) == item, where, f"an item is {_plain(child.tag)} instead of {item}")
            _check_element(shape.member, child, f"{where}[]")
    else:
        _need(len(element) == 0, where, "a scalar has elements")
        _check_text(shape, element.text or "", where)


def _check_text(shape, text, where):
    kind = shape.type_name
    if kind == "boolean":
        _need(text in ("true", "false"), where, f"{text!r} is no boolean")
    elif kind in ("integer", "long"):
        _need(re.fullmatch(r"-?\d+", text), where, f"{text!r} is no whole number")
    elif kind == "timestamp":
        moment = botocore.utils.parse_timestamp(text)
        _need(isinstance(moment, datetime.datetime) and moment.tzinfo, where, f"{text!r} is no moment")
    elif kind == "string":
        _check_enum(shape, text, where)
    else:
        _need(kind in ("float", "double"), where, f"there is no check for {kind}")
        float(text)


def _check_enum(shape, text, where):
    allowed = shape.enum or [text]
    extra = DECIDED["values_beyond_the_model"].get(shape.name, {})
    _need(text in allowed or text in extra, where, f"{text!r} is none of {allowed}")


def check_value(shape, value, where):
    """A value of AWS's JSON against its shape."""
    kinds = {
        "boolean": bool, "integer": int, "long": int, "string": str, "blob": str, "structure": dict, "list": list,
        "map": dict, "timestamp": (int, float),
    }
    _need(isinstance(value, kinds[shape.type_name]), where, f"{value!r} is no {shape.type_name}")
    if shape.type_name == "structure":
        for key, inner in value.items():
            _need(key in shape.members, where, f"the model has no member {key}")
            check_value(shape.members[key], inner, f"{where}.{key}")
        _need(set(shape.required_members) <= set(value), where, f"of {shape.required_members} some are missing")
    elif shape.type_name == "list":
        for inner in value:
            check_value(shape.member, inner, f"{where}[]")
    elif shape.type_name == "map":
        for inner in value.values():
            check_value(shape.value, inner, f"{where}{{}}")
    elif shape.type_name == "string":
        _check_enum(shape, value, where)


def check_envelope(action, status, body):
    """An answer of the JSON door against the OpenAPI document; members beyond it are refused."""
    response = OPENAPI["paths"][f"/{action}"]["post"]["responses"].get(str(status))
    _need(response is not None, action, f"the document declares no status {status}")
    if "$ref" in response:
        response = OPENAPI["components"]["responses"][response["$ref"].rpartition("/")[2]]
    schema = response["content"]["application/json"]["schema"]
    validator = jsonschema.Draft202012Validator(
        _strict(schema | {"components": OPENAPI["components"]}), format_checker=jsonschema.FormatChecker()
    )
    problems = [f"{error.json_path}: {error.message}" for error in validator.iter_errors(body)]
    _need(not problems, action, "; ".join(problems))


def _strict(schema):
    """A schema that refuses members that it does not name."""
    if isinstance(schema, list):
        return [_strict(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    schema = {key: _strict(value) for key, value in schema.items()}
    if "properties" in schema and "type" in schema:
        schema.setdefault("additionalProperties", False)
    return schema


def served(server):
    """The OpenAPI document that a running server answers."""
    import clients

    return json.loads(clients.send(server, method="GET", path="/openapi.json").text)


def printed(binary):
    """The OpenAPI document that the binary prints."""
    return json.loads(subprocess.run([binary, "openapi"], capture_output=True, check=True, timeout=20).stdout)
