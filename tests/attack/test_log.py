"""The log: what outsiders send or cause neither forges lines in it nor fills a disk with it."""
import json
import re
import socket

import clients

BAD = "authorization: AWS4-HMAC-SHA256 Credential={}/c/d, SignedHeaders=host, Signature={}".format("B" * 600, "0" * 64)
# What ends a line, and what a terminal obeys: escapes of one byte and of two, and the direction of writing.
FORGED = "x\n2026-11-28T00:00:00.000000Z  INFO service::runner: job done job=forged\r\x1b[31m\u009b31m\u202e\u2028"


def _flood(port, requests):
    """Sends as many refused requests on one connection; returns the number of answers."""
    head = f"GET /?Action=DescribeDBClusters HTTP/1.1\r\nhost: 127.0.0.1:{port}\r\n{BAD}\r\n\r\n".encode()
    answers = 0
    with socket.create_connection(("127.0.0.1", port), timeout=30) as connection:
        for _ in range(requests // 50):
            connection.sendall(head * 50)
            wanted = answers + 50
            while answers < wanted:
                data = connection.recv(1 << 16)
                assert data, "the server closed the connection"
                answers += data.count(b"HTTP/1.1 ")
    return answers


def test_a_flood_of_refusals_is_counted_and_not_written(deploy):
    deployment = deploy()
    log = deployment.server.log
    before = log.stat().st_size
    sent = _flood(deployment.server.port, 5000)
    assert log.stat().st_size - before < 64 << 10
    deployment.server.stop()
    text = log.read_text(encoding="utf-8")[before:]
    told = text.count(": refused fault=")
    left_out = re.findall(r'lines were left out: too many of a kind of="api::dispatch" like="refused" fault="\w+" lines=(\d+)', text)
    assert told <= 60, "some lines an interval"
    assert told + sum(map(int, left_out)) == sent


def test_nothing_from_outside_forges_a_line(deploy):
    deployment = deploy("--dev")
    log = deployment.server.log
    lines = len(log.read_text(encoding="utf-8").splitlines())
    body = clients.form(FORGED)
    clients.send(deployment.server, body=body, headers={"content-type": "application/x-www-form-urlencoded"})
    host = "a\u009b31m\u202eb".encode()
    with socket.create_connection(("127.0.0.1", deployment.server.port), timeout=30) as connection:
        connection.sendall(b"GET / HTTP/1.1\r\nhost: 127.0.0.1\r\norigin: " + host + b"\r\n\r\n")
        assert b" 403 " in connection.recv(1 << 16).partition(b"\r\n")[0]
    text = log.read_text(encoding="utf-8")
    new = text.split("\n")[lines:-1]
    assert len(new) == 2, new
    assert "job=forged" in new[0] and "job=forged" not in new[1]
    assert not set(text) & set("\r\x1b\u009b\u202e\u2028")


def test_a_refusals_line_tells_who_asked_for_what(deploy):
    deployment = deploy("--log-format", "json")
    client = deployment.rds()
    try:
        client.describe_db_cluster_snapshots(DBClusterSnapshotIdentifier="nobody")
        raise AssertionError("it was answered")
    except client.exceptions.DBClusterSnapshotNotFoundFault as error:
        request_id = error.response["ResponseMetadata"]["RequestId"]
    lines = [json.loads(line) for line in deployment.server.log.read_text(encoding="utf-8").splitlines()]
    (line,) = [line for line in lines if line["message"] == "refused"]
    account = clients.OWNER
    assert line["request"] == {"id": request_id, "action": "DescribeDBClusterSnapshots", "account": account}
    assert line["fault"] == "DBClusterSnapshotNotFoundFault"
