"""Memory of idle single-writer clusters: how many fit into this machine.

Proportional shares (PSS) count what processes share once; what the machine has left says the same from outside.
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
# The rest is the system's and the server's.
KEPT_FREE_MIB = 1024


def available_mib():
    """Memory of the machine that programs can still get."""
    text = pathlib.Path("/proc/meminfo").read_text(encoding="utf-8")
    return int(re.search(r"MemAvailable:\s+(\d+)", text).group(1)) / 1024


def pss_mib(pids):
    """Proportional MiB of processes."""
    total = 0
    for pid in pids:
        try:
            text = pathlib.Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="utf-8")
        except OSError:
            continue
        total += int(re.search(r"^Pss:\s+(\d+)", text, re.MULTILINE).group(1))
    return total / 1024


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
    free = available_mib()
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
    each = pss_mib(pids) / count
    fit = int((MACHINE_GIB * 1024 - KEPT_FREE_MIB) / each)
    row = [
        count, len(pids), f"{each:.1f}", f"{(free - available_mib()) / (count - made):.1f}",
        f"{machine.memory_mib(server.process.pid):.0f}", f"{cpu * 1000:.1f}", f"{max(seconds):.1f}", fit,
    ]
    return row, fit


def main():
    """Prints the rows; writes the report."""
    parser = machine.parser(__doc__)
    parser.add_argument("--counts", type=lambda text: [int(word) for word in text.split(",")], default=[10, AIM])
    options = parser.parse_args()
    described = machine.describe()
    folder = running.make_folder("snapferry-bench-")
    server = running.Server(options.binary, folder / "data", "--dev")
    rows, fits, made = [], [], 0
    try:
        server.start()
        for count in options.counts:
            row, fit = measure(server, count, made)
            rows.append(row)
            fits.append(fit)
            made = count
            print(row, flush=True)
    finally:
        server.stop()
        running.remove_folder(folder)
    columns = [
        "clusters", "processes", "MiB each (PSS)", "MiB each (the machine's loss)", "server, MiB",
        "processor, ms a second", "slowest to be ready, s", f"would fit into {MACHINE_GIB} GiB",
    ]
    verdict = "met" if made >= AIM and fits[-1] >= AIM else "missed"
    lines = [
        "# Idle clusters",
        "",
        f"Made by `make bench-idle`. {described}.",
        "",
        f"Clusters of one writer that nobody uses, {SETTLE_SECONDS} s after the last one is available, two made at a time.",
        "",
        machine.markdown(columns, rows),
        "",
        f"The aim of {AIM} on a machine of {MACHINE_GIB} GiB: {verdict}. What fits leaves {KEPT_FREE_MIB} MiB to the system and the "
        "server; a cluster that works takes its 32 MiB of shared buffers and some MiB for each session on top.",
    ]
    machine.publish(lines, options.report)
    return 0


if __name__ == "__main__":
    sys.exit(main())
