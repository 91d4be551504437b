"""A deployment of a million snapshots: what it costs by measure where that can be simulated, on paper elsewhere.

A catalog is filled through the catalog's own door: half of the snapshots are copies of one real snapshot, half
belong to a thousand clusters of their own, of which the vault has nothing. A server then serves it. The paper
part multiplies what was measured with the vault format's sizes.
"""
import contextlib
import json
import math
import sqlite3
import statistics
import subprocess
import sys
import time

import api
import machine
import start
from snapferry_tools import database, running

LIKE = "sealed-0"
CLUSTERS = 1_000
MIB, GIB = 2**20, 2**30
# What the paper model is of.
SNAPSHOTS, STORED, REGIONS, LINEAGES = 1_000_000, 10 * 10**15, 50, 10_000
# Logical bytes behind a stored one: pgbench data after zstd 1, docs/benchmarks/storage.md.
COMPRESSION = 3
FILES = 1_500
# docs/reference/vault-format.md.
PACK, LIST_SPAN, SEGMENT = 16 * MIB, 65_535 * 8192, 32 * MIB
# List prices of a large object store, $: a GiB and month, 1,000 writes or lists, 1,000 reads, a GiB between regions.
PRICE_GIB_MONTH, PRICE_WRITES, PRICE_READS, PRICE_GIB_ACROSS = 0.021, 0.005, 0.0004, 0.02
LIST_NAMES = 1_000
# A disk or a wire that a node may have, bytes a second.
WIRE = 10**9


class Model(api.Bench):
    """One deployment that grows."""

    def __init__(self, options, folder):
        super().__init__(options, folder)
        self.server = None

    def catalog(self, *words):
        """The measuring tool's verbs on the catalog, with the server stopped."""
        return self.tool(self.server.data / "catalog.sqlite", *words)

    def tool(self, place, size, *words):
        """The same on any catalog."""
        command = [self.options.generator, "catalog", "--catalog", str(place), "--like", LIKE]
        command += ["--clusters", str(CLUSTERS), "--snapshots", str(size), *words]
        done = subprocess.run(command, check=True, capture_output=True, text=True, env=running.clean_environment())
        return json.loads(done.stdout)

    def run(self):
        """Everything that is measured; {what: figure} for each size."""
        api.say("making the snapshot that the others are like")
        self.server = self.snapferry("model")
        self.server.stop()
        seen, had = {}, 0
        for size in self.options.sizes:
            api.say(f"filling the catalog with {size:,} snapshots")
            filled = self.catalog(size, "fill", "--from", str(had))
            one = {"fill": filled, "made": size - had}
            had = size
            one["tables"] = tables(self.server.data / "catalog.sqlite")
            one["file"] = (self.server.data / "catalog.sqlite").stat().st_size
            api.say("  looking")
            one["look"] = self.catalog(size, "look")
            self.record_log(one)
            self.serve(one, size)
            seen[size] = one
        return seen

    @contextlib.contextmanager
    def served(self, *flags):
        """The server on the catalog, with more flags, while the context lasts."""
        kept = list(self.server.flags)
        self.server.flags += flags
        self.server.start()
        try:
            yield self.server.process.pid
        finally:
            self.server.stop()
            self.server.flags = kept

    def record_log(self, one):
        """A server writes all entries of the outbox into the vault's record log, and then the record log anew."""
        records = self.server.data / "vault"
        with self.served() as pid:
            begun, spent = time.monotonic(), machine.own_cpu_seconds(pid)
            running.wait_until(lambda: self.entries() == 0, 1_800, "all entries are written", every=0.5)
            one["record_log_seconds"] = time.monotonic() - begun
            one["record_log_cpu"] = machine.own_cpu_seconds(pid) - spent
            one["record_log_mib"] = machine.memory_mib(pid, "VmHWM")
        one["record_log_bytes"] = sum(file.stat().st_size for file in records.glob("**/records/**/*") if file.is_file())
        had = self.server.log.stat().st_size
        # A pause of a second between two sweeps, each of which looks whether the record log is to be written anew.
        with self.served("--sweep-grace-seconds", "4") as pid:
            begun, spent = time.monotonic(), machine.own_cpu_seconds(pid)
            running.wait_until(lambda: self.said_since(had, "written anew"), 900, "the record log is written anew", every=0.2)
            one["checkpoint_seconds"] = time.monotonic() - begun
            one["checkpoint_cpu"] = machine.own_cpu_seconds(pid) - spent
            time.sleep(2)
            begun, spent = time.monotonic(), machine.own_cpu_seconds(pid)
            time.sleep(self.options.seconds * 2)
            one["sweeping_cpu"] = (machine.own_cpu_seconds(pid) - spent) / (time.monotonic() - begun)
            one["sweep_mib"] = machine.memory_mib(pid, "VmHWM")
        one["checkpoint_bytes"] = sum(file.stat().st_size for file in records.glob("**/records/**/*") if file.is_file())

    def entries(self):
        """How many entries wait."""
        with contextlib.closing(sqlite3.connect(f"file:{self.server.data}/catalog.sqlite?mode=ro", uri=True)) as opened:
            return opened.execute("select count(*) from (select 1 from outbox limit 1)").fetchone()[0]

    def said_since(self, offset, words):
        """Whether the log has the words behind an offset."""
        with self.server.log.open("rb") as log:
            log.seek(offset)
            return words.encode() in log.read()

    def serve(self, one, size):
        """Starts, and requests of a running server."""
        rounds = [start.measure(self.options.binary, str(self.server.data)) for _ in range(5)]
        one["start_ms"] = min(ms for ms, _ in rounds)
        one["idle_mib"] = statistics.median(mib for _, mib in rounds)
        with self.served() as pid:
            asks = {
                "by_name": ("DBClusterSnapshotIdentifier=model-{n}", {"first": 0, "wrap": size}),
                "page": ("MaxRecords=100", {}),
                "of_cluster": ("DBClusterIdentifier=fleet-{n}&MaxRecords=100", {"first": 0, "wrap": min(CLUSTERS, size // 2)}),
            }
            for what, (words, more) in asks.items():
                body = f"Action=DescribeDBClusterSnapshots&{words}&Version={api.VERSION}"
                one[what] = self.load(self.server, body, 16, self.options.requests, **more)
            one["copy"] = self.copy(self.server, LIKE, 16, self.options.requests)
            one["busy_mib"] = machine.memory_mib(pid, "VmHWM")
        # The copies' entries are no part of the next size's.
        self.catalog(size, "strike")


class Postgres(api.Bench):
    """The same records in a catalog on PostgreSQL, for their size there."""

    def run(self, tool, size):
        """Fills and measures; the bytes of each table."""
        api.say(f"filling a catalog in PostgreSQL with {size:,} snapshots")
        kept = database.Database()
        try:
            environment = {"SNAPFERRY_CATALOG": kept.url}
            server = api.Snapferry(
                self.options.binary, self.folder / "postgres", "--cluster-ports", "20900-20919",
                "--vault", str(self.folder / "postgres-vault"), environment=environment,
            )
            self.servers.append(server)
            (self.folder / "postgres-vault").mkdir(mode=0o700)
            server.start()
            self.snapshots(server, self.client(server, "kms").create_key()["KeyMetadata"]["Arn"])
            server.stop()
            filled = tool(kept.url, size, "fill")
            with kept.connect() as connection:
                connection.execute("vacuum analyze")
                bytes_of = dict(connection.execute(
                    "select relname, pg_total_relation_size(oid) from pg_class where relkind = 'r' "
                    "and relnamespace = 'public'::regnamespace"
                ).fetchall())
            return {"fill": filled, "tables": bytes_of, "look": tool(kept.url, size, "look")}
        finally:
            kept.remove()


def tables(file):
    """Bytes of each table with its indexes, where this Python's SQLite can tell."""
    with contextlib.closing(sqlite3.connect(file)) as opened:
        with contextlib.suppress(sqlite3.OperationalError):
            return dict(opened.execute(
                "select m.tbl_name, sum(d.pgsize) from dbstat d join sqlite_master m on m.name = d.name group by 1"
            ).fetchall())
    return {}


def number(value, digits=0):
    """A figure for people."""
    return f"{value:,.{digits}f}"


def measured(seen, sizes):
    """What was measured, a column for each size."""
    def row(what, read, digits=0):
        return [what, *(number(read(seen[size]), digits) for size in sizes)]

    rows = [
        row("catalog's file, MB", lambda one: one["file"] / 1e6, 1),
        row("of it for a snapshot, bytes", lambda one: one["tables"].get("snapshots", one["file"]) / one["size"]),
        row("filling it, records a second (500 a commit)", lambda one: one["made"] / one["fill"]["seconds"]),
        row("look by name, µs", lambda one: one["look"]["by_name"]["p50_us"], 1),
        row("page of 100 behind a name, µs", lambda one: one["look"]["page"]["p50_us"]),
        row("page of 100 of one cluster, µs", lambda one: one["look"]["page_of_a_cluster"]["p50_us"]),
        row("roots of the volume that half lie in, ms", lambda one: one["look"]["roots_of_copies"]["p50_us"] / 1e3, 1),
        row("roots of another volume, ms", lambda one: one["look"]["roots_of_a_lineage"]["p50_us"] / 1e3, 2),
        row("outbox entries logged a second", lambda one: one["made"] / one["record_log_seconds"]),
        row("CPU s for 1,000 entries", lambda one: 1e3 * one["record_log_cpu"] / one["made"], 3),
        row("record log, bytes an entry", lambda one: one["record_log_bytes"] / one["made"]),
        row("record log written anew, s", lambda one: one["checkpoint_seconds"], 1),
        row("its CPU s", lambda one: one["checkpoint_cpu"], 1),
        row("its MB", lambda one: one["checkpoint_bytes"] / 1e6, 1),
        row("CPU of a server that sweeps every second", lambda one: one["sweeping_cpu"], 3),
        row("its peak, MiB", lambda one: one["sweep_mib"]),
        row("start: exec to first answer, ms, best of 5", lambda one: one["start_ms"]),
        row("resident when idle, MiB", lambda one: one["idle_mib"]),
        row("describe by name, server's CPU ms", lambda one: one["by_name"]["cpu_per_1000"], 3),
        row("describe, first page of 100, CPU ms", lambda one: one["page"]["cpu_per_1000"], 3),
        row("describe of one cluster, CPU ms", lambda one: one["of_cluster"]["cpu_per_1000"], 3),
        row("copy under a key, durable, CPU ms", lambda one: one["copy"]["cpu_per_1000"], 3),
        row("peak resident meanwhile, MiB", lambda one: one["busy_mib"]),
    ]
    return machine.markdown(["", *(f"{size:,} snapshots" for size in sizes)], rows)


def paper(seen, postgres):
    """The paper model: [[what, each region, all]]."""
    most = seen[max(seen)]
    each = STORED / SNAPSHOTS
    packs, logical = each / PACK, each * COMPRESSION
    lists, segments = logical / LIST_SPAN, logical / SEGMENT
    # Clear tables and body, docs/reference/vault-format.md: pack and list rows and keys, segments, paths of files.
    manifest = 40 * (lists + packs) + 32 * (lists + packs) + 8 * packs + 21 * segments + 90 * FILES
    catalog_row = most["tables"].get("snapshots", most["file"]) / most["size"]
    row_there = (postgres["tables"]["snapshots"] / postgres["size"]) if postgres else None
    entry = most["checkpoint_bytes"] / most["size"]
    objects = packs + lists + 1
    rows = []

    def row(what, one, digits=0, unit="", whole=SNAPSHOTS):
        rows.append([what, *(f"{number(one * part, digits)}{unit}" for part in (1, whole / REGIONS, whole))])

    row("stored, GB", each / 1e9)
    row("objects in vaults", objects)
    row("of them packs of 16 MiB", packs)
    row("manifest, KB", manifest / 1e3)
    row("catalog in SQLite, KB", catalog_row / 1e3, 2)
    if row_there:
        row("catalog in PostgreSQL, KB", row_there / 1e3, 2)
    row("record log, KB", entry / 1e3, 2)
    row("object store, $ a month", each / GIB * PRICE_GIB_MONTH, 2)
    row("writing it, once, $ for requests", objects / 1000 * PRICE_WRITES, 4)
    row("looking at all volumes, lists of 1,000 names", objects / LIST_NAMES, 2)
    row("and headers, reads", 1)
    row("one such look, $ for requests", objects / LIST_NAMES / 1000 * PRICE_WRITES + PRICE_READS / 1000, 6)
    row("verifying every byte at 1 GB/s, hours", each / WIRE / 3600, 4)
    row("a copy to another region, whole, $", each / GIB * PRICE_GIB_ACROSS, 2)
    table = machine.markdown(["", "a snapshot", f"one region of {REGIONS}", "all"], rows)
    lineage = SNAPSHOTS / LINEAGES
    notes = [
        f"- a lineage has {number(lineage)} snapshots and {number(lineage * objects)} objects: one list of its names takes "
        f"{math.ceil(lineage * objects / LIST_NAMES)} requests.",
    ]
    return table, notes


def read_options():
    """The command line."""
    parser = machine.parser(__doc__, "--generator", "--requests")
    parser.add_argument("--sizes", type=lambda text: [int(size) for size in text.split(",")], default=[10_000, 1_000_000])
    parser.add_argument("--postgres", type=int, default=100_000, help="snapshots in a catalog on PostgreSQL; 0 for none")
    parser.add_argument("--seconds", type=float, default=5, help="each run takes at most")
    return parser.parse_args()


def main():
    """Measures, computes, prints, and writes the report."""
    options = read_options()
    about = machine.describe()
    folder = running.make_folder("snapferry-bench-")
    model, beside = Model(options, folder), Postgres(options, folder)
    there = None
    try:
        seen = model.run()
        for size, one in seen.items():
            one["size"] = size
        if options.postgres:
            there = beside.run(model.tool, options.postgres) | {"size": options.postgres}
    finally:
        for server in model.servers + beside.servers:
            server.stop()
        running.remove_folder(folder)
    table, notes = paper(seen, there)
    lines = [
        "# A million snapshots",
        "",
        "Written by `make bench-model`; what follows from it is in [costs](../concepts/costs.md).",
        "",
        f"{time.strftime('%Y-%m-%d', time.gmtime())}, {about}.",
        "",
        "## Measured",
        "",
        "One process, its catalog in SQLite. Half of the snapshots are copies of one, half belong to a thousand clusters.",
        "Looks are asked of the catalog itself, requests of the server, signed, by 16 clients; what others did on the machine",
        "meanwhile shows in seconds and microseconds, hardly in CPU.",
        "",
        measured(seen, options.sizes),
        "",
    ]
    if there:
        look = there["look"]
        lines += [
            f"In PostgreSQL, {there['size']:,} snapshots: {there['tables']['snapshots'] / there['size']:,.0f} bytes each with indexes; "
            f"look by name {look['by_name']['p50_us']:,.0f} µs, page of 100 {look['page']['p50_us']:,.0f} µs, "
            f"roots of the volume that half lie in {look['roots_of_copies']['p50_us'] / 1e3:,.1f} ms.",
            "",
        ]
    lines += [
        "## On paper",
        "",
        f"{SNAPSHOTS:,} snapshots that keep {STORED / 1e15:.0f} PB, {REGIONS} regions, {LINEAGES:,} lineages. Each snapshot adds "
        f"{STORED / SNAPSHOTS / 1e9:.0f} GB of its own and is of {STORED / SNAPSHOTS * COMPRESSION / 1e9:.0f} GB in {FILES:,} files.",
        f"Prices: ${PRICE_GIB_MONTH} a GiB and month, ${PRICE_WRITES} for 1,000 writes or lists, ${PRICE_READS} for 1,000 reads, "
        f"${PRICE_GIB_ACROSS} a GiB between regions.",
        "",
        table,
        "",
        *notes,
    ]
    machine.publish(lines, options.report)
    return 0


if __name__ == "__main__":
    sys.exit(main())
