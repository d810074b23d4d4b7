"""The one endpoint of the program: any page switches it on and off, and none owns it.

Opening and closing happen on a thread. The key lives in this object alone: it is written to no
disk and no log, and is gone with the program.
"""

from __future__ import annotations

import secrets
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from studio.arbiter import Arbiter
from studio.errors import BusyError
from studio.progress import Progress, ShouldStop, Step
from studio.ui.tasks import Tasks

if TYPE_CHECKING:
    from studio.serve.listener import Endpoint

KEY_BYTES = 24
Phase = Literal["off", "opening", "on", "closing"]
_OPENING, _CLOSING = "Opening the endpoint", "Closing the endpoint"


@dataclass(frozen=True)
class EndpointState:
    """All that is known of it at one moment. `error` is why it could not be opened."""

    phase: Phase = "off"
    key: str = ""
    url: str = ""
    models: tuple[str, ...] = ()
    answered: int = 0
    unanswered: int = 0
    at_work: int = 0
    step: Step | None = None
    error: tuple[str, str] | None = None


class EndpointDesk:
    """Every method may be called from any thread."""

    def __init__(self) -> None:
        # It holds no device itself: the chat does while it answers.
        self._tasks = Tasks(Arbiter(), "Chat")
        self._switching = threading.Lock()
        self._endpoint: Endpoint | None = None
        self._key = ""

    @property
    def key(self) -> str:
        """What clients have to send; empty where any may ask."""
        return self._key

    def make_key(self) -> None:
        """Ask for a new key from the next opening on. BusyError while the endpoint is open."""
        self._require_closed()
        self._key = f"sk-{secrets.token_urlsafe(KEY_BYTES)}"

    def drop_key(self) -> None:
        """Ask for none. BusyError while the endpoint is open."""
        self._require_closed()
        self._key = ""

    def switch_on(self, endpoint: Endpoint) -> None:
        """Open it in the background. BusyError if one is open, or being opened or closed."""
        def work(progress: Progress, stop: ShouldStop) -> None:
            endpoint.start(progress=progress, stop=stop)

        # Of two pages at once the second must find the first one's endpoint, and not replace it.
        with self._switching:
            self._require_closed()
            self._tasks.start(_OPENING, work)
            self._endpoint = endpoint

    def switch_off(self) -> None:
        """Close it in the background, also one that is still being opened."""
        endpoint = self._endpoint
        if self._tasks.snapshot().is_active:
            self._tasks.stop()
        elif endpoint is not None and endpoint.is_running:
            self._tasks.start(_CLOSING, lambda progress, stop: endpoint.close())

    def wait(self, seconds: float | None = None) -> EndpointState:
        """The state after what is under way, or after so long."""
        self._tasks.wait(seconds)
        return self.snapshot()

    def snapshot(self) -> EndpointState:
        """The state now; never waits."""
        task, endpoint = self._tasks.snapshot(), self._endpoint
        if endpoint is None:
            return EndpointState(key=self._key)
        phase: Phase = "on" if endpoint.is_running else "off"
        if task.is_active:
            phase = "opening" if task.title == _OPENING else "closing"
        count = endpoint.count
        return EndpointState(
            phase, self._key, endpoint.url, tuple(endpoint.model_names), count.answered,
            count.unanswered, count.at_work, task.step if task.is_active else None,
            task.error if phase == "off" else None)

    def close(self, seconds: float) -> None:
        """Close it with the program; waits so long for what is under way."""
        self._tasks.stop()
        self._tasks.wait(seconds)
        if self._endpoint is not None:
            self._endpoint.close()

    def _require_closed(self) -> None:
        if self.snapshot().phase != "off":
            raise BusyError("The endpoint is open.", "Switch it off first.")
