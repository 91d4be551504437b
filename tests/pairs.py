"""Two deployments, each with a region, linked by way of relays."""
import collections
import json
import re
import secrets

import relay as relays
from clients import FAR, HOME, OWNER, copy_request, unique

KEY = secrets.token_hex(32)
# What a caller is told of a peer that cannot be used, whatever the reason: that is the log's.
UNREACHABLE = re.compile(r"^Region \S+ is hosted by another deployment, which cannot be used now\. Nothing was changed: try again later\.$")


class Pair:
    """Two deployments with a link each way, by way of relays."""

    def __init__(self, deploy, folder, key=KEY, home_more="", home_flags=(), far_flags=(), to_home=None, far_more=""):
        self.to_home, self.to_far = to_home or relays.Relay(), relays.Relay()
        self.home = self._start(deploy, folder / "home.toml", HOME, FAR, self.to_far, KEY, home_more, *home_flags)
        self.far = self._start(deploy, folder / "far.toml", FAR, HOME, self.to_home, key, far_more, *far_flags)
        self.aim()

    @staticmethod
    def settings(file, other, relay, key=KEY, more=""):
        """Writes a settings file that names the other region's deployment."""
        row = f'[regions.{other}]\nendpoint = "{relay.url}"\npeer_key = "{key}"\n{more}'
        file.write_text(row, encoding="utf-8")
        return str(file)

    def _start(self, deploy, file, region, other, relay, key, more, *flags):
        return deploy("--config", self.settings(file, other, relay, key, more), "--default-region", region, *flags)

    def aim(self):
        """The relays lead to where the servers listen now."""
        self.to_home.target, self.to_far.target = self.home.server.port, self.far.server.port

    def close(self):
        """Ends the relays."""
        self.to_home.close()
        self.to_far.close()


class Asked:
    """Counts what a relay's peer answered of each pack."""

    def __init__(self):
        self.bytes = collections.Counter()

    def __call__(self, method, path, body, status, headers, data):
        """Takes note of an answer and lets it through."""
        if path.endswith("/object") and status == 200:
            question = json.loads(body)
            if question["kind"] == "pack":
                self.bytes[question["hash"]] += len(data)
        return status, headers, data


def job_of(deployment, name):
    """The job of a copy."""
    return next(job for job in deployment.server.jobs() if job["kind"] == "copy-snapshot" and job["subject"] == name)


def start(pair, source, account=OWNER, **more):
    """Starts a copy from home to the far deployment."""
    rds, name = pair.far.rds(FAR, account), unique("across")
    made = rds.copy_db_cluster_snapshot(**copy_request(source["DBClusterSnapshotArn"], name, **more))
    return rds, name, made["DBClusterSnapshot"]


def objects(deployment):
    """Paths below `volumes` of what lies in a deployment's vaults."""
    root = deployment.server.data / "vault"
    found = (path for path in root.glob("*/volumes/**/*") if path.is_file())
    return {str(path.relative_to(root)).partition("/volumes/")[2] for path in found}


def hashes(deployment):
    """Names of the packs, lists and manifests in a deployment's vaults."""
    return {path.rpartition("/")[2].partition(".")[0] for path in objects(deployment)}
