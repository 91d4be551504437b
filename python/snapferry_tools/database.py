"""A PostgreSQL server to keep catalogs in: on a free port, in a folder of its own.

Knows nothing of Snapferry.
"""
import os
import pathlib
import pwd
import socket
import subprocess

import psycopg

from snapferry_tools import running

PROGRAMS = sorted(pathlib.Path("/usr/lib/postgresql").glob("*/bin"))
START_SECONDS = 60


class Database:
    """A server with one empty database, and more when asked for."""

    def __init__(self, *settings, host="127.0.0.1"):
        self.host = host
        self.settings = [word for setting in settings for word in ("-c", setting)]
        self.folder = running.make_folder("snapferry-catalog-")
        self.process = None
        with socket.socket() as probe:
            probe.bind((host, 0))
            self.port = probe.getsockname()[1]
        # PostgreSQL does not run as root.
        self.user = "postgres" if os.geteuid() == 0 else None
        if self.user:
            found = pwd.getpwnam(self.user)
            os.chown(self.folder, found.pw_uid, found.pw_gid)
        self._run("initdb", "--no-sync", "--auth=trust", "--username=ferry", "--encoding=UTF8", "-D", self.data)
        if host != "127.0.0.1":
            with (self.folder / "data" / "pg_hba.conf").open("a", encoding="utf-8") as rules:
                rules.write(f"host all ferry {host}/24 trust\n")
        self.start()
        self.create("snapferry")

    @property
    def data(self):
        """The data directory."""
        return str(self.folder / "data")

    @property
    def url(self):
        """The first database's URL."""
        return self.url_of("snapferry")

    def url_of(self, name):
        """A database's URL."""
        return f"postgres://ferry@{self.host}:{self.port}/{name}?sslmode=disable"

    def create(self, name):
        """Makes an empty database; answers its URL."""
        with self.connect("postgres") as connection:
            connection.execute(f"create database {name} template template0")
        return self.url_of(name)

    def _popen(self, program, *words, **more):
        return subprocess.Popen(
            [str(PROGRAMS[-1] / program), *words],
            stdin=subprocess.DEVNULL,
            env={"LC_ALL": "C.UTF-8", "TZ": "UTC", "PATH": "/usr/bin:/bin"},
            cwd=self.folder,
            user=self.user,
            group=self.user,
            extra_groups=[] if self.user else None,
            **more,
        )

    def _run(self, program, *words):
        assert self._popen(program, *words, stdout=subprocess.DEVNULL).wait(START_SECONDS) == 0, f"{program} failed"

    def connect(self, name="snapferry"):
        """SQL on one of its databases."""
        return psycopg.connect(f"postgres://ferry@{self.host}:{self.port}/{name}", connect_timeout=5, autocommit=True)

    def answers(self):
        """Whether it takes connections."""
        try:
            self.connect("postgres").close()
        except psycopg.OperationalError:
            return False
        return True

    def start(self):
        """Starts it and waits until it answers."""
        def answers():
            # It refuses to begin for as long as a killed one's children are on their way out.
            if self.process is None or self.process.poll() is not None:
                with (self.folder / "log").open("ab") as log:
                    self.process = self._popen(
                        "postgres", "-D", self.data, "-c", f"port={self.port}", "-c", f"listen_addresses={self.host}",
                        "-c", "unix_socket_directories=", *self.settings, stdout=subprocess.DEVNULL, stderr=log,
                        start_new_session=True,
                    )
            return self.answers()

        running.wait_until(answers, START_SECONDS, "PostgreSQL answers")

    def kill(self):
        """Ends it with SIGKILL, as a crash does."""
        self.process.kill()
        self.process.wait(START_SECONDS)

    def remove(self):
        """Ends it and removes its folder."""
        if self.process.poll() is None:
            self.process.send_signal(2)
            self.process.wait(START_SECONDS)
        running.remove_folder(self.folder)
