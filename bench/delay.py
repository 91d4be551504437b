"""A relay that holds every byte for a time, as a long wire does: `delay.py LISTEN TARGET MILLISECONDS`.

Knows bytes and times, nothing of what is said. What is on the way is bounded, so that it also has the memory
of a wire; several connections have a wire each.
"""
import collections
import socket
import sys
import threading
import time

CHUNK = 256 << 10
# Bytes on the way in one direction of one connection.
WIRE = 64 << 20


class Wire:
    """One direction of one connection."""

    def __init__(self, source, sink, seconds):
        self.source, self.sink, self.seconds = source, sink, seconds
        self.chunks = collections.deque()
        self.held = 0
        self.changed = threading.Condition()
        for end in (self._take, self._give):
            threading.Thread(target=end, daemon=True).start()

    def _take(self):
        chunk = True
        while chunk:
            try:
                chunk = self.source.recv(CHUNK)
            except OSError:
                chunk = b""
            with self.changed:
                self.changed.wait_for(lambda: self.held < WIRE)
                self.chunks.append((time.monotonic() + self.seconds, chunk))
                self.held += len(chunk)
                self.changed.notify_all()

    def _give(self):
        chunk = True
        while chunk:
            with self.changed:
                self.changed.wait_for(lambda: self.chunks)
                due, chunk = self.chunks.popleft()
            wait = due - time.monotonic()
            if wait > 0:
                time.sleep(wait)
            try:
                if chunk:
                    self.sink.sendall(chunk)
                else:
                    self.sink.shutdown(socket.SHUT_WR)
            except OSError:
                return
            with self.changed:
                self.held -= len(chunk)
                self.changed.notify_all()


def main():
    """Relays until it is killed."""
    (host, port), (to_host, to_port) = (one.rsplit(":", 1) for one in sys.argv[1:3])
    seconds = float(sys.argv[3]) / 1000
    with socket.create_server((host, int(port)), backlog=64) as listener:
        while True:
            near, _ = listener.accept()
            try:
                far = socket.create_connection((to_host, int(to_port)))
            except OSError:
                near.close()  # nobody is there yet; whoever asked asks again
                continue
            for one in (near, far):
                one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            Wire(near, far, seconds)
            Wire(far, near, seconds)


if __name__ == "__main__":
    main()
