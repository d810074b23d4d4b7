"""Looks at data in the background: the first rows at once, the whole set on a thread of its own.

One set at a time; asking for another stops the one before. Whoever shows it reads a snapshot, so
closing a page changes nothing.
"""

from __future__ import annotations

import sys
import threading
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

from studio.data.encoder import encoder_for
from studio.data.lab.first_page import Page, first_page
from studio.data.lab.look import open_whole, report_of
from studio.data.lab.record import Record, record_of_page, record_of_whole
from studio.data.lab.report import Report
from studio.data.lab.whole import Whole
from studio.data.reading.sources import sources_of
from studio.errors import Stopped, StudioError
from studio.progress import Step
from studio.recipe import Data, Recipe
from studio.settings import Settings

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

State = Literal["idle", "running", "done", "stopped", "failed"]
_Key = tuple[Any, ...]


@dataclass(frozen=True)
class LabView:
    """What is known of the latest look. `version` grows with every change; `whole` and `report`
    are there once it is done."""

    state: State = "idle"
    step: Step | None = None
    report: Report | None = None
    whole: Whole | None = None
    error: tuple[str, str] | None = None
    version: int = 0


class Lab:
    """Looks at the data of recipes. Safe to call from several threads."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._lock = threading.Lock()
        self._view = LabView()
        self._key: _Key = ()
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self._page: tuple[_Key, Page] | None = None

    def first_page(self, data: Data) -> Page:
        """The first rows, read now or kept. Raises DataError where there is no such source."""
        key = _source_key(data, self._settings)
        kept = self._page
        if kept is None or kept[0] != key:
            kept = self._page = (key, first_page(data, self._settings))
        return kept[1]

    def start(self, recipe: Recipe, tokenizer: PreTrainedTokenizerBase | None) -> None:
        """Look at the whole set in the background, unless that is under way or done.

        Raises DataError where a source is not there.
        """
        key = (_source_key(recipe.taught_data, self._settings), recipe.data.model_dump_json(),
               recipe.training.model_dump_json(), id(tokenizer))
        with self._lock:
            if key == self._key and self._view.state in ("running", "done"):
                return
            before, self._key = self._thread, key
            self._stop.set()
            self._stop = threading.Event()
            self._view = LabView("running", version=self._view.version + 1)
            self._thread = threading.Thread(
                target=self._run, args=(recipe, tokenizer, key, self._stop, before),
                name="data-lab", daemon=True)
            self._thread.start()

    def stop(self) -> None:
        """Ask the look to end soon; what was read so far is left out."""
        self._stop.set()

    def view(self) -> LabView:
        """How far it is; never waits."""
        with self._lock:
            return self._view

    def wait(self, timeout_seconds: float | None = None) -> LabView:
        """The view after the look ended, or after the timeout."""
        thread = self._thread
        if thread is not None:
            thread.join(timeout_seconds)
        return self.view()

    def record(
        self, data: Data, tokenizer: PreTrainedTokenizerBase | None, number: int
    ) -> Record | None:
        """Record `number`, counted from 1 and brought into range: of the whole set once it was
        looked at, of the first rows before. None where nothing is readable."""
        whole = self.view().whole
        if whole is not None and whole.data == data and \
                (whole.encoder is not None) == (tokenizer is not None):
            return record_of_whole(whole, number)
        encoder = None if tokenizer is None else encoder_for(tokenizer, data)
        return record_of_page(self.first_page(data), number, encoder, data)

    def _run(
        self, recipe: Recipe, tokenizer: PreTrainedTokenizerBase | None, key: _Key,
        stop: threading.Event, before: threading.Thread | None,
    ) -> None:
        if before is not None:
            before.join()
        ending: dict[str, Any] = {"state": "failed"}
        try:
            whole = open_whole(recipe.taught_data, self._settings, tokenizer, stop=stop.is_set,
                               progress=lambda step: self._change(key, step=step))
            report = report_of(whole, recipe.training,
                               progress=lambda step: self._change(key, step=step))
            ending = {"state": "done", "whole": whole, "report": report}
        except Stopped:
            ending = {"state": "stopped"}
        except StudioError as error:
            ending["error"] = (error.message, error.hint)
        finally:
            # A mistake in the program passes through to the terminal; the page names it.
            mistake = sys.exception()
            if mistake is not None:
                ending["error"] = (f"{type(mistake).__name__}: {mistake}",
                                   "The details are in the terminal window.")
            self._change(key, **ending)

    def _change(self, key: _Key, **changes: Any) -> None:
        with self._lock:
            if key == self._key:
                self._view = replace(self._view, version=self._view.version + 1, **changes)


def _source_key(data: Data, settings: Settings) -> _Key:
    stamps = tuple((source.spec, source.stamp) for source in sources_of(data, settings))
    return (*stamps, data.format, tuple(data.columns.items()))
