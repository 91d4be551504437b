"""What a cluster's own user leaves, hides and multiplies: processes, files, and the numbers of users."""
import contextlib
import os
import pathlib
import re
import shlex
import shutil
import signal
import socket
import sqlite3
import subprocess
import threading
import time

import psycopg
import pytest

import clients
from clients import OWNER, PARTNER
from snapferry_tools import running

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="clusters have users of their own under root only")
DEEP = 3_000
MANY = 200_000
# A keeper looks every five seconds.
KEEPER_SECONDS = 5


def user_of(tenant):
    """The number of the cluster's OS user."""
    return int(tenant.run("id -u")[0])


def processes_of(uid):
    """Numbers of the living processes that have a user, in whatever role."""
    found = []
    for entry in pathlib.Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                text = (entry / "status").read_text(encoding="utf-8", errors="replace")
            except OSError:
                continue
            users = re.search(r"^Uid:\s+(.*)$", text, re.MULTILINE).group(1).split()
            if str(uid) in users and not re.search(r"^State:\s+Z", text, re.MULTILINE):
                found.append(int(entry.name))
    return found


def postmaster_of(deployment, cluster):
    """The number of a cluster's first process."""
    files = deployment.server.data.glob(f"clusters/{cluster['DbClusterResourceId']}/*/data/postmaster.pid")
    return int(next(files).read_text(encoding="utf-8").splitlines()[0])


def start_in_background(tenant, program):
    """Leaves a program running that no session waits for."""
    tenant.run(f"setsid nohup sh -c {shlex.quote(program)} >/dev/null 2>&1 </dev/null & echo")


def events_of(rds, name):
    """What a cluster's events say."""
    found = rds.describe_events(SourceType="db-cluster", SourceIdentifier=name)["Events"]
    return [event["Message"] for event in found]


def delete_and_wait(rds, name, seconds=40):
    """Deletes a cluster and waits until it is gone."""
    rds.delete_db_cluster(DBClusterIdentifier=name, SkipFinalSnapshot=True)

    def gone():
        try:
            clients.cluster_of(rds, name)
        except rds.exceptions.DBClusterNotFoundFault:
            return True
        return False

    running.wait_until(gone, seconds, f"{name} is deleted")


def test_all_that_a_tenant_runs_ends_with_the_cluster(deploy, tenant):
    deployment = deploy()
    someone = tenant(deployment.new_cluster("left", account=PARTNER))
    uid = user_of(someone)
    sleeper = "import os, time; f = open('held', 'wb'); os.chdir('/'); time.sleep(600)"
    start_in_background(someone, f"python3 -c \"{sleeper}\"")
    # Each process is gone before it can be found one by one, and has two more by then.
    chain = "import os\nwhile True:\n  if os.fork() and os.fork(): os._exit(0)\n"
    chain_file = "/tmp/" + clients.unique("chain") + f"-{os.getpid()}.py"
    pathlib.Path(chain_file).write_text(chain, encoding="utf-8")
    try:
        start_in_background(someone, f"ulimit -u 60; exec python3 {chain_file}")
        time.sleep(1)
        assert len(processes_of(uid)) > 7, "the tenant's programs run"
        limits = pathlib.Path(f"/proc/{processes_of(uid)[0]}/limits").read_text(encoding="utf-8")
        assert int(re.search(r"^Max processes +(\d+)", limits, re.MULTILINE).group(1)) <= 2_000
        delete_and_wait(deployment.rds(account=PARTNER), "left")
        time.sleep(0.5)
        assert processes_of(uid) == []
    finally:
        os.unlink(chain_file)
    assert not list(deployment.server.data.glob("clusters/*")) and not list(deployment.server.data.glob("run/*"))


def test_what_a_tenant_left_ends_with_the_server_too(deploy, tenant):
    deployment = deploy()
    uid = user_of(someone := tenant(deployment.new_cluster("left")))
    start_in_background(someone, "sleep 600")
    deployment.server.stop()
    assert processes_of(uid) == []


def test_a_tree_of_many_folders_is_removed_and_nobody_notices(deploy, tenant, watch):
    deployment = deploy(start=False)
    # Fewer descriptors than the tree is deep; a stack holds some 19,000 frames of a removal that recurses.
    deployment.server.prefix = ["prlimit", "--nofile=1024:1024"]
    deployment.server.start()
    someone = tenant(deployment.new_cluster("deep", account=PARTNER))
    someone.run(
        f"python3 -c \"import os\nfor i in range({DEEP}): os.mkdir('d'); os.chdir('d')\n\" && "
        "python3 -c \"import os\nfor i in range(5000): open(b'w\\xff' + str(i).encode(), 'w')\n\" && echo",
        timeout=60,
    )
    # The folder of its socket is the tenant's own as well.
    sockets = next(deployment.server.data.glob("run/*"))
    someone.run(f"cd {sockets} && python3 -c \"import os\nfor i in range({DEEP}): os.mkdir('d'); os.chdir('d')\n\" && echo")
    with watch(deployment, OWNER) as seen:
        delete_and_wait(deployment.rds(account=PARTNER), "deep")
    assert deployment.server.is_running and not seen.refusals, seen.told()
    assert max(seen.descriptors) < seen.descriptors[0] + 60, seen.told()
    assert max(seen.rss_mib) < seen.rss_mib[0] + 60, seen.told()
    assert not list(deployment.server.data.glob("clusters/*")) and not list(deployment.server.data.glob("run/*"))


@pytest.mark.long
def test_a_tree_of_many_entries_is_removed_in_bounded_memory(deploy, tenant, watch):
    deployment = deploy()
    someone = tenant(deployment.new_cluster("wide", account=PARTNER))
    # Half of them in one folder, half of them in a thousand.
    fill = (
        "import os\nos.mkdir('flat')\nfor i in range(%d): os.close(os.open('flat/%%d' %% i, os.O_CREAT))\n"
        "for i in range(1000):\n  os.mkdir('d%%d' %% i)\n"
        "  for j in range(%d): os.symlink('/etc/passwd', 'd%%d/%%d' %% (i, j))\n" % (MANY // 2, MANY // 2000)
    )
    someone.run(f"python3 -c {shlex.quote(fill)} && echo", timeout=240)
    begun = time.monotonic()
    with watch(deployment, OWNER) as seen:
        delete_and_wait(deployment.rds(account=PARTNER), "wide", seconds=240)
    print(f"{MANY} entries were removed in {time.monotonic() - begun:.1f} s")
    assert not seen.refusals, seen.told()
    assert max(seen.descriptors) < seen.descriptors[0] + 60, seen.told()
    assert max(seen.rss_mib) < seen.rss_mib[0] + 60, seen.told()
    assert not list(deployment.server.data.glob("clusters/*")) and os.path.getsize("/etc/passwd")


def immutable(path, wanted):
    """Makes a file immutable, or no longer; whether its file system knows that."""
    done = subprocess.run(["chattr", "+i" if wanted else "-i", path], capture_output=True, check=False)
    return done.returncode == 0


@pytest.mark.skipif(not shutil.which("chattr"), reason="needs chattr of e2fsprogs")
def test_an_immutable_file_ends_a_deletion_in_words_and_the_next_one_removes_it(deploy):
    deployment = deploy()
    cluster = deployment.new_cluster("stone")
    other = deployment.new_cluster("other", account=PARTNER)
    rds = deployment.rds()
    (data,) = deployment.server.data.glob(f"clusters/{cluster['DbClusterResourceId']}/*/data")
    stone = data / "stone"
    stone.write_bytes(b"stays")
    if not immutable(stone, True):
        pytest.skip("the file system of the data folder knows no immutable files")
    try:
        rds.delete_db_cluster(DBClusterIdentifier="stone", SkipFinalSnapshot=True)
        running.wait_until(lambda: clients.cluster_of(rds, "stone")["Status"] != "deleting", 60, "the deletion ends")
        said = [one["Message"] for one in rds.describe_events(SourceType="db-cluster", SourceIdentifier="stone")["Events"]]
        assert any("deletion failed" in message.lower() for message in said), said
        assert not any(str(data) in message for message in said), "the account is not told paths of the host"
        # The operator is, with where it lies by now: a removal moves folders up.
        log = deployment.server.log.read_text(encoding="utf-8")
        (left,) = deployment.server.data.glob(f"clusters/{cluster['DbClusterResourceId']}/**/stone")
        assert str(left) in log and "Operation not permitted" in log
        assert left.read_bytes() == b"stays"
        with clients.connect(other) as connection:
            assert connection.execute("select 1").fetchone() == (1,)
    finally:
        for left in deployment.server.data.glob(f"clusters/{cluster['DbClusterResourceId']}/**/stone"):
            assert immutable(left, False)
    delete_and_wait(rds, "stone")
    assert not data.exists()


def test_a_job_under_which_the_server_dies_is_set_aside(deploy):
    deployment = deploy()
    deployment.new_cluster("well")
    server = deployment.server

    def runs():
        with contextlib.suppress(FileNotFoundError):
            return any(mark.read_text(encoding="utf-8").startswith("under-way") for mark in server.data.glob("running/*"))
        return False

    def status(name):
        return clients.cluster_of(deployment.rds(), name)["Status"]

    def fails_with_its_server(name):
        """Kills the server three times under a cluster's creation; false when the creation was faster."""
        deployment.new_cluster(name, wait=False)
        for _ in range(3):
            running.wait_until(lambda: runs() or status(name) != "creating", 60, "the job runs", every=0.005)
            server.kill()
            server.start()
        return running.wait_until(lambda: (now := status(name)) != "creating" and now, 60, "it ends") == "failed"

    killer = next(name for name in ("killer", "killer-2", "killer-3", "killer-4") if fails_with_its_server(name))
    rds = deployment.rds()
    said = rds.describe_events(SourceType="db-cluster", SourceIdentifier=killer)["Events"]
    assert any("set aside" in event["Message"] for event in said), said
    assert "set aside" in server.log.read_text(encoding="utf-8")
    clients.wait_cluster(rds, "well")
    assert deployment.new_cluster("next")["Status"] == "available"
    delete_and_wait(rds, killer)


def test_deployments_of_one_machine_share_no_user(deploy, tenant):
    first, second = deploy(), deploy()
    users = [user_of(tenant(one.new_cluster("a"))) for one in (first, second)]
    users.append(user_of(tenant(first.new_cluster("b"))))
    assert len(set(users)) == 3


@pytest.mark.long
def test_an_older_catalog_gives_no_user_anew(deploy, tenant, tmp_path):
    deployment = deploy()
    server = deployment.server
    deployment.new_cluster("before")
    server.stop()
    for name in server.data.glob("catalog.sqlite*"):
        shutil.copy2(name, tmp_path / name.name)
    server.start()
    uid = user_of(tenant(deployment.new_cluster("lost")))
    server.stop()
    for name in server.data.glob("catalog.sqlite*"):
        name.unlink()
    for name in tmp_path.glob("catalog.sqlite*"):
        shutil.copy2(name, server.data / name.name)
    server.flags = [*server.flags, "--accept-older-catalog"]
    server.start()
    later = user_of(tenant(deployment.new_cluster("later", account=PARTNER)))
    assert later > uid


@pytest.mark.long
def test_clusters_that_share_a_user_are_told_and_spare_each_other(deploy, tenant):
    deployment = deploy()
    clusters = [deployment.new_cluster(name) for name in ("one", "two")]
    users = [user_of(tenant(cluster)) for cluster in clusters]
    server = deployment.server
    server.stop()
    # As an older release left it: both have the first one's user.
    with sqlite3.connect(server.data / "catalog.sqlite") as catalog:
        catalog.execute("update instances set body = replace(body, ?, ?)", (f'"os_uid":{users[1]}', f'"os_uid":{users[0]}'))
    catalog.close()
    for where in ("clusters/{}/*/data", "run/*"):
        for folder in server.data.glob(where.format(clusters[1]["DbClusterResourceId"])):
            subprocess.run(["chown", "-R", "--from", str(users[1]), f"{users[0]}:{users[0]}", folder], check=True)
    # Settings and the key are root's, for the server's group to read.
    for folder in server.data.glob(f"clusters/{clusters[1]['DbClusterResourceId']}/*/conf"):
        subprocess.run(["chgrp", "-R", str(users[0]), folder], check=True)
    server.start()
    rds = deployment.rds()
    for name in ("one", "two"):
        clients.wait_cluster(rds, name)
    assert f"uid={users[0]}" in server.log.read_text(encoding="utf-8")
    with clients.connect(clusters[1]) as kept:
        delete_and_wait(rds, "one")
        assert kept.execute("select 1").fetchone() == (1,)


@pytest.mark.parametrize("name, after", [("KILL", "available"), pytest.param("DAC_OVERRIDE", "failed", marks=pytest.mark.long)])
def test_a_missing_right_is_named_and_a_deletion_says_so(deploy, name, after):
    deployment = deploy()
    server = deployment.server
    deployment.new_cluster("kept")
    server.kill()
    server.prefix = ["setpriv", f"--bounding-set=-{name.lower()}"]
    server.start()
    assert f"CAP_{name}" in server.log.read_text(encoding="utf-8")
    rds = deployment.rds()
    rds.delete_db_cluster(DBClusterIdentifier="kept", SkipFinalSnapshot=True)
    running.wait_until(lambda: clients.cluster_of(rds, "kept")["Status"] != "deleting", 60, "it is given up")
    running.wait_until(lambda: clients.cluster_of(rds, "kept")["Status"] == after, 60, "the status tells what is left")
    assert f"without CAP_{name}" in server.log.read_text(encoding="utf-8")
    assert any(f"CAP_{name}" in said for said in events_of(rds, "kept")), "the cluster's owner is told"
    server.stop()
    server.prefix = []
    server.start()
    delete_and_wait(deployment.rds(), "kept")


@pytest.mark.long
def test_a_database_that_cannot_be_seen_is_spared_and_its_owner_told_why(deploy):
    deployment = deploy()
    server = deployment.server
    deployment.new_cluster("unseen")
    before = running.postmasters_within(server.data)
    server.kill()
    server.prefix = ["setpriv", "--bounding-set=-sys_ptrace"]
    server.start()
    running.wait_until(
        lambda: any("CAP_SYS_PTRACE" in said for said in events_of(deployment.rds(), "unseen")), 60, "the event says why"
    )
    assert clients.cluster_of(deployment.rds(), "unseen")["Status"] != "available"
    # Once, not at every look.
    time.sleep(KEEPER_SECONDS + 1)
    told = [said for said in events_of(deployment.rds(), "unseen") if "CAP_SYS_PTRACE" in said]
    assert len(told) == 1, told
    server.stop()
    assert running.postmasters_within(server.data) == before
    server.prefix = []
    server.start()
    clients.wait_cluster(deployment.rds(), "unseen")
    assert running.postmasters_within(server.data) == before


def test_too_few_open_files_are_refused_and_few_kept_for_the_server(deploy):
    deployment = deploy(start=False)
    server = deployment.server
    server.prefix = ["prlimit", "--nofile=400:400"]
    with pytest.raises(running.StartError, match="LimitNOFILE"):
        server.start()
    server.prefix = ["prlimit", "--nofile=200:1024"]
    server.start()
    limits = pathlib.Path(f"/proc/{server.process.pid}/limits").read_text(encoding="utf-8")
    assert re.search(r"Max open files\s+1024\s+1024", limits), limits
    assert "connections=640" in server.log.read_text(encoding="utf-8")


@pytest.mark.long
def test_idle_connections_leave_databases_alone(deploy, watch):
    deployment = deploy(start=False)
    deployment.server.prefix = ["prlimit", "--nofile=512:512"]
    deployment.server.start()
    clusters = [deployment.new_cluster(name) for name in ("a", "b")]
    firsts = [postmaster_of(deployment, cluster) for cluster in clusters]
    sessions = [clients.connect(cluster) for cluster in clusters]
    ask = f"GET /healthz HTTP/1.1\r\nhost: 127.0.0.1:{deployment.server.port}\r\n\r\n".encode()
    over = threading.Event()

    def flood():
        held = []
        while not over.wait(0.01):
            while len(held) < 520:
                try:
                    one = socket.create_connection(("127.0.0.1", deployment.server.port), timeout=1)
                    one.setblocking(False)
                    one.send(ask)
                    held.append(one)
                except OSError:
                    break
            if len(held) >= 520:
                held.pop(0).close()

    flooding = threading.Thread(target=flood, daemon=True)
    flooding.start()
    end = time.monotonic() + 6 * KEEPER_SECONDS
    most = 0
    while time.monotonic() < end:
        most = max(most, len(os.listdir(f"/proc/{deployment.server.process.pid}/fd")))
        assert [postmaster_of(deployment, cluster) for cluster in clusters] == firsts
        time.sleep(0.2)
    over.set()
    flooding.join(10)
    assert [session.execute("select 1").fetchone() for session in sessions] == [(1,), (1,)]
    assert most < 512, most
    assert "Too many open files" not in deployment.server.log.read_text(encoding="utf-8")


@pytest.mark.long
def test_a_frozen_server_keeps_no_other_down(deploy, tenant):
    deployment = deploy()
    frozen = deployment.new_cluster("frozen", account=PARTNER)
    uid = user_of(tenant(frozen))
    victim = deployment.new_cluster("victim")
    over = threading.Event()

    def freeze():
        """Ends its own postmaster, and stops each process of the one that is started in its place."""
        os.kill(postmaster_of(deployment, frozen), signal.SIGKILL)
        while not over.wait(0.005):
            for pid in processes_of(uid):
                try:
                    os.kill(pid, signal.SIGSTOP)
                except OSError:
                    pass

    freezing = threading.Thread(target=freeze, daemon=True)
    freezing.start()
    try:
        rds = deployment.rds(account=PARTNER)
        running.wait_until(lambda: clients.cluster_of(rds, "frozen")["Status"] == "starting", 60, "it is told")
        time.sleep(2 * KEEPER_SECONDS)
        os.kill(postmaster_of(deployment, victim), signal.SIGKILL)

        def back():
            try:
                return clients.connect(victim).execute("select 1").fetchone() == (1,)
            except psycopg.Error:
                return False

        running.wait_until(back, 4 * KEEPER_SECONDS, "the victim's server is back")
        assert clients.cluster_of(rds, "frozen")["Status"] == "starting"
        clients.wait_cluster(deployment.rds(), "victim")
    finally:
        over.set()
        freezing.join(10)
        for pid in processes_of(uid):
            os.kill(pid, signal.SIGCONT)
    clients.wait_cluster(rds, "frozen")


@pytest.mark.long
def test_a_server_that_does_not_answer_is_not_called_available(deploy):
    deployment = deploy()
    cluster = deployment.new_cluster("silent")
    pid = postmaster_of(deployment, cluster)
    os.kill(pid, signal.SIGSTOP)
    try:
        rds = deployment.rds()
        running.wait_until(lambda: clients.cluster_of(rds, "silent")["Status"] == "starting", 60, "it is told")
    finally:
        os.kill(pid, signal.SIGCONT)
    clients.wait_cluster(rds, "silent")
    assert postmaster_of(deployment, cluster) == pid, "it was left alone"
