"""What changed between two snapshots, and what snapshots cost: by the command line and by the API under it."""
import json
import re
import subprocess
import xml.etree.ElementTree as ElementTree

import pytest

import clients
from clients import DATABASE, HOME, OWNER, PARTNER, STRANGER
from snapferry_tools import running

# The last two snapshots' bytes of each cluster are weighed while nothing else goes on.
FLAGS = ("--sweep-grace-seconds", "1", "--no-automated-backups")
KINDS = ("packs", "lists", "manifests")
NAMESPACE = "{urn:snapferry:api:1}"


@pytest.fixture(scope="module")
def world(deploy_for_module):
    """A deployment of its own: all that its vault holds is told."""
    return deploy_for_module(*FLAGS)


def said(world, binary, *words, account=OWNER, status=0):
    """Runs a verb as an account; returns its JSON, or its refusal."""
    ended = subprocess.run(
        [binary, *words, "--json"], check=False, capture_output=True, text=True, timeout=120, env=world.environment(account),
    )
    assert ended.returncode == status, (words, ended.stdout, ended.stderr)
    return json.loads(ended.stdout) if status == 0 else ended.stderr


def kept(world):
    """Bytes of all objects in the home region's vault."""
    files = [file for kind in KINDS for file in world.server.data.glob(f"vault/{HOME}/volumes/*/*/*/{kind}/*")]
    sizes = []
    for file in files:
        try:
            sizes.append(file.stat().st_size)
        except FileNotFoundError:
            continue
    return sum(sizes)


def wait_kept(world, expected, what):
    """Waits until the vault has exactly so many bytes."""
    running.wait_until(lambda: kept(world) == expected, 60, f"{what}: {kept(world)} is {expected}", every=0.2)


def relation_of(connection, name):
    """A table's or index's file, as the answer names it: (database, number)."""
    path = connection.execute("select pg_relation_filepath(%s)", (name,)).fetchone()[0]
    return re.fullmatch(r"base/(\d+)/(\d+)", path).groups()


def test_what_a_deletion_frees_is_told_to_the_byte(world, binary):
    rds = world.rds()
    cluster = world.new_cluster("weighed")
    with clients.connect(cluster) as connection:
        clients.fill_with_noise(connection, 4)
        for number in (1, 2, 3):
            tags = [{"Key": "team", "Value": "red" if number < 3 else "blue"}]
            world.new_snapshot(f"weighed-{number}", "weighed", Tags=tags)
            clients.fill_with_noise(connection, 2, f"more{number}")
            connection.execute("update noise set content = content || '\\x00' where i %% 10 = %s", (number,))
    costs = said(world, binary, "snapshot", "cost", "--cluster", "weighed", "--tag", "team")
    rows = {row["DBClusterSnapshotIdentifier"]: row for row in costs["Snapshots"]}
    assert costs["Total"]["SnapshotCount"] == 3
    # The newest is what the next one is compared with; the first has frames that none has later.
    assert rows["weighed-3"]["IsBaseOfCluster"] and rows["weighed-3"]["BytesFreed"] == 0
    assert rows["weighed-3"]["BytesUnique"] > 1 << 20
    for number in (1, 2):
        row = rows[f"weighed-{number}"]
        assert 0 < row["BytesFreed"] == row["BytesUnique"] < row["BytesReferenced"], row
    wait_kept(world, costs["Total"]["BytesReferenced"], "what is weighed is what is kept")
    sets = {row.get("TagValue"): row for row in costs["Sets"]}
    assert {value: row["SnapshotCount"] for value, row in sets.items()} == {"red": 2, "blue": 1}
    alone = rows["weighed-1"]["BytesFreed"] + rows["weighed-2"]["BytesFreed"]
    assert alone <= sets["red"]["BytesFreed"] < sets["red"]["BytesReferenced"]
    assert sets["blue"]["BytesFreed"] == 0

    before = kept(world)
    rds.delete_db_cluster_snapshot(DBClusterSnapshotIdentifier="weighed-2")
    wait_kept(world, before - rows["weighed-2"]["BytesFreed"], "one is gone")

    # A copy keeps all that its source has; the two together free it.
    rds.copy_db_cluster_snapshot(**clients.copy_request("weighed-1", "weighed-copy"))
    alone = said(world, binary, "snapshot", "cost", "weighed-1")
    assert alone["Snapshots"][0]["BytesFreed"] == 0 < alone["Snapshots"][0]["BytesUnique"]
    rds.add_tags_to_resource(
        ResourceName=clients.snapshot_of(rds, "weighed-copy")["DBClusterSnapshotArn"],
        Tags=[{"Key": "old", "Value": "yes"}],
    )
    rds.add_tags_to_resource(
        ResourceName=clients.snapshot_of(rds, "weighed-1")["DBClusterSnapshotArn"], Tags=[{"Key": "old", "Value": "yes"}]
    )
    costs = said(world, binary, "snapshot", "cost", "--cluster", "weighed", "--tag", "old")
    (both,) = [row for row in costs["Sets"] if row.get("TagValue") == "yes"]
    assert (both["SnapshotCount"], both["BytesFreed"]) == (2, alone["Snapshots"][0]["BytesUnique"])
    before = kept(world)
    for name in ("weighed-1", "weighed-copy"):
        rds.delete_db_cluster_snapshot(DBClusterSnapshotIdentifier=name)
    wait_kept(world, before - both["BytesFreed"], "both are gone")
    shown = said(world, binary, "snapshot", "show", "weighed-3")
    assert shown["cost"]["BytesReferenced"] == kept(world)
    assert shown["snapshot"]["DBClusterSnapshotIdentifier"] == "weighed-3"


def test_what_changed_is_told_by_relation_without_any_pack(world, binary):
    cluster = world.new_cluster("compared", StorageEncrypted=True, KmsKeyId=world.new_key())
    with clients.connect(cluster) as connection:
        for number in range(5):
            connection.execute(f"create table t{number} (i int primary key, x text) with (autovacuum_enabled = off)")
            connection.execute(f"insert into t{number} select i, repeat(md5(i::text), 20) from generate_series(1, 5000) i")
        connection.execute("vacuum freeze")
        connection.execute("checkpoint")
        world.new_snapshot("compared-1", "compared")
        changed = relation_of(connection, "t3")
        old = relation_of(connection, "t1")
        connection.execute("update t3 set x = 'y' where i % 100 = 0")
        connection.execute("vacuum full t1")
        new = relation_of(connection, "t1")
        world.new_snapshot("compared-2", "compared")
    packs = list(world.server.data.glob(f"vault/{HOME}/volumes/*/*/*/packs"))
    for folder in packs:
        folder.rename(folder.with_name("packs-away"))
    try:
        diff = said(world, binary, "snapshot", "diff", "compared-1", "compared-2", "--limit", "1000")
    finally:
        for folder in packs:
            folder.with_name("packs-away").rename(folder)
    rows = {(row["Database"], row["Relation"], row["Fork"]): row for row in diff["Relations"]}
    assert {row["DatabaseName"] for key, row in rows.items() if key[0] == changed[0]} == {DATABASE}
    assert rows[(*changed, "main")]["Blocks"]["Changed"] >= 10
    assert rows[(*changed, "main")]["Blocks"]["Removed"] == 0
    assert rows[(*old, "main")]["Blocks"]["Removed"] > 400 and rows[(*old, "main")]["Blocks"]["After"] == 0
    assert rows[(*new, "main")]["Blocks"]["Added"] > 400 and rows[(*new, "main")]["Blocks"]["Before"] == 0
    with clients.connect(cluster) as connection:
        for name in ("t0", "t2", "t4"):
            assert (*relation_of(connection, name), "main") not in rows
    touched = [sum(row["Blocks"][of] for of in ("Changed", "Added", "Removed")) for row in diff["Relations"]]
    assert touched == sorted(touched, reverse=True) and diff["RelationsLeftOut"] == 0
    total = diff["Total"]
    for of in ("Before", "After", "Changed", "Added", "Removed"):
        parts = [row["Blocks"][of] for row in diff["Databases"]]
        assert total[of] == sum(parts) + diff["Other"][of]
    same = said(world, binary, "snapshot", "diff", "compared-2", "compared-2")
    assert same["Relations"] == [] and same["Total"]["Changed"] == 0 < same["Total"]["After"]
    few = said(world, binary, "snapshot", "diff", "compared-1", "compared-2", "--limit", "1")
    assert len(few["Relations"]) == 1 and few["RelationsLeftOut"] == len(diff["Relations"]) - 1

    world.new_cluster("another")
    world.new_snapshot("another-1", "another")
    for pair in (("another-1", "compared-1"), ("compared-1", "another-1")):
        assert "cannot be compared" in said(world, binary, "snapshot", "diff", *pair, status=1)
    assert "not found" in said(world, binary, "snapshot", "diff", "compared-1", "no-such", status=5)


def test_strangers_learn_nothing_and_partners_what_is_theirs(world, binary):
    rds, key = world.rds(), world.new_key()
    world.new_cluster("shared", StorageEncrypted=True, KmsKeyId=key)
    for number in (1, 2):
        world.new_snapshot(f"shared-{number}", "shared")
    first, second = (clients.snapshot_of(rds, f"shared-{number}")["DBClusterSnapshotArn"] for number in (1, 2))
    for account in (PARTNER, STRANGER):
        assert "not found" in said(world, binary, "snapshot", "cost", first, account=account, status=5)
        assert "not found" in said(world, binary, "snapshot", "diff", first, second, account=account, status=5)
        assert said(world, binary, "snapshot", "cost", account=account)["Snapshots"] == []
    for number in (1, 2):
        rds.modify_db_cluster_snapshot_attribute(
            DBClusterSnapshotIdentifier=f"shared-{number}", AttributeName="restore", ValuesToAdd=[PARTNER]
        )
    # What it shares with the owner's other snapshots is the owner's to know.
    (row,) = said(world, binary, "snapshot", "cost", first, account=PARTNER)["Snapshots"]
    assert row["BytesReferenced"] > 0 and not {"BytesUnique", "BytesFreed", "IsBaseOfCluster"} & set(row)
    assert "KMSKeyNotAccessibleFault" in said(world, binary, "snapshot", "diff", first, second, account=PARTNER, status=4)
    world.kms().put_key_policy(KeyId=key, PolicyName="default", Policy=clients.cross_account_policy(PARTNER))
    diff = said(world, binary, "snapshot", "diff", first, second, account=PARTNER)
    assert diff["Total"]["After"] > 100
    assert "not found" in said(world, binary, "snapshot", "diff", first, second, account=STRANGER, status=5)
    assert "not found" in said(world, binary, "snapshot", "cost", first, account=STRANGER, status=5)


def test_the_answers_come_by_every_protocol_and_bad_input_is_refused(world):
    world.new_cluster("asked")
    world.new_snapshot("asked-1", "asked")
    signer = clients.Signer(world, service="snapferry")
    answer = signer.post(clients.form("DescribeDBClusterSnapshotCosts", DBClusterSnapshotIdentifier="asked-1"))
    root = ElementTree.fromstring(answer.text)
    assert root.tag == f"{NAMESPACE}DescribeDBClusterSnapshotCostsResponse", answer.text
    (row,) = root.iter(f"{NAMESPACE}SnapshotCost")
    assert int(row.find(f"{NAMESPACE}BytesReferenced").text) > 0
    pair = {"BaseDBClusterSnapshotIdentifier": "asked-1", "DBClusterSnapshotIdentifier": "asked-1"}
    answer = signer.post(clients.form("DescribeDBClusterSnapshotDiff", **pair))
    assert "<BlockBytes>8192</" in answer.text
    target = {"X-Amz-Target": "Snapferry_1.DescribeDBClusterSnapshotDiff", "Content-Type": "application/x-amz-json-1.1"}
    answer = signer.post(json.dumps(pair).encode(), extra=target)
    assert json.loads(answer.text)["BlockBytes"] == 8192, answer.text
    # They are no actions of RDS.
    wrong = clients.Signer(world).post(clients.form("DescribeDBClusterSnapshotDiff", **pair))
    assert (wrong.status, wrong.fault()[0]) == (400, "InvalidAction")
    for action, parameters, code in (
        ("DescribeDBClusterSnapshotDiff", pair | {"MaxRecords": "0"}, "InvalidParameterValue"),
        ("DescribeDBClusterSnapshotDiff", pair | {"MaxRecords": "10001"}, "InvalidParameterValue"),
        ("DescribeDBClusterSnapshotDiff", {"DBClusterSnapshotIdentifier": "asked-1"}, "MissingParameter"),
        ("DescribeDBClusterSnapshotDiff", pair | {"DBClusterSnapshotIdentifier": "a--b"}, "InvalidParameterValue"),
        (
            "DescribeDBClusterSnapshotCosts",
            {"DBClusterSnapshotIdentifier": "asked-1", "DBClusterIdentifier": "asked"}, "InvalidParameterCombination",
        ),
        ("DescribeDBClusterSnapshotCosts", {"DBClusterSnapshotIdentifier": "none"}, "DBClusterSnapshotNotFoundFault"),
    ):
        refused = signer.post(clients.form(action, **parameters))
        assert refused.fault()[0] == code, refused.text
