"""A Snapferry server as a child process: started, watched, stopped, and nothing left behind.

Knows nothing of the API. Used by the demo, the client tests and the benchmarks.
"""
import contextlib
import json
import os
import pathlib
import re
import shutil
import signal
import subprocess
import tempfile
import threading
import time

from . import memory

ROOT = pathlib.Path(__file__).resolve().parents[2]
READY = re.compile(r"http://[\d.]+:(\d+)")
# The server itself promises 10 seconds.
STOP_SECONDS = 15
START_SECONDS = 30
# Names whose meaning would leak into the server or its clients.
FOREIGN = re.compile(r"^(AWS_|SNAPFERRY_|PG|https?_proxy$|all_proxy$)", re.IGNORECASE)

# Fresh folders that nobody wants elsewhere lie in memory while this much is free there; None: always on disk.
MEMORY_BYTES_MIN = None

# Whoever starts a server here wants nothing of it left.
ENDS_WITH_ITS_CLUSTERS = {"SNAPFERRY_STOP_CLUSTERS_ON_EXIT": "true"}
# Whoever takes snapshots here counts, lists and times them.
NO_OTHER_SNAPSHOTS = {"SNAPFERRY_NO_AUTOMATED_BACKUPS": "true"}


class StartError(Exception):
    """The server ended, or said nothing, before it was ready."""


def clean_environment(**extra):
    """The environment without accounts, proxies and settings of whoever runs this."""
    kept = {name: value for name, value in os.environ.items() if not FOREIGN.match(name)}
    return kept | {"LC_ALL": "C.UTF-8", "AWS_EC2_METADATA_DISABLED": "true"} | extra


def is_passable(folder):
    """Whether users other than the owner can pass through a folder and all above it."""
    folder = pathlib.Path(folder).resolve()
    return all(part.stat().st_mode & 0o001 for part in [folder, *folder.parents])


def make_folder(prefix, beside=None):
    """A fresh folder that other users can pass through, as each cluster's own user must."""
    if beside is None and MEMORY_BYTES_MIN is not None and memory.has_room(MEMORY_BYTES_MIN):
        folder = memory.make_folder()
    else:
        is_wanted = beside is not None and is_passable(beside)
        folder = pathlib.Path(tempfile.mkdtemp(prefix=prefix, dir=beside if is_wanted else "/var/tmp"))
    folder.chmod(0o711)
    return folder


def processes_within(folder):
    """Ids of processes whose working directory lies in the folder: its PostgreSQL servers."""
    folder = str(pathlib.Path(folder).resolve())
    found = []
    for entry in pathlib.Path("/proc").iterdir():
        if entry.name.isdigit() and int(entry.name) != os.getpid():
            with contextlib.suppress(OSError):
                where = os.readlink(entry / "cwd").removesuffix(" (deleted)")
                if where == folder or where.startswith(folder + "/"):
                    found.append(int(entry.name))
    return found


def parent_of(pid):
    """The parent's id, or None when the process is gone."""
    try:
        stat = pathlib.Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    return int(stat.rpartition(")")[2].split()[1])


def postmasters_within(folder):
    """Ids of the postmasters that run on the folder: PostgreSQL processes with no parent there."""
    pids = set(processes_within(folder))
    return sorted(pid for pid in pids if parent_of(pid) not in pids and is_postgres(pid))


def is_postgres(pid):
    """Whether a process runs PostgreSQL's server."""
    try:
        return pathlib.Path(f"/proc/{pid}/comm").read_text(encoding="utf-8").strip() == "postgres"
    except OSError:
        return False


def read_bytes(pid):
    """Bytes that a process has read so far, of files and sockets, from the page cache too."""
    text = pathlib.Path(f"/proc/{pid}/io").read_text(encoding="utf-8")
    return int(re.search(r"^rchar:\s+(\d+)", text, re.MULTILINE).group(1))


def servers_on(folder):
    """Ids of Snapferry servers whose command line names a folder below this one."""
    folder = str(pathlib.Path(folder).resolve())
    found = []
    for entry in pathlib.Path("/proc").iterdir():
        if entry.name.isdigit() and int(entry.name) != os.getpid():
            with contextlib.suppress(OSError):
                words = (entry / "cmdline").read_bytes().decode(errors="replace").split("\0")
                if pathlib.Path(words[0]).name == "snapferry" and any(
                    word == folder or word.startswith(folder + "/") for word in words[1:]
                ):
                    found.append(int(entry.name))
    return found


def wait_until(condition, seconds, what, every=0.05):
    """Waits for a condition; its last answer is returned. Ends in TimeoutError."""
    end = time.monotonic() + seconds
    while True:
        answer = condition()
        if answer:
            return answer
        if time.monotonic() > end:
            raise TimeoutError(f"not within {seconds} s: {what}")
        time.sleep(every)


def end_processes_within(folder):
    """Ends what still runs on the folder, by process id: gently first, each server by its postmaster."""
    for sign, those in ((signal.SIGINT, postmasters_within), (signal.SIGKILL, processes_within)):
        found = those(folder)
        for pid in found:
            with contextlib.suppress(OSError):
                os.kill(pid, sign)
        if not found:
            continue
        with contextlib.suppress(TimeoutError):
            wait_until(lambda: not processes_within(folder), 5, "its processes are gone")
            return


def remove_folder(folder):
    """Ends what still runs on the folder, and removes it."""
    folder = pathlib.Path(folder)
    if folder.exists():
        end_processes_within(folder)
        shutil.rmtree(folder, ignore_errors=True)
    memory.let_go(folder)


def remove_left():
    """Removes what killed runs left in memory, and ends the servers that run on it."""
    for folder in memory.left():
        for pid in servers_on(folder):
            with contextlib.suppress(OSError):
                os.kill(pid, signal.SIGKILL)
        remove_folder(folder)


class Server:
    """`snapferry serve` on a free port with a data folder."""

    def __init__(self, binary, data, *flags, environment=None):
        self.binary = str(binary)
        self.data = pathlib.Path(data)
        self.flags = list(flags)
        self.environment = environment or {}
        self.listen = "127.0.0.1:0"
        # What runs it elsewhere, such as in a network namespace.
        self.prefix = []
        self.log = self.data.with_name(self.data.name + ".log")
        self.process = None
        self.url = None
        self.stdout = []
        self._ready = threading.Event()

    @property
    def port(self):
        """The port it listens on."""
        return int(self.url.rpartition(":")[2])

    @property
    def is_running(self):
        """Whether the process lives."""
        return self.process is not None and self.process.poll() is None

    def start(self):
        """Starts it and waits for its ready line. Ends in StartError."""
        self._ready.clear()
        self.stdout = []
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [*self.prefix, self.binary, "serve", "--listen", self.listen, "--data", str(self.data), *self.flags],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=log,
                env=clean_environment(**self._settings()),
                start_new_session=True,
            )
        threading.Thread(target=self._read, args=(self.process,), daemon=True).start()
        end = time.monotonic() + START_SECONDS
        while not self._ready.wait(0.02):
            if self.process.poll() is not None or time.monotonic() > end:
                self.kill()
                raise StartError(f"snapferry serve did not get ready:\n{self.tail()}")
        return self

    def _settings(self):
        """The variables that say settings; one that is None is left unsaid."""
        said = ENDS_WITH_ITS_CLUSTERS | NO_OTHER_SNAPSHOTS | self.environment
        return {name: value for name, value in said.items() if value is not None}

    def _read(self, process):
        for raw in process.stdout:
            line = raw.decode(errors="replace").rstrip("\n")
            self.stdout.append(line)
            found = READY.search(line)
            if found and not self._ready.is_set():
                self.url = found.group(0)
                self._ready.set()

    def stop(self):
        """Ends it gently, with its clusters unless its environment says otherwise; at once when it does not end in
        time. Returns its exit status."""
        if self.process is None:
            return None
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                self.kill()
        return self.process.returncode

    def kill(self):
        """Ends it with SIGKILL; its PostgreSQL servers go on, as after a crash."""
        if self.process is not None and self.process.poll() is None:
            self.process.kill()
            self.process.wait(STOP_SECONDS)

    def tail(self, lines=30):
        """The end of its log."""
        try:
            text = self.log.read_text(encoding="utf-8", errors="replace")
        except OSError:
            return "(no log)"
        return "\n".join(text.splitlines()[-lines:])

    def run(self, *words, check=True):
        """Runs another verb on the same data folder; returns its standard output."""
        done = subprocess.run(
            [self.binary, *words, "--data", str(self.data)],
            check=False,
            capture_output=True,
            text=True,
            timeout=60,
            env=clean_environment(**self._settings()),
        )
        if check and done.returncode != 0:
            raise RuntimeError(f"snapferry {' '.join(words)} failed: {done.stderr.strip()}")
        return done.stdout

    def create_access_key(self, account):
        """A new access key of an account: access_key_id and secret_access_key."""
        return json.loads(self.run("access-key", "create", "--account", account, "--format", "json"))

    def jobs(self):
        """Rows of all jobs."""
        return json.loads(self.run("job", "list", "--format", "json"))
