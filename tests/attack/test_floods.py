"""Floods of one client without a key: they stand in that client's own way, and cost the server little."""
import contextlib
import http.client
import resource
import socket
import time

import pytest

import clients
import http2
from snapferry_tools import running

CONNECTIONS = 1_400
STREAMS = range(1, 40, 2)


@pytest.fixture(autouse=True)
def descriptors():
    """As many as the system allows: each connection needs one here too."""
    found = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (found[1], found[1]))
    if found[1] < CONNECTIONS + 200:
        pytest.skip("too few open files are allowed for this flood")
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, found)


@contextlib.contextmanager
def flood(port, first=b"", count=CONNECTIONS):
    """Connections that each send something and then nothing."""
    sockets = []
    try:
        for _ in range(count):
            one = socket.create_connection(("127.0.0.1", port), timeout=20)
            with contextlib.suppress(OSError):
                one.sendall(first)
            sockets.append(one)
        yield sockets
    finally:
        for one in sockets:
            one.close()


def get(port, path, source="127.0.0.1", timeout=5):
    """One request from an address; its status and how long it took."""
    begun = time.monotonic()
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=timeout, source_address=(source, 0))
    try:
        connection.request("GET", path)
        answer = connection.getresponse()
        answer.read()
        return answer.status, time.monotonic() - begun
    finally:
        connection.close()


def metric(deployment, name):
    """A sample of /metrics."""
    text = clients.send(deployment.server, "GET", "/metrics").text
    return next(int(line.rpartition(" ")[2]) for line in text.splitlines() if line.startswith(name + " "))


@pytest.mark.parametrize("path", ["/healthz", None], ids=["keep-alive", "half a head"])
def test_connections_of_one_client_shut_nobody_out(deploy, watch, path):
    deployment = deploy()
    port = deployment.server.port
    first = f"GET {path or '/'} HTTP/1.1\r\nhost: 127.0.0.1\r\n{'' if path is None else chr(13) + chr(10)}".encode()
    with watch(deployment) as seen, flood(port, first):
        for source in ("127.0.0.1", "127.0.0.2"):
            for _ in range(3):
                status, seconds = get(port, "/healthz", source)
                assert status == 200 and seconds < 2, (source, seconds)
        time.sleep(0.5)
    assert not seen.refusals, seen.told()
    assert max(seen.seconds) < 2, seen.told()
    assert max(seen.descriptors) < 450, "an address has its share"
    assert metric(deployment, "snapferry_connections_displaced_total") > CONNECTIONS // 2


def test_a_proxy_may_have_all_connections(deploy):
    deployment = deploy("--proxy", "127.0.0.0/8")
    port = deployment.server.port
    with flood(port, b"GET /healthz HTTP/1.1\r\nhost: 127.0.0.1\r\n\r\n", 500) as sockets:
        assert metric(deployment, 'snapferry_connections{of="proxies"}') > 500
        assert metric(deployment, "snapferry_connections_displaced_total") == 0
        assert all(one.recv(1 << 12).startswith(b"HTTP/1.1 200") for one in sockets)


def test_unfinished_bodies_over_http_2_hold_little_memory(deploy, watch):
    deployment = deploy()
    port = deployment.server.port
    connections = []
    poured = 0
    with watch(deployment) as seen:
        try:
            for _ in range(300):
                one = http2.Connection(port)
                connections.append(one)
                one.listen(0.2)
                one.send(b"".join(http2.frame(http2.HEADERS, http2.END_HEADERS, stream, one.head("POST", "/")) for stream in STREAMS))
            for _ in range(3):
                for one in connections:
                    poured += sum(one.pour(stream) for stream in STREAMS)
                    one.listen()
            samples = len(seen.rss_mib)
            running.wait_until(lambda: len(seen.rss_mib) > samples + 2, 60, "the memory was looked at")
            status, seconds = get(port, "/healthz")
            assert status == 200 and seconds < 2
        finally:
            for one in connections:
                one.close()
    assert poured > 4 << 20
    assert max(seen.rss_mib) - seen.rss_mib[0] < 100, seen.told()
    assert not seen.refusals, seen.told()


@pytest.mark.long
@pytest.mark.parametrize(
    "first",
    [b"GET / HTTP/1.1\r\nhost: 127.0.0.1\r\n", b"POST / HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-length: 1000000\r\n\r\n"],
    ids=["heads", "bodies"],
)
def test_heads_and_bodies_of_a_byte_a_second_end(deploy, watch, first):
    deployment = deploy()
    with watch(deployment) as seen, flood(deployment.server.port, first, 200) as sockets:
        begun = time.monotonic()
        while sockets and time.monotonic() - begun < 40:
            for one in list(sockets):
                one.settimeout(0.001)
                try:
                    one.sendall(b"x")
                    if not one.recv(4096):
                        sockets.remove(one)
                except TimeoutError:
                    pass
                except OSError:
                    sockets.remove(one)
            time.sleep(1)
        assert not sockets, f"{len(sockets)} still there"
        # The time for a head is 10 seconds, for a body 20.
        assert time.monotonic() - begun < 35
    assert not seen.refusals and max(seen.seconds) < 2, seen.told()


@pytest.mark.long
def test_who_does_not_read_its_answers_is_cut_off(deploy, watch):
    deployment = deploy()
    port = deployment.server.port
    request = f"GET /openapi.json HTTP/1.1\r\nhost: 127.0.0.1:{port}\r\n\r\n".encode()
    with watch(deployment) as seen:
        with socket.socket() as reader:
            reader.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            reader.settimeout(20)
            reader.connect(("127.0.0.1", port))
            reader.sendall(request * 100)
            time.sleep(45)
            reader.settimeout(5)
            left = 0
            with contextlib.suppress(ConnectionError):
                while data := reader.recv(1 << 16):
                    left += len(data)
        assert left < 100 * len(clients.send(deployment.server, "GET", "/openapi.json").body)
    assert max(seen.rss_mib) - seen.rss_mib[0] < 50, seen.told()


def _resets(one):
    for stream in range(1, 40_000, 2):
        head = one.head("GET", "/openapi.json")
        yield http2.frame(http2.HEADERS, http2.END_HEADERS | http2.END_STREAM, stream, head) + http2.frame(
            http2.RST_STREAM, 0, stream, b"\0\0\0\x08"
        )


def _continuations(one):
    yield http2.frame(http2.HEADERS, 0, 1, one.head("GET", "/"))
    for _ in range(20_000):
        yield http2.frame(http2.CONTINUATION, 0, 1, http2.fields(("x-a", "z" * 120)) * 100)


def _pings(_):
    for _ in range(100_000):
        yield http2.frame(http2.PING, 0, 0, b"12345678")


def _settings(_):
    for _ in range(100_000):
        yield http2.frame(http2.SETTINGS, 0, 0, b"\0\x04\0\0\xff\xff")


@pytest.mark.long
@pytest.mark.parametrize("frames", [_resets, _continuations, _pings, _settings])
def test_floods_of_frames_cost_others_little(deploy, watch, frames):
    deployment = deploy()
    with watch(deployment) as seen:
        end = time.monotonic() + 10
        while time.monotonic() < end:
            one = http2.Connection(deployment.server.port)
            for piece in frames(one):
                if time.monotonic() > end or not one.send(piece):
                    break
            one.close()
    assert not seen.refusals and max(seen.seconds) < 3, seen.told()
    assert max(seen.rss_mib) - seen.rss_mib[0] < 60, seen.told()
