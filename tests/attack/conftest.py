"""What the attacks share: an eye on the server and on another account while they go on, and a tenant's own programs."""
import contextlib
import os
import pathlib
import statistics
import threading
import time

import psycopg.sql
import pytest

import clients

# How often another account asks, and the server's memory and descriptors are read.
SAMPLE_SECONDS = 0.05


class Watch:
    """Samples a server's memory and descriptors, and how long another account waits for its answers."""

    def __init__(self, deployment, account):
        self.pid = deployment.server.process.pid
        self.ask = deployment.rds(account=account).describe_db_clusters
        self.ask()
        self.rss_mib = [self._rss_mib()]
        self.descriptors = [self._descriptors()]
        self.seconds = []
        self.refusals = []
        self._over = threading.Event()

    def _rss_mib(self):
        text = pathlib.Path(f"/proc/{self.pid}/status").read_text(encoding="utf-8")
        found = [int(line.split()[1]) for line in text.splitlines() if line.startswith("VmRSS:")]
        return found[0] / 1024

    def _descriptors(self):
        return len(os.listdir(f"/proc/{self.pid}/fd"))

    def run(self):
        """Samples until `stop`."""
        while not self._over.wait(SAMPLE_SECONDS):
            with contextlib.suppress(OSError, IndexError):
                self.rss_mib.append(self._rss_mib())
                self.descriptors.append(self._descriptors())
            begun = time.monotonic()
            try:
                self.ask()
            except Exception as error:  # pylint: disable=broad-exception-caught  # whatever it is, it is counted
                self.refusals.append(repr(error))
            self.seconds.append(time.monotonic() - begun)

    def stop(self):
        """Ends the sampling."""
        self._over.set()

    def told(self):
        """The figures in one line."""
        millis = sorted(seconds * 1000 for seconds in self.seconds) or [0.0]
        return (
            f"RSS {self.rss_mib[0]:.0f} MiB before, {max(self.rss_mib):.0f} at most; "
            f"descriptors {self.descriptors[0]} before, {max(self.descriptors)} at most; "
            f"another account: {len(self.seconds)} answers, median {statistics.median(millis):.0f} ms, "
            f"worst {millis[-1]:.0f} ms, {len(self.refusals)} failed"
        )


@pytest.fixture
def watch(request, capsys):
    """`with watch(deployment) as seen:` samples meanwhile, and prints the figures of the attack."""

    @contextlib.contextmanager
    def watching(deployment, account=clients.PARTNER):
        seen = Watch(deployment, account)
        thread = threading.Thread(target=seen.run, daemon=True)
        thread.start()
        try:
            yield seen
        finally:
            seen.stop()
            thread.join(90)
            with capsys.disabled():
                print(f"\n{request.node.name}: {seen.told()}")

    return watching


class Tenant:
    """The master user of a cluster, who on PostgreSQL 15 runs programs as the cluster's OS user."""

    def __init__(self, cluster):
        self.cluster = cluster
        with clients.connect(cluster) as connection:
            connection.execute(f"grant pg_execute_server_program to {clients.USER}")

    def run(self, program, timeout=30):
        """Runs a shell command on the server; returns its standard output's lines. Raises psycopg.Error when it fails."""
        with clients.connect(self.cluster) as connection:
            connection.execute(f"set statement_timeout = '{timeout}s'")
            connection.execute("create temp table said (line text)")
            copy = psycopg.sql.SQL("copy said from program {} with (delimiter E'\\x01')")
            connection.execute(copy.format(psycopg.sql.Literal(program)))
            return [line for (line,) in connection.execute("select line from said")]


@pytest.fixture
def tenant():
    """`tenant(cluster)`: someone with a cluster's master password."""
    return Tenant
