"""The one object behind all pages: settings, the device's owner, the job, the chat.

One per program, shared by every browser tab. Builds its engine parts on first use, so that the
page answers before torch is imported. Knows no component.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Generic, TypeVar, cast

from studio.arbiter import Arbiter
from studio.settings import Settings

if TYPE_CHECKING:
    from studio.chat.desk import ChatDesk
    from studio.chat.votes import VoteBox
    from studio.hardware.doctor import Finding
    from studio.hardware.free_now import FreeWatch
    from studio.hardware.telemetry import Sampler
    from studio.runs import Run
    from studio.training.job import JobRunner
    from studio.training.queue import Queue
    from studio.training.queue_runner import QueueRunner
    from studio.ui.adapter_shelf import AdapterShelf
    from studio.ui.data_desk import DataDesk
    from studio.ui.endpoint_desk import EndpointDesk
    from studio.ui.export_desk import ExportDesk
    from studio.ui.prompt_sets import PromptSets
    from studio.ui.recordings import Recordings
    from studio.ui.run_curves import Curves
    from studio.ui.shelf import RunShelf
    from studio.ui.tasks import Tasks

STOP_SECONDS = 60
"""How long a closing program waits for a training run to save what it has."""


T = TypeVar("T")


class made_once(Generic[T]):
    """A part that is made on first use, once, whichever thread comes first.

    functools.cached_property has no lock from Python 3.12 on: two pages could make two parts.
    """

    def __init__(self, make: Callable[[Any], T]) -> None:
        self._make = make
        self._lock = threading.RLock()
        self.__doc__ = make.__doc__

    def __set_name__(self, owner: type, name: str) -> None:
        self._name = name

    def __get__(self, studio: Any, owner: type | None = None) -> T:
        with self._lock:
            if self._name not in studio.__dict__:
                studio.__dict__[self._name] = self._make(studio)
            return cast(T, studio.__dict__[self._name])


class Studio:
    """What every handler works on. Thread-safe: sessions share it."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.arbiter = Arbiter(_room_bytes)
        self._checking = threading.Lock()
        self._findings: list[Finding] = []

    @made_once
    def jobs(self) -> JobRunner:
        """The runner of the one training job."""
        from studio.training.job import JobRunner

        return JobRunner(self.settings, self.arbiter)

    @property
    def queue(self) -> Queue:
        """The runs that wait for their turn."""
        return self.queue_runner.queue

    @made_once
    def queue_runner(self) -> QueueRunner:
        """Works the queue off; begins nothing until a person says so."""
        from studio.training.queue_runner import QueueRunner

        return QueueRunner(self.settings, self.jobs)

    @made_once
    def chat(self) -> ChatDesk:
        """The loaded chat models, one desk for all pages."""
        from studio.chat.desk import ChatDesk

        return ChatDesk(self.settings, self.arbiter)

    @made_once
    def data(self) -> DataDesk:
        """The data that pages are looking at."""
        from studio.ui.data_desk import DataDesk

        return DataDesk(self.settings)

    @made_once
    def tasks(self) -> Tasks:
        """The one export that may be under way."""
        from studio.ui.tasks import Tasks

        return Tasks(self.arbiter)

    @made_once
    def exports(self) -> ExportDesk:
        """The export in several formats that may be under way."""
        from studio.ui.export_desk import ExportDesk

        return ExportDesk(self.tasks)

    @made_once
    def pushing(self) -> Tasks:
        """The one export that is being sent to the Hub; needs no device."""
        from studio.ui.tasks import Tasks

        return Tasks(Arbiter())

    @made_once
    def merging(self) -> Tasks:
        """The one merge of whole models that may be under way."""
        from studio.ui.tasks import Tasks

        return Tasks(self.arbiter)

    @made_once
    def dry_runs(self) -> Tasks:
        """The one dry run that may be under way."""
        from studio.ui.tasks import Tasks

        return Tasks(self.arbiter, "Hardware")

    @made_once
    def downloads(self) -> Tasks:
        """The one model that is being fetched; needs no device, so it asks nobody for it."""
        from studio.ui.tasks import Tasks

        return Tasks(Arbiter())

    @made_once
    def cleaning(self) -> Tasks:
        """The one cleaned copy of data that is being written; needs no device either."""
        from studio.ui.tasks import Tasks

        return Tasks(Arbiter(), "Dataset")

    @made_once
    def prompt_sets(self) -> PromptSets:
        """The prompt sets that columns of the chat have answered."""
        from studio.ui.prompt_sets import PromptSets

        return PromptSets(self.settings)

    @made_once
    def answering(self) -> Tasks:
        """The one prompt set that is being answered; the chat asks for the device itself."""
        from studio.ui.tasks import Tasks

        return Tasks(Arbiter(), "Chat")

    @made_once
    def votes(self) -> VoteBox:
        """The verdicts of blind tests."""
        from studio.chat.votes import VoteBox

        return VoteBox(self.settings)

    @made_once
    def blending(self) -> Tasks:
        """The one blend of adapters that is being made; needs no device either."""
        from studio.ui.tasks import Tasks

        return Tasks(Arbiter(), "Chat")

    @made_once
    def endpoint(self) -> EndpointDesk:
        """The endpoint for other programs, if it is switched on."""
        from studio.ui.endpoint_desk import EndpointDesk

        return EndpointDesk()

    @made_once
    def sampler(self) -> Sampler:
        """Reads the present load of this PC, for all pages."""
        from studio.hardware.telemetry import Sampler

        return Sampler()

    @made_once
    def recordings(self) -> Recordings:
        """The load and temperature that runs have recorded."""
        from studio.ui.recordings import Recordings

        return Recordings()

    @made_once
    def curves(self) -> Curves:
        """The curves of runs that are compared."""
        from studio.ui.run_curves import Curves

        return Curves(self.recordings)

    @made_once
    def free(self) -> FreeWatch:
        """What is free on the device right now, and who holds the rest."""
        from studio.hardware.free_now import FreeWatch

        return FreeWatch()

    @made_once
    def shelf(self) -> RunShelf:
        """All runs of the home."""
        from studio.ui.shelf import RunShelf

        return RunShelf(self.settings)

    @made_once
    def adapters(self) -> AdapterShelf:
        """All that was trained or blended and can answer."""
        from studio.ui.adapter_shelf import AdapterShelf

        return AdapterShelf(self.settings, self.shelf)

    def run_to_show(self, chosen: str) -> Run | None:
        """The run that a page has opened; else the one at work; else the one that was at work
        last; else the newest."""
        active = self.jobs.active
        runs = {run.name: run for run in self.shelf.runs()}
        for name in (chosen, active.name if active else ""):
            if name in runs:
                return runs[name]
        return max(runs.values(), key=lambda run: run.last_told_seconds, default=None)

    def findings(self, *, again: bool = False) -> list[Finding]:
        """What is wrong with this PC. Looked at once, since it takes seconds; anew if asked."""
        from studio.hardware.doctor import diagnose

        self.warm_up()
        with self._checking:
            if again or not self._findings:
                self._findings = diagnose(self.settings)
            return self._findings

    def warm_up(self) -> None:
        """Import the engine's slow libraries; returns at once when that is done."""
        from studio.training.libraries import load_libraries

        load_libraries()

    def warm_up_soon(self, delay_seconds: float = 1.0) -> None:
        """The same on a thread of its own, after the first page had its turn."""
        timer = threading.Timer(delay_seconds, self.warm_up)
        timer.daemon = True
        timer.name = "warm-up"
        timer.start()

    def close(self) -> None:
        """Stop the running job so that it keeps what it has, and free the chat."""
        if "queue_runner" in self.__dict__:
            self.queue_runner.close()
        if "jobs" in self.__dict__ and self.jobs.active is not None:
            self.jobs.stop()
            self.jobs.wait(STOP_SECONDS)
        for name in ("tasks", "dry_runs", "downloads", "cleaning", "answering", "blending",
                     "merging", "pushing"):
            if name in self.__dict__:
                self.__dict__[name].stop()
                self.__dict__[name].wait(STOP_SECONDS)
        if "data" in self.__dict__:
            self.data.close()
        if "endpoint" in self.__dict__:
            self.endpoint.close(STOP_SECONDS)
        if "chat" in self.__dict__:
            self.chat.close()


def _room_bytes() -> int:
    """The memory that training and chat may take together on the device that computes."""
    from studio.device import pick_device
    from studio.hardware.room import room_bytes

    return room_bytes(pick_device())
