"""A program in the place of a cluster's server, which says whatever it likes to who asks."""
import base64
import textwrap
import time

import pytest

from clients import STRANGER

# Runs as the cluster's user: freezes the server, takes its place, and answers each session otherwise. It does not kill
# the server: another one would be started at once, and all else that the user runs be ended before.
FALSE_SERVER = textwrap.dedent(
    """
    import itertools, os, pathlib, signal, socket, struct, threading, time

    lines = pathlib.Path("postmaster.pid").read_text().splitlines()
    os.kill(int(lines[0]), signal.SIGSTOP)
    path = lines[4] + "/.s.PGSQL." + lines[3]
    pathlib.Path(path).unlink(missing_ok=True)
    door = socket.socket(socket.AF_UNIX)
    door.bind(path)
    door.listen(20)

    def message(kind, body):
        return kind + struct.pack("!i", len(body) + 4) + body

    def endless(peer, one):
        while True:
            peer.sendall(one)

    def rows(peer):
        peer.sendall(message(b"1", b"") + message(b"t", struct.pack("!h", 0)))
        peer.sendall(message(b"T", struct.pack("!h", 1) + b"a\\0" + struct.pack("!ihihih", 0, 0, 23, 4, -1, 0)))
        endless(peer, message(b"D", struct.pack("!hi", 1, 60000) + b"x" * 60000))

    def long(peer):
        peer.sendall(b"t" + struct.pack("!i", 2_000_000_000))
        endless(peer, b"z" * (1 << 20))

    def notices(peer):
        endless(peer, message(b"N", b"SINFO\\0VINFO\\0C00000\\0MWARN forged " + b"x" * 60000 + b"\\0\\0"))

    def refusal(peer):
        peer.sendall(message(b"E", b"SERROR\\0VERROR\\0CXX000\\0M" + b"forged\\n" * 10000 + b"\\0\\0"))

    def drip(peer):
        while True:
            peer.sendall(b"N")
            time.sleep(1)

    ways = itertools.cycle([rows, long, notices, refusal, drip])

    def serve(peer, way):
        try:
            peer.recv(struct.unpack("!i", peer.recv(4))[0] - 4)
            peer.sendall(message(b"R", struct.pack("!i", 0)))
            with open("ways", "a") as told:
                print(way.__name__, file=told)
            if way is notices:
                # Before there is a session, too: settings without end.
                for number in range(40):
                    peer.sendall(message(b"S", b"p%d\\0" % number + b"v" * 60000 + b"\\0"))
            peer.sendall(message(b"K", struct.pack("!ii", 1, 1)) + message(b"Z", b"I"))
            peer.recv(65536)
            way(peer)
        except OSError:
            pass

    while True:
        peer, _ = door.accept()
        threading.Thread(target=serve, args=(peer, next(ways)), daemon=True).start()
    """
)


@pytest.mark.long
def test_a_false_server_costs_neither_memory_nor_log(deploy, tenant, watch):
    deployment = deploy()
    rds = deployment.rds(account=STRANGER)
    cluster = deployment.new_cluster("false", account=STRANGER)
    program = base64.b64encode(FALSE_SERVER.encode()).decode()
    mallory = tenant(cluster)
    mallory.run(
        f"cp $(readlink -f /usr/bin/python3) postgres && echo {program} | base64 -d > false.py "
        "&& (setsid nohup ./postgres false.py > false.out 2>&1 < /dev/null &)"
    )
    time.sleep(4)
    log_bytes = deployment.server.log.stat().st_size
    with watch(deployment) as seen:
        rds.create_db_cluster_snapshot(DBClusterIdentifier="false", DBClusterSnapshotIdentifier="never")
        time.sleep(12)
    places = list(deployment.server.data.glob("clusters/*/*/data"))
    met = {line for place in places for line in (place / "ways").read_text(encoding="utf-8").split()}
    assert {"rows", "long", "notices"} <= met, f"{met}: this test shows nothing"
    assert max(seen.rss_mib) < seen.rss_mib[0] + 64, seen.told()
    grown = deployment.server.log.stat().st_size - log_bytes
    assert grown < 256 << 10, deployment.server.tail()
    text = deployment.server.log.read_text(encoding="utf-8")
    assert not [line for line in text.splitlines() if line.startswith(("forged", "WARN forged"))]
