"""The demo itself, small: it passes, and a planted change makes it fail."""
import os
import subprocess
import sys

import pytest

from snapferry_tools import running

pytestmark = pytest.mark.timeout(240)


@pytest.fixture
def folder():
    """A folder for the demo."""
    made = running.make_folder("snapferry-test-demo-")
    yield made
    running.remove_folder(made)


def run(binary, folder, *more):
    """Runs the demo at the smallest scale."""
    command = [sys.executable, running.ROOT / "demo" / "demo.py", "--binary", binary, "--folder", folder]
    done = subprocess.run(
        [*command, "--scale", "1", *more], capture_output=True, text=True, timeout=200, check=False, env=os.environ | {"PYTHONPATH": running.ROOT / "python"}
    )
    assert running.processes_within(folder) == [] and running.servers_on(folder) == []
    return done


def test_it_holds(binary, folder):
    done = run(binary, folder)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "All of it held" in done.stdout
    for row in ("take a snapshot", "copy it to", "cancel a copy", "restore it", "compare every row", "kill -9 its writer", "0 lost", "restore it as a Multi-AZ", "run its plan, which copies", "with checks in SQL",
                "check its signed receipt", "total"):
        assert row in done.stdout


def test_one_changed_row_makes_it_fail(binary, folder):
    done = run(binary, folder, "--plant-change")
    assert done.returncode == 1, done.stdout + done.stderr
    assert "public.pgbench_accounts has rows that differ" in done.stderr
    assert "All of it held" not in done.stdout
