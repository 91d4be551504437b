"""A clock that was ahead, and is right again, leaves nothing asleep."""
import os
import pathlib

import pytest

import clients
from clients import FAR, HOME

FAKETIME = next(pathlib.Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1"), None)


@pytest.mark.skipif(FAKETIME is None, reason="needs libfaketime; the catalogs' suite tests the same without")
def test_a_job_that_began_under_a_wrong_clock_goes_on(deploy, tmp_path):
    ahead = tmp_path / "ahead"

    def set_clock(hours):
        beside = ahead.with_suffix(".new")
        beside.write_text(f"+{hours * 3600}s\n", encoding="utf-8")
        os.rename(beside, ahead)

    set_clock(3)
    # Without signatures, which a wrong clock makes wrong.
    deployment = deploy(
        "--dev", "--cross-region-bytes-per-second", "500000",
        environment={
            "LD_PRELOAD": str(FAKETIME), "FAKETIME_TIMESTAMP_FILE": str(ahead),
            "FAKETIME_NO_CACHE": "1", "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        },
    )
    with clients.connect(deployment.new_cluster("source")) as connection:
        clients.fill_with_noise(connection, 2)
    snapshot = deployment.new_snapshot("source", "source")
    far = deployment.rds(FAR)
    far.copy_db_cluster_snapshot(**clients.copy_request(snapshot["DBClusterSnapshotArn"], "copy"), SourceRegion=HOME)
    clients.wait_percent(far, "copy", 5)
    deployment.server.kill()
    set_clock(0)
    deployment.server.start()
    clients.wait_snapshot(deployment.rds(FAR), "copy", 40)
