"""A Hub of one's own on loopback: real HTTP, so that fetching is tested as it happens."""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote, urlparse

COMMIT = "0123456789abcdef0123456789abcdef01234567"


@dataclass
class SmallHub:
    """`repositories` maps ids to folders; `refusals` maps ids to (status, X-Error-Code)."""

    url: str = ""
    repositories: dict[str, Path] = field(default_factory=dict)
    refusals: dict[str, tuple[int, str]] = field(default_factory=dict)
    requests: list[str] = field(default_factory=list)


class Handler(BaseHTTPRequestHandler):
    """Answers the four questions that the Hub's client asks: info, tree, HEAD and GET of a file."""

    hub: SmallHub

    def log_message(self, *args: object) -> None:
        """Silent."""

    def do_HEAD(self) -> None:
        self.answer()

    def do_GET(self) -> None:
        self.answer()

    def answer(self) -> None:
        path = unquote(urlparse(self.path).path)
        self.hub.requests.append(path)
        parts = path.removeprefix("/api/models").strip("/").split("/")
        name, rest = "/".join(parts[:2]), parts[2:]
        if name in self.hub.refusals:
            status, code = self.hub.refusals[name]
            self.reply(status, b"{}", {"X-Error-Code": code})
        elif name not in self.hub.repositories:
            self.reply(404, b"{}", {"X-Error-Code": "RepoNotFound"})
        elif rest[:1] == ["resolve"]:
            self.file(self.hub.repositories[name] / "/".join(rest[2:]))
        elif rest[:1] == ["revision"] and rest[1] not in ("main", COMMIT):
            self.reply(404, b"{}", {"X-Error-Code": "RevisionNotFound"})
        else:
            listing = self.tree(name) if rest[:1] == ["tree"] else self.info(name)
            self.reply(200, json.dumps(listing).encode(), {})

    def tree(self, name: str) -> list[dict[str, object]]:
        folder = self.hub.repositories[name]
        return [{"type": "file", "path": path.name, "size": path.stat().st_size,
                 "oid": etag(path)} for path in sorted(folder.iterdir())]

    def info(self, name: str) -> dict[str, object]:
        files = [{"rfilename": file["path"], "size": file["size"], "blobId": file["oid"]}
                 for file in self.tree(name)]
        return {"id": name, "modelId": name, "sha": COMMIT, "siblings": files}

    def file(self, path: Path) -> None:
        if path.is_file():
            headers = {"ETag": f'"{etag(path)}"', "X-Repo-Commit": COMMIT}
            self.reply(200, path.read_bytes(), headers)
        else:
            self.reply(404, b"", {"X-Error-Code": "EntryNotFound"})

    def reply(self, status: int, body: bytes, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in {**headers, "Content-Length": str(len(body))}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(body)


@contextmanager
def small_hub() -> Iterator[SmallHub]:
    """A running SmallHub; stopped at the end of the block."""
    hub = SmallHub()
    handler = type("BoundHandler", (Handler,), {"hub": hub})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    hub.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def etag(path: Path) -> str:
    return hashlib.sha1(path.read_bytes()).hexdigest()
