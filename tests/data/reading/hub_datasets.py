"""The small Hub of the models' tests, answering for datasets instead."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import ThreadingHTTPServer

from tests.models.hub_server import Handler, SmallHub


class DatasetHandler(Handler):
    """Datasets lie under /datasets and /api/datasets, and are answered like models otherwise."""

    def answer(self) -> None:
        self.path = self.path.replace("/api/datasets/", "/api/models/", 1)
        self.path = self.path.removeprefix("/datasets")
        super().answer()


@contextmanager
def small_dataset_hub() -> Iterator[SmallHub]:
    """A running Hub of datasets; stopped at the end of the block."""
    hub = SmallHub()
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Bound", (DatasetHandler,), {"hub": hub}))
    hub.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
