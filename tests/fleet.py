"""Nodes that share a catalog in PostgreSQL and a vault: a folder, or a bucket of a small S3 server."""
import json
import secrets
import shutil
import signal
import subprocess
import sys
import urllib.error
import urllib.request

from snapferry_tools import database, network, running, store


class Bucket:
    """A small S3 server that keeps what it answered through SIGKILL, with a bucket for the vault."""

    url = "s3://vault/ferry"

    def __init__(self):
        self.folder = running.make_folder("snapferry-bucket-")
        self.address = f"127.0.0.1:{network.free_port()}"
        self.process = None
        (self.folder / "vault").mkdir()
        self.start()

    @property
    def environment(self):
        """What tells a node of it."""
        return {
            "SNAPFERRY_VAULT": self.url,
            "SNAPFERRY_VAULT_ENDPOINT": f"http://{self.address}",
            "AWS_ACCESS_KEY_ID": "test",
            "AWS_SECRET_ACCESS_KEY": "test-secret",
            "AWS_REGION": "us-east-1",
        }

    def answers(self):
        """Whether it serves."""
        try:
            with urllib.request.urlopen(f"http://{self.address}/vault?list-type=2", timeout=5):
                return True
        except (urllib.error.URLError, OSError):
            return False

    def start(self):
        """Starts it and waits until it answers."""
        self.process = subprocess.Popen(
            [sys.executable, store.__file__, self.address, str(self.folder)], stdin=subprocess.DEVNULL
        )
        running.wait_until(self.answers, 60, "the S3 server answers")

    def kill(self):
        """Ends it as a crash does."""
        self.process.kill()
        self.process.wait(10)

    def remove(self):
        """Ends it and removes what it kept."""
        self.kill()
        running.remove_folder(self.folder)


class Folder:
    """A vault in a folder that all nodes see."""

    def __init__(self):
        self.folder = running.make_folder("snapferry-vault-")
        self.environment = {"SNAPFERRY_VAULT": str(self.folder)}

    def remove(self):
        """Removes it."""
        running.remove_folder(self.folder)


class Fleet:
    """Nodes that share a catalog and a vault."""

    def __init__(self, deploy, flags=(), vault=None, host="127.0.0.1"):
        self.database = database.Database(host=host)
        self.vault = vault or Folder()
        self.key = secrets.token_hex(32)
        self.flags = flags
        self.deploy = deploy
        self.nodes = {}

    def add(self, name, start=True, prefix=None, listen=None, **more):
        """One more node; all accept the first one's administrator. `prefix` are the words that run it elsewhere."""
        environment = self.vault.environment | {
            "SNAPFERRY_CATALOG": self.database.url,
            "SNAPFERRY_MASTER_KEY": self.key,
        } | more
        node = self.deploy("--node", name, *self.flags, start=start and prefix is None, environment=environment)
        if prefix is not None:
            node.server.prefix, node.server.listen = prefix, listen
            if start:
                node.server.start()
        if start and self.nodes:
            shutil.copy(next(iter(self.nodes.values())).server.data / "credentials", node.server.data)
        if start:
            self.nodes[name] = node
        return node

    def verb(self, *words):
        """Runs a verb that needs the catalog alone."""
        done = subprocess.run(
            [next(iter(self.nodes.values())).server.binary, *words],
            check=True,
            capture_output=True,
            text=True,
            timeout=60,
            env=running.clean_environment(SNAPFERRY_CATALOG=self.database.url),
        )
        return done.stdout

    def listed(self):
        """The nodes by name, as `node list` shows them."""
        return {one["name"]: one for one in json.loads(self.verb("node", "list", "--format", "json"))}

    def jobs(self):
        """All jobs."""
        return json.loads(self.verb("job", "list", "--format", "json"))

    def job(self, subject, kind="copy-snapshot"):
        """The newest job of a kind on a subject."""
        found = (job for job in self.jobs() if (job["kind"], job["subject"]) == (kind, subject))
        return max(found, key=lambda job: job["created_at"])

    def runner(self, subject):
        """The name of the node that has the job now."""
        owner = running.wait_until(lambda: self.job(subject)["runner"], 60, f"{subject} is claimed")
        return owner.partition("/")[0]

    def remove(self):
        """Ends the database and removes what is shared."""
        for node in self.nodes.values():
            if node.server.is_running:
                node.server.process.send_signal(signal.SIGCONT)
                node.server.stop()
        self.database.remove()
        self.vault.remove()
