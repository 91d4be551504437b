"""A cluster that takes all it gets: its bounds hold it, and neither the node nor another account's cluster notices."""
import os
import pathlib
import re
import time

import psycopg
import pytest

import clients
from clients import PARTNER
from test_processes import delete_and_wait, processes_of, start_in_background, user_of

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="clusters have users of their own under root only")
MEMORY_MIB, PROCESSES = 256, 200
# Takes memory until it gets no more, keeps it, and says how much that was.
BALLOON = """
import sys, time
held = []
try:
    while len(held) < 2048:
        held.append(bytearray(b"x" * (1 << 20)))
except MemoryError:
    pass
open(sys.argv[1], "w").write(str(len(held)))
time.sleep(600)
"""
BOMB = "import os, time\nwhile True:\n  try:\n    os.fork()\n  except OSError:\n    time.sleep(0.05)\n"


def available_mib():
    """Memory of the machine that programs can still get."""
    text = pathlib.Path("/proc/meminfo").read_text(encoding="utf-8")
    return int(re.search(r"MemAvailable:\s+(\d+)", text).group(1)) / 1024


@pytest.mark.long
def test_a_noisy_cluster_does_not_take_the_node(deploy, tenant, watch, tmp_path, capsys):
    deployment = deploy(f"--cluster-memory-max={MEMORY_MIB}MiB", f"--cluster-processes-max={PROCESSES}")
    assert re.search(r"clusters are bounded.*by=", deployment.server.log.read_text(encoding="utf-8"))
    quiet = deployment.new_cluster("quiet")
    noisy = tenant(deployment.new_cluster("noisy", account=PARTNER))
    uid = user_of(noisy)
    programs = {"balloon": BALLOON, "bomb": BOMB}
    for name, text in programs.items():
        pathlib.Path(f"/tmp/{name}-{os.getpid()}.py").write_text(text, encoding="utf-8")
    before = available_mib()
    told = f"/tmp/told-{os.getpid()}"
    try:
        with watch(deployment) as seen:
            start_in_background(noisy, f"exec python3 /tmp/balloon-{os.getpid()}.py {told}")
            time.sleep(2)
            got = int(pathlib.Path(told).read_text(encoding="utf-8") or 0)
            taken = before - available_mib()
            start_in_background(noisy, f"exec python3 /tmp/bomb-{os.getpid()}.py")
            most = 0
            slowest = 0.0
            end = time.monotonic() + 3
            while time.monotonic() < end:
                most = max(most, len(processes_of(uid)))
                begun = time.monotonic()
                with clients.connect(quiet) as connection:
                    assert connection.execute("select 1").fetchone() == (1,)
                slowest = max(slowest, time.monotonic() - begun)
        with capsys.disabled():
            print(
                f"\n  the balloon got {got} MiB of {MEMORY_MIB}, the machine lost {taken:.0f}; the fork bomb {most} processes of "
                f"{PROCESSES}; another cluster's slowest connection and query {slowest * 1000:.0f} ms"
            )
        assert got <= MEMORY_MIB and taken < 2 * MEMORY_MIB
        assert PROCESSES // 2 < most <= PROCESSES
        assert slowest < 3 and not seen.refusals
        assert deployment.server.is_running
        delete_and_wait(deployment.rds(account=PARTNER), "noisy")
        assert processes_of(uid) == []
    finally:
        for name in programs:
            os.unlink(f"/tmp/{name}-{os.getpid()}.py")
        pathlib.Path(told).unlink(missing_ok=True)


@pytest.mark.long
def test_a_query_beyond_the_bound_fails_and_its_server_lives(deploy):
    deployment = deploy(f"--cluster-memory-max={MEMORY_MIB}MiB")
    cluster = deployment.new_cluster("greedy")
    with clients.connect(cluster) as connection:
        connection.execute("set work_mem = '2GB'")
        with pytest.raises(psycopg.Error):
            connection.execute("select array_agg(repeat(i::text, 100)) from generate_series(1, 4000000) i")
    with clients.connect(cluster) as connection:
        assert connection.execute("select 1").fetchone() == (1,)
