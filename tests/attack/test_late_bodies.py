"""A body that does not come: the refusal is written in the protocol that the request's head is written in."""
import contextlib
import json
import socket

import pytest

HEADS = {
    "query": "content-type: application/x-www-form-urlencoded",
    "door": "content-type: application/json",
    "aws": "content-type: application/x-amz-json-1.1\r\nx-amz-target: TrentService.ListKeys",
}


def _answer(connection):
    """The head and body of the answer on a connection."""
    data = b""
    while part := connection.recv(1 << 16):
        data += part
        head, _, body = data.partition(b"\r\n\r\n")
        if body:
            break
    return head.decode().lower(), body.decode()


@pytest.mark.long
def test_a_body_that_does_not_come_is_refused_in_its_own_protocol(deploy):
    port = deploy("--dev").server.port
    with contextlib.ExitStack() as stack:
        asked = {}
        for name, head in HEADS.items():
            connection = stack.enter_context(socket.create_connection(("127.0.0.1", port), timeout=40))
            head = f"POST / HTTP/1.1\r\nhost: 127.0.0.1:{port}\r\n{head}\r\ncontent-length: 100\r\n\r\n{{"
            connection.sendall(head.encode())
            asked[name] = connection
        answers = {name: _answer(connection) for name, connection in asked.items()}
    for head, _ in answers.values():
        assert head.startswith("http/1.1 408 ") and "x-amzn-requestid: " in head, head
    assert answers["query"][1].startswith("<ErrorResponse xmlns=")
    assert "<Code>RequestTimeout</Code>" in answers["query"][1]
    door = json.loads(answers["door"][1])
    assert door["success"] is False and door["error"]["fault"] == "RequestTimeout"
    assert json.loads(answers["aws"][1])["__type"] == "RequestTimeout"
    assert "x-amzn-errortype: requesttimeout" in answers["aws"][0]
