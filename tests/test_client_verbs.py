"""Verbs for people that speak to a server over its API: what they print, and how they end."""
import json
import os
import pty
import signal
import subprocess
import time

import pytest

import clients
from clients import FAR, HOME
from snapferry_tools import running


@pytest.fixture
def verb(closed, binary):
    """Runs a verb as the owner, by variables alone; returns the ended process."""

    def run(*words, **more):
        return subprocess.run(
            [binary, *words], check=False, capture_output=True, text=True, timeout=120,
            env=closed.environment() | more,
        )

    return run


def test_clusters_and_snapshots_are_listed(closed, plain, verb):
    snapshot = closed.new_snapshot(clients.unique("listed"), plain["DBClusterIdentifier"])
    listed = json.loads(verb("cluster", "list", "--format", "json").stdout)
    (mine,) = [row for row in listed if row["cluster"] == plain["DBClusterIdentifier"]]
    assert mine["newest_snapshot"] and mine["newest_snapshot_age_seconds"] < 600
    rows = json.loads(verb("snapshot", "list", "--cluster", plain["DBClusterIdentifier"], "--format", "json").stdout)
    assert snapshot["DBClusterSnapshotArn"] in [row["DBClusterSnapshotArn"] for row in rows]
    moments = [row["SnapshotCreateTime"] for row in rows]
    assert moments == sorted(moments, reverse=True)
    text = verb("snapshot", "list").stdout
    assert text.startswith("SNAPSHOT") and snapshot["DBClusterSnapshotIdentifier"] in text


def test_a_copy_within_and_between_regions_is_waited_for(closed, sealed_snapshot, verb):
    source = sealed_snapshot["DBClusterSnapshotIdentifier"]
    near = clients.unique("copy")
    done = verb("snapshot", "copy", source, near)
    assert done.returncode == 0 and done.stdout.endswith(f":{near} is available\n"), done.stderr
    far = clients.unique("copy")
    done = verb("snapshot", "copy", source, far, "--to", FAR, "--kms-key-id", "alias/aws/rds", "--format", "json")
    assert done.returncode == 0, done.stderr
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert [line["type"] for line in lines] == ["progress"] * (len(lines) - 1) + ["result"]
    assert lines[-1]["snapshot"]["Status"] == "available"
    (copy,) = closed.rds(FAR).describe_db_cluster_snapshots(DBClusterSnapshotIdentifier=far)["DBClusterSnapshots"]
    assert copy["KmsKeyId"].split(":")[3] == FAR and copy["SourceDBClusterSnapshotArn"].split(":")[3] == HOME


def test_each_end_has_its_status_and_a_hint(closed, sealed_snapshot, verb):
    source = sealed_snapshot["DBClusterSnapshotIdentifier"]
    cases = [
        (("snapshot", "wait", "no-such-snapshot"), {}, 5, "not found"),
        (("snapshot", "copy", source, source), {}, 6, "already exists"),
        (("snapshot", "list"), {"AWS_SECRET_ACCESS_KEY": "wrong"}, 4, "access-key list"),
        (("snapshot", "list", "--profile", "nobody"), {}, 4, "nobody"),
        (("snapshot", "list", "--endpoint", "http://127.0.0.1:1"), {}, 75, "gives no answer"),
        (("snapshot", "list", "--endpoint", "nowhere"), {}, 4, "no http or https URL"),
        (("snapshot", "list", "--colour"), {}, 2, "--colour"),
        (("snapshot", "copy", source, "a--b"), {}, 1, "is not a valid identifier"),
    ]
    for words, more, status, said in cases:
        ended = verb(*words, **more)
        assert (ended.returncode, ended.stdout) == (status, ""), (words, ended.stderr)
        assert said in ended.stderr, (words, ended.stderr)


def test_who_waits_may_leave_and_is_told_what_became(deploy, binary):
    deployment = deploy("--cross-region-bytes-per-second", "400000")
    deployment.noise(4, "source")
    environment, name = deployment.environment(), "slow"
    command = [binary, "snapshot", "copy", "source-snapshot", name, "--to", FAR, "--timeout", "2"]
    timed_out = subprocess.run(command, check=False, capture_output=True, text=True, timeout=60, env=environment)
    assert timed_out.returncode == 124 and f"snapferry snapshot wait {name} --region {FAR}" in timed_out.stderr

    # On a terminal there is a bar, and Ctrl-C leaves the copy to the server.
    leader, follower = pty.openpty()
    wait = [binary, "snapshot", "wait", name, "--region", FAR]
    with subprocess.Popen(wait, env=environment, stdout=subprocess.PIPE, stderr=follower) as waiting:
        os.close(follower)
        time.sleep(2)
        waiting.send_signal(signal.SIGINT)
        assert waiting.wait(20) == 130
    shown = os.read(leader, 1 << 16).decode()
    os.close(leader)
    assert "[" in shown and "% " in shown and f"{name} copying" in shown, shown

    with subprocess.Popen(wait, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as waiting:
        time.sleep(2)
        far = deployment.rds(FAR)
        (copy,) = far.describe_db_cluster_snapshots(DBClusterSnapshotIdentifier=name)["DBClusterSnapshots"]
        assert copy["Status"] == "copying"
        far.delete_db_cluster_snapshot(DBClusterSnapshotIdentifier=name)
        output, errors = waiting.communicate(timeout=30)
        assert (waiting.returncode, output) == (1, "") and f"{name} was deleted" in errors, errors


def test_env_points_awss_tools_at_the_server(closed, binary):
    folder = str(closed.server.data)
    told = subprocess.run(
        [binary, "env", "--data", folder, "--endpoint", closed.server.url], check=True, capture_output=True, text=True,
        env=running.clean_environment(),
    ).stdout
    secret = (closed.server.data / "credentials").read_text(encoding="utf-8").split("aws_secret_access_key = ")[1].split("\n")[0]
    assert secret not in told
    script = f"{told}\n{binary} snapshot list --format json"
    listed = subprocess.run(
        ["sh", "-c", script], check=True, capture_output=True, text=True, timeout=60, env=running.clean_environment()
    )
    assert isinstance(json.loads(listed.stdout), list)
    none = subprocess.run(
        [binary, "env", "--data", f"{folder}/none"], check=False, capture_output=True, text=True, env=running.clean_environment()
    )
    assert none.returncode == 1 and "no credentials" in none.stderr
