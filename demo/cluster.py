"""The main job across two deployments of two nodes each, while nodes die and the link breaks.

PostgreSQL keeps a catalog for each region, an S3 server the vaults; each region is a network namespace of its
own where this user may make them. A copy between the regions meets a cut link, a frozen node, killed nodes
and a killed PostgreSQL, and must end right. Exit status 0 only if all of it held.
"""
import argparse
import configparser
import functools
import json
import os
import pathlib
import re
import secrets
import signal
import subprocess
import sys
import time

import boto3
import botocore.auth
import botocore.awsrequest
import botocore.config
import botocore.exceptions

from progress import Table, print_proven, say, show_bytes
from snapferry_tools import database, network, proof, running

REGIONS = ("us-east-1", "eu-west-1")
EAST, WEST = 0, 1
NODES = 2
USER, DATABASE = "ferryman", "shop"
LEASE_SECONDS = 3
WAIT_SECONDS = 120
CUT_SECONDS = 4
# The copy takes some seconds, so that there is a middle to meet trouble in.
COPY_SECONDS = 12
STORE_KEY = {"AWS_ACCESS_KEY_ID": "demo", "AWS_SECRET_ACCESS_KEY": "demo-secret", "AWS_REGION": "us-east-1"}
ROWS = """
    create table goods as select i, (
      select string_agg(sha512((i::text || ':' || j::text)::bytea), ''::bytea) from generate_series(1, 16) j) as content
    from generate_series(1, %s) i
"""
# 1 KiB of content a row: what does not compress, so that bytes are shipped.
ROWS_A_MEGABYTE = 896


class Failed(Exception):
    """Something that the demo promises did not hold."""


class Region:
    """A deployment: its nodes, its callers, and what its catalog says."""

    def __init__(self, demo, side):
        self.demo, self.side, self.name = demo, side, REGIONS[side]
        self.word = ("east", "west")[side]
        self.url = f"http://{demo.network.front(side)}"
        self.catalog = demo.database.create(self.word)
        self.nodes = {}
        master_key = secrets.token_hex(32)
        environment = STORE_KEY | {
            "SNAPFERRY_CATALOG": self.catalog,
            "SNAPFERRY_MASTER_KEY": master_key,
        }
        host = demo.network.hosts(side)[0]
        for number in range(NODES):
            name = f"{self.word}-{number + 1}"
            first = 26_000 + 100 * side + 20 * number
            flags = ["--node", name, "--config", str(self._config()), "--cluster-host", host]
            flags += ["--cluster-ports", f"{first}-{first + 19}", "--lease-seconds", str(LEASE_SECONDS)]
            flags += ["--vault", f"s3://{self.word}/vault", "--vault-endpoint", demo.store_url]
            flags += ["--cross-region-bytes-per-second", str(demo.options.megabytes * 1_050_000 // COPY_SECONDS)]
            if demo.network.kind != "loopback ports":
                flags.append("--insecure-listen")
            if os.geteuid() != 0:
                flags.append("--allow-shared-os-user")
            node = running.Server(demo.options.binary, demo.folder / name, *flags, environment=environment)
            node.listen = demo.network.node(side, number)
            node.prefix = demo.network.prefix(side)
            self.nodes[name] = node

    def _config(self):
        """The settings file: what the region is called, and its peer."""
        other = 1 - self.side
        file = self.demo.folder / f"{self.word}.toml"
        plain = "" if self.demo.network.kind == "loopback ports" else "insecure = true\n"
        file.write_text(
            f'default-region = "{self.name}"\n'
            f"host = {json.dumps(self.demo.network.hosts(self.side))}\n\n"
            f"[regions.{REGIONS[other]}]\n"
            f'endpoint = "http://{self.demo.network.peer(other)}"\n'
            f'peer-key = "{self.demo.peer_key}"\n'
            f"demand-presigned-url = true\n{plain}",
            encoding="utf-8",
        )
        return file

    def start(self):
        """Starts the nodes."""
        for node in self.nodes.values():
            node.start()

    @functools.cached_property
    def session(self):
        """The administrator of the first node, whom every node knows."""
        found = configparser.ConfigParser()
        found.read(next(iter(self.nodes.values())).data / "credentials")
        return boto3.Session(found["snapferry"]["aws_access_key_id"], found["snapferry"]["aws_secret_access_key"])

    def client(self, service):
        """An ordinary boto3 client; the balancer in front of the nodes may cut its connection, so it tries again."""
        config = botocore.config.Config(
            connect_timeout=3, read_timeout=5, retries={"total_max_attempts": 8, "mode": "standard"}
        )
        return self.session.client(service, self.name, endpoint_url=self.url, config=config)

    @functools.cached_property
    def rds(self):
        """For RDS."""
        return self.client("rds")

    def presigned(self, **parameters):
        """A PreSignedUrl for this region, signed by its administrator."""
        query = "&".join(
            f"{name}={botocore.compat.quote(value, safe='-_.~')}"
            for name, value in ({"Action": "CopyDBClusterSnapshot", "Version": "2014-10-31"} | parameters).items()
        )
        request = botocore.awsrequest.AWSRequest("GET", f"{self.url}/?{query}")
        credentials = self.session.get_credentials().get_frozen_credentials()
        botocore.auth.SigV4QueryAuth(credentials, "rds", self.name, 3600).add_auth(request)
        return request.url

    def verb(self, *words):
        """A verb that needs the catalog alone, as JSON."""
        done = subprocess.run(
            [str(self.demo.options.binary), *words, "--format", "json"],
            check=True, capture_output=True, text=True, timeout=60,
            env=running.clean_environment(SNAPFERRY_CATALOG=self.catalog),
        )
        return json.loads(done.stdout)

    def job(self, subject):
        """The copy's job."""
        return next(one for one in self.verb("job", "list") if one["subject"] == subject)

    def runner(self, subject):
        """The node that has the copy's job."""
        def claimed():
            owner = self.job(subject)["runner"]
            return owner and self.nodes[owner.partition("/")[0]]

        return running.wait_until(claimed, WAIT_SECONDS, f"{subject} is claimed", every=0.2)

    def states(self):
        """The nodes' states by name."""
        return {one["name"]: one["state"] for one in self.verb("node", "list")}

    def await_cluster(self, name, step):
        """Follows a cluster until it is available."""
        def described():
            cluster = self.rds.describe_db_clusters(DBClusterIdentifier=name)["DBClusters"][0]
            step.bar.show(int(cluster.get("PercentProgress") or 0), cluster["Status"])
            if cluster["Status"] not in ("creating", "available"):
                raise Failed(f"cluster {name} became {cluster['Status']}")
            return cluster if cluster["Status"] == "available" else None

        return running.wait_until(described, WAIT_SECONDS, f"cluster {name} is available", every=0.2)

    def snapshot(self, name, step=None, note=""):
        """A snapshot as it is now; it must be well."""
        found = self.rds.describe_db_cluster_snapshots(DBClusterSnapshotIdentifier=name)["DBClusterSnapshots"][0]
        if found["Status"] not in ("creating", "copying", "available"):
            raise Failed(f"snapshot {name} became {found['Status']}")
        if step:
            step.bar.show(int(found["PercentProgress"]), note or found["Status"])
        return found

    def await_snapshot(self, name, step, percent=None, note=""):
        """Follows a snapshot until it is available, or has come so many percent."""
        def described():
            found = self.snapshot(name, step, note)
            if percent is not None and found["Status"] == "available":
                raise Failed(f"{name} was available before it had met all its trouble")
            done = found["Status"] == "available" if percent is None else percent <= found["PercentProgress"]
            return found if done else None

        return running.wait_until(described, WAIT_SECONDS, f"snapshot {name} gets on", every=0.1)


class Demo:
    """Everything that runs, and the story."""

    def __init__(self, options, folder):
        self.options, self.folder = options, folder
        self.table = Table()
        # What held, each beside what showed it.
        self.proven = []
        self.password = secrets.token_hex(12)
        self.peer_key = secrets.token_hex(32)
        spaces = not options.loopback and network.is_possible()
        self.network = network.Namespaces() if spaces else network.Loopback()
        self.database = self.store = None
        self.regions = []

    @property
    def store_url(self):
        """Where the S3 server listens."""
        return f"http://{self.network.service}:{self.store_port}"

    def run(self):
        """The whole story."""
        self.start()
        east, west = self.regions
        keys = [region.client("kms").create_key(Description=region.word)["KeyMetadata"]["Arn"] for region in self.regions]
        source = self.create(east, keys[EAST])
        snapshot = self.take(east)
        self.copy(snapshot, keys[WEST])
        self.check_copy(keys[WEST])
        restored = self.restore(west)
        self.prove(source, restored)

    def start(self):
        """PostgreSQL, the S3 server, the network, the nodes."""
        say(f"""
            Two regions, each a deployment of its own: {NODES} nodes behind a balancer, a catalog in PostgreSQL, a
            vault in an S3 bucket. They share no file, only the link between them, over which they prove who they
            are by a key that both hold.
        """)
        with self.table.step("make two places and a link") as step:
            self.network.up()
            step.note = self.network.kind
        with self.table.step("start PostgreSQL and an S3 server") as step:
            self.database = database.Database(host=self.network.service)
            self.start_store()
            step.note = f"a catalog and a bucket for each region, at {self.network.service}"
        with self.table.step(f"start two regions of {NODES} nodes") as step:
            self.regions = [Region(self, side) for side in (EAST, WEST)]
            for region in self.regions:
                region.start()
            self.network.balance(NODES)
            for region in self.regions:
                running.wait_until(lambda: self.answers(region), 20, f"{region.name} answers")
            step.note = ", ".join(name for region in self.regions for name in region.states())

    @staticmethod
    def answers(region):
        """Whether a region's balancer has a node."""
        try:
            return bool(region.rds.describe_db_clusters())
        except botocore.exceptions.BotoCoreError:
            return False

    def start_store(self):
        """moto's S3 server, with a bucket for each region."""
        self.store_port = network.free_port()
        with (self.folder / "s3.log").open("wb") as log:
            self.store = subprocess.Popen(
                [sys.executable, "-m", "moto.server", "-H", self.network.service, "-p", str(self.store_port)],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=running.clean_environment(),
                start_new_session=True,
            )
        client = boto3.Session("demo", "demo-secret").client("s3", "us-east-1", endpoint_url=self.store_url)

        def makes():
            try:
                return [client.create_bucket(Bucket=name) for name in ("east", "west")]
            except botocore.exceptions.EndpointConnectionError:
                return None

        running.wait_until(makes, 60, "the S3 server answers")

    def create(self, east, key):
        """An encrypted cluster with rows."""
        say("""
            A node of the east runs a PostgreSQL cluster, encrypted under a key of the east, with rows that do not
            compress, so that a copy has bytes to ship. A snapshot of it goes into the east's bucket.
        """)
        with self.table.step("create the encrypted cluster") as step:
            east.rds.create_db_cluster(
                DBClusterIdentifier="shop", Engine="aurora-postgresql", DatabaseName=DATABASE,
                MasterUsername=USER, MasterUserPassword=self.password, StorageEncrypted=True, KmsKeyId=key,
            )
            cluster = east.await_cluster("shop", step)
            with proof.connect(cluster, USER, self.password, DATABASE) as connection:
                connection.execute(ROWS, (self.options.megabytes * ROWS_A_MEGABYTE,))
            step.note = f"{self.options.megabytes * ROWS_A_MEGABYTE} rows at {cluster['Endpoint']}:{cluster['Port']}"
        return cluster

    def take(self, east):
        """A snapshot of it."""
        with self.table.step("take a snapshot") as step:
            east.rds.create_db_cluster_snapshot(DBClusterSnapshotIdentifier="monday", DBClusterIdentifier="shop")
            snapshot = east.await_snapshot("monday", step)
            step.bytes = east.job("monday")["progress"]["bytes_shipped"]
            step.note = f"{show_bytes(step.bytes)} kept in the bucket"
        return snapshot

    def copy(self, snapshot, key):
        """The copy to the other region, with all its trouble."""
        east, west = self.regions
        say(f"""
            An ordinary SDK asks the west for a copy under a key of the west. Some node of the west claims the job
            under a lease of {LEASE_SECONDS} seconds, and ships what its bucket lacks, slowed down to some
            {COPY_SECONDS} seconds so that there is a middle to meet trouble in.
        """)
        with self.table.step("begin the copy to the other region") as step:
            arn = snapshot["DBClusterSnapshotArn"]
            url = east.presigned(SourceDBClusterSnapshotIdentifier=arn, KmsKeyId=key, DestinationRegion=west.name)
            west.rds.copy_db_cluster_snapshot(
                SourceDBClusterSnapshotIdentifier=arn, TargetDBClusterSnapshotIdentifier="monday-west",
                KmsKeyId=key, PreSignedUrl=url,
            )
            step.note = f"under a key of {west.name}, with a PreSignedUrl of {east.name}"
        self.cut_the_link(west)
        frozen = self.freeze_the_runner(west)
        self.kill_the_runner(west)
        self.kill_the_database(west)
        say("""
            Whoever has the job now ends it. What arrived before each accident was kept, so it is not shipped again.
        """)
        with self.table.step("the copy ends") as step:
            west.await_snapshot("monday-west", step)
            job = west.job("monday-west")
            if job["state"] != "done" or job["attempts"] < 3:
                raise Failed(f"the copy's job is {job['state']} after {job['attempts']} tries; 3 or more were due")
            step.bytes = job["progress"]["bytes_shipped"]
            step.note = f"{show_bytes(step.bytes)} shipped in {job['attempts']} tries"
            self.proven.append(("the copy ended right, whatever it met", step.note))
        with self.table.step("the frozen node's late commit is refused") as step:
            running.wait_until(
                lambda: re.search("canceled, or taken over", frozen.log.read_text(errors="replace")),
                WAIT_SECONDS, "the frozen node gives its job up",
            )
            if west.job("monday-west") != job:
                raise Failed("the job was changed after its end")
            step.note = "its lease's fence has risen since"
            self.proven.append(("a frozen node's late commit changes nothing", "it gave up, and the job's row stayed as it was"))

    def cut_the_link(self, west):
        """The link is cut for some seconds, midway."""
        say(f"""
            First the link between the regions is cut for {CUT_SECONDS} seconds. The copy must wait, not fail, and
            both regions must go on answering their own callers.
        """)
        with self.table.step("cut the link") as step:
            west.await_snapshot("monday-west", step, percent=15)
            self.network.cut()
            time.sleep(1)
            before = west.snapshot("monday-west")["PercentProgress"]
            time.sleep(CUT_SECONDS)
            after = west.snapshot("monday-west", step, "cut")
            self.regions[EAST].snapshot("monday")
            self.network.heal()
            if after["PercentProgress"] > before + 10 or after["Status"] != "copying":
                raise Failed(f"the copy went on over a cut link, from {before} to {after['PercentProgress']} percent")
            step.note = f"it waits at {after['PercentProgress']} percent, and both regions answer"
        with self.table.step("mend the link") as step:
            west.await_snapshot("monday-west", step, percent=min(95, after["PercentProgress"] + 8), note="goes on")
            step.note = "it goes on"
        self.proven.append(("a cut link only makes a copy wait", f"{after['PercentProgress']} percent, and on when it was mended"))

    def freeze_the_runner(self, west):
        """SIGSTOP for longer than the lease."""
        say("""
            Now the node that copies is stopped with SIGSTOP, as a machine that swaps or a virtual machine that is
            moved would be. It renews its lease no more, so another node takes the job over. Then it wakes, and does
            not know that it lost the job.
        """)
        with self.table.step("freeze the node that copies") as step:
            frozen = west.runner("monday-west")
            frozen.process.send_signal(signal.SIGSTOP)
            try:
                running.wait_until(
                    lambda: west.runner("monday-west") is not frozen, WAIT_SECONDS, "another node takes the copy over",
                    every=0.3,
                )
                now = west.runner("monday-west")
                percent = west.snapshot("monday-west", step)["PercentProgress"]
                west.await_snapshot("monday-west", step, percent=min(90, percent + 8), note="elsewhere")
            finally:
                frozen.process.send_signal(signal.SIGCONT)
            step.note = f"{named(frozen)} slept, {named(now)} took the copy over at {percent} percent"
        self.proven.append(("a frozen node's copy goes on elsewhere", step.note))
        return frozen

    def kill_the_runner(self, west):
        """SIGKILL for the node that copies now, and for one of the source's."""
        east = self.regions[EAST]
        say("""
            The node that copies now is killed with SIGKILL, and with it a node of the east, from which it may be
            reading. The balancers notice, the job's lease ends, and the woken node takes it up again.
        """)
        with self.table.step("kill a node of each region") as step:
            killed = west.runner("monday-west")
            killed.kill()
            # The second, since the cluster is the first's.
            other = east.nodes["east-2"]
            other.kill()
            running.wait_until(
                lambda: west.runner("monday-west") is not killed, WAIT_SECONDS, "another node takes the copy over",
                every=0.3,
            )
            step.note = f"{named(killed)} and {named(other)} died; {named(west.runner('monday-west'))} goes on"
        self.proven.append(("a killed node's copy goes on elsewhere", step.note))

    def kill_the_database(self, west):
        """SIGKILL for PostgreSQL, and with it for both catalogs."""
        say("""
            PostgreSQL, which keeps both catalogs, is killed with SIGKILL and started again. Requests wait for it, up
            to ten seconds; what was acknowledged is there.
        """)
        with self.table.step("kill PostgreSQL, and start it again") as step:
            before = west.job("monday-west")
            self.database.kill()
            self.database.start()
            west.snapshot("monday-west", step)
            after = west.job("monday-west")
            if after["id"] != before["id"] or after["attempts"] < before["attempts"]:
                raise Failed(f"the job was {before}, and is {after}")
            step.note = "both catalogs are as they were"
        self.proven.append(("the catalogs outlive kill -9 of PostgreSQL", "the snapshots and the job are there"))

    def check_copy(self, key):
        """What the copy says of itself; and the dead come back."""
        say("""
            The dead nodes are started again, each on its own folder, where its name is.
        """)
        west = self.regions[WEST]
        copy = west.snapshot("monday-west")
        if not copy["StorageEncrypted"] or copy.get("KmsKeyId") != key:
            raise Failed(f"the copy is not sealed under {key}")
        with self.table.step("start the dead nodes again") as step:
            for region in self.regions:
                for node in region.nodes.values():
                    if not node.is_running:
                        node.start()
                running.wait_until(
                    lambda: set(region.states().values()) == {"serving"}, 30, f"all nodes of {region.name} serve",
                    every=0.3,
                )
            step.note = "all four serve, under their old names"
        self.proven.append(("dead nodes come back under their names", step.note))

    def restore(self, west):
        """A new cluster in the other region."""
        say("Last the copy is restored in the west, and every row compared with the source's.")
        with self.table.step("restore it there") as step:
            west.rds.restore_db_cluster_from_snapshot(
                DBClusterIdentifier="shop-west", SnapshotIdentifier="monday-west", Engine="aurora-postgresql"
            )
            cluster = west.await_cluster("shop-west", step)
            step.note = f"at {cluster['Endpoint']}:{cluster['Port']}"
        return cluster

    def prove(self, source, restored):
        """The same rows on both sides."""
        with self.table.step("compare every row of every table") as step:
            with (
                proof.connect(source, USER, self.password, DATABASE) as here,
                proof.connect(restored, USER, self.password, DATABASE) as there,
            ):
                rows, others = proof.fingerprints(here), proof.fingerprints(there)
            found = proof.differences(rows, others)
            count = sum(count for count, _ in rows.values())
            if found or count < self.options.megabytes * ROWS_A_MEGABYTE:
                raise Failed("the clusters do not hold the same rows: " + "; ".join(found or ["rows are missing"]))
            step.note = f"{count} rows are the same"
            self.proven.append(("the copy holds what the source held", step.note))

    def end(self):
        """Ends all that was started, each by its process."""
        for region in self.regions:
            for node in region.nodes.values():
                if node.is_running:
                    node.process.send_signal(signal.SIGCONT)
                    node.stop()
        running.end_processes_within(self.folder)
        if self.store:
            self.store.kill()
            self.store.wait(10)
        if self.database:
            self.database.remove()
        self.network.down()


def named(node):
    """A node's name: its data folder's."""
    return node.data.name


def read_options():
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--binary", type=pathlib.Path, required=True, help="the snapferry binary")
    parser.add_argument("--folder", type=pathlib.Path, required=True, help="an empty folder to work in")
    parser.add_argument("--megabytes", type=int, default=32, help="rows that do not compress, MiB")
    parser.add_argument("--loopback", action="store_true", help="make no network namespaces")
    return parser.parse_args()


def main():
    """Runs the story; always ends what it started."""
    options = read_options()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    for name in [name for name in os.environ if running.FOREIGN.match(name)]:
        del os.environ[name]
    demo = Demo(options, options.folder.resolve())
    failure, begun = None, time.monotonic()
    try:
        demo.run()
    except KeyboardInterrupt:
        failure = "interrupted"
    except Failed as error:
        failure = str(error)
    except Exception as error:  # every failure ends the same way: said, and cleaned up
        failure = f"{type(error).__name__}: {error}"
    finally:
        demo.end()
    if failure:
        print(f"\nThe demo FAILED after {time.monotonic() - begun:.0f} s: {failure}", file=sys.stderr)
        print(f"The nodes' logs are in {demo.folder}.", file=sys.stderr)
        return 1
    demo.table.print()
    print_proven(demo.proven)
    print("\nAll of it held, and nothing is left running.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
