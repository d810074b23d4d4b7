"""A Hub on loopback that takes uploads: repositories are made, large files and commits kept."""

from __future__ import annotations

import base64
import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote, urlparse

COMMIT = "fedcba9876543210fedcba9876543210fedcba98"
TOKEN = "hf_letme" + "in"


@dataclass
class Inbox:
    """`private` maps repositories that exist to whether they are; `large` holds uploads by their
    digest, `files` what was committed; `refuses` is the status of every answer, `slow_seconds` how
    long taking a large file takes."""

    url: str = ""
    private: dict[str, bool] = field(default_factory=dict)
    large: dict[str, bytes] = field(default_factory=dict)
    files: dict[str, bytes] = field(default_factory=dict)
    requests: list[str] = field(default_factory=list)
    refuses: int = 0
    slow_seconds: float = 0.0


class Handler(BaseHTTPRequestHandler):
    """What the Hub's client asks for when it uploads."""

    inbox: Inbox

    def log_message(self, *args: object) -> None:
        """Silent."""

    def do_GET(self) -> None:
        self.begin()
        name = self.path.removeprefix("/api/models/")
        if self.is_refused():
            return
        if name not in self.inbox.private:
            self.reply(404, {}, {"X-Error-Code": "RepoNotFound"})
        else:
            self.reply(200, {"id": name, "sha": COMMIT, "private": self.inbox.private[name]})

    def do_PUT(self) -> None:
        body = self.begin()
        time.sleep(self.inbox.slow_seconds)
        self.inbox.large[self.path.removeprefix("/large/")] = body
        self.reply(200, {})

    def do_POST(self) -> None:
        body, path = self.begin(), unquote(urlparse(self.path).path)
        if self.is_refused():
            return
        if path == "/api/repos/create":
            asked = json.loads(body)
            name = f"{asked['organization']}/{asked['name']}"
            self.inbox.private[name] = asked.get("private", asked.get("visibility") == "private")
            self.reply(200, {"url": f"{self.inbox.url}/{name}", "name": name})
        elif path == "/api/validate-yaml":
            self.reply(200, {"errors": [], "warnings": []})
        elif "/preupload/" in path:
            self.reply(200, {"files": [
                {"path": file["path"], "shouldIgnore": False,
                 "uploadMode": "lfs" if file["path"].endswith(".safetensors") else "regular"}
                for file in json.loads(body)["files"]]})
        elif path.endswith("/info/lfs/objects/batch"):
            self.reply(200, {"transfer": "basic", "objects": [
                {**one, "actions": {"upload": {"href": f"{self.inbox.url}/large/{one['oid']}"}}}
                for one in json.loads(body)["objects"]]})
        else:
            self.commit(path.removeprefix("/api/models/").partition("/commit/")[0], body)

    def commit(self, name: str, body: bytes) -> None:
        for line in map(json.loads, body.splitlines()):
            value = line["value"]
            if line["key"] == "file":
                self.inbox.files[value["path"]] = base64.b64decode(value["content"])
            elif line["key"] == "lfsFile":
                self.inbox.files[value["path"]] = self.inbox.large[value["oid"]]
        self.reply(200, {"commitUrl": f"{self.inbox.url}/{name}/commit/{COMMIT}",
                         "commitOid": COMMIT})

    def begin(self) -> bytes:
        self.inbox.requests.append(f"{self.command} {self.path}")
        return self.rfile.read(int(self.headers.get("Content-Length") or 0))

    def is_refused(self) -> bool:
        known = self.headers.get("Authorization") == f"Bearer {TOKEN}"
        status = self.inbox.refuses or (0 if known else 401)
        if status:
            self.reply(status, {"error": "no"})
        return bool(status)

    def reply(self, status: int, body: object, headers: dict[str, str] | None = None) -> None:
        text = json.dumps(body).encode()
        self.send_response(status)
        for name, value in {**(headers or {}), "Content-Length": str(len(text)),
                            "Content-Type": "application/json"}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(text)


@contextmanager
def hub_inbox() -> Iterator[Inbox]:
    """A running Inbox; stopped at the end of the block."""
    inbox = Inbox()
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Bound", (Handler,), {"inbox": inbox}))
    inbox.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield inbox
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
