"""The JSON door's OpenAPI document: it is one, live answers hold to it, and fuzzing finds no way round it.

`make soak` asks for more examples by TEST_EXAMPLES.
"""
import json
import os
import re

import hypothesis
import pytest
import schemathesis
import schemathesis.checks
import schemathesis.specs.openapi.checks as openapi_checks

import contract
import clients
from contract import OPENAPI

EXAMPLES = int(os.environ.get("TEST_EXAMPLES", "6"))
CHECKS = [
    schemathesis.checks.not_a_server_error,
    openapi_checks.status_code_conformance,
    openapi_checks.content_type_conformance,
    openapi_checks.response_schema_conformance,
]
# A cluster that is made or restored starts a PostgreSQL of its own; elsewhere these are tested by hand.
COSTLY = {"CreateDBCluster", "RestoreDBClusterFromSnapshot"}


def call(deployment, path, members, **headers):
    """A JSON call; its status and body, checked against the document."""
    answer = clients.send(
        deployment.server,
        path=path,
        headers={"Content-Type": "application/json"} | headers,
        body=json.dumps(members).encode(),
    )
    return answer.status, json.loads(answer.text)


def test_it_is_openapi():
    """Names and references hold; every action has its own operation."""
    assert OPENAPI["openapi"] == "3.1.0"
    for reference in set(re.findall(r'"\$ref": "#/([^"]+)"', json.dumps(OPENAPI))):
        found = OPENAPI
        for step in reference.split("/"):
            found = found[step]
    operations = [path["post"]["operationId"] for path in OPENAPI["paths"].values()]
    assert len(operations) == len(set(operations))
    for schema in OPENAPI["components"]["schemas"].values():
        contract.jsonschema.Draft202012Validator.check_schema(schema)


def test_an_action_is_reached_by_its_path(dev):
    status, body = call(dev, "/DescribeDBClusterSnapshots", {"MaxRecords": 20})
    assert status == 200
    contract.check_envelope("DescribeDBClusterSnapshots", status, body)
    assert call(dev, "/DescribeDBClusterSnapshots?Action=DescribeDBClusterSnapshots", {})[0] == 200
    status, body = call(dev, "/DescribeDBClusterSnapshots?Action=DescribeDBClusters", {})
    assert (status, body["error"]["fault"]) == (400, "InvalidParameterCombination")
    status, body = call(dev, "/FlyToTheMoon", {})
    assert (status, body["error"]["code"]) == (400, "VALIDATION_ERROR")


def test_reading_actions_answer_as_documented(dev):
    """Those that need no parameters, live."""
    asked = 0
    for path, operation in OPENAPI["paths"].items():
        reads = operation["post"]["summary"].startswith("Reads")
        if reads and not operation["post"]["requestBody"]["required"]:
            status, body = call(dev, path, {})
            assert status == 200, (path, body)
            contract.check_envelope(path[1:], status, body)
            asked += 1
    assert 3 < asked


@pytest.fixture(scope="module")
def fuzzed(deploy_for_module):
    """A deployment for nonsense, which no other test looks at."""
    return deploy_for_module("--dev")


ACTIONS = [name for name in (path[1:] for path in OPENAPI["paths"]) if name not in COSTLY]


@pytest.mark.parametrize("action", ACTIONS)
def test_fuzzing(fuzzed, action):
    """Good and bad bodies alike: no 5xx, and nothing that the document does not say."""
    schema = schemathesis.openapi.from_dict(OPENAPI)
    operation = schema[f"/{action}"]["POST"]
    modes = list(schemathesis.GenerationMode)

    @hypothesis.given(case=hypothesis.strategies.one_of(*(operation.as_strategy(generation_mode=mode) for mode in modes)))
    @hypothesis.settings(
        max_examples=EXAMPLES,
        deadline=None,
        database=None,
        derandomize=EXAMPLES < 100,
        suppress_health_check=list(hypothesis.HealthCheck),
    )
    def holds(case):
        case.headers = {"Content-Type": "application/json", "Accept": "application/json"}
        case.call_and_validate(base_url=fuzzed.server.url, checks=CHECKS, timeout=20)

    holds()
