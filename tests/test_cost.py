"""What a copy in one region costs: one commit, whatever the size."""
import pathlib
import re

import pytest

import clients
from clients import unique
from snapferry_tools import running

# Rows of the catalog and their record log in the vault; no part of it grows with the data.
RECORD_BYTES_MAX = 256 << 10


def counters(deployment):
    """fsyncs and bytes that the server says it wrote, and bytes that the system counted."""
    text = clients.send(deployment.server, "GET", "/metrics").text

    def read(name):
        return int(float(re.search(rf"^{name} (\S+)$", text, re.MULTILINE).group(1)))

    io = pathlib.Path(f"/proc/{deployment.server.process.pid}/io").read_text(encoding="ascii")
    return (
        read("snapferry_fsyncs_total"),
        read("snapferry_vault_written_bytes_total"),
        int(re.search(r"^wchar: (\d+)$", io, re.MULTILINE).group(1)),
    )


def cost_of_a_copy(deployment, source, key):
    """The cheapest of some copies: (fsyncs, vault bytes, bytes written by the process)."""
    def one():
        before = counters(deployment)
        made = deployment.rds().copy_db_cluster_snapshot(**clients.copy_request(source, unique("cost"), KmsKeyId=key))
        assert made["DBClusterSnapshot"]["Status"] == "available"
        # The record's record log follows the commit; what it costs is counted too.
        running.wait_until(lambda last=[None]: settled(last), 60, "the server is quiet", every=0.2)
        return tuple(after - start for after, start in zip(counters(deployment), before, strict=True))

    def settled(last):
        now = counters(deployment)[:2]
        same, last[0] = now == last[0], now
        return same

    return min(one() for _ in range(4))


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_ten_mebibytes_and_a_gibibyte_cost_the_same(deploy_for_module):
    deployment = deploy_for_module()
    key, other = deployment.new_key(), deployment.new_key()
    costs = {}
    for name, megabytes in (("small", 10), ("large", 1024)):
        cluster = deployment.new_cluster(name, StorageEncrypted=True, KmsKeyId=key)
        with clients.connect(cluster) as connection:
            clients.fill_with_noise(connection, megabytes)
            size = connection.execute("select pg_total_relation_size('noise')").fetchone()[0]
        assert size >= megabytes << 20
        deployment.rds().create_db_cluster_snapshot(
            DBClusterSnapshotIdentifier=f"{name}-snapshot", DBClusterIdentifier=name
        )
        clients.wait_snapshot(deployment.rds(), f"{name}-snapshot", 200)
        costs[name] = cost_of_a_copy(deployment, f"{name}-snapshot", other)
    print(f"\ncost of a copy (fsyncs, bytes into the vault, bytes written): {costs}")
    small, large = costs["small"], costs["large"]
    assert 0 < large[0] <= small[0]
    assert large[1] <= RECORD_BYTES_MAX and large[2] <= RECORD_BYTES_MAX
    assert large[1] <= small[1] * 1.2
