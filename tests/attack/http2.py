"""HTTP/2 by hand: just enough to send what no client library would."""
import socket
import struct

DATA, HEADERS, RST_STREAM, SETTINGS, PING, WINDOW_UPDATE, CONTINUATION = 0, 1, 3, 4, 6, 8, 9
INITIAL_WINDOW_SIZE = 4
FRAME_BYTES = 16_384
END_STREAM, END_HEADERS, ACK = 1, 4, 1


def frame(kind, flags, stream, payload=b""):
    """One frame."""
    return struct.pack("!I", len(payload))[1:] + bytes([kind, flags]) + struct.pack("!I", stream) + payload


def _text(text):
    data = text.encode()
    assert len(data) < 127
    return bytes([len(data)]) + data


def fields(*pairs):
    """A block of header fields, each a literal that is not remembered (RFC 7541, 6.2.2)."""
    return b"".join(b"\0" + _text(name) + _text(value) for name, value in pairs)


class Connection:
    """A connection in clear text, with prior knowledge."""

    def __init__(self, port):
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=20)
        self.host = f"127.0.0.1:{port}"
        self.unread = b""
        self.windows = {}
        self.initial = self.window = 65_535
        self.socket.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + frame(SETTINGS, 0, 0))

    def head(self, method, path, *more):
        """The header fields of a request."""
        pairs = [(":method", method), (":path", path), (":scheme", "http"), (":authority", self.host)]
        return fields(*pairs, *more)

    def listen(self, seconds=0.001):
        """Reads what is there, and takes note of the windows that the server opens."""
        self.socket.settimeout(seconds)
        try:
            self.unread += self.socket.recv(1 << 16)
        except OSError:
            pass
        while len(self.unread) >= 9 and len(self.unread) >= 9 + (size := int.from_bytes(self.unread[:3], "big")):
            kind, stream = self.unread[3], int.from_bytes(self.unread[5:9], "big")
            payload, self.unread = self.unread[9 : 9 + size], self.unread[9 + size :]
            if kind == SETTINGS:
                for at in range(0, size, 6):
                    name, value = struct.unpack("!HI", payload[at : at + 6])
                    self.initial = value if name == INITIAL_WINDOW_SIZE else self.initial
            elif kind == WINDOW_UPDATE:
                more = int.from_bytes(payload, "big")
                if stream:
                    self.windows[stream] = self.windows.get(stream, 0) + more
                else:
                    self.window += more

    def pour(self, stream):
        """Sends as much of an endless body as the windows allow, 64 KiB at first; the number of bytes."""
        sent = b""
        room = self.windows.setdefault(stream, min(self.initial, 65_535))
        while 0 < (size := min(room, self.window, FRAME_BYTES)):
            sent += frame(DATA, 0, stream, b"x" * size)
            room -= size
            self.window -= size
        self.windows[stream] = room
        self.send(sent)
        return len(sent)

    def send(self, data):
        """Sends as much as the server takes at once; whether it took all."""
        self.socket.settimeout(0.5)
        try:
            self.socket.sendall(data)
            return True
        except OSError:
            return False

    def close(self):
        """Ends it."""
        self.socket.close()
