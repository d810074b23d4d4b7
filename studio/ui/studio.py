"""The one object behind all pages: settings, the device's owner, the job, the chat.

One per program, shared by every browser tab. Builds its engine parts on first use, so that the
page answers before torch is imported. Knows no component.
"""

from __future__ import annotations

import functools
import threading
from typing import TYPE_CHECKING

from studio.arbiter import Arbiter
from studio.settings import Settings

if TYPE_CHECKING:
    from studio.chat.desk import ChatDesk
    from studio.hardware.telemetry import Sampler
    from studio.training.job import JobRunner
    from studio.ui.shelf import RunShelf
    from studio.ui.tasks import Tasks

STOP_SECONDS = 60
"""How long a closing program waits for a training run to save what it has."""


class Studio:
    """What every handler works on. Thread-safe: sessions share it."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.arbiter = Arbiter()
        self._warming = threading.Lock()
        self._is_warm = False

    @functools.cached_property
    def jobs(self) -> JobRunner:
        """The runner of the one training job."""
        from studio.training.job import JobRunner

        return JobRunner(self.settings, self.arbiter)

    @functools.cached_property
    def chat(self) -> ChatDesk:
        """The loaded chat models, one desk for all pages."""
        from studio.chat.desk import ChatDesk

        return ChatDesk(self.settings, self.arbiter)

    @functools.cached_property
    def tasks(self) -> Tasks:
        """The one merge or export that may be under way."""
        from studio.ui.tasks import Tasks

        return Tasks(self.arbiter)

    @functools.cached_property
    def sampler(self) -> Sampler:
        """Reads the present load of this PC, for all pages."""
        from studio.hardware.telemetry import Sampler

        return Sampler()

    @functools.cached_property
    def shelf(self) -> RunShelf:
        """All runs of the home."""
        from studio.ui.shelf import RunShelf

        return RunShelf(self.settings)

    def warm_up(self) -> None:
        """Import the engine's slow libraries; returns at once when that is done.

        Under a lock, since several threads importing the same large library at the same time can
        see halves of it.
        """
        with self._warming:
            if not self._is_warm:
                import peft  # noqa: F401
                import torch  # noqa: F401
                import transformers  # noqa: F401

                self._is_warm = True

    def warm_up_soon(self, delay_seconds: float = 1.0) -> None:
        """The same on a thread of its own, after the first page had its turn."""
        timer = threading.Timer(delay_seconds, self.warm_up)
        timer.daemon = True
        timer.name = "warm-up"
        timer.start()

    def close(self) -> None:
        """Stop the running job so that it keeps what it has, and free the chat."""
        if "jobs" in self.__dict__ and self.jobs.active is not None:
            self.jobs.stop()
            self.jobs.wait(STOP_SECONDS)
        if "tasks" in self.__dict__:
            self.tasks.stop()
            self.tasks.wait(STOP_SECONDS)
        if "chat" in self.__dict__:
            self.chat.close()
