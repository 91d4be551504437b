"""Snapferry's snapshots, copies and restores beside cp, pg_basebackup, pgBackRest, restic and borg.

Every tool works on the data directory of one of Snapferry's own clusters, in the same run. Snapferry is
measured as it is used, through its API: the server process's CPU seconds without PostgreSQL's own.
"""
import concurrent.futures
import configparser
import os
import pathlib
import shutil
import subprocess
import sys
import time

import boto3
import botocore.config
import psycopg

import chart
import machine
import targets
import tools
from snapferry_tools import running
from targets import FIRST, NEXT, REKEY, REKEY_SMALL, RESTORE, SHIP, SHIP_NEXT, VERIFY, WORKS

HOME, FAR = "us-east-1", "eu-west-1"
USER, PASSWORD, DATABASE = "ferryman", "correct-horse-7", "shop"
WAIT_SECONDS = 3600
# Copies in one region take a millisecond: the median of this many counts.
REKEYS = 20
# Between two looks at a copy, which may take 0.2 s in all; a look costs the server some 0.2 ms.
COPY_LOOK_SECONDS = 0.004


class Snapferry:
    """A deployment whose work is measured at its server process."""

    name = "Snapferry"

    def __init__(self, binary, folder, ports):
        flags = ["--cluster-ports", ports] + ([] if os.geteuid() == 0 else ["--allow-shared-os-user"])
        self.server = running.Server(binary, folder / "snapferry", *flags)
        self.vault = self.server.data / "vault"
        self.keys = {}

    def start(self):
        """Starts it, and with it its clusters."""
        self.server.start()

    def stop(self):
        """Stops it and its clusters, so that the data directory rests."""
        if self.server.stop() != 0:
            raise SystemExit(f"snapferry did not stop in good order:\n{self.server.tail()}")

    def client(self, service, region=HOME):
        """A boto3 client of the administrator."""
        found = configparser.ConfigParser()
        found.read(self.server.data / "credentials")
        session = boto3.Session(
            found["snapferry"]["aws_access_key_id"], found["snapferry"]["aws_secret_access_key"]
        )
        config = botocore.config.Config(retries={"total_max_attempts": 1}, read_timeout=120)
        return session.client(service, region, endpoint_url=self.server.url, config=config)

    def new_keys(self):
        """The cluster's key, another, and one in the far region."""
        for name, region in (("own", HOME), ("other", HOME), ("far", FAR)):
            self.keys[name] = self.client("kms", region).create_key()["KeyMetadata"]["Arn"]

    def create_cluster(self, name):
        """An encrypted cluster; its folder of data."""
        rds = self.client("rds")
        rds.create_db_cluster(
            DBClusterIdentifier=name,
            Engine="aurora-postgresql",
            DatabaseName=DATABASE,
            MasterUsername=USER,
            MasterUserPassword=PASSWORD,
            StorageEncrypted=True,
            KmsKeyId=self.keys["own"],
        )
        return self.await_cluster(rds, name)

    @staticmethod
    def await_cluster(rds, name):
        """Waits until a cluster is available."""
        wait = {"Delay": 0.05, "MaxAttempts": 20 * WAIT_SECONDS}
        rds.get_waiter("db_cluster_available").wait(DBClusterIdentifier=name, WaiterConfig=wait)
        return rds.describe_db_clusters(DBClusterIdentifier=name)["DBClusters"][0]

    def measured(self, work):
        """Runs a piece of work; what the server spent on it."""
        pid = self.server.process.pid
        machine.forget_peak(pid)
        before, begun = machine.own_cpu_seconds(pid), time.monotonic()
        work()
        wall = time.monotonic() - begun
        return tools.Spent(wall, machine.own_cpu_seconds(pid) - before, machine.memory_mib(pid, "VmHWM"))

    def available(self, rds, name, every):
        """Waits until a snapshot is available, with a look every so many seconds."""
        def look():
            seen = rds.describe_db_cluster_snapshots(DBClusterSnapshotIdentifier=name)["DBClusterSnapshots"][0]
            if seen["Status"] == "failed":
                raise SystemExit(f"snapshot {name} failed:\n{self.server.tail()}")
            return seen["Status"] == "available"

        running.wait_until(look, WAIT_SECONDS, f"{name} is available", every=every)

    def job(self, kind, subject):
        """What a job recorded of its progress."""
        jobs = [job for job in self.server.jobs() if job["kind"] == kind and job["subject"] == subject]
        return jobs[-1]["progress"]

    def snapshot(self, cluster, name):
        """A snapshot; `kept` are the bytes that it added to the vault."""
        rds = self.client("rds")

        def work():
            rds.create_db_cluster_snapshot(DBClusterSnapshotIdentifier=name, DBClusterIdentifier=cluster)
            self.available(rds, name, 0.02)

        spent = self.measured(work)
        spent.kept = self.job("create-snapshot", name)["bytes_shipped"]
        return spent

    def rekey(self, source, name):
        """Copies in the same region under another key, answered when they are durable: the cost of one."""
        rds = self.client("rds")
        walls = []

        def work():
            for number in range(REKEYS):
                begun = time.monotonic()
                made = rds.copy_db_cluster_snapshot(
                    SourceDBClusterSnapshotIdentifier=source,
                    TargetDBClusterSnapshotIdentifier=f"{name}-{number}",
                    KmsKeyId=self.keys["other"],
                )
                walls.append(time.monotonic() - begun)
                if made["DBClusterSnapshot"]["Status"] != "available":
                    raise SystemExit(f"the copy {name}-{number} did not become available at once")

        spent = self.measured(work)
        return tools.Spent(machine.median(walls), spent.cpu / REKEYS, spent.peak_mib)

    def ship(self, source, name):
        """A copy to the far region."""
        rds, far = self.client("rds"), self.client("rds", FAR)
        arn = rds.describe_db_cluster_snapshots(DBClusterSnapshotIdentifier=source)["DBClusterSnapshots"][0][
            "DBClusterSnapshotArn"
        ]

        def work():
            far.copy_db_cluster_snapshot(
                SourceDBClusterSnapshotIdentifier=arn,
                TargetDBClusterSnapshotIdentifier=name,
                KmsKeyId=self.keys["far"],
            )
            self.available(far, name, COPY_LOOK_SECONDS)

        spent = self.measured(work)
        spent.shipped = self.job("copy-snapshot", name)["bytes_shipped"]
        return spent

    def restore(self, snapshot, name):
        """A new cluster from a snapshot, until it answers: PostgreSQL's recovery is in the wall time."""
        rds = self.client("rds")

        def work():
            rds.restore_db_cluster_from_snapshot(
                DBClusterIdentifier=name, SnapshotIdentifier=snapshot, Engine="aurora-postgresql"
            )
            self.await_cluster(rds, name)

        return self.measured(work)


class Round:
    """All works once, on a fresh cluster, with fresh repositories."""

    def __init__(self, options, binaries, number):
        self.options = options
        self.binaries = binaries
        self.number = number
        self.folder = running.make_folder("snapferry-bench-", beside=options.beside)
        first = 22_000 + 20 * number
        self.ferry = Snapferry(options.binary, self.folder, f"{first}-{first + 19}")
        self.seen = {}
        self.data_bytes = 0

    def note(self, work, who, spent):
        """Keeps a figure and shows it."""
        if spent is not None:
            self.seen[(work, who)] = spent
            say(f"{work:<40} {who:<14} wall {spent.wall:7.2f} s  CPU {spent.cpu:7.2f} s")

    def run(self):
        """The whole round; {(work, who): Spent}."""
        try:
            self._run()
        finally:
            self.ferry.server.stop()
            running.remove_folder(self.folder)
        return self.seen

    def _run(self):
        ferry = self.ferry
        ferry.start()
        ferry.new_keys()
        cluster = ferry.create_cluster("bench")
        load(self.options, self.binaries, cluster)
        self.restart()
        # Files written less than ten seconds before a snapshot are read again by the next one, since
        # their times cannot prove that they are unchanged. A loaded cluster is older than that.
        time.sleep(12)
        self.note(FIRST, ferry.name, ferry.snapshot("bench", "one"))
        ferry.create_cluster("small")
        ferry.snapshot("small", "small")
        self.note(REKEY, ferry.name, ferry.rekey("one", "one-rekeyed"))
        self.note(REKEY_SMALL, ferry.name, ferry.rekey("small", "small-rekeyed"))
        self.remove("small")
        drop_cached(ferry.vault)
        self.note(SHIP, ferry.name, ferry.ship("one", "one-far"))
        ferry.stop()
        source = data_directory(ferry.server.data)
        self.data_bytes = tools.size_of(source)
        peers = self.peers(source)
        for peer in peers:
            peer.prepare()
            self.note(FIRST, peer.name, peer.backup())
            self.note(SHIP, peer.name, peer.do_transfer())
            peer.forget()
        self.note(SHIP, "cp", self.ship_by_cp())
        ferry.start()
        cluster = ferry.await_cluster(ferry.client("rds"), "bench")
        change(cluster)
        self.restart()
        self.note(NEXT, ferry.name, ferry.snapshot("bench", "two"))
        self.note(SHIP_NEXT, ferry.name, ferry.ship("two", "two-far"))
        self.note(RESTORE, ferry.name, ferry.restore("two", "restored"))
        self.remove("restored")
        ferry.stop()
        for peer in peers:
            self.note(NEXT, peer.name, peer.backup())
            self.note(SHIP_NEXT, peer.name, peer.do_transfer())
            target = self.folder / f"restored-{peer.name}"
            self.note(RESTORE, peer.name, peer.do_restore(target))
            shutil.rmtree(target, ignore_errors=True)
            self.note(VERIFY, peer.name, peer.do_verify())
            shutil.rmtree(peer.folder, ignore_errors=True)
        self.note(VERIFY, ferry.name, self.verify())

    def remove(self, name):
        """Deletes a cluster beside the measured one."""
        rds = self.ferry.client("rds")
        rds.delete_db_cluster(DBClusterIdentifier=name, SkipFinalSnapshot=True)
        gone = lambda: len(rds.describe_db_clusters()["DBClusters"]) == 1
        running.wait_until(gone, 60, f"the cluster {name} is deleted")

    def restart(self):
        """A clean stop and start: what is measured next does not pay for an earlier load's writes."""
        self.ferry.stop()
        self.ferry.start()
        self.ferry.await_cluster(self.ferry.client("rds"), "bench")
        os.sync()

    def peers(self, source):
        """The tools that this machine has and that were asked for."""
        made = []
        for kind in (tools.Cp, tools.BaseBackup, tools.PgBackRest, tools.Restic, tools.Borg):
            if self.options.tools and kind.name not in self.options.tools:
                continue
            if 0 < self.number and kind.name not in targets.JUDGED:
                continue
            if kind is not tools.BaseBackup and not shutil.which(kind.program):
                say(f"{kind.name} is not installed")
                continue
            more = (self.binaries, "rdsadmin") if kind is tools.BaseBackup else ()
            made.append(kind(self.folder / kind.program, source, *more))
        return made

    def ship_by_cp(self):
        """cp of the same packs: what moving the bytes costs at least."""
        vault = self.ferry.vault / HOME
        drop_cached(vault)
        target = self.folder / "packs"
        spent = tools.run("cp", "-a", vault, target)
        spent.shipped = tools.size_of(target)
        shutil.rmtree(target)
        return spent

    def verify(self):
        """`snapferry vault verify --read-data` of the snapshots' own region; the server does the work."""
        words = [self.options.binary, "vault", "verify", "--read-data", "--region", HOME, "--data", self.ferry.server.data]
        self.ferry.start()
        return self.ferry.measured(lambda: subprocess.run(words, check=True, stdout=subprocess.DEVNULL))


def say(text):
    """Progress, to standard error."""
    print(text, file=sys.stderr, flush=True)


def drop_cached(folder):
    """Lets the page cache forget a folder's files, so that each copy of them begins at the disk."""
    os.sync()
    for path in pathlib.Path(folder).rglob("*"):
        if path.is_file():
            with path.open("rb") as file:
                os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def data_directory(data):
    """The one cluster's PostgreSQL data directory."""
    found = [path.parent for path in (pathlib.Path(data) / "clusters").glob("**/PG_VERSION") if (path.parent / "global").is_dir()]
    if len(found) != 1:
        raise SystemExit(f"one data directory was expected in {data}/clusters, not {len(found)}")
    return found[0]


def connect(cluster):
    """SQL on a cluster."""
    return psycopg.connect(
        host=cluster["Endpoint"], port=cluster["Port"], user=USER, password=PASSWORD, dbname=DATABASE, autocommit=True
    )


def load(options, binaries, cluster):
    """The data: pgbench's tables after some load, and for the other kind rows that hardly compress."""
    def pgbench(*words):
        subprocess.run(
            [binaries / "pgbench", "-h", cluster["Endpoint"], "-p", str(cluster["Port"]), "-U", USER, *words, DATABASE],
            env=running.clean_environment(PGPASSWORD=PASSWORD),
            check=True,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )

    say(f"loading {options.data}, scale {options.scale}")
    plain = options.data == "pgbench"
    scale = options.scale if plain else max(1, options.scale // 3)
    # Room in each page, so that an update changes one page of the table and none of its index.
    pgbench("-i", "-q", "-F", "90", "-s", str(scale))
    pgbench("-c", "2", "-n", "-t", str(200 * scale))
    with connect(cluster) as connection:
        if not plain:
            connection.execute("create table noise (i bigint, content bytea)")
            connection.execute("alter table noise alter content set storage external")
            with concurrent.futures.ThreadPoolExecutor(2) as workers:
                list(workers.map(lambda part: add_noise(cluster, part), range(options.scale)))
        connection.execute("vacuum")


def add_noise(cluster, part):
    """Rows of 1.8 KB that do not compress; with a third of pgbench's rows they make the size of all of those."""
    with connect(cluster) as connection:
        connection.execute(
            "insert into noise select i, (select string_agg(sha512(((%s::bigint << 32) + i * 32 + j)::text::bytea),"
            " ''::bytea) from generate_series(1, 28) j) from generate_series(1, 5300) i",
            (part,),
        )


def change(cluster):
    """Updates a row in one page of a hundred of the largest table."""
    with connect(cluster) as connection:
        pages = connection.execute(
            "select relpages from pg_class where oid = 'pgbench_accounts'::regclass"
        ).fetchone()[0]
        connection.execute(
            "update pgbench_accounts set abalance = abalance + 1 where ctid in"
            " (select format('(%%s,1)', page * 100)::tid from generate_series(0, %s) page)",
            (max(0, pages - 1) // 100,),
        )


FIGURES = [
    ("CPU s", lambda spent: spent.cpu, "{:.2f}"),
    ("wall s", lambda spent: spent.wall, "{:.3g}"),
    ("kept MB", lambda spent: None if spent.kept is None else spent.kept / 1e6, "{:.1f}"),
    ("shipped MB", lambda spent: None if spent.shipped is None else spent.shipped / 1e6, "{:.1f}"),
    ("peak MiB", lambda spent: spent.peak_mib, "{:.0f}"),
]


def medians(rounds):
    """{(work, who): {figure: median}} over the rounds."""
    keys = list(dict.fromkeys(key for seen in rounds for key in seen))
    return {
        key: {name: machine.median([figure(seen[key]) for seen in rounds if key in seen]) for name, figure, _ in FIGURES}
        for key in keys
    }


def judged(middle, data_bytes):
    """A line for each target."""
    rows = [
        [text, "" if seen is None else f"{seen:.2f}", f"{bound:g}", verdict]
        for text, seen, bound, verdict in targets.verdicts(middle, data_bytes)
    ]
    return [machine.markdown(["target", "seen", "limit", ""], rows), ""]


def section(middle):
    """The tables as Markdown, one for each work."""
    lines = []
    for work in WORKS:
        mine = {who: figures for (which, who), figures in middle.items() if which == work}
        if not mine:
            continue
        floor = (mine.get("cp") or middle.get((FIRST, "cp")) or {}).get("wall s")
        rows = []
        for who, figures in mine.items():
            shown = ["" if figures[name] is None else form.format(figures[name]) for name, _, form in FIGURES]
            rows.append([who, *shown[:2], f"{figures['wall s'] / floor:.2f}" if floor else "", *shown[2:]])
        lines += [f"## {work[0].upper()}{work[1:]}", ""]
        lines += [machine.markdown(["", "CPU s", "wall s", "wall of cp's", "kept MB", "shipped MB", "peak MiB"], rows), ""]
    return lines


def read_options():
    """The command line."""
    parser = machine.parser(__doc__)
    parser.add_argument("--scale", type=int, default=150, help="pgbench's scale; 150 is 2.4 GB")
    parser.add_argument("--rounds", type=int, default=2, help="all tools take part in the first, cp and pgBackRest in all")
    parser.add_argument("--data", choices=["pgbench", "mixed", "both"], default="both")
    parser.add_argument("--tools", nargs="*", help="only these beside Snapferry: cp pg_basebackup pgBackRest restic borg")
    parser.add_argument("--beside", default="/var/tmp", help="where the folders with the data are made")
    return parser.parse_args()


def main():
    """Measures, prints, and writes the report and the chart."""
    options = read_options()
    binaries = sorted(pathlib.Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: int(path.parts[-2]))[-1]
    lines = [
        "# Snapshots, copies and restores beside other tools",
        "",
        "Written by `make bench`. Every tool works on the data directory of the same cluster in the same run;",
        f"figures are medians of {options.rounds} rounds, each with a fresh cluster and fresh repositories; those of tools",
        f"other than Snapferry, {' and '.join(targets.JUDGED)} are of the first round. Snapferry is",
        "measured through its API, at its server process, without PostgreSQL's own CPU; its restore's wall time",
        "holds the new cluster's start and recovery. The others' wall time holds a `sync`. Wall times compare",
        "with `cp` of the same files (in copies to another region: of the same packs, both from the disk).",
        f"Of copies under a new key it is one of {REKEYS}, the median. Files lie on this machine's disk.",
        "",
        f"{time.strftime('%Y-%m-%d', time.gmtime())}, {machine.describe()}. {tools.versions()}.",
        "",
    ]
    charts = {}
    for kind in ("pgbench", "mixed") if options.data == "both" else (options.data,):
        options.data = kind
        rounds, size = [], 0
        for number in range(options.rounds):
            one = Round(options, binaries, number)
            rounds.append(one.run())
            size = one.data_bytes
        charts[kind] = medians(rounds)
        lines += [f"# {kind}, scale {options.scale}: {size / 1e9:.2f} GB", "", *judged(charts[kind], size)]
        lines += section(charts[kind])
    text = "\n".join(lines).rstrip() + "\n"
    print(text)
    if options.report:
        options.report.parent.mkdir(parents=True, exist_ok=True)
        picture = options.report.with_suffix(".svg")
        picture.write_text(chart.bars(charts, WORKS), encoding="utf-8")
        options.report.write_text(text + f"\n![CPU seconds of each work]({picture.name})\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
