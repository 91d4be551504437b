"""Copies between two deployments over the HTTP link, beside curl of the same bytes.

Both fetch the same packs, lists and manifest over HTTP from this machine, four streams at once, and both count
until the bytes are synced: Snapferry from the request to the copy that is available, curl with `sync` of its
files. Snapferry checks each object's hash and proves who speaks; curl does neither. With a delay, each byte
waits on the way in a relay of this folder, for both alike.
"""
import configparser
import itertools
import json
import os
import pathlib
import secrets
import shutil
import statistics
import subprocess
import sys
import time

import boto3
import botocore.config
import psycopg

import machine
from snapferry_tools import network, running

HOME, FAR, OTHER = "us-east-1", "us-west-2", "111122223333"
USER, PASSWORD, DATABASE = "ferryman", "correct-horse-7", "shop"
STREAMS = 4


def say(text):
    """Tells the terminal how far it is."""
    print(text, file=sys.stderr, flush=True)


class Side:
    """One deployment, with one region."""

    ports = itertools.count(21_000, 50)

    def __init__(self, options, folder, region, row):
        first = next(self.ports)
        config = folder / f"{region}.toml"
        config.write_text(row, encoding="utf-8")
        flags = ["--config", str(config), "--default-region", region, "--cluster-ports", f"{first}-{first + 19}"]
        flags += ["--cross-region-copies-max", "100"]
        flags += [] if os.geteuid() == 0 else ["--allow-shared-os-user"]
        self.region = region
        self.server = running.Server(options.binary, folder / region, *flags)
        self.server.start()

    def client(self, service, account=None):
        """A boto3 client of the administrator, or of another account."""
        if account:
            made = self.server.create_access_key(account)
            key = made["access_key_id"], made["secret_access_key"]
        else:
            found = configparser.ConfigParser()
            found.read(self.server.data / "credentials")
            key = found["snapferry"]["aws_access_key_id"], found["snapferry"]["aws_secret_access_key"]
        config = botocore.config.Config(retries={"total_max_attempts": 1}, read_timeout=120)
        return boto3.Session(*key).client(service, self.region, endpoint_url=self.server.url, config=config)

    def cpu(self):
        """CPU seconds of the server alone so far."""
        return machine.own_cpu_seconds(self.server.process.pid)

    @property
    def volumes(self):
        """Where the vault keeps volumes."""
        return self.server.data / "vault" / self.region / "volumes"


class Helpers:
    """Processes beside the servers, ended together."""

    def __init__(self):
        self.processes = []

    def start(self, program, *words):
        """Starts one of this folder's programs on a free port; its address."""
        listen = f"127.0.0.1:{network.free_port()}"
        command = [sys.executable, str(pathlib.Path(__file__).with_name(program)), listen, *words]
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL)
        self.processes.append(process)
        return listen

    def cpu(self):
        """Their CPU seconds so far."""
        return sum(machine.own_cpu_seconds(process.pid) for process in self.processes)

    def end(self):
        """Ends all."""
        for process in self.processes:
            process.kill()
            process.wait(10)


class Bench:
    """Two deployments with a snapshot at home, and what serves its bytes to curl."""

    def __init__(self, options, folder, delay):
        self.options, self.folder, self.delay = options, folder, delay
        self.helpers = Helpers()
        self.names = itertools.count()
        self.sides = []

    def start(self):
        """Starts both sides and makes the snapshot."""
        key = secrets.token_hex(32)
        row = '[regions.{}]\nendpoint = "http://{}"\npeer-key = "{}"\n'.format
        self.home = Side(self.options, self.folder, HOME, row(FAR, "127.0.0.1:9", key))
        self.sides.append(self.home)
        address = f"127.0.0.1:{self.home.server.url.rpartition(':')[2]}"
        if self.delay:
            address = self.helpers.start("delay.py", address, str(self.delay / 2))
        self.far = Side(self.options, self.folder, FAR, row(HOME, address, key))
        self.sides.append(self.far)
        self._fill()

    def _fill(self):
        say(f"making {self.options.mebibytes} MiB of incompressible rows")
        rds = self.home.client("rds")
        self.home_key = self.home.client("kms").create_key()["KeyMetadata"]["Arn"]
        rds.create_db_cluster(
            DBClusterIdentifier="noise", Engine="aurora-postgresql", DatabaseName=DATABASE, MasterUsername=USER,
            MasterUserPassword=PASSWORD, StorageEncrypted=True, KmsKeyId=self.home_key,
        )
        rds.get_waiter("db_cluster_available").wait(DBClusterIdentifier="noise", WaiterConfig={"Delay": 0.1, "MaxAttempts": 600})
        place = rds.describe_db_clusters(DBClusterIdentifier="noise")["DBClusters"][0]
        with psycopg.connect(
            host=place["Endpoint"], port=place["Port"], user=USER, password=PASSWORD, dbname=DATABASE, autocommit=True
        ) as connection:
            connection.execute(
                "create table noise as select i, (select string_agg(sha512((i::text || ':' || j::text)::bytea), ''::bytea)"
                " from generate_series(1, 16) j) as content from generate_series(1, 14336) i"
            )
            made = 16
            while made < self.options.mebibytes:
                rows = min(made, self.options.mebibytes - made) * 896
                connection.execute(f"insert into noise select i + {made * 896}, content from noise limit {rows}")
                made *= 2
        self._available(self.home, rds, lambda: rds.create_db_cluster_snapshot(
            DBClusterSnapshotIdentifier="noise", DBClusterIdentifier="noise"))
        rds.delete_db_cluster(DBClusterIdentifier="noise", SkipFinalSnapshot=True)
        self.source = f"arn:aws:rds:{HOME}:000000000000:cluster-snapshot:noise"
        self.objects = [path for path in self.home.volumes.rglob("*") if path.is_file()]
        self.bytes = sum(path.stat().st_size for path in self.objects)
        self.files = self.helpers.start("files.py", str(self.home.volumes))
        if self.delay:
            self.files = self.helpers.start("delay.py", self.files, str(self.delay / 2))
        running.wait_until(lambda: self._curl(self.objects[:1]) is None, 20, "the file server answers")

    @staticmethod
    def _available(side, rds, begin):
        made = next(iter(begin().values()))["DBClusterSnapshotIdentifier"]

        def look():
            seen = rds.describe_db_cluster_snapshots(DBClusterSnapshotIdentifier=made)["DBClusterSnapshots"][0]
            if seen["Status"] == "failed":
                raise SystemExit(f"{made} failed:\n{side.server.tail()}")
            return seen["Status"] == "available"

        running.wait_until(look, 900, f"{made} is available", every=0.01)
        return made

    def _curl(self, objects):
        into = self.folder / "curl"
        shutil.rmtree(into, ignore_errors=True)
        into.mkdir()
        lines = []
        for number, path in enumerate(objects):
            lines += [f'url = "http://{self.files}/{path.relative_to(self.home.volumes)}"', f'output = "{into}/{number}"']
        config = self.folder / "curl.txt"
        config.write_text("\n".join(lines), encoding="utf-8")
        before = os.times()
        begun = time.monotonic()
        fetched = subprocess.run(
            ["curl", "--silent", "--fail", "--no-progress-meter", "--parallel", "--parallel-max", str(STREAMS), "--config", str(config)],
            check=False,
        )
        if fetched.returncode != 0:
            return fetched.returncode
        subprocess.run(["sync", *(str(into / str(number)) for number in range(len(objects)))], check=True)
        self.seconds = time.monotonic() - begun
        after = os.times()
        self.spent = sum(after[2:4]) - sum(before[2:4])
        got = sum(path.stat().st_size for path in into.iterdir())
        assert got == sum(path.stat().st_size for path in objects), "curl has other bytes"
        return None

    def curl(self):
        """(seconds, CPU seconds of both sides) of curl."""
        before = self.helpers.cpu()
        if self._curl(self.objects) is not None:
            raise SystemExit("curl failed")
        return self.seconds, self.spent + self.helpers.cpu() - before

    def copy(self, account=None):
        """(seconds, CPU seconds of both sides) of a copy to where nothing is yet."""
        key = self.far.client("kms", account).create_key()["KeyMetadata"]["Arn"]
        rds = self.far.client("rds", account)
        name = f"copy-{next(self.names)}"
        before, begun = self.home.cpu() + self.far.cpu(), time.monotonic()
        self._available(self.far, rds, lambda: rds.copy_db_cluster_snapshot(
            SourceDBClusterSnapshotIdentifier=self.source, TargetDBClusterSnapshotIdentifier=name, KmsKeyId=key))
        spent = time.monotonic() - begun, self.home.cpu() + self.far.cpu() - before
        rds.delete_db_cluster_snapshot(DBClusterSnapshotIdentifier=name)
        # The sweep takes its time; nothing may be there already for the next one.
        for path in list(self.far.volumes.rglob("*")):
            if path.is_file():
                path.unlink()
        return spent

    def share(self):
        """Lets another account copy."""
        policy = {"Version": "2012-10-17", "Statement": [
            {"Effect": "Allow", "Principal": {"AWS": f"arn:aws:iam::{account}:root"}, "Action": "kms:*", "Resource": "*"}
            for account in ("000000000000", OTHER)]}
        self.home.client("kms").put_key_policy(KeyId=self.home_key, PolicyName="default", Policy=json.dumps(policy))
        self.home.client("rds").modify_db_cluster_snapshot_attribute(
            DBClusterSnapshotIdentifier="noise", AttributeName="restore", ValuesToAdd=[OTHER])

    def run(self):
        """Rows of the table: what, seconds, MB/s, CPU seconds, ratio."""
        self.share()
        works = {"curl": self.curl, "copy": self.copy}
        if not self.delay:
            works["copy re-encrypted"] = lambda: self.copy(OTHER)
        seen = {name: [] for name in works}
        for number in range(self.options.rounds):
            for name, work in works.items():
                seen[name].append(work())
                say(f"round {number + 1}, delay {self.delay} ms, {name}: {seen[name][-1][0]:.2f} s, {seen[name][-1][1]:.2f} CPU s")
        rows = []
        for name, runs in seen.items():
            seconds = statistics.median(run[0] for run in runs)
            cpu = statistics.median(run[1] for run in runs)
            # Each round's own neighbour: the machine may change between rounds.
            ratio = statistics.median(curl[0] / run[0] for curl, run in zip(seen["curl"], runs))
            rows.append((f"{self.delay} ms", name, f"{seconds:.2f}", f"{self.bytes / seconds / 1e6:.0f}", f"{cpu:.2f}", f"{ratio:.2f}"))
        return rows

    def end(self):
        """Ends everything."""
        self.helpers.end()
        for side in self.sides:
            side.server.stop()


def main():
    """Measures and reports."""
    parser = machine.parser(__doc__, "--rounds")
    parser.add_argument("--mebibytes", type=int, default=768)
    parser.add_argument("--delays", default="0,20", help="round trips in milliseconds that are added")
    options = parser.parse_args()
    about, rows, size = machine.describe(), [], 0
    for delay in (int(one) for one in options.delays.split(",")):
        folder = running.make_folder("snapferry-bench-")
        bench = Bench(options, folder, delay)
        try:
            bench.start()
            rows += bench.run()
            size = bench.bytes
        finally:
            bench.end()
            running.remove_folder(folder)
    columns = ("added round trip", "work", "s", "MB/s", "CPU s", "throughput to curl's")
    table = machine.markdown(columns, rows)
    print(table)
    if options.report:
        text = f"""# Copies between deployments

Made by `make bench-link`. {about}.

{size / 1e6:.0f} MB of packs, lists and a manifest; median of {options.rounds} rounds, in each of which the works follow each other.

{table}

{__doc__.partition(chr(10) * 2)[2].strip()} CPU seconds are those of both servers, or of curl and its file server; on this machine both sides share the cores. With a delay, curl's include the relay's. A copy that is sealed anew (for another account) also opens and seals every frame and asks the catalog to record how far it is.
"""
        options.report.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
