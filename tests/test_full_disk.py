"""A restore onto a full disk: it says so, leaves nothing that looks like a cluster, and ends once there is room."""
import os
import subprocess

import pytest

import clients
from clients import unique
from snapferry_tools import running

DISK_BYTES = 320 << 20
# What is left for a restore that needs several times as much.
ROOM_BYTES = 12 << 20


@pytest.fixture
def small_disk(deploy):
    """A deployment whose clusters lie on a small file system of their own, and its mount point."""
    if os.geteuid() != 0:
        pytest.skip("only root can mount a small file system")
    deployment = deploy()
    clusters = deployment.server.data / "clusters"
    clusters.mkdir(mode=0o711, exist_ok=True)
    mount = ["mount", "-t", "tmpfs", "-o", f"size={DISK_BYTES},mode=0711", "tmpfs", clusters]
    mounted = subprocess.run(mount, capture_output=True, text=True)
    if mounted.returncode != 0:
        pytest.skip(f"no file system can be mounted here: {mounted.stderr.strip()}")
    try:
        yield deployment, clusters
    finally:
        deployment.server.stop()
        subprocess.run(["umount", "-l", clusters], check=True)


def test_a_restore_onto_a_full_disk(small_disk):
    deployment, disk = small_disk
    rds, name = deployment.rds(), unique("full")
    source = deployment.new_cluster("source")
    with clients.connect(source) as connection:
        clients.fill_with_noise(connection, 4, "goods")
        rows = clients.table_of(connection, "goods")
    deployment.new_snapshot("kept", "source")
    free = os.statvfs(disk).f_bavail * os.statvfs(disk).f_frsize
    filler = disk / "filler"
    with filler.open("wb") as file:
        os.posix_fallocate(file.fileno(), 0, free - ROOM_BYTES)
    # Looked for where it belongs only: a folder that is being removed is gone while one looks through it.
    marks = "*/try-*/whole"
    before = set(disk.glob(marks))
    assert before, "the source is whole"
    rds.restore_db_cluster_from_snapshot(
        DBClusterIdentifier=name, SnapshotIdentifier="kept", Engine="aurora-postgresql"
    )

    def refused_twice():
        found = [job for job in deployment.server.jobs() if job["kind"] == "restore-cluster"]
        return found[0] if found and found[0]["attempts"] >= 2 and found[0]["error"] else None

    job = running.wait_until(refused_twice, 60, "the restore was tried twice")
    assert "No space left" in job["error"], job
    assert clients.cluster_of(rds, name)["Status"] == "creating"
    assert set(disk.glob(marks)) == before, "a part of a cluster is marked whole"
    with clients.connect(source) as connection:
        assert clients.table_of(connection, "goods") == rows, "the other cluster goes on"
    filler.unlink()
    with clients.connect(clients.wait_cluster(rds, name, 120)) as connection:
        assert clients.table_of(connection, "goods") == rows
