"""The list of rules: each is shown by tests that exist, and every section of the specification is there."""
import ast
import pathlib
import re
import subprocess
import sys

import pytest

import contract

RULES = contract.tomllib.loads((contract.ROOT / "docs/reference/rules.toml").read_text(encoding="utf-8"))["rule"]
TESTS = pathlib.Path(__file__).parent
# Every section of the API's behaviour that is promised; that of exports is not.
SECTIONS = (
    [f"1.{n}" for n in range(1, 13)]
    + [f"2.{n}" for n in (1, 2, 3, 4, 5, 6, 8, 9, 10, 11, 12, 14, 15, 16, 17, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29)]
    + [f"3.{n}" for n in range(1, 5)]
    + [f"4.{n}" for n in range(1, 7)]
)


def functions(file):
    """The tests of a file."""
    tree = ast.parse((TESTS / file).read_text(encoding="utf-8"))
    return {node.name for node in tree.body if isinstance(node, ast.FunctionDef) and node.name.startswith("test_")}


@pytest.mark.parametrize("rule", RULES, ids=[rule["id"] for rule in RULES])
def test_a_rule_is_shown(rule):
    assert set(rule) <= {"id", "actions", "rule", "decided", "tests"}
    assert re.fullmatch(r"[1-4](\.\d+){1,2}", rule["id"]) and ".".join(rule["id"].split(".")[:2]) in SECTIONS
    assert rule["tests"], "a rule without a test"
    for test in rule["tests"]:
        file, _, name = test.partition("::")
        assert name in functions(file), f"{test} is not there"
    assert set(rule.get("actions", [])) <= {action for _, action in contract.operations()}


def test_every_section_has_rules():
    identifiers = [rule["id"] for rule in RULES]
    assert len(identifiers) == len(set(identifiers))
    assert {".".join(identifier.split(".")[:2]) for identifier in identifiers} == set(SECTIONS)


def test_the_reference_page_is_up_to_date():
    made = subprocess.run(
        [sys.executable, contract.ROOT / "scripts/api-reference"], capture_output=True, text=True, check=True, timeout=60
    ).stdout
    stored = (contract.ROOT / "docs/reference/api.md").read_text(encoding="utf-8")
    assert made == stored, "run: .venv/bin/python scripts/api-reference > docs/reference/api.md"


def test_a_test_that_names_a_rule_is_on_the_list():
    """`test_rule_1_7_…` belongs to section 1.7."""
    listed = {(test, ".".join(rule["id"].split(".")[:2])) for rule in RULES for test in rule["tests"]}
    for path in TESTS.glob("test_*.py"):
        for name in functions(path.name):
            found = re.match(r"test_rule_(\d+)_(\d+)_", name)
            if found:
                assert (f"{path.name}::{name}", ".".join(found.groups())) in listed, name
