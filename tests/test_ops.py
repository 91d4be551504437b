"""Alerts, runbooks and dashboards in ops/: what they name is there. `make test-ops` tries them with Prometheus itself."""
import json
import pathlib
import re

import pytest
import yaml

ROOT = pathlib.Path(__file__).parent.parent
RULES = ROOT / "ops/prometheus/rules.yml"
CASES = ROOT / "ops/prometheus/rules_test.yml"
BOARDS = sorted((ROOT / "ops/grafana").glob("*.json"))
ROW = r"(?m)^\| `(\w+)` \| (\w+) \|([^|]*)\| .+ \|$"
# What Prometheus and its histograms add.
ALWAYS = {"job", "instance", "le"}


def documented():
    """The labels of each metric that docs/reference/metrics.md has; a histogram's samples by their own names."""
    page = (ROOT / "docs/reference/metrics.md").read_text(encoding="utf-8")
    found = {}
    for name, kind, labels in re.findall(ROW, page):
        names = [name + part for part in ("_bucket", "_sum", "_count")] if kind == "histogram" else [name]
        found |= dict.fromkeys(names, set(re.findall(r"`(\w+)`", labels)) | ALWAYS)
    return found


def wrong(query, known):
    """What a query names that no server tells."""
    for name, matchers in re.findall(r"\b(snapferry_\w+)(?:\{([^}]*)\})?", query):
        if name not in known:
            yield f"{name} is no metric"
        else:
            labels = set(re.findall(r"(\w+)\s*(?:=~|!~|!=|=)", matchers))
            yield from (f"{name} has no label {label}" for label in sorted(labels - known[name]))
    told = set().union(*(known.get(name, set()) for name in re.findall(r"\bsnapferry_\w+", query)), ALWAYS)
    for labels in re.findall(r"\b(?:by|on)\s*\(([^)]*)\)", query):
        yield from (f"nothing in it has a label {label}" for label in re.findall(r"\w+", labels) if label not in told)


def alerts():
    """All alerts."""
    return [rule for group in yaml.safe_load(RULES.read_text(encoding="utf-8"))["groups"] for rule in group["rules"]]


def queries(board):
    """All queries of a dashboard, those of its variables included."""
    for panel in board["panels"]:
        yield from (target["expr"] for target in panel["targets"])
    for variable in board["templating"]["list"]:
        if variable["type"] == "query":
            query, label = re.fullmatch(r"label_values\((.+), (\w+)\)", variable["query"]).groups()
            yield f"count by ({label}) ({query})"


def test_what_is_wrong_with_a_query_is_seen():
    known = {"snapferry_a": {"kind"} | ALWAYS}
    assert list(wrong('sum by (kind) (rate(snapferry_a{kind=~"x|y"}[5m]))', known)) == []
    assert len(list(wrong("snapferry_b", known))) == 1
    assert len(list(wrong('snapferry_a{king="x"}', known))) == 1
    assert len(list(wrong("sum by (king) (snapferry_a)", known))) == 1


@pytest.mark.parametrize("rule", alerts(), ids=lambda rule: rule["alert"])
def test_an_alert_names_what_there_is(rule):
    assert list(wrong(rule["expr"], documented())) == []
    assert rule["labels"]["severity"] in ("page", "ticket")
    assert (ROOT / rule["annotations"]["runbook"]).read_text(encoding="utf-8").count("**") >= 6


def test_every_runbook_is_an_alerts():
    named = {ROOT / rule["annotations"]["runbook"] for rule in alerts()}
    assert named == set((ROOT / "docs/runbooks").glob("*.md"))


def test_every_alert_is_tried_both_ways():
    tried = {}
    for case in yaml.safe_load(CASES.read_text(encoding="utf-8"))["tests"]:
        for one in case["alert_rule_test"]:
            tried.setdefault(one["alertname"], set()).add(bool(one["exp_alerts"]))
    assert tried == {rule["alert"]: {True, False} for rule in alerts()}


@pytest.mark.parametrize("path", BOARDS, ids=lambda path: path.stem)
def test_a_dashboard_names_what_there_is(path):
    board = json.loads(path.read_text(encoding="utf-8"))
    assert board["uid"] == f"snapferry-{path.stem}"
    known = documented()
    asked = list(queries(board))
    assert asked and [fault for query in asked for fault in wrong(query, known)] == []
    variables = {variable["name"] for variable in board["templating"]["list"]}
    assert set(re.findall(r"\$\{?(\w+)", json.dumps(board))) <= variables
