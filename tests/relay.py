"""An HTTP relay before a server: its port is known early, and it can cut, stall, fail or lie.

Knows HTTP, and of what it relays only paths and bodies.
"""
import contextlib
import http.client
import http.server
import itertools
import threading
import time


class Relay:
    """Passes requests that `refuse` has no answer to on to `target`, each answer through `change`.

    A target is a port, or several that take turns; one that does not answer is passed over.
    """

    def __init__(self, tls=None):
        self.target = None
        self.refuse = None
        self.change = None
        self.answers = 0
        self.turns = itertools.count()
        relay = self

        class Handler(http.server.BaseHTTPRequestHandler):
            """One connection of a client."""

            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True

            def _relay(self):
                relay.pass_on(self)

            do_GET = do_POST = do_PUT = do_DELETE = do_HEAD = _relay

            def log_message(self, format, *args):
                """Says nothing."""

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        if tls is not None:
            self.server.socket = tls.wrap_socket(self.server.socket, server_side=True, do_handshake_on_connect=False)
            self.url = f"https://localhost:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True).start()

    def close(self):
        """Ends it."""
        self.server.shutdown()
        self.server.server_close()

    def pass_on(self, handler):
        """One request and its answer."""
        body = handler.rfile.read(int(handler.headers.get("Content-Length") or 0))
        headers = dict(handler.headers.items())
        refusal = self.refuse and self.refuse(handler.command, handler.path, body, headers)
        if refusal:
            self._answer(handler, *refusal)
            return
        got = self._ask(handler, body, headers)
        if got is None:
            handler.close_connection = True
            return
        self.answers += 1
        if self.change is not None:
            got = self.change(handler.command, handler.path, body, *got)
        if got is None:
            handler.close_connection = True
            return
        self._answer(handler, *got)

    def _ask(self, handler, body, headers):
        ports = self.target if isinstance(self.target, list) else [self.target]
        first = next(self.turns)
        for turn in range(len(ports)):
            try:
                upstream = http.client.HTTPConnection("127.0.0.1", ports[(first + turn) % len(ports)], timeout=30)
                with contextlib.closing(upstream):
                    upstream.request(handler.command, handler.path, body, headers)
                    answer = upstream.getresponse()
                    return [answer.status, dict(answer.getheaders()), answer.read()]
            except (OSError, TypeError, http.client.HTTPException):
                continue
        return None

    @staticmethod
    def _answer(handler, status, headers, data):
        with contextlib.suppress(OSError):
            handler.send_response_only(status)
            for name, value in headers.items():
                if name.lower() not in ("content-length", "transfer-encoding", "connection"):
                    handler.send_header(name, value)
            if data is endless:
                handler.send_header("Transfer-Encoding", "chunked")
                handler.end_headers()
                end = time.monotonic() + 30
                while time.monotonic() < end:
                    handler.wfile.write(b"10000\r\n" + bytes(0x10000) + b"\r\n")
                return
            length = len(data)
            if handler.command == "HEAD":
                length = headers.get("Content-Length", length)
            handler.send_header("Content-Length", str(length))
            handler.end_headers()
            if handler.command != "HEAD":
                handler.wfile.write(data[: length // 2] if isinstance(data, Torn) else data)
            handler.close_connection = isinstance(data, Torn)


class Torn(bytes):
    """A body of which half arrives before its connection ends."""


def endless():
    """Stands for a body without end."""
