"""Snapferry's API beside moto's: the same signed requests over kept connections, in one run.

Snapferry is the release binary in closed mode: every signature is verified, every answered copy is
durable. moto keeps everything in memory and checks nothing. Absolute figures are the machine's; the
ratios are what counts.
"""
import configparser
import json
import os
import pathlib
import socket
import subprocess
import sys
import time

import boto3
import botocore.config

import machine
from snapferry_tools import running

REGION = "us-east-1"
VERSION = "2014-10-31"
QUOTA = 10_000_000
COPY_RATIO, COPIES_PER_SECOND, GROWTH = 20, 8_000, 1.3
# With records of requests, of the copies a second without.
RECORDED = 0.9
MOTO = pathlib.Path(sys.executable).with_name("moto_server")
# moto's pages take a second each at 5,000 snapshots; filling it with more takes longer than it tells.
MOTO_MOST = 5_000


class Moto:
    """moto's server as a child process."""

    name = "moto"
    credentials = ("bench", "bench")

    def __init__(self, folder):
        self.log = folder / "moto.log"
        self.process = None
        self.url = None

    def start(self):
        """Starts it and waits until it listens."""
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        self.url = f"http://127.0.0.1:{port}"
        environment = running.clean_environment(MOTO_RDS_SNAPSHOT_LIMIT=str(QUOTA))
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                [MOTO, "-H", "127.0.0.1", "-p", str(port)], stdout=log, stderr=log, env=environment
            )
        running.wait_until(lambda: self._listens(port), 60, "moto listens", every=0.2)
        return self

    def _listens(self, port):
        if self.process.poll() is not None:
            raise running.StartError(f"moto ended: {self.log.read_text(encoding='utf-8')[-500:]}")
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", port)) == 0

    def stop(self):
        """Ends it."""
        if self.process:
            self.process.terminate()
            self.process.wait(20)


class Snapferry(running.Server):
    """The release binary in closed mode."""

    name = "Snapferry"

    @property
    def credentials(self):
        """The administrator's access key."""
        found = configparser.ConfigParser()
        found.read(self.data / "credentials")
        return found["snapferry"]["aws_access_key_id"], found["snapferry"]["aws_secret_access_key"]


class Bench:
    """One run: the servers, what is asked of them, and what was seen."""

    def __init__(self, options, folder):
        self.options = options
        self.folder = folder
        self.servers = []
        self.numbers = iter(range(10_000_000, 2_000_000_000, 10_000_000))
        self.ports = iter(range(21_000, 29_000, 20))

    def snapferry(self, name, *more):
        """A new deployment with `plain` and `sealed`, a snapshot each."""
        first = next(self.ports)
        flags = ["--manual-snapshots-max", str(QUOTA), "--cluster-ports", f"{first}-{first + 19}", *more]
        if os.geteuid() != 0:
            flags.append("--allow-shared-os-user")
        server = Snapferry(self.options.binary, self.folder / name, *flags)
        self.servers.append(server)
        server.start()
        key = self.client(server, "kms").create_key()["KeyMetadata"]["Arn"]
        self.snapshots(server, key)
        return server

    def moto(self, name):
        """A new moto with the same snapshots."""
        folder = self.folder / name
        folder.mkdir()
        server = Moto(folder)
        self.servers.append(server)
        server.start()
        self.snapshots(server, None)
        return server

    def client(self, server, service="rds"):
        """An ordinary boto3 client."""
        config = botocore.config.Config(read_timeout=120, retries={"total_max_attempts": 1})
        session = boto3.Session(*server.credentials)
        return session.client(service, REGION, endpoint_url=server.url, config=config)

    def snapshots(self, server, key):
        """Two small clusters, one of them encrypted where there is a key; a snapshot of each."""
        rds = self.client(server)
        for name in ("plain", "sealed") if key else ("plain",):
            more = {"StorageEncrypted": True, "KmsKeyId": key} if name == "sealed" else {}
            rds.create_db_cluster(
                DBClusterIdentifier=name,
                Engine="aurora-postgresql",
                MasterUsername="ferryman",
                MasterUserPassword="correct-horse-7",
                **more,
            )
            wait = {"Delay": 0.2, "MaxAttempts": 600}
            rds.get_waiter("db_cluster_available").wait(DBClusterIdentifier=name, WaiterConfig=wait)
            rds.create_db_cluster_snapshot(DBClusterIdentifier=name, DBClusterSnapshotIdentifier=f"{name}-0")
            rds.get_waiter("db_cluster_snapshot_available").wait(
                DBClusterSnapshotIdentifier=f"{name}-0", WaiterConfig=wait
            )
            rds.delete_db_cluster(DBClusterIdentifier=name, SkipFinalSnapshot=True)

    def begin(self, server, credentials, body, clients, requests, seconds, **more):
        """Starts the generator against one server."""
        address = server.url.removeprefix("http://")
        command = [self.options.generator, "load", "--address", address, "--region", REGION]
        command += ["--access-key-id", credentials[0], "--body", body]
        command += ["--clients", str(clients), "--requests", str(requests), "--seconds", str(seconds)]
        for name, value in more.items():
            command += [f"--{name}", str(value)]
        environment = running.clean_environment(SNAPFERRY_BENCH_SECRET=credentials[1])
        return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    def finish(self, process, server):
        """What a generator saw."""
        said, complaint = process.communicate()
        if process.returncode != 0:
            raise SystemExit(f"the generator failed: {complaint.strip()}\n{server_tail(server)}")
        return json.loads(said)

    def load(self, server, body, clients, requests, seconds=None, **more):
        """One run of the generator, with the server's CPU seconds beside what it saw."""
        pid = server.process.pid
        before = machine.own_cpu_seconds(pid)
        seconds = seconds or self.options.seconds
        process = self.begin(server, server.credentials, body, clients, requests, seconds, **more)
        seen = self.finish(process, server)
        spent = machine.own_cpu_seconds(pid) - before
        seen["cpu_per_1000"] = 1000 * spent / seen["requests"]
        seen["generator_per_1000"] = 1000 * seen["generator_cpu_seconds"] / seen["requests"]
        seen["mib"] = machine.memory_mib(pid)
        return seen

    def copy(self, server, source, clients, requests, seconds=None):
        """Copies of one snapshot, each under a new name."""
        body = (
            f"Action=CopyDBClusterSnapshot&SourceDBClusterSnapshotIdentifier={source}"
            f"&TargetDBClusterSnapshotIdentifier=copy-{{n}}&Version={VERSION}"
        )
        return self.load(server, body, clients, requests, seconds, first=next(self.numbers))

    def fill(self, server, count):
        """Copies until the region has so many snapshots; answers the number of the first name."""
        had = 2 if server.name == "Snapferry" else 1
        first = next(self.numbers)
        body = (
            "Action=CopyDBClusterSnapshot&SourceDBClusterSnapshotIdentifier=plain-0"
            f"&TargetDBClusterSnapshotIdentifier=copy-{{n}}&Version={VERSION}"
        )
        self.load(server, body, 16, count - had, 3600, first=first)
        return first, count - had

    def measure_copies(self):
        """The copies, in turns; {(who, clients): [seen, …]}."""
        ours, theirs = self.snapferry("copies"), self.moto("moto-copies")
        cases = [(ours, "plain-0", "Snapferry"), (ours, "sealed-0", "Snapferry, encrypted")]
        cases.append((theirs, "plain-0", "moto"))
        seen = {}
        for _ in range(self.options.rounds):
            for clients in (1, 16):
                for server, source, name in cases:
                    most = self.options.requests if server is ours else 2_000
                    say(f"copy: {name}, {clients} clients")
                    one = self.copy(server, source, clients, most)
                    seen.setdefault((name, clients), []).append(one)
        self.stop(ours, theirs)
        return seen

    def measure_records(self):
        """Copies with records of requests, without, and with required ones, in turns; {(which, clients): [seen, …]}."""
        servers = {"no records": ["--no-audit"], "records": [], "required records": ["--audit-required"]}
        servers = {name: self.snapferry(name.replace(" ", "-"), *flags) for name, flags in servers.items()}
        seen = {}
        for _ in range(self.options.rounds):
            for clients in (1, 16):
                for name, server in servers.items():
                    say(f"copy: {name}, {clients} clients")
                    one = self.copy(server, "plain-0", clients, self.options.requests)
                    seen.setdefault((name, clients), []).append(one)
        self.stop(*servers.values())
        return seen

    def measure_describes(self):
        """Describe by identifier and a first page, at each size; {(what, who, size, clients): [seen, …]}."""
        places = []
        for size in self.options.sizes:
            say(f"filling a region with {size:,} snapshots")
            server = self.snapferry(f"size-{size}")
            places.append((server, size, *self.fill(server, size)))
            if size <= MOTO_MOST:
                server = self.moto(f"moto-{size}")
                places.append((server, size, *self.fill(server, size)))
        time.sleep(self.options.settle)
        seen = {}
        for _ in range(self.options.rounds):
            for clients in (1, 16):
                for server, size, first, count in places:
                    say(f"describe: {server.name}, {size:,} snapshots, {clients} clients")
                    most = self.options.requests if server.name == "Snapferry" else 500
                    body = (
                        "Action=DescribeDBClusterSnapshots&DBClusterSnapshotIdentifier=copy-{n}"
                        f"&Version={VERSION}"
                    )
                    one = self.load(server, body, clients, most, first=first, wrap=count)
                    seen.setdefault(("by identifier", server.name, size, clients), []).append(one)
                    body = f"Action=DescribeDBClusterSnapshots&MaxRecords=100&Version={VERSION}"
                    one = self.load(server, body, clients, max(1, most // 10))
                    seen.setdefault(("first page of 100", server.name, size, clients), []).append(one)
        self.stop(*(place[0] for place in places))
        return seen

    def stop(self, *servers):
        """Ends servers whose turn is over."""
        for server in servers:
            server.stop()
            self.servers.remove(server)


def server_tail(server):
    """The end of a server's log."""
    return "\n".join(server.log.read_text(encoding="utf-8", errors="replace").splitlines()[-5:])


def say(text):
    """Progress, to standard error."""
    print(text, file=sys.stderr, flush=True)


def middle(runs, name):
    """The median of a figure over the rounds."""
    return machine.median([run[name] for run in runs])


def row(cells, runs, ratio):
    """One row of a table."""
    return [
        *cells,
        f"{middle(runs, 'per_second'):,.0f}",
        ratio,
        f"{middle(runs, 'p50_ms'):.2f}",
        f"{middle(runs, 'p99_ms'):.2f}",
        f"{middle(runs, 'cpu_per_1000'):.3f}",
        f"{middle(runs, 'generator_per_1000'):.3f}",
        f"{middle(runs, 'mib'):.0f}",
    ]


FIGURES = ["requests/s", "of moto's", "p50 ms", "p99 ms", "server CPU s per 1000", "generator CPU s per 1000", "MiB"]


def times(ours, theirs):
    """A ratio of requests per second."""
    if not theirs:
        return "-"
    return f"{middle(ours, 'per_second') / middle(theirs, 'per_second'):.1f}x"


def verdict(holds):
    """Whether an aim was reached."""
    return "reached" if holds else "**missed**"


def copy_section(seen):
    """The copies as Markdown."""
    rows = [
        row([name, clients], runs, "" if name == "moto" else times(runs, seen[("moto", clients)]))
        for (name, clients), runs in seen.items()
    ]
    lines = [machine.markdown(["CopyDBClusterSnapshot", "clients", *FIGURES], rows), ""]
    for name in ("Snapferry", "Snapferry, encrypted"):
        rate = middle(seen[(name, 16)], "per_second")
        ratio = rate / middle(seen[("moto", 16)], "per_second")
        lines.append(
            f"- {name}, 16 clients: {ratio:.1f}x moto (aim {COPY_RATIO}x: {verdict(ratio >= COPY_RATIO)}); "
            f"{rate:,.0f} durable copies a second (aim {COPIES_PER_SECOND:,}: {verdict(rate >= COPIES_PER_SECOND)})"
        )
    return lines


def records_section(seen):
    """What records of requests cost, as Markdown."""
    def ratio(name, clients):
        return middle(seen[(name, clients)], "per_second") / middle(seen[("no records", clients)], "per_second")
    rows = [row([name, clients], runs, f"{ratio(name, clients):.2f}x") for (name, clients), runs in seen.items()]
    columns = ["CopyDBClusterSnapshot", "clients", *FIGURES]
    columns[columns.index("of moto's")] = "of none's"
    kept = ratio("records", 16)
    return [
        machine.markdown(columns, rows), "",
        f"- 16 clients: {kept:.2f}x the copies a second with records (aim {RECORDED}x: {verdict(RECORDED <= kept)})",
    ]


def describe_section(seen, sizes):
    """The describes as Markdown."""
    lines = []
    for what in ("by identifier", "first page of 100"):
        rows = [
            row([name, f"{size:,}", clients], runs, ratio_to_moto(seen, what, name, size, clients))
            for (which, name, size, clients), runs in seen.items()
            if which == what
        ]
        columns = [f"DescribeDBClusterSnapshots, {what}", "snapshots", "clients", *FIGURES]
        lines += [machine.markdown(columns, rows), ""]
    for what in ("by identifier", "first page of 100"):
        for clients in (1, 16):
            few, many = (seen[(what, "Snapferry", size, clients)] for size in (sizes[0], sizes[-1]))
            growth = middle(many, "p50_ms") / middle(few, "p50_ms")
            lines.append(
                f"- {what}, {clients} clients: {growth:.2f}x the time at {sizes[-1]:,} snapshots of that at "
                f"{sizes[0]:,} (aim {GROWTH}x: {verdict(growth <= GROWTH)})"
            )
    return lines


def ratio_to_moto(seen, what, name, size, clients):
    """Snapferry's rate as a multiple of moto's at the same size."""
    if name == "moto":
        return ""
    return times(seen[(what, name, size, clients)], seen.get((what, "moto", size, clients)))


def read_options():
    """The command line."""
    parser = machine.parser(__doc__, "--generator", "--requests", "--rounds")
    parser.add_argument("--sizes", type=lambda text: [int(size) for size in text.split(",")], default=[100, 5000, 100_000])
    parser.add_argument("--seconds", type=float, default=5, help="each run takes at most")
    parser.add_argument("--settle", type=float, default=5, help="seconds of rest after the regions were filled")
    parser.add_argument("--only", choices=["copy", "describe", "records"])
    return parser.parse_args()


def main():
    """Measures, prints, and writes the report."""
    options = read_options()
    about = machine.describe()
    folder = running.make_folder("snapferry-bench-")
    bench = Bench(options, folder)
    lines = [
        "# The API beside moto's server",
        "",
        "Written by `make bench-api`. Both servers get the same signed requests over kept connections in one run,",
        f"in turns; figures are medians of {options.rounds} rounds. Snapferry verifies every signature and answers",
        "a copy only after its commit is on the disk; moto verifies nothing and keeps nothing.",
        "Server CPU is the server process's own time, and the generator's stands beside it: both share the cores.",
        "",
        f"{time.strftime('%Y-%m-%d', time.gmtime())}, {about}.",
        "",
    ]
    if options.only == "records":
        lines = [
            "# What records of requests cost",
            "",
            "Written by `scripts/bench-api --only records`: three servers get the same signed",
            f"requests for copies in one run, in turns; figures are medians of {options.rounds} rounds.",
            "",
            f"{time.strftime('%Y-%m-%d', time.gmtime())}, {about}.",
            "",
        ]
    try:
        if options.only == "records":
            lines += records_section(bench.measure_records())
        if options.only in (None, "copy"):
            lines += copy_section(bench.measure_copies()) + [""]
        if options.only in (None, "describe"):
            lines += describe_section(bench.measure_describes(), options.sizes)
    finally:
        for server in bench.servers:
            server.stop()
        running.remove_folder(folder)
    machine.publish(lines, options.report)
    return 0


if __name__ == "__main__":
    sys.exit(main())
