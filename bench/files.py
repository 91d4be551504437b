"""A static file server that spends next to nothing: `files.py LISTEN FOLDER`. GET, HTTP/1.1, sendfile.

For benchmarks on this machine: it believes its callers.
"""
import http.server
import os
import pathlib
import sys


class Files(http.server.BaseHTTPRequestHandler):
    """One connection."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    folder = pathlib.Path()

    def do_GET(self):
        """Sends a file of the folder."""
        with open(self.folder / self.path.lstrip("/"), "rb") as file:
            size = os.fstat(file.fileno()).st_size
            self.send_response_only(200)
            self.send_header("Content-Length", str(size))
            self.end_headers()
            self.wfile.flush()
            self.connection.sendfile(file)

    def log_message(self, format, *args):
        """Says nothing."""


def main():
    """Serves until it is killed."""
    host, port = sys.argv[1].rsplit(":", 1)
    Files.folder = pathlib.Path(sys.argv[2])
    http.server.ThreadingHTTPServer((host, int(port)), Files).serve_forever()


if __name__ == "__main__":
    main()
