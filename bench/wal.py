"""A cluster's log on its way to the vault, and a restore to a time, beside pgBackRest's asynchronous archive.

Each archiver meets the same transactions in the same run: pgBackRest, pg_receivewal as the least that a stream costs
(lz4, no encryption), both on servers with the settings below, and Snapferry through its API, whose clusters have their
own: CPU is compared for each GB of log. CPU is what the archiver's own
processes spend, and the server's archiver or sender with them. Missing an aim is shown, not an error, since machines
differ.
"""
import contextlib
import ctypes
import datetime
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import threading
import time

import boto3
import botocore.config
import psycopg

import machine
from snapferry_tools import running

USER, PASSWORD, REGION, DATABASE = "ferryman", "correct-horse-7", "us-east-1", "shop"
SECRET = "bench-secret-1"
WAIT_SECONDS = 900
CLIENTS = 4
# What counts in a log's speed and bytes, of the peers' servers.
SETTINGS = {"shared_buffers": "128MB", "max_wal_size": "1GB", "wal_compression": "off", "synchronous_commit": "on"}
BEHIND_MAX_SECONDS = 2
PR_SET_CHILD_SUBREAPER = 36


class Reaped:
    """CPU of processes that others left: they come to this one when they end, and are counted here."""

    def __init__(self):
        ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
        self.cpu = 0.0

    def gather(self, known):
        """Ends the wait of all that are over but the ones that somebody else waits for."""
        for pid in children(os.getpid()):
            if pid in known:
                continue
            with contextlib.suppress(ChildProcessError):
                done, _, used = os.wait4(pid, os.WNOHANG)
                self.cpu += used.ru_utime + used.ru_stime if done else 0


def children(pid):
    """The processes that a process started."""
    with contextlib.suppress(OSError):
        return [int(child) for child in pathlib.Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="ascii").split()]
    return []


def title_of(pid):
    """What a process calls itself."""
    with contextlib.suppress(OSError):
        return pathlib.Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
    return ""


class Moved:
    """What one archiver did: seconds of the load, bytes of log, CPU seconds, seconds behind."""

    def __init__(self, wall, log_bytes, cpu, behind):
        self.wall, self.log_bytes, self.cpu, self.behind = wall, log_bytes, cpu, behind
        self.restore_wall = None


class Load(threading.Thread):
    """pgbench's transactions, so many of them."""

    def __init__(self, options, where):
        super().__init__(daemon=True)
        self.command = [
            options.binaries / "pgbench", *where, "-n", "-c", str(CLIENTS), "-t", str(options.transactions // CLIENTS), DATABASE
        ]
        self.status, self.said, self.wall = None, "", None

    def run(self):
        begun = time.monotonic()
        done = subprocess.run(
            [str(word) for word in self.command], env=running.clean_environment(PGPASSWORD=PASSWORD), capture_output=True, text=True, check=False
        )
        self.wall, self.status, self.said = time.monotonic() - begun, done.returncode, done.stderr

    def check(self):
        """An end that is none of the load's."""
        if self.status != 0:
            raise SystemExit(f"pgbench failed: {self.said[-800:]}")


def fill(options, where):
    """pgbench's tables."""
    subprocess.run(
        [options.binaries / "pgbench", *where, "-i", "-q", "-s", str(options.scale), DATABASE],
        env=running.clean_environment(PGPASSWORD=PASSWORD), check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )


def position(connection):
    """Bytes of log so far."""
    return int(connection.execute("select pg_current_wal_insert_lsn() - '0/0'::pg_lsn").fetchone()[0])


def history(connection):
    """How many transactions of the load are in the rows, and a sum over them."""
    return connection.execute("select count(*), sum(delta) from pgbench_history").fetchone()


class Peer:
    """A server of PostgreSQL's own, and an archiver beside it."""

    name = ""

    def __init__(self, options, folder, reaped):
        self.options, self.folder, self.reaped = options, folder, reaped
        self.data, self.port, self.server = folder / "data", options.port, None
        folder.mkdir(parents=True)
        shutil.chown(folder, "postgres", "postgres")
        self.call(options.binaries / "initdb", "-D", self.data, "-k", "-A", "trust", "--no-locale", "-E", "UTF8", "-U", "postgres")
        lines = {**SETTINGS, "port": self.port, "listen_addresses": "'127.0.0.1'", "unix_socket_directories": f"'{folder}'", **self.settings()}
        with (self.data / "postgresql.conf").open("a", encoding="ascii") as conf:
            conf.writelines(f"{name} = {value}\n" for name, value in lines.items())

    def settings(self):
        """What the server is told beside what all are told."""
        return {}

    def call(self, *command):
        """A command as the server's user."""
        done = subprocess.run(
            [str(word) for word in command], user="postgres", group="postgres", cwd=self.folder, env=running.clean_environment(),
            capture_output=True, text=True, check=False,
        )
        if done.returncode != 0:
            raise SystemExit(f"{pathlib.Path(command[0]).name} failed: {done.stderr[-800:]}")

    def begin(self, data):
        """Starts a server on a folder."""
        with (self.folder / "server.log").open("ab") as log:
            self.server = subprocess.Popen(
                [self.options.binaries / "postgres", "-D", data], user="postgres", group="postgres", cwd=self.folder,
                env=running.clean_environment(), stdout=log, stderr=log,
            )
        running.wait_until(self.writes, WAIT_SECONDS, f"{self.name}'s server takes writes", every=0.02)

    def end(self):
        """Stops the server."""
        if self.server is not None:
            self.server.send_signal(signal.SIGINT)
            self.server.wait(WAIT_SECONDS)
            self.server = None

    def connect(self, database="postgres"):
        """SQL."""
        return psycopg.connect(host="127.0.0.1", port=self.port, user="postgres", dbname=database, autocommit=True)

    def writes(self):
        """Whether the server is there and past its recovery."""
        with contextlib.suppress(psycopg.Error):
            with self.connect() as connection:
                return not connection.execute("select pg_is_in_recovery()").fetchone()[0]
        return False

    def where(self):
        """The server, for pgbench."""
        return "-h", "127.0.0.1", "-p", str(self.port), "-U", "postgres"

    def spent(self):
        """CPU seconds of the archiver and of the server's part in it."""
        raise NotImplementedError

    def settled(self, upto):
        """Whether the log up to a position is kept."""
        raise NotImplementedError

    def prepare(self):
        """Makes the repository and a base."""

    def restore(self, wanted):
        """Seconds of a restore to the newest moment, or None."""
        return None

    def measure(self):
        """The load, until its log is kept."""
        self.begin(self.data)
        try:
            with self.connect() as connection:
                connection.execute(f"create database {DATABASE}")
            fill(self.options, self.where())
            self.prepare()
            with self.connect(DATABASE) as connection:
                connection.execute("checkpoint")
                self.reaped.gather(self.known())
                before, cpu = position(connection), self.spent()
                load = Load(self.options, self.where())
                load.start()
                while load.is_alive():
                    self.reaped.gather(self.known())
                    time.sleep(0.05)
                load.check()
                after = position(connection)
                connection.execute("select pg_switch_wal()")
                running.wait_until(lambda: self.settled(after), WAIT_SECONDS, f"{self.name} has the log", every=0.05)
                # Processes that are on their way out.
                time.sleep(1)
                self.reaped.gather(self.known())
                moved = Moved(load.wall, after - before, self.spent() - cpu, None)
                wanted = history(connection)
        finally:
            self.end()
        moved.restore_wall = self.restore(wanted)
        return moved

    def known(self):
        """Children that this program itself waits for."""
        return {self.server.pid} if self.server else set()

    def part_of_server(self, title):
        """CPU seconds of the server's processes of one kind, with what they started."""
        return sum(machine.cpu_seconds(pid) for pid in children(self.server.pid) if title in title_of(pid))


class PgBackRest(Peer):
    """pgBackRest's archive-push, asynchronous: two processes, zstd 1, AES-256-CBC."""

    name = "pgBackRest"

    def settings(self):
        self.conf = self.folder / "pgbackrest.conf"
        for name in ("repository", "lock", "log", "spool"):
            (self.folder / name).mkdir()
            shutil.chown(self.folder / name, "postgres", "postgres")
        self.conf.write_text(
            f"[global]\nrepo1-path={self.folder}/repository\nrepo1-cipher-type=aes-256-cbc\nrepo1-cipher-pass={SECRET}\n"
            f"repo1-bundle=y\nrepo1-block=y\ncompress-type=zst\ncompress-level=1\nprocess-max=2\narchive-async=y\n"
            f"lock-path={self.folder}/lock\nlog-path={self.folder}/log\nspool-path={self.folder}/spool\nstart-fast=y\n"
            f"log-level-console=error\n[bench]\npg1-path={self.data}\npg1-port={self.port}\npg1-socket-path={self.folder}\n",
            encoding="ascii",
        )
        self.conf.chmod(0o644)
        return {
            "archive_mode": "on",
            "archive_command": f"'{shutil.which('pgbackrest')} --config={self.conf} --stanza=bench archive-push %p'",
        }

    def run(self, *words):
        """A command of pgBackRest's."""
        self.call("pgbackrest", f"--config={self.conf}", "--stanza=bench", *words)

    def prepare(self):
        self.run("stanza-create")
        self.run("--type=full", "backup")

    def spent(self):
        return self.reaped.cpu + self.part_of_server("archiver")

    def settled(self, upto):
        with self.connect() as connection:
            name = connection.execute("select pg_walfile_name('0/0'::pg_lsn + %s)", (upto - 1,)).fetchone()[0]
            last = connection.execute("select last_archived_wal from pg_stat_archiver").fetchone()[0]
        return last is not None and name <= last

    def restore(self, wanted):
        target = self.folder / "restored"
        target.mkdir(mode=0o700)
        shutil.chown(target, "postgres", "postgres")
        begun = time.monotonic()
        self.run(f"--pg1-path={target}", "--archive-mode=off", "restore")
        self.begin(target)
        wall = time.monotonic() - begun
        try:
            with self.connect(DATABASE) as connection:
                if history(connection) != wanted:
                    raise SystemExit("pgBackRest's restore has other rows")
        finally:
            self.end()
        return wall


class ReceiveWal(Peer):
    """pg_receivewal with lz4: a stream that is only written down."""

    name = "pg_receivewal"
    receiver = None

    def prepare(self):
        target = self.folder / "received"
        target.mkdir()
        shutil.chown(target, "postgres", "postgres")
        self.receiver = subprocess.Popen(
            [self.options.binaries / "pg_receivewal", *self.where(), "-D", target, "--compress=lz4", "--no-loop"],
            user="postgres", group="postgres", cwd=self.folder, env=running.clean_environment(), stderr=subprocess.DEVNULL,
        )
        running.wait_until(self.position, WAIT_SECONDS, "pg_receivewal is there")

    def known(self):
        return super().known() | ({self.receiver.pid} if self.receiver else set())

    def position(self):
        """Up to where it has written the log down."""
        with self.connect() as connection:
            found = connection.execute("select write_lsn - '0/0'::pg_lsn from pg_stat_replication").fetchone()
        return int(found[0]) if found and found[0] is not None else 0

    def spent(self):
        return machine.cpu_seconds(self.receiver.pid) + self.part_of_server("walsender")

    def settled(self, upto):
        return self.position() >= upto

    def end(self):
        if self.receiver is not None:
            self.receiver.send_signal(signal.SIGINT)
            self.receiver.wait(WAIT_SECONDS)
            self.receiver = None
        super().end()


class Snapferry:
    """The server's own stream into the vault of a folder, with one encrypted cluster."""

    name = "Snapferry"

    def __init__(self, options, folder, _reaped):
        self.options = options
        settings = {"SNAPFERRY_NO_AUTOMATED_BACKUPS": "false"}
        self.server = running.Server(options.binary, folder, "--dev", environment=settings)

    def measure(self):
        """The load, until its log is kept; and a restore to the latest moment."""
        try:
            self.server.start()
            config = botocore.config.Config(retries={"total_max_attempts": 1}, read_timeout=120)
            self.rds = boto3.Session("000000000000", "anything").client("rds", REGION, endpoint_url=self.server.url, config=config)
            return self._measure()
        finally:
            self.server.stop()

    def _measure(self):
        found = self.create("source")
        where = ("-h", found["Endpoint"], "-p", str(found["Port"]), "-U", USER)
        fill(self.options, where)
        running.wait_until(lambda: self.latest("source"), WAIT_SECONDS, "the log goes to the vault", every=0.2)
        self.rds.create_db_cluster_snapshot(DBClusterSnapshotIdentifier="base", DBClusterIdentifier="source")
        wait = {"Delay": 0.1, "MaxAttempts": 10 * WAIT_SECONDS}
        self.rds.get_waiter("db_cluster_snapshot_available").wait(DBClusterSnapshotIdentifier="base", WaiterConfig=wait)
        with self.connect(found) as connection:
            connection.execute("checkpoint")
            before, cpu = position(connection), self.spent()
            load = Load(self.options, where)
            load.start()
            behind = []
            while load.is_alive():
                seen = self.latest("source")
                behind.append((datetime.datetime.now(datetime.UTC) - seen).total_seconds())
                time.sleep(0.25)
            load.check()
            after, ended = position(connection), datetime.datetime.now(datetime.UTC)
            running.wait_until(lambda: self.latest("source") > ended, WAIT_SECONDS, "the whole log is in the vault")
            time.sleep(1)
            moved = Moved(load.wall, after - before, self.spent() - cpu, behind)
            wanted = history(connection)
        begun = time.monotonic()
        self.rds.restore_db_cluster_to_point_in_time(
            DBClusterIdentifier="restored", SourceDBClusterIdentifier="source", UseLatestRestorableTime=True
        )
        back = self.wait("restored")
        moved.restore_wall = time.monotonic() - begun
        with self.connect(back) as connection:
            if history(connection) != wanted:
                raise SystemExit("Snapferry's restore has other rows")
        return moved

    def create(self, name):
        """An encrypted cluster."""
        # The daily window would take a snapshot of its own.
        far = datetime.datetime.now(datetime.UTC) + datetime.timedelta(hours=12)
        self.rds.create_db_cluster(
            DBClusterIdentifier=name, Engine="aurora-postgresql", DatabaseName=DATABASE, MasterUsername=USER,
            MasterUserPassword=PASSWORD, StorageEncrypted=True,
            PreferredBackupWindow=f"{far:%H:%M}-{far + datetime.timedelta(minutes=30):%H:%M}",
        )
        return self.wait(name)

    def wait(self, name):
        """The cluster, once it is available."""
        wait = {"Delay": 0.05, "MaxAttempts": 20 * WAIT_SECONDS}
        self.rds.get_waiter("db_cluster_available").wait(DBClusterIdentifier=name, WaiterConfig=wait)
        (found,) = self.rds.describe_db_clusters(DBClusterIdentifier=name)["DBClusters"]
        return found

    def latest(self, name):
        """Its LatestRestorableTime."""
        (found,) = self.rds.describe_db_clusters(DBClusterIdentifier=name)["DBClusters"]
        return found.get("LatestRestorableTime")

    @staticmethod
    def connect(found):
        """SQL on a cluster."""
        return psycopg.connect(
            host=found["Endpoint"], port=found["Port"], user=USER, password=PASSWORD, dbname=DATABASE, autocommit=True
        )

    def spent(self):
        """CPU seconds of the server's process and of the senders of its clusters."""
        senders = [
            child
            for postmaster in running.postmasters_within(self.server.data)
            for child in children(postmaster)
            if "walsender" in title_of(child)
        ]
        return machine.own_cpu_seconds(self.server.process.pid) + sum(machine.cpu_seconds(pid) for pid in senders)


def judge(options, middle):
    """A line for each aim."""
    mine, peer = middle["Snapferry"], middle["pgBackRest"]
    rows = [
        ("CPU s for a GB of log, of pgBackRest's", mine["cpu"] / peer["cpu"], 1),
        ("seconds that LatestRestorableTime is behind, at most", mine["behind_max"], BEHIND_MAX_SECONDS),
        ("of it in the load's last quarter to its second one: a backlog would grow", mine["growth"], 1.5),
        ("restore to the latest time: wall, of pgBackRest's", mine["restore"] / peer["restore"], 1),
    ]
    return [[text, f"{seen:.2f}", f"{most:g}", "met" if seen <= most else "missed"] for text, seen, most in rows]


def figures(moved):
    """One round's figures by name."""
    found = {
        "log": moved.log_bytes / 1e6, "mb_s": moved.log_bytes / 1e6 / moved.wall,
        "cpu": moved.cpu / (moved.log_bytes / 1e9), "restore": moved.restore_wall, "wall": moved.wall,
    }
    if moved.behind:
        part = len(moved.behind) // 4
        found["behind"] = machine.median(moved.behind)
        found["behind_max"] = max(moved.behind)
        found["growth"] = machine.median(moved.behind[-part:]) / machine.median(moved.behind[part : 2 * part])
    return found


def main():
    """Prints the tables; writes the report."""
    parser = machine.parser(__doc__, "--rounds")
    parser.add_argument("--scale", type=int, default=20, help="pgbench's")
    parser.add_argument("--transactions", type=int, default=100_000, help="of each load")
    parser.add_argument("--port", type=int, default=21_999, help="of the peers' servers, on 127.0.0.1")
    parser.add_argument("--beside", default="/var/tmp", type=pathlib.Path, help="where the folders with the data are made")
    options = parser.parse_args()
    options.binaries = sorted(pathlib.Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: int(path.parts[-2]))[-1]
    described, reaped = machine.describe(), Reaped()
    seen = {}
    for number in range(options.rounds):
        for kind in (PgBackRest, ReceiveWal, Snapferry):
            print(f"round {number + 1}: {kind.name}", file=sys.stderr, flush=True)
            folder = running.make_folder("snapferry-bench-", beside=options.beside)
            try:
                seen.setdefault(kind.name, []).append(figures(kind(options, folder / kind.name.lower(), reaped).measure()))
            finally:
                running.remove_folder(folder)
    middle = {
        who: {name: machine.median([one.get(name) for one in rounds]) for name in rounds[-1]} for who, rounds in seen.items()
    }
    shown = lambda value, form: "" if value is None else format(value, form)
    rows = [
        [
            who, f"{options.transactions / at['wall']:.0f}", f"{at['log']:.0f}", f"{at['mb_s']:.1f}", f"{at['cpu']:.2f}",
            shown(at.get("behind"), ".2f"), shown(at.get("behind_max"), ".2f"), shown(at["restore"], ".2f"),
        ]
        for who, at in middle.items()
    ]
    version = subprocess.run(["pgbackrest", "version"], capture_output=True, text=True, check=True).stdout.strip()
    lines = [
        "# A cluster's log on its way to the vault",
        "",
        f"Made by `make bench-wal`. {described}. {version}.",
        "",
        f"pgbench, scale {options.scale}, {options.transactions} transactions of {CLIENTS} clients, as fast as they go; medians of "
        f"{options.rounds} rounds. CPU is the archiver's own and that of the server's archiver or sender, for each GB of log. "
        "pg_receivewal keeps the log as it is, compressed by lz4 and without encryption: the least that a stream costs. "
        "Snapferry's process also answers the question how far it is, four times a second. A restore begins at a base before "
        "the load, replays all of its log, and ends when the new server takes writes; its rows are compared.",
        "",
        machine.markdown(
            ["", "transactions/s", "log MB", "MB/s", "CPU s/GB", "behind s", "at most", "restore s"], rows
        ),
        "",
        machine.markdown(["aim", "seen", "at most", ""], judge(options, middle)),
    ]
    machine.publish(lines, options.report)
    return 0


if __name__ == "__main__":
    sys.exit(main())
