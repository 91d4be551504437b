"""One account's stuck servers keep nobody else's jobs waiting, and cost no job a try."""
import time

import pytest

import clients
from clients import HOME, PARTNER, STRANGER
from snapferry_tools import running

# More than a node works on at once for one account, and more than a server has slots for.
SNAPSHOTS = 9


def statuses(rds):
    """Each snapshot's status by its name."""
    found = rds.describe_db_cluster_snapshots()["DBClusterSnapshots"]
    return {one["DBClusterSnapshotIdentifier"]: one["Status"] for one in found}


@pytest.mark.long
def test_stuck_snapshots_of_one_account_hold_up_no_other(deploy, tenant, watch):
    deployment = deploy()
    attacker, victim = deployment.rds(account=STRANGER), deployment.rds(account=PARTNER)
    deployment.new_cluster("shop", account=PARTNER)
    deployment.new_snapshot("before", "shop", account=PARTNER)
    # Every snapshot begins with a checkpoint, which never comes.
    frozen = tenant(deployment.new_cluster("frozen", account=STRANGER))
    frozen.run("pkill -STOP -P $(head -1 postmaster.pid) -f '[p]ostgres: checkpointer'")
    names = [f"stuck-{number}" for number in range(SNAPSHOTS)]
    with watch(deployment):
        for name in names:
            attacker.create_db_cluster_snapshot(DBClusterIdentifier="frozen", DBClusterSnapshotIdentifier=name)
        time.sleep(3)
        assert set(statuses(attacker).values()) == {"creating"}, "they are not stuck: this test shows nothing"
        begun = time.monotonic()
        deployment.new_snapshot("after", "shop", account=PARTNER)
        victim.restore_db_cluster_from_snapshot(
            DBClusterIdentifier="again", SnapshotIdentifier="before", Engine="aurora-postgresql"
        )
        deployment.new_cluster("second", account=PARTNER)
        clients.wait_cluster(victim, "again")
        assert time.monotonic() - begun < 45
    # Those that found no slot have lost nothing by waiting for one.
    open_jobs = [job for job in deployment.server.jobs() if job["state"] == "open"]
    assert len(open_jobs) == SNAPSHOTS and all(job["attempts"] <= 1 for job in open_jobs), open_jobs
    # Let go, each of them gets its slot.
    frozen.run("pkill -CONT -P $(head -1 postmaster.pid) -f '[p]ostgres: checkpointer'")
    for name in names:
        clients.wait_snapshot(attacker, name, 90)


def test_a_stop_of_the_server_costs_a_job_no_try(deploy, tenant):
    deployment = deploy()
    rds = deployment.rds(account=STRANGER)
    cluster = deployment.new_cluster("frozen", account=STRANGER)
    tenant(cluster).run("pkill -STOP -P $(head -1 postmaster.pid) -f '[p]ostgres: checkpointer'")
    rds.create_db_cluster_snapshot(DBClusterIdentifier="frozen", DBClusterSnapshotIdentifier="late")
    running.wait_until(
        lambda: [job for job in deployment.server.jobs() if job["attempts"] == 1 and job["kind"] == "create-snapshot"],
        20, "the job begins",
    )
    deployment.server.stop()
    late = [job for job in deployment.server.jobs() if job["kind"] == "create-snapshot"]
    assert [(job["state"], job["attempts"]) for job in late] == [("open", 0)], late
    # Stopped by force, its checkpointer is a new one now.
    deployment.server.start()
    clients.wait_snapshot(deployment.rds(HOME, STRANGER), "late")
