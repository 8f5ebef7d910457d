"""A Hugging Face hub on this machine with one dataset, which can be made to misbehave."""

import contextlib
import hashlib
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, unquote

REPOSITORY = "someone/golf"
COMMIT = "c" * 40


@dataclass
class FakeHub:
    """files: path in the dataset → content as promised (sizes and hashes are of this).

    sent: what is sent instead; cut_after: bytes of a file after which a connection ends, for the
    next `cuts` connections; stall_after: bytes after which nothing more comes until `released`;
    small: paths that the hub has no SHA-256 of; requests: ranges asked for, by path.
    """

    files: dict[str, bytes]
    sent: dict[str, bytes] = field(default_factory=dict)
    small: set[str] = field(default_factory=set)
    cut_after: int = 0
    cuts: int = 0
    stall_after: int = 0
    released: threading.Event = field(default_factory=threading.Event)
    requests: list[tuple[str, str | None]] = field(default_factory=list)
    endpoint: str = ""

    def describe(self, path: str) -> dict:
        """One entry of the hub's answer about paths."""
        content = self.files[path]
        blob = hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()
        entry = {"type": "file", "path": path, "size": len(content), "oid": blob}
        if path not in self.small:
            sha256 = hashlib.sha256(content).hexdigest()
            entry["lfs"] = {"oid": sha256, "size": len(content), "pointerSize": 130}
        return entry


def handler(hub: FakeHub) -> type[BaseHTTPRequestHandler]:
    """The request handler of a hub."""

    class Handler(BaseHTTPRequestHandler):
        def log_message(self, *arguments: object) -> None:
            pass

        def answer(self, value: object, status: int = 200, error: str | None = None) -> None:
            content = json.dumps(value).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(content)))
            if error:
                self.send_header("X-Error-Code", error)
            self.end_headers()
            self.wfile.write(content)

        def do_POST(self) -> None:
            form = self.rfile.read(int(self.headers["Content-Length"])).decode()
            assert self.path == f"/api/datasets/{REPOSITORY}/paths-info/{COMMIT}"
            known = [path for path in parse_qs(form)["paths"] if path in hub.files]
            self.answer([hub.describe(path) for path in known])

        def do_GET(self) -> None:
            prefix = f"/datasets/{REPOSITORY}/resolve/{COMMIT}/"
            if self.path.startswith(prefix):
                self.send_file(unquote(self.path.removeprefix(prefix)))
            elif self.path == f"/api/datasets/{REPOSITORY}/revision/main":
                self.answer({"id": REPOSITORY, "sha": COMMIT})
            elif self.path.startswith(f"/api/datasets/{REPOSITORY}/revision/"):
                self.answer({"error": "no"}, 404, "RevisionNotFound")
            else:
                self.answer({"error": "no"}, 404, "RepoNotFound")

        def send_file(self, path: str) -> None:
            content = hub.sent.get(path, hub.files[path])
            wanted = self.headers.get("Range")
            hub.requests.append((path, wanted))
            start = int(wanted.removeprefix("bytes=").rstrip("-")) if wanted else 0
            body = content[start:]
            self.send_response(206 if wanted else 200)
            self.send_header("Content-Length", str(len(body)))
            if wanted:
                total = f"bytes {start}-{len(content) - 1}/{len(content)}"
                self.send_header("Content-Range", total)
            self.end_headers()
            if hub.cuts > 0:
                hub.cuts -= 1
                body = body[: max(0, hub.cut_after - start)]
                self.close_connection = True
            if hub.stall_after:
                self.wfile.write(body[: hub.stall_after])
                hub.released.wait(60)
                body = body[hub.stall_after :]
            with contextlib.suppress(OSError):  # the other side may be gone
                self.wfile.write(body)

    return Handler


@contextmanager
def serving(hub: FakeHub) -> Iterator[FakeHub]:
    """Run the hub; its `endpoint` is valid meanwhile."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler(hub))
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    hub.endpoint = f"http://127.0.0.1:{server.server_port}"
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
