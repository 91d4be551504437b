"""A playbook of Ansible's own modules, unchanged: run twice, the second run changes nothing; then all of it goes.

Ansible is large, so it has an environment of its own, and this runs by `make tools`.
"""
import os
import pathlib
import re
import subprocess

import pytest

from clients import HOME, OWNER

HERE = pathlib.Path(__file__).parent
PROGRAMS = pathlib.Path(os.environ.get("ANSIBLE_BIN", HERE.parents[1] / ".venv-tools/bin"))
RUN_SECONDS = 300

pytestmark = pytest.mark.long


@pytest.fixture(scope="module")
def play(dev):
    """Runs the playbook; what its recap counts."""

    def run(state):
        variables = {
            "endpoint": dev.server.url, "access_key": OWNER, "secret_key": "anything", "state": state,
            "ansible_python_interpreter": PROGRAMS / "python",
        }
        done = subprocess.run(
            [
                PROGRAMS / "ansible-playbook", HERE / "clusters.yml",
                *(word for name, value in variables.items() for word in ("-e", f"{name}={value}")),
            ],
            env={"PATH": f"{PROGRAMS}:{os.environ['PATH']}", "HOME": str(dev.server.data.parent), "LC_ALL": "C.UTF-8"},
            capture_output=True, text=True, timeout=RUN_SECONDS, check=False,
        )
        assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-2000:]
        recap = re.search(r"localhost\s+: ok=(\d+)\s+changed=(\d+)\s+unreachable=0\s+failed=0", done.stdout)
        assert recap, done.stdout[-2000:]
        return int(recap.group(2))

    return run


def test_a_second_run_changes_nothing(dev, play):
    assert play("present") == 6
    assert play("present") == 0
    assert play("absent") == 5
    rds = dev.rds(HOME)
    assert not [one for one in rds.describe_db_clusters()["DBClusters"] if one["DBClusterIdentifier"].startswith("play-")]
    assert not rds.describe_db_subnet_groups(Filters=[])["DBSubnetGroups"][1:]
