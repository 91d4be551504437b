"""`snapferry vault verify`: whole vaults pass, damage is told by snapshot, file and bytes, and mended from elsewhere."""
import contextlib
import json
import os
import signal
import socket
import subprocess

import pytest

import clients
from clients import FAR, HOME, copy_request
from snapferry_tools import running

WHOLE, FAILED, DAMAGED = 0, 1, 3


@pytest.fixture(scope="module")
def kept(deploy_for_module):
    """A deployment with an encrypted cluster of a few megabytes, its snapshot, and a copy far away."""
    deployment = deploy_for_module("--lease-seconds", "3")
    deployment.key = deployment.new_key()
    cluster = deployment.new_cluster("kept", StorageEncrypted=True, KmsKeyId=deployment.key)
    with clients.connect(cluster) as connection:
        clients.fill_with_noise(connection, 4)
        deployment.rows = clients.table_of(connection, "noise")
    deployment.new_snapshot("first", "kept")
    source = f"arn:aws:rds:{HOME}:{clients.OWNER}:cluster-snapshot:first"
    request = copy_request(source, "far", KmsKeyId=deployment.new_key(FAR), SourceRegion=HOME)
    deployment.rds(FAR).copy_db_cluster_snapshot(**request)
    clients.wait_snapshot(deployment.rds(FAR), "far")
    return deployment


def begin(deployment, *flags):
    """The verb as a process of its own."""
    server = deployment.server
    return subprocess.Popen(
        [server.binary, "vault", "verify", "--format", "json", "--data", str(server.data), *flags],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=running.clean_environment(),
    )


def verify(deployment, *flags, status=WHOLE):
    """Runs the verb to its end; returns its report."""
    process = begin(deployment, *flags)
    out, err = process.communicate(timeout=120)
    assert process.returncode == status, err
    return json.loads(out) if out else err


def objects(deployment, kind, region=HOME):
    """Files of one kind in a region's vault, the largest first."""
    found = (deployment.server.data / "vault" / region / "volumes").glob(f"*/*/*/{kind}/*")
    return sorted(found, key=lambda path: -path.stat().st_size)


def hash_of(path):
    """The hash in an object's name."""
    return path.name.split(".")[0]


def spoil(path, at=-20):
    """Flips a bit of a file."""
    path.chmod(0o600)
    content = bytearray(path.read_bytes())
    content[at] ^= 16
    path.write_bytes(content)


@pytest.mark.parametrize("flags", [(), ("--read-data",), ("--read-data", "--sample", "30%")])
def test_what_is_whole_passes(kept, flags):
    """Nothing is found where nothing is wrong, and everything was looked at."""
    report = verify(kept, *flags)
    assert report["damaged"] == report["mended"] == 0 and report["findings"] == []
    assert report["snapshots"] == 2 and report["unopened_manifests"] == 0
    if "--sample" not in flags:
        held = sum(len(objects(kept, kind, region)) for kind in ("packs", "lists", "manifests") for region in (HOME, FAR))
        assert report["objects"] == held


def test_the_same_sample_each_time(kept):
    """A sample is drawn by the objects' hashes."""
    counts = {verify(kept, "--sample", "40%")["objects"] for _ in range(2)}
    assert len(counts) == 1


def test_damage_is_told_and_mended(kept):
    """A flipped bit of a pack: its snapshot, its files and bytes are named; another region mends it."""
    pack = objects(kept, "packs")[0]
    whole = pack.read_bytes()
    spoil(pack)
    report = verify(kept, "--read-data", status=DAMAGED)
    (finding,) = report["findings"]
    assert (finding["region"], finding["kind"], finding["hash"]) == (HOME, "pack", hash_of(pack))
    assert "first" in [one["name"] for one in finding["needed_by"]]
    assert finding["outcome"] == "held-elsewhere" and finding["regions"] == [FAR]
    assert finding["files"] and all(part["start"] < part["end"] for part in finding["files"])
    events = kept.rds().describe_events(SourceIdentifier="first", SourceType="db-cluster-snapshot", Duration=60)
    assert any(event["Message"].endswith("bytes that it needs are damaged or gone.") for event in events["Events"])

    report = verify(kept, "--repair")
    assert [one["outcome"] for one in report["findings"]] == ["mended"] and report["mended"] == 1
    mended = [path for path in objects(kept, "packs") if hash_of(path) == hash_of(pack) and path != pack]
    assert [path.read_bytes() for path in mended] == [whole]
    assert verify(kept, "--read-data")["damaged"] == 0


@pytest.mark.parametrize("kind", ["manifests", "lists"])
def test_what_is_gone_is_fetched_again(kept, kind):
    """A missing manifest or block list is named, and comes back from the other region."""
    for lost in objects(kept, kind, FAR):
        lost.unlink()
    report = verify(kept, "--region", FAR, status=DAMAGED)
    assert {one["kind"] for one in report["findings"]} == {{"manifests": "manifest", "lists": "block list"}[kind]}
    assert [one["name"] for one in report["findings"][0]["needed_by"]] == ["far"]
    assert verify(kept, "--region", FAR, "--repair")["mended"] == len(report["findings"])
    assert verify(kept, "--read-data")["damaged"] == 0


def test_what_no_region_holds_stays_damaged(kept):
    """Damage without another copy is told, and a repair changes nothing."""
    kept.new_snapshot("second", "kept")
    manifest = max(objects(kept, "manifests"), key=lambda path: path.stat().st_mtime_ns)
    whole = manifest.read_bytes()
    manifest.chmod(0o600)
    manifest.write_bytes(whole[:-1])
    report = verify(kept, "--snapshot", "second", "--repair", status=DAMAGED)
    (finding,) = report["findings"]
    assert finding["outcome"] == "lost" and finding["kind"] == "manifest" and finding["files"] == []
    assert verify(kept, "--snapshot", "first")["damaged"] == 0
    manifest.write_bytes(whole)
    assert verify(kept)["damaged"] == 0


def paths_of(deployment, table):
    """A table's file in the folder of the cluster that has it."""
    with clients.connect(clients.cluster_of(deployment.rds(), "kept")) as connection:
        (relative,) = connection.execute("SELECT pg_relation_filepath(%s)", [table]).fetchone()
    return [path for path in (deployment.server.data / "clusters").glob(f"*/try-*/data/{relative}")]


def test_a_sample_is_restored_and_read(kept):
    """A snapshot that lacks a table's file is whole by every hash, and is found by restoring it."""
    assert verify(kept, "--snapshot", "first", "--restore-sample")["restored"] == 1
    with clients.connect(clients.cluster_of(kept.rds(), "kept")) as connection:
        connection.execute("CREATE TABLE lost AS SELECT generate_series(1, 1000) n")
        connection.commit()
    (path,) = paths_of(kept, "lost")
    kept.new_snapshot("with-it", "kept")
    path.unlink()
    kept.new_snapshot("without-it", "kept")
    with clients.connect(clients.cluster_of(kept.rds(), "kept")) as connection:
        connection.execute("DROP TABLE lost")
        connection.commit()
    assert verify(kept, "--read-data", "--region", HOME)["damaged"] == 0
    assert verify(kept, "--snapshot", "with-it", "--restore-sample", "2")["restored"] == 1
    report = verify(kept, "--snapshot", "without-it", "--restore-sample", "2", status=DAMAGED)
    (finding,) = report["findings"]
    assert (finding["kind"], report["restored"], report["damaged"]) == ("snapshot", 0, 1)
    assert [one["name"] for one in finding["needed_by"]] == ["without-it"]
    assert "could not open file" in finding["why"], finding
    assert not list((kept.server.data / "clusters").glob("sample-*"))
    kept.rds().delete_db_cluster_snapshot(DBClusterSnapshotIdentifier="without-it")


def test_what_is_no_file_of_the_database_is_left_out(kept):
    """A link, a socket and a folder in a database's folder are named by an event, and the snapshot restores."""
    (path,) = paths_of(kept, "noise")
    odd = [path.parent / name for name in ("a-folder", "a-link", "a-socket")]
    odd[0].mkdir()
    odd[1].symlink_to("/etc/passwd")
    with socket.socket(socket.AF_UNIX) as listener, contextlib.chdir(path.parent):
        # The whole path would be too long for it.
        listener.bind("a-socket")
    try:
        kept.new_snapshot("tidy", "kept")
    finally:
        odd[0].rmdir()
        odd[1].unlink()
        odd[2].unlink()
    events = kept.rds().describe_events(SourceIdentifier="tidy", SourceType="db-cluster-snapshot", Duration=60)
    (told,) = [event["Message"] for event in events["Events"] if "leaves out" in event["Message"]]
    assert all(one.name in told for one in odd) and str(kept.server.data) not in told
    assert verify(kept, "--snapshot", "tidy", "--restore-sample")["restored"] == 1


def test_a_restore_mends_its_snapshot(kept):
    """A restore that meets damage fetches it from another region, and brings the same rows."""
    spoil(objects(kept, "packs", FAR)[0])
    rds = kept.rds(FAR)
    rds.restore_db_cluster_from_snapshot(
        DBClusterIdentifier="mended", SnapshotIdentifier="far", Engine="aurora-postgresql"
    )
    with clients.connect(clients.wait_cluster(rds, "mended")) as connection:
        assert clients.table_of(connection, "noise") == kept.rows
    assert verify(kept)["damaged"] == 0


def test_without_a_key_stored_hashes_are_checked(kept):
    """A disabled key hides what is inside, and nothing else; damage is still found."""
    kept.kms().disable_key(KeyId=kept.key)
    try:
        report = verify(kept, "--read-data", "--region", HOME)
        assert report["unopened_manifests"] == report["manifests"] and report["objects"] > 2
    finally:
        kept.kms().enable_key(KeyId=kept.key)


def test_a_killed_verification_goes_on(kept):
    """The verb waits over a crash of the server; the same one asked twice is one job, another one has to wait."""
    server = kept.server
    os.kill(server.process.pid, signal.SIGSTOP)
    first = begin(kept, "--read-data")
    running.wait_until(lambda: any(job["state"] == "open" for job in server.jobs()), 60, "the job is there")
    second = begin(kept, "--read-data")
    assert "goes on" in second.stderr.readline()
    assert "another verification" in verify(kept, status=FAILED)
    server.kill()
    server.start()
    said = [process.communicate(timeout=120) for process in (first, second)]
    assert first.returncode == second.returncode == WHOLE, said
    reports = [json.loads(out) for out, _ in said]
    assert reports[0] == reports[1] and reports[0]["damaged"] == 0


def test_a_server_is_needed(deploy):
    """Without a server the verb says so."""
    deployment = deploy()
    deployment.server.stop()
    assert "snapferry serve" in verify(deployment, status=FAILED)
