"""A tenant that takes another cluster's address when its server crashes."""
import contextlib
import fcntl
import os
import signal

import psycopg
import pytest

import ferry
import running

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
    name = ferry.unique("squat")
    tenant.run(f"cat > {name}.py <<'EOF'\n{program}\nEOF\nsetsid python3 {name}.py > {name}.out 2>&1 < /dev/null &")
    return lambda: "".join(tenant.run(f"cat {name}.out"))


def answers(cluster):
    """Whether a cluster takes its master user."""
    with contextlib.suppress(psycopg.OperationalError), ferry.connect(cluster) as connection:
        return connection.execute("select 1").fetchone() == (1,)
    return False


@pytest.mark.skipif(os.geteuid() != 0, reason="without root all clusters have one user")
def test_an_address_outlives_its_server(deploy, tenant):
    deployment = deploy()
    victim = deployment.new_cluster("victim")
    attacker = tenant(deployment.new_cluster("attacker", account=ferry.PARTNER))
    (folder,) = deployment.server.data.glob(f"clusters/{victim['DbClusterResourceId']}")
    (postmaster,) = running.postmasters_within(folder)
    got = squat(attacker, victim, seconds=2)
    # The next start waits for who works on the cluster: so long there is no server.
    with (folder / "try-1" / "lock").open("r+") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        os.kill(postmaster, signal.SIGKILL)
        said = running.wait_until(got, 20, "the attacker is done")
    assert said == "nothing"
    again = running.wait_until(lambda: answers(victim) and ferry.cluster_of(deployment.rds(), "victim"), 40, "it is back")
    assert (again["Endpoint"], again["Port"]) == (victim["Endpoint"], victim["Port"])
