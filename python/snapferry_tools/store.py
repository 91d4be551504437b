"""A small S3 server on a folder: what it answered well is there after SIGKILL. For tests and the demo.

Knows buckets as folders, objects as files, the few requests that Snapferry sends, and nothing of signatures.
An object appears whole, by a rename. Run as a program: store.py ADDRESS:PORT FOLDER.
"""
import datetime
import hashlib
import http.server
import os
import pathlib
import shutil
import sys
import tempfile
import urllib.parse
import xml.etree.ElementTree as ElementTree
from xml.sax.saxutils import escape

KEYS_MAX = 1000


class Store(http.server.ThreadingHTTPServer):
    """The server."""

    daemon_threads = True
    request_queue_size = 128

    def __init__(self, address, folder):
        self.folder = pathlib.Path(folder)
        self.uploads = self.folder / ".uploads"
        self.uploads.mkdir(parents=True, exist_ok=True)
        super().__init__(address, Handler)

    def handle_error(self, request, client_address):
        """A caller that went away, or was killed, is no news."""
        if not isinstance(sys.exc_info()[1], ConnectionError):
            super().handle_error(request, client_address)


class Refused(Exception):
    """An answer that is an error: status and S3's code."""


class Handler(http.server.BaseHTTPRequestHandler):
    """One connection."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def log_message(self, format, *args):
        """Says nothing."""

    def _serve(self):
        path, _, query = self.path.partition("?")
        self.query = dict(urllib.parse.parse_qsl(query, keep_blank_values=True))
        bucket, _, self.key = urllib.parse.unquote(path).lstrip("/").partition("/")
        self.bucket = self.server.folder / bucket
        self.body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        try:
            if not bucket or ".." in self.key.split("/") or bucket.startswith("."):
                raise Refused(400, "InvalidRequest")
            getattr(self, f"_{self.command.lower()}_{'object' if self.key else 'bucket'}")()
        except Refused as refused:
            status, code = refused.args
            self._answer(status, f"<Error><Code>{code}</Code><Message>{code}</Message></Error>".encode())

    do_GET = do_PUT = do_POST = do_DELETE = do_HEAD = _serve

    def _answer(self, status, body=b"", headers=(), length=None):
        self.send_response_only(status)
        for name, value in headers:
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body) if length is None else length))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def _file(self, key=None):
        # The dot keeps an object apart from the folder of those that are named below it.
        return self.bucket / ((self.key if key is None else key) + ".")

    def _keep(self, file, pieces):
        """Writes pieces to a file that appears whole and lasts; answers its entity tag."""
        if not self.bucket.is_dir():
            raise Refused(404, "NoSuchBucket")
        file.parent.mkdir(parents=True, exist_ok=True)
        digest = hashlib.md5(usedforsecurity=False)
        with tempfile.NamedTemporaryFile(dir=self.server.uploads, delete=False) as made:
            for piece in pieces:
                digest.update(piece)
                made.write(piece)
            made.flush()
            os.fdatasync(made.fileno())
        os.replace(made.name, file)
        return f'"{digest.hexdigest()}"'

    def _put_bucket(self):
        self.bucket.mkdir(exist_ok=True)
        self._answer(200)

    def _head_bucket(self):
        self._answer(200 if self.bucket.is_dir() else 404)

    def _put_object(self):
        source = self.headers.get("x-amz-copy-source")
        if source:
            bucket, _, key = urllib.parse.unquote(source).lstrip("/").partition("/")
            tag = self._keep(self._file(), [self._read(self.server.folder / bucket / (key + "."))])
            self._answer(200, f"<CopyObjectResult><ETag>{escape(tag)}</ETag></CopyObjectResult>".encode())
        elif "uploadId" in self.query:
            part = self._upload() / self.query["partNumber"]
            self._answer(200, headers=[("ETag", self._keep(part, [self.body]))])
        elif self.headers.get("If-None-Match") == "*" and self._file().exists():
            raise Refused(412, "PreconditionFailed")
        else:
            self._answer(200, headers=[("ETag", self._keep(self._file(), [self.body]))])

    def _upload(self):
        folder = self.server.uploads / pathlib.PurePath(self.query["uploadId"]).name
        if not folder.is_dir():
            raise Refused(404, "NoSuchUpload")
        return folder

    def _post_object(self):
        if "uploads" in self.query:
            made = pathlib.Path(tempfile.mkdtemp(dir=self.server.uploads)).name
            text = f"<InitiateMultipartUploadResult><UploadId>{made}</UploadId></InitiateMultipartUploadResult>"
            return self._answer(200, text.encode())
        folder = self._upload()
        wanted = [part.text for part in ElementTree.fromstring(self.body).iter() if part.tag.endswith("PartNumber")]
        tag = self._keep(self._file(), [self._read(folder / number) for number in wanted])
        shutil.rmtree(folder, ignore_errors=True)
        text = f"<CompleteMultipartUploadResult><ETag>{escape(tag)}</ETag></CompleteMultipartUploadResult>"
        return self._answer(200, text.encode())

    def _post_bucket(self):
        if "delete" not in self.query:
            raise Refused(501, "NotImplemented")
        keys = [one.text for one in ElementTree.fromstring(self.body).iter() if one.tag.endswith("Key")]
        for key in keys:
            self._file(key).unlink(missing_ok=True)
        said = "".join(f"<Deleted><Key>{escape(key)}</Key></Deleted>" for key in keys)
        self._answer(200, f"<DeleteResult>{said}</DeleteResult>".encode())

    def _delete_object(self):
        if "uploadId" in self.query:
            shutil.rmtree(self._upload(), ignore_errors=True)
        else:
            self._file().unlink(missing_ok=True)
        self._answer(204)

    def _read(self, file):
        try:
            return file.read_bytes()
        except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
            raise Refused(404, "NoSuchKey") from None

    def _head_object(self):
        self._get_object()

    def _get_object(self):
        data = self._read(self._file())
        tag = f'"{hashlib.md5(data, usedforsecurity=False).hexdigest()}"'
        headers = [("ETag", tag), ("Last-Modified", self.date_time_string(self._file().stat().st_mtime))]
        asked = self.headers.get("Range")
        if not asked:
            return self._answer(200, data, headers, len(data))
        first, _, last = asked.removeprefix("bytes=").partition("-")
        begin = int(first) if first else max(0, len(data) - int(last))
        end = min(len(data), int(last) + 1) if first and last else len(data)
        if end <= begin:
            raise Refused(416, "InvalidRange")
        headers.append(("Content-Range", f"bytes {begin}-{end - 1}/{len(data)}"))
        return self._answer(206, data[begin:end], headers)

    def _get_bucket(self):
        if not self.bucket.is_dir():
            raise Refused(404, "NoSuchBucket")
        prefix, delimiter = self.query.get("prefix", ""), self.query.get("delimiter")
        after = self.query.get("continuation-token") or self.query.get("start-after", "")
        found = {}
        for folder, _, names in os.walk(self.bucket):
            inside = os.path.relpath(folder, self.bucket).removeprefix(".").removeprefix("/")
            for name in names:
                key = f"{inside}/{name}".removeprefix("/").removesuffix(".")
                if key.startswith(prefix) and after < key:
                    rest = key[len(prefix):]
                    if delimiter and delimiter in rest:
                        key = prefix + rest.partition(delimiter)[0] + delimiter
                        found[key] = None
                    else:
                        found[key] = os.path.join(folder, name)
        keys = [key for key in sorted(found) if after < key]
        said = []
        for key in keys[:KEYS_MAX]:
            if found[key] is None:
                said.append(f"<CommonPrefixes><Prefix>{escape(key)}</Prefix></CommonPrefixes>")
                continue
            try:
                stat = os.stat(found[key])
            except FileNotFoundError:
                continue
            said.append(
                f"<Contents><Key>{escape(key)}</Key><Size>{stat.st_size}</Size>"
                f"<LastModified>{iso(stat.st_mtime)}</LastModified></Contents>"
            )
        more = KEYS_MAX < len(keys)
        token = f"<NextContinuationToken>{escape(keys[KEYS_MAX - 1])}</NextContinuationToken>" if more else ""
        text = f"<ListBucketResult><IsTruncated>{str(more).lower()}</IsTruncated>{token}{''.join(said)}</ListBucketResult>"
        self._answer(200, text.encode())


def iso(moment):
    """A moment as S3 lists it."""
    return datetime.datetime.fromtimestamp(moment, datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%S.000Z")


def main(listen, folder):
    """Serves until it is ended."""
    host, _, port = listen.rpartition(":")
    with Store((host, int(port)), folder) as store:
        store.serve_forever()


if __name__ == "__main__":
    main(*sys.argv[1:])
