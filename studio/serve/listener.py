"""An application behind a port of this PC, on a thread of its own, and whether it is there."""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

from studio.bootstrap.ports import HOST, next_free_port
from studio.errors import SetupError
from studio.progress import Progress, ShouldStop, never, silent
from studio.serve.counting import RequestCount

if TYPE_CHECKING:
    import uvicorn

CLOSING_SECONDS = 5
LOOK_SECONDS = 0.02


class Listener:
    """Opened once and closed once. `port` is where it answers: the wanted one or the next free."""

    def __init__(self, app: Any, wanted_port: int) -> None:
        import uvicorn

        self.port, _ = next_free_port(wanted_port)
        self._server: uvicorn.Server = uvicorn.Server(uvicorn.Config(
            app, host=HOST, port=self.port, log_config=None, access_log=False, lifespan="off",
            ws="none", timeout_graceful_shutdown=CLOSING_SECONDS))
        self._thread = threading.Thread(target=self._server.run, name="api-server", daemon=True)

    @property
    def is_running(self) -> bool:
        """Whether clients can reach it."""
        return self._thread.is_alive()

    @property
    def url(self) -> str:
        """What a client takes for its base URL."""
        return f"http://{HOST}:{self.port}/v1"

    def start(self) -> None:
        """Returns when it can be reached. SetupError if the port was taken meanwhile."""
        self._thread.start()
        while self._thread.is_alive() and not self._server.started:
            self._thread.join(LOOK_SECONDS)
        if not self._server.started:
            raise SetupError(f"The endpoint could not be opened on port {self.port}.",
                             "Choose another port.")

    def close(self) -> None:
        """Waits until the last reply is out, or cut off after CLOSING_SECONDS."""
        self._server.should_exit = True
        if self._thread.is_alive():
            self._thread.join()


class Endpoint(ABC):
    """What a switch asks of whatever it switches: the same for every engine behind the port.

    `count` goes on over every time that it is opened.
    """

    def __init__(self, key: str, port: int) -> None:
        self.count = RequestCount()
        self._key = key
        self._wanted_port = port
        self._listener: Listener | None = None
        self._open = ExitStack()

    @property
    @abstractmethod
    def model_names(self) -> list[str]:
        """What a request may name as its model."""

    @abstractmethod
    def _app(self, opened: ExitStack, progress: Progress, stop: ShouldStop) -> Any:
        """The application; what it stands on is closed with `opened`, after the listener."""

    def start(self, *, progress: Progress = silent, stop: ShouldStop = never) -> str:
        """Answer from now on; gives the URL. Already running, nothing changes.

        Raises SetupError if no port near the wanted one is free (0 takes any), and what the
        engine behind it raises.
        """
        if self.is_running:
            return self.url
        with ExitStack() as opened:
            listener = Listener(self.count.around(self._app(opened, progress, stop)),
                                self._wanted_port)
            opened.callback(listener.close)
            listener.start()
            self._open, self._listener = opened.pop_all(), listener
        return self.url

    def close(self) -> None:
        """Answer no more, and free what the endpoint stands on."""
        self._listener = None
        self._open.close()

    @property
    def is_running(self) -> bool:
        """Whether clients can reach it."""
        listener = self._listener  # another thread may be closing it
        return listener is not None and listener.is_running

    @property
    def url(self) -> str:
        """What a client takes for its base URL; empty while it is closed."""
        listener = self._listener
        return listener.url if listener is not None and listener.is_running else ""

    @property
    def port(self) -> int:
        """Where it answers, another than the wanted one if that was taken; 0 while closed."""
        listener = self._listener
        return listener.port if listener is not None else 0
