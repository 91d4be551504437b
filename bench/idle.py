"""Memory of idle single-writer clusters: how many fit into this machine.

Proportional shares (PSS) count what processes share once; the kernel's page tables for them come on top. Neither
depends on what else the machine does.
"""
import concurrent.futures
import pathlib
import re
import sys
import time

import boto3
import botocore.config

import machine
from snapferry_tools import running

REGIONS = ("us-east-1", "eu-west-1", "ap-southeast-2", "sa-east-1")
MACHINE_GIB, AIM = 24, 50
SETTLE_SECONDS = 20
READY_SECONDS = 300
# The system's and the server's.
KEPT_FREE_GIB = 1


def shares_mib(pids):
    """Proportional MiB of processes, and MiB of their page tables."""
    shares = tables = 0
    for pid in pids:
        text = pathlib.Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="utf-8")
        shares += int(re.search(r"^Pss:\s+(\d+)", text, re.MULTILINE).group(1))
        tables += machine.memory_mib(pid, "VmPTE")
    return shares / 1024, tables


def make(server, number):
    """One cluster, and the seconds until it is available."""
    config = botocore.config.Config(retries={"total_max_attempts": 1}, read_timeout=60)
    region = REGIONS[number % len(REGIONS)]
    rds = boto3.Session("000000000000", "anything").client("rds", region, endpoint_url=server.url, config=config)
    name = f"idle-{number}"
    begun = time.monotonic()
    rds.create_db_cluster(
        DBClusterIdentifier=name, Engine="aurora-postgresql", MasterUsername="ferryman", MasterUserPassword="correct-horse-7"
    )
    running.wait_until(
        lambda: rds.describe_db_clusters(DBClusterIdentifier=name)["DBClusters"][0]["Status"] == "available",
        READY_SECONDS,
        f"{name} is available",
        every=0.2,
    )
    return time.monotonic() - begun


def measure(server, count, made):
    """Makes clusters up to a count; a row of what they take when idle."""
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        seconds = list(pool.map(lambda number: make(server, number), range(made, count)))
    time.sleep(SETTLE_SECONDS)
    pids = running.processes_within(server.data / "clusters")
    postmasters = running.postmasters_within(server.data / "clusters")
    if len(postmasters) != count:
        raise SystemExit(f"{len(postmasters)} of {count} databases run")
    cpu = sum(machine.cpu_seconds(pid) for pid in pids)
    time.sleep(SETTLE_SECONDS)
    cpu = (sum(machine.cpu_seconds(pid) for pid in pids) - cpu) / SETTLE_SECONDS
    shares, tables = (mib / count for mib in shares_mib(pids))
    aim_gib = (shares + tables) * AIM / 1024
    row = [
        count, len(pids), f"{shares:.1f}", f"{tables:.1f}",
        f"{machine.memory_mib(server.process.pid):.0f}", f"{cpu * 1000:.1f}", f"{max(seconds):.1f}", f"{aim_gib:.2f}",
    ]
    return row, aim_gib


def main():
    """Prints the rows; writes the report."""
    parser = machine.parser(__doc__)
    parser.add_argument("--counts", type=lambda text: [int(word) for word in text.split(",")], default=[10, AIM])
    options = parser.parse_args()
    described = machine.describe()
    folder = running.make_folder("snapferry-bench-")
    server = running.Server(options.binary, folder / "data", "--dev")
    rows, aims, made = [], [], 0
    try:
        server.start()
        for count in options.counts:
            row, aim_gib = measure(server, count, made)
            rows.append(row)
            aims.append(aim_gib)
            made = count
            print(row, flush=True)
    finally:
        server.stop()
        running.remove_folder(folder)
    columns = [
        "clusters", "processes", "MiB each (PSS)", "page tables each, MiB", "server, MiB",
        "processor, ms a second", "slowest to be ready, s", f"{AIM} take, GiB",
    ]
    verdict = "met" if made >= AIM and aims[-1] < MACHINE_GIB - KEPT_FREE_GIB else "not shown"
    lines = [
        "# Idle clusters",
        "",
        f"Made by `make bench-idle`. {described}.",
        "",
        f"Clusters of one writer that nobody uses, {SETTLE_SECONDS} s after the last one is available, two made at a time.",
        "",
        machine.markdown(columns, rows),
        "",
        f"The aim of {AIM} on a machine of {MACHINE_GIB} GiB: {verdict}. A cluster that works takes its 32 MiB of shared "
        "buffers and some MiB for each session on top.",
    ]
    machine.publish(lines, options.report)
    return 0


if __name__ == "__main__":
    sys.exit(main())
