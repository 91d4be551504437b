"""The AWS SDK for JavaScript, unchanged: a cluster's life with its waiters, its pages and its classes of faults."""
import json
import pathlib
import subprocess

import pytest

from clients import HOME, unique
from snapferry_tools import running
from test_presigned import javascript  # noqa: F401 (a fixture)

SCRIPT = pathlib.Path(__file__).with_name("clusters.mjs")

pytestmark = pytest.mark.long


def fault(name, status):
    """A fault that is an object of its own class."""
    return {"name": name, "isItsClass": True, "status": status}


def test_a_clusters_life(javascript, closed):  # noqa: F811
    key, secret = closed.credentials()
    name = unique("javascript")
    done = subprocess.run(
        ["node", SCRIPT, closed.server.url, HOME, name],
        env=running.clean_environment(SDK=str(javascript), AWS_ACCESS_KEY_ID=key, AWS_SECRET_ACCESS_KEY=secret),
        capture_output=True, text=True, timeout=300, check=False,
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == {
        "created": "creating", "waited": "SUCCESS", "again": fault("DBClusterAlreadyExistsFault", 400),
        "snapshot": "SUCCESS", "copied": {"status": "available", "tags": [{"Key": "by", "Value": "javascript"}]},
        "listed": [f"{name}-copy", f"{name}-snapshot"],
        "missing": fault("DBClusterSnapshotNotFoundFault", 404), "twice": fault("DBClusterSnapshotAlreadyExistsFault", 400),
        "deleted": "SUCCESS", "gone": fault("DBClusterNotFoundFault", 404),
    }
