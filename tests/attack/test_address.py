"""A tenant that takes another cluster's address when its server crashes."""
import contextlib
import fcntl
import os
import re
import signal
import socket
import time

import psycopg
import pytest

import clients
from snapferry_tools import running

# Tries for the victim's address with a pause of 2 ms, as an attacker who does not want to be seen.
SQUATTER = """
import socket, time
end = time.time() + {seconds}
while time.time() < end:
    taker = socket.socket()
    taker.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        taker.bind(("{host}", {port}))
        taker.listen()
        print("taken", flush=True)
        break
    except OSError:
        taker.close()
        time.sleep({pause})
else:
    print("nothing", flush=True)
"""


def squat(tenant, victim, seconds, pause=0.002):
    """Begins the tenant's squatter; it writes what it got beside the cluster's files."""
    program = SQUATTER.format(host=victim["Endpoint"], port=victim["Port"], seconds=seconds, pause=pause)
    name = clients.unique("squat")
    tenant.run(f"cat > {name}.py <<'EOF'\n{program}\nEOF\nsetsid python3 {name}.py > {name}.out 2>&1 < /dev/null &")
    return lambda: "".join(tenant.run(f"cat {name}.out"))


def squat_until_told(tenant, victim, copies=1):
    """Begins programs that try for the victim's address for a minute and listen there once they have it."""
    # It hangs up first, so that its connections keep the address when it has ended.
    serve = "[(one.recv(99), one.close()) for one, _ in iter(taker.accept, None)]; break"
    listen = SQUATTER.replace("break", serve)
    program = listen.format(host=victim["Endpoint"], port=victim["Port"], seconds=60, pause=0.002)
    name = clients.unique("squat")
    begin = "".join(f"setsid python3 {name}.py > {name}.{copy} 2>&1 < /dev/null & " for copy in range(copies))
    tenant.run(f"cat > {name}.py <<'EOF'\n{program}\nEOF\n{begin}")

    def told():
        # Its own server may have been ended with it, and not be back yet.
        with contextlib.suppress(psycopg.OperationalError):
            return "".join(tenant.run(f"cat {name}.* | grep -x taken || true"))
        return ""

    return told


def kill_server(deployment, cluster):
    """Ends a cluster's server as a crash does; answers its first process's number."""
    (folder,) = deployment.server.data.glob(f"clusters/{cluster['DbClusterResourceId']}")
    (postmaster,) = running.postmasters_within(folder)
    os.kill(postmaster, signal.SIGKILL)
    return postmaster


def answers(cluster):
    """Whether a cluster takes its master user."""
    with contextlib.suppress(psycopg.OperationalError), clients.connect(cluster) as connection:
        return connection.execute("select 1").fetchone() == (1,)
    return False


@pytest.mark.skipif(os.geteuid() != 0, reason="without root all clusters have one user")
def test_an_address_outlives_its_server(deploy, tenant):
    deployment = deploy()
    victim = deployment.new_cluster("victim")
    attacker = tenant(deployment.new_cluster("attacker", account=clients.PARTNER))
    (folder,) = deployment.server.data.glob(f"clusters/{victim['DbClusterResourceId']}")
    (postmaster,) = running.postmasters_within(folder)
    got = squat(attacker, victim, seconds=2)
    # The next start waits for who works on the cluster: so long there is no server.
    with (folder / "try-1" / "lock").open("r+") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        os.kill(postmaster, signal.SIGKILL)
        said = running.wait_until(got, 60, "the attacker is done")
    assert said == "nothing"
    again = running.wait_until(lambda: answers(victim) and clients.cluster_of(deployment.rds(), "victim"), 60, "it is back")
    assert (again["Endpoint"], again["Port"]) == (victim["Endpoint"], victim["Port"])


@pytest.mark.skipif(os.geteuid() != 0, reason="without root all clusters have one user")
def test_who_takes_an_address_at_its_release_is_ended(deploy, tenant):
    deployment = deploy()
    victim = deployment.new_cluster("victim")
    attacker = tenant(deployment.new_cluster("attacker", account=clients.PARTNER))
    got = squat_until_told(attacker, victim, copies=3)
    for _ in range(3):
        postmaster = kill_server(deployment, victim)
        running.wait_until(lambda killed=postmaster: not os.path.exists(f"/proc/{killed}"), 60, "it has ended")
        running.wait_until(lambda: answers(victim), 60, "it is back at its own address")
        if "took the address" in deployment.server.log.read_text(encoding="utf-8") or got():
            break
    rds, log = deployment.rds(), deployment.server.log.read_text(encoding="utf-8")
    again = clients.cluster_of(rds, "victim")
    assert (again["Endpoint"], again["Port"]) == (victim["Endpoint"], victim["Port"])
    said = [event["Message"] for event in rds.describe_events(SourceType="db-cluster", SourceIdentifier="victim")["Events"]]
    assert any("was taken back" in message for message in said), (said, got())
    (line,) = [line for line in log.splitlines() if "had the cluster's address and was ended" in line][:1]
    assert re.search(r"python3? \(process \d+ of user \d+\)", line) and "clusters/" in line, line
    # Whoever did it goes on, too.
    running.wait_until(lambda: answers(attacker.cluster), 60, "the attacker's cluster takes sessions")


def test_a_program_of_the_operators_is_named_and_spared(deploy):
    deployment = deploy()
    deployment.new_cluster("mine")
    cluster = clients.cluster_of(deployment.rds(), "mine")
    deployment.server.stop()
    with socket.socket() as other:
        other.bind((cluster["Endpoint"], cluster["Port"]))
        other.listen()
        deployment.server.start()
        moved = running.wait_until(lambda: moved_from(deployment, cluster), 60, "it has another address")
        assert answers(moved)
        log = deployment.server.log.read_text(encoding="utf-8")
        assert f"(process {os.getpid()} of user {os.geteuid()})" in log and "--cluster-addresses" in log


def moved_from(deployment, before):
    """The cluster, once it is somewhere else and takes sessions."""
    now = clients.cluster_of(deployment.rds(), before["DBClusterIdentifier"])
    return now if now["Endpoint"] != before["Endpoint"] and answers(now) else None


@pytest.mark.long
def test_a_server_that_its_owner_keeps_ending_is_not_started_without_a_pause(deploy):
    deployment = deploy()
    cluster = deployment.new_cluster("ender")
    begun = time.monotonic()
    while time.monotonic() - begun < 60:
        # One that is ended before it has come up is a start that failed, which has pauses of its own.
        if answers(cluster):
            kill_server(deployment, cluster)
        time.sleep(0.1)
    starts = deployment.server.log.read_text(encoding="utf-8").count("starting the cluster's server")
    # At once, then after pauses of 0, 5, 10, 20 and 40 seconds.
    assert 2 <= starts <= 6, starts
    running.wait_until(lambda: answers(cluster), 70, "it comes back")
