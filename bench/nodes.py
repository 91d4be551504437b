"""Copies and describes with 1, 2 and 4 nodes on one PostgreSQL, beside one node on SQLite.

The nodes, PostgreSQL and the load generators share this machine's cores, so that more nodes cannot
mean more requests than the cores have time for: the CPU time of each part stands beside the rate.
PostgreSQL runs as it comes, with fsync on.
"""
import os
import secrets
import shutil
import statistics
import sys
import time

import api
import machine
from snapferry_tools import database, running

ACCOUNTS = ["000000000000", "111111111111", "222222222222", "333333333333"]
DATABASE_SETTINGS = ("shared_preload_libraries=pg_stat_statements", "pg_stat_statements.max=10000")
COPY = (
    "Action=CopyDBClusterSnapshot&SourceDBClusterSnapshotIdentifier={source}"
    f"&TargetDBClusterSnapshotIdentifier=copy-{{n}}&Version={api.VERSION}"
)
FIND = f"Action=DescribeDBClusterSnapshots&DBClusterSnapshotIdentifier=copy-{{n}}&Version={api.VERSION}"
PAGE = f"Action=DescribeDBClusterSnapshots&MaxRecords=100&Version={api.VERSION}"


class Fleet:
    """Nodes on one catalog and one vault, with an access key for each account."""

    def __init__(self, bench, name, count, place=None):
        self.name, self.count = name, count
        self.nodes = []
        folder = bench.folder / f"fleet-{len(bench.fleets)}"
        folder.mkdir(mode=0o711)
        self.environment = {}
        self.place = place
        if place:
            self.environment = {
                "SNAPFERRY_CATALOG": bench.database.create(place),
                "SNAPFERRY_VAULT": str(folder / "vault"),
                "SNAPFERRY_MASTER_KEY": secrets.token_hex(32),
            }
            (folder / "vault").mkdir(mode=0o700)
        for number in range(count):
            self.nodes.append(self._node(bench, folder, f"node-{number + 1}"))
        first = self.nodes[0]
        bench.snapshots(first, None)
        rds = bench.client(first)
        rds.modify_db_cluster_snapshot_attribute(
            DBClusterSnapshotIdentifier="plain-0", AttributeName="restore", ValuesToAdd=["all"]
        )
        self.source = f"arn:aws:rds:{api.REGION}:{ACCOUNTS[0]}:cluster-snapshot:plain-0"
        self.keys = [first.credentials]
        for account in ACCOUNTS[1:]:
            made = first.create_access_key(account)
            self.keys.append((made["access_key_id"], made["secret_access_key"]))

    def _node(self, bench, folder, name):
        first = next(bench.ports)
        flags = ["--manual-snapshots-max", str(api.QUOTA), "--cluster-ports", f"{first}-{first + 19}"]
        flags += ["--node", name]
        if os.geteuid() != 0:
            flags.append("--allow-shared-os-user")
        node = api.Snapferry(bench.options.binary, folder / name, *flags, environment=self.environment)
        bench.servers.append(node)
        node.start()
        if self.nodes:
            shutil.copy(self.nodes[0].data / "credentials", node.data)
        return node


class Bench(api.Bench):
    """One run: the database, the fleets, and what was seen."""

    def __init__(self, options, folder):
        super().__init__(options, folder)
        self.database = database.Database(*DATABASE_SETTINGS)
        self.fleets = []
        with self.database.connect("postgres") as connection:
            connection.execute("create extension pg_stat_statements")

    def start(self):
        """Starts every fleet; they stay for all rounds, so that each round meets the same machine."""
        api.say("starting one node on SQLite")
        self.fleets.append(Fleet(self, "SQLite", 1))
        for count in self.options.nodes:
            api.say(f"starting {count} nodes on PostgreSQL")
            self.fleets.append(Fleet(self, "PostgreSQL", count, f"fleet_{count}"))

    def database_cpu(self):
        """CPU seconds of PostgreSQL's processes so far."""
        return sum(machine.cpu_seconds(pid) for pid in running.processes_within(self.database.folder))

    def counted(self, fleet):
        """What PostgreSQL counted so far for a fleet: statements, transactions, WAL syncs."""
        if not fleet.place:
            return (0, 0, 0)
        with self.database.connect("postgres") as connection:
            return connection.execute(
                """select (select coalesce(sum(calls), 0)::int8 from pg_stat_statements s
                           join pg_database d on d.oid = s.dbid where d.datname = %(name)s),
                          (select xact_commit + xact_rollback from pg_stat_database where datname = %(name)s),
                          (select wal_sync from pg_stat_wal)""",
                {"name": fleet.place},
            ).fetchone()

    def run(self, fleet, body, accounts, clients, **more):
        """One run over all nodes at once; `accounts` says whether each node has callers of its own account."""
        share = max(1, clients // fleet.count)
        pids = [node.process.pid for node in fleet.nodes]
        before = [machine.own_cpu_seconds(pid) for pid in pids]
        spent_before, counts_before = self.database_cpu(), self.counted(fleet)
        runs = []
        for number, node in enumerate(fleet.nodes):
            key = fleet.keys[number % len(ACCOUNTS) if accounts else 0]
            if "first" in more:
                more["first"] = next(self.numbers) if more["first"] is None else more["first"]
            runs.append(
                self.begin(node, key, body, share, self.options.requests, self.options.seconds, **more)
            )
            if "wrap" not in more and "first" in more:
                more["first"] = None
        seen = [self.finish(process, node) for process, node in zip(runs, fleet.nodes)]
        requests = sum(one["requests"] for one in seen)
        nodes_cpu = sum(machine.own_cpu_seconds(pid) - was for pid, was in zip(pids, before))
        statements, transactions, syncs = (
            now - was for now, was in zip(self.counted(fleet), counts_before)
        )
        return {
            "per_second": sum(one["per_second"] for one in seen),
            "p50_ms": statistics.median(one["p50_ms"] for one in seen),
            "p99_ms": max(one["p99_ms"] for one in seen),
            "nodes_cpu": 1000 * nodes_cpu / requests,
            "database_cpu": 1000 * (self.database_cpu() - spent_before) / requests,
            "generator_cpu": 1000 * sum(one["generator_cpu_seconds"] for one in seen) / requests,
            "statements": statements / requests,
            "transactions": transactions / requests,
            "syncs": 1000 * syncs / requests,
        }

    def measure(self):
        """All cases, in turns; {(case, who, nodes): [seen, …]}."""
        seen = {}

        def note(case, fleet, one):
            api.say(f"  {case}, {fleet.count} on {fleet.name}: {one['per_second']:,.0f}/s")
            seen.setdefault((case, fleet.name, fleet.count), []).append(one)

        filled = {}
        for fleet in self.fleets:
            first = next(self.numbers)
            filled[fleet.place] = first
            body = COPY.format(source="plain-0", n="{n}")
            process = self.begin(fleet.nodes[0], fleet.keys[0], body, 16, self.options.fill, 60, first=first)
            self.finish(process, fleet.nodes[0])
        clients = self.options.clients
        for _ in range(self.options.rounds):
            for fleet in self.fleets:
                one = self.run(fleet, COPY.format(source="plain-0", n="{n}"), False, clients, first=None)
                note("copies, one account", fleet, one)
            for fleet in self.fleets:
                one = self.run(fleet, COPY.format(source=fleet.source, n="{n}"), True, clients, first=None)
                note("copies, an account for each node", fleet, one)
            for fleet in self.fleets:
                more = {"first": filled[fleet.place], "wrap": self.options.fill}
                note("describe by identifier", fleet, self.run(fleet, FIND, False, clients, **more))
            for fleet in self.fleets:
                note("describe, a page of 100", fleet, self.run(fleet, PAGE, False, clients))
        return seen

    def end(self):
        """Ends all that was started."""
        for server in self.servers:
            server.stop()
        self.database.remove()


FIGURES = [
    "requests/s", "of 1 node's", "of SQLite's", "p50 ms", "p99 ms",
    "CPU ms a request: nodes", "PostgreSQL", "generators", "statements", "transactions", "WAL syncs per 1000",
]


def section(seen):
    """The cases as Markdown tables."""
    lines = []
    for case in dict.fromkeys(case for case, _, _ in seen):
        alone = api.middle(seen[(case, "SQLite", 1)], "per_second")
        single = seen.get((case, "PostgreSQL", 1))
        rows = []
        for (which, name, count), runs in seen.items():
            if which != case:
                continue
            rate = api.middle(runs, "per_second")
            of_one = rate / api.middle(single, "per_second") if single and name == "PostgreSQL" else None
            rows.append([
                f"{name}, {count} node{'s' if 1 < count else ''}",
                f"{rate:,.0f}",
                f"{of_one:.2f}x" if of_one else "",
                f"{rate / alone:.2f}x",
                *(f"{api.middle(runs, one):.2f}" for one in ("p50_ms", "p99_ms")),
                *(f"{api.middle(runs, one):.3f}" for one in ("nodes_cpu", "database_cpu", "generator_cpu")),
                *([f"{api.middle(runs, one):.2f}" for one in ("statements", "transactions")] if of_one else ["", ""]),
                f"{api.middle(runs, 'syncs'):.0f}" if of_one else "",
            ])
        lines += [f"## {case[0].upper()}{case[1:]}", "", machine.markdown(["catalog", *FIGURES], rows), ""]
    return lines


def read_options():
    """The command line."""
    parser = machine.parser(__doc__, "--generator", "--rounds")
    parser.add_argument("--nodes", type=lambda text: [int(count) for count in text.split(",")], default=[1, 2, 4])
    parser.add_argument("--clients", type=int, default=32, help="in all, spread over the nodes")
    parser.add_argument("--requests", type=int, default=40_000, help="of each run and node at most")
    parser.add_argument("--seconds", type=float, default=4, help="each run takes at most")
    parser.add_argument("--fill", type=int, default=2_000, help="snapshots that are described")
    return parser.parse_args()


def main():
    """Measures, prints, and writes the report."""
    options = read_options()
    about = machine.describe()
    folder = running.make_folder("snapferry-bench-")
    bench = Bench(options, folder)
    try:
        bench.start()
        seen = bench.measure()
    finally:
        bench.end()
        running.remove_folder(folder)
    lines = [
        "# Nodes on one PostgreSQL",
        "",
        f"Written by `make bench-nodes`. {options.clients} clients in all, spread evenly over the nodes, send signed requests over kept",
        f"connections; figures are medians of {options.rounds} rounds, all fleets in turns. Nodes, PostgreSQL (fsync on) and generators",
        "share this machine's cores: CPU is each part's own, in milliseconds a request. A WAL sync may serve several commits.",
        "",
        f"{time.strftime('%Y-%m-%d', time.gmtime())}, {about}.",
        "",
        *section(seen),
    ]
    machine.publish(lines, options.report)
    return 0


if __name__ == "__main__":
    sys.exit(main())
