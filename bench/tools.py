"""The tools of today beside which storage is measured: each on the same data directory, with a repository of its own.

They are run as their manuals say for speed with encryption on; where a tool has no such work, it says so.
"""
import contextlib
import os
import pathlib
import shutil
import socket
import subprocess
import threading
import time

import machine
from snapferry_tools import running

SECRET = "bench-secret-1"


class Spent:
    """What one piece of work took."""

    def __init__(self, wall, cpu, peak_mib, kept=None, shipped=None):
        self.wall = wall
        self.cpu = cpu
        self.peak_mib = peak_mib
        self.kept = kept
        self.shipped = shipped


def size_of(folder):
    """Bytes of all files below a folder."""
    total = 0
    for where, _, names in os.walk(folder):
        for name in names:
            with contextlib.suppress(OSError):
                total += os.lstat(os.path.join(where, name)).st_size
    return total


class Peak(threading.Thread):
    """Watches the memory of a process and its children. (`ru_maxrss` begins at what the parent had.)"""

    def __init__(self, pid):
        super().__init__(daemon=True)
        self.pid = pid
        self.mib = 0.0
        self.ended = threading.Event()

    def run(self):
        while not self.ended.is_set():
            with contextlib.suppress(OSError, AttributeError):
                listed = pathlib.Path(f"/proc/{self.pid}/task/{self.pid}/children").read_text(encoding="ascii")
                self.mib = max(self.mib, sum(machine.memory_mib(pid) for pid in [self.pid, *listed.split()]))
            self.ended.wait(0.05)


def run(*command, environment=None, cwd=None, output=None):
    """Runs a command and all it starts, then syncs; its CPU and memory, and the wall time with the sync."""
    begun = time.monotonic()
    with subprocess.Popen(
        [str(word) for word in command],
        env=running.clean_environment(**(environment or {})),
        cwd=cwd,
        stdin=subprocess.DEVNULL,
        stdout=output or subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    ) as process:
        peak = Peak(process.pid)
        peak.start()
        said = process.stderr.read().decode(errors="replace")
        peak.ended.set()
        _, status, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    os.sync()
    if process.returncode != 0:
        raise SystemExit(f"{command[0]} failed: {said[-800:]}")
    return Spent(time.monotonic() - begun, used.ru_utime + used.ru_stime, peak.mib)


class Tool:
    """One tool with a repository below a folder. `do_…` return what was spent; None is "no such work"."""

    name = ""
    program = ""

    def __init__(self, folder, source):
        self.folder = pathlib.Path(folder)
        self.source = source
        self.repository = self.folder / "repository"
        self.folder.mkdir(parents=True)

    def prepare(self):
        """Makes the repository."""

    def backup(self):
        """One backup; the first is whole, the next may build on it."""
        before = size_of(self.repository)
        spent = self.do_backup()
        spent.kept = size_of(self.repository) - before
        return spent

    def forget(self):
        """Makes room before the next backup, where that does not build on this one."""

    def do_backup(self):
        """The work itself."""
        raise NotImplementedError

    def do_restore(self, target):
        """Restores the last backup."""
        return None

    def do_verify(self):
        """Reads and checks all that is kept."""
        return None

    def do_transfer(self):
        """Brings what is new to another repository under another key."""
        return None


class Cp(Tool):
    """`cp` and sync: the floor of wall time for moving the bytes."""

    name = "cp"
    program = "cp"

    def forget(self):
        shutil.rmtree(self.repository)

    def do_backup(self):
        return run("cp", "-a", self.source, self.repository)

    def backup(self):
        spent = self.do_backup()
        spent.kept = size_of(self.repository)
        return spent

    def do_restore(self, target):
        return run("cp", "-a", self.repository, target)


class BaseBackup(Tool):
    """pg_basebackup from a server of its own over a copy of the data directory."""

    name = "pg_basebackup"
    program = "pg_basebackup"

    def __init__(self, folder, source, binaries, superuser):
        super().__init__(folder, source)
        self.binaries = binaries
        self.superuser = superuser

    def forget(self):
        shutil.rmtree(self.repository)

    def backup(self):
        copy = self.folder / "running"
        subprocess.run(["cp", "-a", self.source, copy], check=True)
        spent = self._from_server(copy)
        spent.kept = size_of(self.repository)
        shutil.rmtree(copy, ignore_errors=True)
        return spent

    def _from_server(self, copy):
        subprocess.run(["chown", "-R", "postgres:", copy], check=True)
        hba = self.folder / "hba.conf"
        hba.write_text("host all all 127.0.0.1/32 trust\nhost replication all 127.0.0.1/32 trust\n", encoding="ascii")
        hba.chmod(0o644)
        conf = self.folder / "server.conf"
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        conf.write_text(
            f"listen_addresses='127.0.0.1'\nport={port}\nhba_file='{hba}'\n"
            "unix_socket_directories=''\nmax_wal_senders=4\nwal_level=replica\nlogging_collector=off\n",
            encoding="ascii",
        )
        conf.chmod(0o644)
        (copy / "postgresql.auto.conf").write_text("", encoding="ascii")
        command = [self.binaries / "postgres", "-D", copy, "-c", f"config_file={conf}"]
        with subprocess.Popen(
            ["runuser", "-u", "postgres", "--", *command], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        ) as server:
            try:
                where = ["-h", "127.0.0.1", "-p", port, "-U", self.superuser]
                running.wait_until(lambda: listens(port), 60, "PostgreSQL listens", every=0.2)
                time.sleep(1)
                pid = int((copy / "postmaster.pid").read_text(encoding="ascii").split()[0])
                before = machine.cpu_seconds(pid)
                spent = run(self.binaries / "pg_basebackup", *where, "-D", self.repository, "-c", "fast", "-X", "none")
                # The server's sender does most of the work; its time is known once it has ended.
                time.sleep(1)
                spent.cpu += machine.cpu_seconds(pid) - before
                return spent
            finally:
                with contextlib.suppress(OSError, UnboundLocalError):
                    os.kill(pid, 2)
                server.wait(60)


def listens(port):
    """Whether somebody answers on a port of this machine."""
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


class PgBackRest(Tool):
    """pgBackRest, two processes, zstd 1, AES-256-CBC; increments of blocks where its version has them."""

    name = "pgBackRest"
    program = "pgbackrest"

    def prepare(self):
        self.repository.mkdir()
        for name in ("lock", "log", "spool"):
            (self.folder / name).mkdir()

    @staticmethod
    def _has_blocks():
        return tuple(int(part) for part in version("pgbackrest").split()[1].split(".")[:2]) >= (2, 46)

    def _run(self, *words, path=None):
        options = {
            "stanza": "bench",
            "pg1-path": path or self.source,
            "repo1-path": self.repository,
            "repo1-cipher-type": "aes-256-cbc",
            "repo1-bundle": "y",
            **({"repo1-block": "y"} if self._has_blocks() else {}),
            "compress-type": "zst",
            "compress-level": 1,
            "process-max": 2,
            "lock-path": self.folder / "lock",
            "log-path": self.folder / "log",
            "spool-path": self.folder / "spool",
            "log-level-console": "error",
        }
        known = {
            "stanza-create": set(options) - {"compress-type", "compress-level", "process-max", "repo1-bundle", "repo1-block", "spool-path"},
            "backup": set(options) - {"spool-path"},
            "restore": set(options) - {"compress-type", "compress-level", "repo1-bundle", "repo1-block"},
            "verify": set(options) - {"compress-type", "compress-level", "repo1-bundle", "repo1-block", "pg1-path", "spool-path", "lock-path"},
        }[words[0]]
        given = [f"--{name}={value}" for name, value in options.items() if name in known]
        return run(
            "pgbackrest", *given, *words[1:], words[0], environment={"PGBACKREST_REPO1_CIPHER_PASS": SECRET}
        )

    def do_backup(self):
        if not any(self.repository.iterdir()):
            self._run("stanza-create", "--no-online")
        return self._run("backup", "--no-online", "--type=incr")

    def do_restore(self, target):
        pathlib.Path(target).mkdir(mode=0o700)
        return self._run("restore", "--type=none", path=target)

    def do_verify(self):
        return self._run("verify")


def version(program):
    """What a tool says of its version, in one line; None when it is not there."""
    with contextlib.suppress(OSError):
        word = "--version" if program == "borg" else "version"
        return subprocess.run([program, word], capture_output=True, text=True, check=True).stdout.split("\n")[0].strip()
    return None


def versions():
    """The tools and their versions, for the report."""
    said = [version(program) for program in ("pgbackrest", "restic", "borg")]
    return ", ".join(" ".join(text.split()[:2]) for text in said if text)


class Restic(Tool):
    """restic, its default compression and encryption."""

    name = "restic"
    program = "restic"

    def __init__(self, folder, source):
        super().__init__(folder, source)
        self.far = self.folder / "far"
        self.environment = {
            "RESTIC_PASSWORD": SECRET,
            "RESTIC_CACHE_DIR": str(self.folder / "cache"),
            "RESTIC_REPOSITORY": str(self.repository),
        }

    def prepare(self):
        run("restic", "init", environment=self.environment)
        if self._copies():
            run("restic", "init", "--copy-chunker-params", environment=self._to_far())

    def _to_far(self):
        return {
            **self.environment,
            "RESTIC_REPOSITORY": str(self.far),
            "RESTIC_PASSWORD": SECRET + "-far",
            "RESTIC_FROM_REPOSITORY": str(self.repository),
            "RESTIC_FROM_PASSWORD": SECRET,
        }

    @staticmethod
    def _copies():
        return tuple(int(part) for part in version("restic").split()[1].split(".")[:2]) >= (0, 14)

    def do_backup(self):
        return run("restic", "backup", self.source, environment=self.environment)

    def do_restore(self, target):
        return run("restic", "restore", "latest", "--target", target, environment=self.environment)

    def do_verify(self):
        return run("restic", "check", "--read-data", environment=self.environment)

    def do_transfer(self):
        if not self._copies():
            return None
        before = size_of(self.far)
        spent = run("restic", "copy", environment=self._to_far())
        spent.shipped = size_of(self.far) - before
        return spent


class Borg(Tool):
    """BorgBackup 1, zstd 1, repokey-blake2."""

    name = "borg"
    program = "borg"

    def prepare(self):
        self.count = 0
        self.environment = {
            "BORG_PASSPHRASE": SECRET,
            "BORG_BASE_DIR": str(self.folder / "home"),
            "BORG_REPO": str(self.repository),
        }
        run("borg", "init", "-e", "repokey-blake2", environment=self.environment)

    def do_backup(self):
        self.count += 1
        archive = f"::b{self.count}"
        return run("borg", "create", "-C", "zstd,1", archive, self.source, environment=self.environment)

    def do_restore(self, target):
        pathlib.Path(target).mkdir()
        return run("borg", "extract", f"::b{self.count}", environment=self.environment, cwd=target)

    def do_verify(self):
        return run("borg", "check", "--verify-data", environment=self.environment)
