"""Commits that wait for the vault: none that a client was told of is lost, whatever becomes of the server's disk."""
import contextlib
import os
import pathlib
import random
import shutil

import pytest

import clients
from clients import unique
from snapferry_tools import running
from test_points_in_time import ON, SEED, Load, administrator, based, chunks, drop, lose_disk, restored, rows

ROUNDS = int(os.environ.get("SOAK_ROUNDS", "1"))
GROUP = "safe"


@pytest.fixture(scope="module")
def home(deploy_for_module):
    """A deployment with a parameter group whose clusters' commits wait."""
    place = deploy_for_module(environment=ON | {"SNAPFERRY_SWEEP_GRACE_SECONDS": "1"})
    make_group(place)
    return place


def make_group(deployment):
    """A parameter group with which commits wait for the vault."""
    deployment.rds().create_db_cluster_parameter_group(
        DBClusterParameterGroupName=GROUP, DBParameterGroupFamily="aurora-postgresql15", Description="loses nothing"
    )
    wait_for_vault(deployment, GROUP, "1")


def wait_for_vault(deployment, group, value):
    """Says whether commits of a group's clusters wait for the vault."""
    deployment.rds().modify_db_cluster_parameter_group(DBClusterParameterGroupName=group, Parameters=[
        {"ParameterName": "snapferry.synchronous_backup", "ParameterValue": value, "ApplyMethod": "immediate"}
    ])


def asked(deployment, cluster, query):
    """What a cluster's own administrator is answered: the first row."""
    with administrator(deployment, cluster) as connection:
        return connection.execute(query).fetchone()


def waits_for_vault(deployment, cluster):
    """Whether the server's commits wait for a stream that confirms them now."""
    found = asked(deployment, cluster, "select sync_state from pg_stat_replication where application_name = 'vault_log'")
    return found == ("quorum",)


def is_waiting(deployment, cluster):
    """Whether a commit waits now."""
    return asked(deployment, cluster, "select count(*) from pg_stat_activity where wait_event = 'SyncRep'")[0] > 0


def safe(deployment, name):
    """A cluster with a base whose commits wait."""
    cluster = based(deployment, name, DBClusterParameterGroupName=GROUP)
    running.wait_until(lambda: waits_for_vault(deployment, cluster), 60, "commits wait for the vault")
    return cluster


@contextlib.contextmanager
def loaded(cluster, first=0, count=1):
    """Sessions that write all the while, each with what it was told."""
    loads = [Load(cluster, first + one * 1_000_000) for one in range(count)]
    for load in loads:
        load.start()
    try:
        yield loads
    finally:
        for load in loads:
            load.ending.set()
        for load in loads:
            load.join()


def told(loads):
    """The rows whose commits were told."""
    return {number for load in loads for _, number in list(load.told)}


def test_no_commit_that_was_told_is_lost_with_the_disk_by_choice(home):
    """Killed under load, and its folder removed: every commit that was told is there. (SOAK_ROUNDS=100)"""
    chance = random.Random(SEED)
    for turn in range(ROUNDS):
        name = unique("kept")
        cluster = safe(home, name)
        with loaded(cluster, turn * 10_000_000, 4) as loads:
            enough = chance.randrange(20, 600)
            running.wait_until(lambda: len(told(loads)) > enough, 60, "commits are told")
            lose_disk(home, cluster)
        made = restored(home, name, UseLatestRestorableTime=True)
        found, wanted = set(rows(made)), told(loads)
        print(f"round {turn}: {len(wanted)} commits were told, {len(wanted - found)} of them are lost")
        assert not wanted - found, f"seed {SEED}: {sorted(wanted - found)[:5]} of {len(wanted)}"
        drop(home, made)
        drop(home, cluster)


@contextlib.contextmanager
def vault_gone(deployment):
    """The region's vault is not where it was, as after an unmount."""
    vault = pathlib.Path(deployment.server.data) / "vault" / clients.HOME
    vault.rename(vault.with_name("aside"))
    vault.mkdir()
    try:
        yield
    finally:
        # What was being written just then may lie in it: nobody was told that it is kept.
        shutil.rmtree(vault)
        vault.with_name("aside").rename(vault)


def failures(deployment):
    """How often a log did not get to the vault."""
    (line,) = [
        line for line in clients.send(deployment.server, "GET", "/metrics").body.decode().splitlines()
        if line.startswith("snapferry_log_failures_total ")
    ]
    return int(line.split()[1])


@pytest.mark.long
def test_commits_wait_while_the_vault_is_gone_and_go_on_after(home):
    """None is told before the vault has it; nothing is written into a folder that is not the vault."""
    cluster, seen = safe(home, "gone"), failures(home)
    with loaded(cluster) as loads:
        running.wait_until(lambda: len(told(loads)) > 100, 60, "commits are told")
        with vault_gone(home):
            running.wait_until(lambda: failures(home) > seen and is_waiting(home, cluster), 60, "commits wait")
            before = told(loads)
            running.wait_until(lambda: failures(home) > seen + 1, 60, "it is tried again")
            assert told(loads) == before and is_waiting(home, cluster)
            assert asked(home, cluster, "select 1") == (1,), "who only reads goes on"
        running.wait_until(lambda: len(told(loads)) > len(before) + 10, 60, "commits go on")
    assert b"snapferry_log_gaps_total 0" in clients.send(home.server, "GET", "/metrics").body
    drop(home, cluster)


@pytest.mark.long
def test_many_small_chunks_become_few(home):
    """What commits leave in the vault is bounded by their bytes, not by their number."""
    cluster = safe(home, "many")
    with loaded(cluster, count=2) as loads:
        running.wait_until(lambda: len(told(loads)) > 1_000, 120, "a thousand commits")
    wanted = told(loads)
    running.wait_until(lambda: len(chunks(home, "many")) < 200, 60, "they become few")
    made = restored(home, "many", UseLatestRestorableTime=True)
    assert not wanted - set(rows(made))
    drop(home, made)
    drop(home, cluster)


@pytest.mark.long
def test_commits_wait_without_the_server_or_are_told_not_to(deploy):
    """They go on when it is back, or when the choice is taken back."""
    place = deploy(environment=ON | {"SNAPFERRY_STOP_CLUSTERS_ON_EXIT": None})
    make_group(place)
    cluster = safe(place, "waits")
    place.server.kill()
    with loaded(cluster) as loads:
        running.wait_until(lambda: is_waiting(place, cluster), 60, "a commit waits")
        assert not told(loads), "nobody has it but its own disk"
        place.server.start()
        running.wait_until(lambda: told(loads), 60, "commits go on")
        wait_for_vault(place, GROUP, "0")
        running.wait_until(lambda: not waits_for_vault(place, cluster), 60, "commits wait no more")
        place.server.kill()
        count = len(told(loads))
        running.wait_until(lambda: len(told(loads)) > count + 10, 60, "commits go on without the vault")
    place.server.run("data", "stop-clusters", check=False)
