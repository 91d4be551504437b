"""What /metrics says, and the page that tells what it means."""
import pathlib
import re

import botocore.exceptions
import pytest

import clients

PAGE = pathlib.Path(__file__).parent.parent / "docs/reference/metrics.md"
ROW = r"(?m)^\| `(\w+)` \| (\w+) \|([^|]*)\| .+ \|$"
SAMPLE = r"(\w+)(?:\{(.*)\})? ([-+0-9.e]+|NaN)"


def scrape(deployment):
    """The metrics of a server: {name: (type, {labels: value})}, a histogram's samples by their count."""
    answer = clients.send(deployment.server, "GET", "/metrics")
    assert answer.status == 200
    kinds, found = {}, {}
    for line in answer.text.splitlines():
        if line.startswith("# TYPE "):
            _, _, name, kind = line.split()
            kinds[name] = kind
            found[name] = (kind, {})
        elif not line.startswith("#"):
            name, labels, value = re.fullmatch(SAMPLE, line).groups()
            base = re.sub(r"_(bucket|sum|count)$", "", name)
            if kinds.get(base) != "histogram":
                found[name][1][labels or ""] = float(value)
            elif name.endswith("_count"):
                found[base][1][labels or ""] = float(value)
    return found


def value(deployment, name, **labels):
    """One sample; 0 when there is none of these labels."""
    wanted = {f'{label}="{text}"' for label, text in labels.items()}
    samples = scrape(deployment)[name][1]
    return sum(count for of, count in samples.items() if wanted <= set(of.split(",")))


def test_the_page_names_what_a_server_tells_and_nothing_else(dev):
    dev.rds().describe_db_clusters()
    documented = {name: (kind, set(re.findall(r"`(\w+)`", labels))) for name, kind, labels in re.findall(ROW, PAGE.read_text(encoding="utf-8"))}
    told = {
        name: (kind, set().union(*({pair.partition("=")[0] for pair in of.split(",") if pair} for of in samples)))
        for name, (kind, samples) in scrape(dev).items()
    }
    assert told == documented


def test_requests_are_counted_by_outcome(dev):
    def counted(action, code):
        return value(dev, "snapferry_requests_total", api="rds", action=action, code=code)

    before = counted("DescribeDBClusters", "OK"), counted("DescribeDBClusters", "DBClusterNotFoundFault"), counted("none", "InvalidAction")
    timed = value(dev, "snapferry_request_duration_seconds", api="rds", action="DescribeDBClusters")
    dev.rds().describe_db_clusters()
    with pytest.raises(botocore.exceptions.ClientError):
        dev.rds().describe_db_clusters(DBClusterIdentifier="there-is-none")
    for number in range(20):
        clients.send(dev.server, "GET", f"/?Action=Invented{number}")
    after = counted("DescribeDBClusters", "OK"), counted("DescribeDBClusters", "DBClusterNotFoundFault"), counted("none", "InvalidAction")
    assert [now - then for now, then in zip(after, before, strict=True)] == [1, 1, 20]
    assert value(dev, "snapferry_request_duration_seconds", api="rds", action="DescribeDBClusters") == timed + 2
    assert not any("Invented" in labels for labels in scrape(dev)["snapferry_requests_total"][1])
