"""Two packages in a Debian 12 under its own systemd: install, use, upgrade, kill, stop, remove, purge.

`try_packages.py ROOT OLD NEW`: ROOT has a bare Debian with systemd; the packages are of one program, NEW with the higher version.
"""
import configparser
import pathlib
import shutil
import signal
import subprocess
import sys
import time

import boto3
import psycopg

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "python"))

from snapferry_tools import running  # noqa: E402  (it lies beside this folder)

# The seven rights that docs/guides/deployment.md names, as bits of the kernel's numbers.
RIGHTS = sum(1 << number for number in (0, 1, 3, 5, 6, 7, 19))
PASSWORD = "a-long-password"
FILES = [
    "etc/snapferry/snapferry.toml", "usr/bin/snapferry", "usr/share/man/man1/snapferry-snapshot-copy.1.gz",
    "usr/share/bash-completion/completions/snapferry", "usr/share/zsh/vendor-completions/_snapferry",
    "usr/share/fish/vendor_completions.d/snapferry.fish", "usr/share/doc/snapferry/copyright",
]


class Machine:
    """A booted Debian."""

    def __init__(self, root):
        self.root = root
        self.process = subprocess.Popen([HERE / "boot-machine", root], start_new_session=True)
        self.wait(self.first_pid, 60, "systemd begins")
        self.wait(lambda: self.run("systemctl", "is-system-running", check=False) in ("running", "degraded"), 120, "systemd has booted")

    def wait(self, condition, seconds, what):
        """Waits for a condition while the machine lives."""
        def holds():
            if self.process.poll() is not None:
                raise SystemExit(f"the machine ended with {self.process.returncode}: this host boots no systemd in namespaces")
            return condition()
        running.wait_until(holds, seconds, what, every=0.2)

    def first_pid(self):
        """The process that is the machine's first, once it is systemd."""
        below = pathlib.Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text(encoding="ascii").split()
        return below and pathlib.Path(f"/proc/{below[0]}/comm").read_text(encoding="ascii") == "systemd\n" and below[0]

    def run(self, *words, check=True, seconds=60):
        """Runs a program inside; returns what it prints, errors too."""
        done = subprocess.run(
            ["nsenter", "--all", "--target", self.first_pid(), "env", "-i", "PATH=/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL=C.UTF-8",
             "DEBIAN_FRONTEND=noninteractive", *words],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False, timeout=seconds)
        if check and done.returncode != 0:
            raise SystemExit(f"{' '.join(words)} ended with {done.returncode}:\n{done.stdout}\n{self.journal()}")
        return done.stdout.strip()

    def journal(self):
        """What the server's units said last."""
        return self.run("journalctl", "--no-pager", "--lines=40", "--unit=snapferry*", check=False)

    def apt(self, *words):
        """What apt says."""
        return self.run("apt-get", "-qq", "-o", "Dpkg::Use-Pty=0", *words, seconds=600)

    def property(self, name, unit="snapferry.service"):
        """A property of a unit."""
        return self.run("systemctl", "show", "--property", name, "--value", unit)

    def postmasters(self):
        """The databases' first processes."""
        rows = [line.split() for line in self.run("ps", "-eo", "pid=,ppid=,comm=").splitlines()]
        servers = {pid: parent for pid, parent, *name in rows if name == ["postgres"]}
        return sorted(pid for pid, parent in servers.items() if parent not in servers)

    def end(self):
        """Ends it with all that runs in it."""
        self.process.send_signal(signal.SIGKILL)
        self.process.wait(60)


def serves(machine, but=None):
    """Waits until the unit is up under another process than `but`; returns the server's URL and process."""
    def is_up():
        pid = machine.property("MainPID")
        return machine.property("ActiveState") == "active" and pid not in ("0", but)
    try:
        machine.wait(is_up, 120, "snapferry.service is active")
    except Exception:
        print(machine.journal())
        raise
    status = machine.property("StatusText")
    assert status.startswith("Serving at http://127.0.0.1:"), status
    return status.rpartition(" ")[2], machine.property("MainPID")


def client(machine, url, data="var/lib/snapferry"):
    """RDS's client of the administrator whom the first start on a folder made."""
    ini = configparser.ConfigParser()
    ini.read(machine.root / data / "credentials", encoding="utf-8")
    key = ini["snapferry"]
    return boto3.client("rds", region_name="eu-west-1", endpoint_url=url, aws_access_key_id=key["aws_access_key_id"],
                        aws_secret_access_key=key["aws_secret_access_key"])


def take(rds, name):
    """Takes a snapshot of the cluster and waits for it."""
    rds.create_db_cluster_snapshot(DBClusterIdentifier="shop", DBClusterSnapshotIdentifier=name)
    rds.get_waiter("db_cluster_snapshot_available").wait(DBClusterSnapshotIdentifier=name, WaiterConfig={"Delay": 1, "MaxAttempts": 120})


def connect(rds):
    """A session on the cluster, once it is available."""
    rds.get_waiter("db_cluster_available").wait(DBClusterIdentifier="shop", WaiterConfig={"Delay": 1, "MaxAttempts": 120})
    cluster = rds.describe_db_clusters(DBClusterIdentifier="shop")["DBClusters"][0]
    return psycopg.connect(host=cluster["Endpoint"], port=cluster["Port"], user="ferryman", password=PASSWORD, dbname="postgres", autocommit=True)


def install(machine, package):
    """The first package, and the server that it starts."""
    # The host's network is the machine's: no port that is somebody's.
    (machine.root / "etc/default/snapferry").write_text("SNAPFERRY_LISTEN=127.0.0.1:0\n", encoding="ascii")
    settings = machine.root / "etc/postgresql-common"
    settings.mkdir(exist_ok=True)
    (settings / "createcluster.conf").write_text("create_main_cluster = false\n", encoding="ascii")
    machine.apt("update")
    machine.apt("install", "--no-install-recommends", package, "postgresql")
    for name in FILES:
        assert (machine.root / name).is_file(), name
    assert (machine.root / FILES[0]).stat().st_mode & 0o777 == 0o600
    url, pid = serves(machine)
    status = machine.run("cat", f"/proc/{pid}/status")
    rights = next(line.split()[1] for line in status.splitlines() if line.startswith("CapBnd"))
    assert int(rights, 16) == RIGHTS, rights
    assert machine.run("systemctl", "is-enabled", "snapferry") == "enabled"
    assert machine.run("systemd-analyze", "--man=no", "verify", "snapferry.service", "snapferry-databases.service") == ""
    assert "this process is root without" not in machine.journal()
    return url, pid


def use(machine, url):
    """A cluster with a row, and a snapshot; the session stays."""
    rds = client(machine, url)
    rds.create_db_cluster(DBClusterIdentifier="shop", Engine="aurora-postgresql", MasterUsername="ferryman", MasterUserPassword=PASSWORD)
    session = connect(rds)
    session.execute("create table kept as select 1 as i")
    take(rds, "monday")
    return session


def upgrade(machine, package, old, session):
    """The second package: another server, the same databases."""
    databases = machine.postmasters()
    assert databases
    machine.apt("install", package)
    url, pid = serves(machine, but=old)
    assert machine.postmasters() == databases and session.execute("select i from kept").fetchone() == (1,)
    take(client(machine, url), "tuesday")
    machine.run("kill", "-KILL", pid)
    url, _ = serves(machine, but=pid)
    take(client(machine, url), "wednesday")
    assert machine.postmasters() == databases and session.execute("select i from kept").fetchone() == (1,)


def wrong_setting(machine):
    """What no start mends is not started again and again."""
    settings = machine.root / FILES[0]
    text = settings.read_text(encoding="utf-8")
    settings.write_text(text + 'listen = "nowhere"\n', encoding="utf-8")
    machine.run("systemctl", "restart", "snapferry", check=False, seconds=120)
    machine.wait(lambda: machine.property("ActiveState") == "failed", 60, "the unit has failed")
    assert machine.property("ExecMainStatus") == "2", machine.journal()
    assert machine.property("NRestarts") == "0", machine.journal()
    assert machine.postmasters()
    settings.write_text(text, encoding="utf-8")
    machine.run("systemctl", "reset-failed", "snapferry")
    machine.run("systemctl", "start", "snapferry", seconds=120)
    serves(machine)


def elsewhere(machine):
    """A data folder that the settings alone name, with a path too long for sockets: a restart, a stop and a removal find its databases."""
    machine.run("systemctl", "stop", "snapferry-databases", seconds=180)
    data = "/srv/" + "long" * 20
    settings = machine.root / FILES[0]
    text = settings.read_text(encoding="utf-8")
    settings.write_text(f'{text}data = "{data}"\n', encoding="utf-8")
    for unit in ("snapferry", "snapferry-databases"):
        drop_in = machine.root / f"etc/systemd/system/{unit}.service.d/data.conf"
        drop_in.parent.mkdir(parents=True)
        drop_in.write_text(f"[Service]\nReadWritePaths={data}\n", encoding="ascii")
    (machine.root / data[1:]).mkdir(mode=0o755)
    machine.run("systemctl", "daemon-reload")
    machine.run("systemctl", "start", "snapferry", seconds=120)
    url, pid = serves(machine)
    rds = client(machine, url, data[1:])
    rds.create_db_cluster(DBClusterIdentifier="shop", Engine="aurora-postgresql", MasterUsername="ferryman", MasterUserPassword=PASSWORD)
    with connect(rds) as session:
        databases = machine.postmasters()
        machine.run("systemctl", "restart", "snapferry", seconds=120)
        url, _ = serves(machine, but=pid)
        # The next server reaches them by their sockets.
        take(client(machine, url, data[1:]), "tuesday")
        assert machine.postmasters() == databases and session.execute("select 1").fetchone() == (1,)
    machine.run("systemctl", "stop", "snapferry-databases", seconds=180)
    assert machine.postmasters() == []
    machine.run("systemctl", "start", "snapferry", seconds=120)
    url, _ = serves(machine)
    connect(client(machine, url, data[1:])).close()


def stop_and_start(machine):
    """What a machine that goes down does, and one that comes up."""
    machine.run("systemctl", "stop", "snapferry-databases", seconds=180)
    assert machine.property("ActiveState") == "inactive" and machine.postmasters() == []
    machine.run("systemctl", "start", "snapferry", seconds=120)
    url, _ = serves(machine)
    with connect(client(machine, url)) as session:
        assert session.execute("select i from kept").fetchone() == (1,)
    assert machine.postmasters()


def remove(machine):
    """Without the program no database runs; what they held stays, also after a purge."""
    machine.apt("remove", "snapferry")
    assert machine.postmasters() == [] and machine.property("ActiveState") == "inactive"
    assert not (machine.root / "usr/bin/snapferry").exists() and (machine.root / "etc/snapferry/snapferry.toml").exists()
    assert "/var/lib/snapferry is kept" in machine.apt("purge", "snapferry")
    assert not (machine.root / "etc/snapferry").exists()
    assert (machine.root / "var/lib/snapferry/master.key").exists()


def main():
    root, old, new = map(pathlib.Path, sys.argv[1:])
    for package in (old, new):
        shutil.copy(package, root)
    begun = time.monotonic()
    machine = Machine(root)
    try:
        url, pid = install(machine, f"/{old.name}")
        print(f"installed; serves at {url} with the seven rights", flush=True)
        with use(machine, url) as session:
            upgrade(machine, f"/{new.name}", pid, session)
        print("upgraded and killed; a session went on", flush=True)
        wrong_setting(machine)
        print("a wrong setting ends it once", flush=True)
        stop_and_start(machine)
        print("stopped and started in order", flush=True)
        elsewhere(machine)
        print("moved to a folder that the settings name, with sockets elsewhere", flush=True)
        remove(machine)
        print(f"removed and purged; the data folder is kept ({time.monotonic() - begun:.0f} s)", flush=True)
    finally:
        machine.end()


if __name__ == "__main__":
    main()
