"""The data that pages look at: what each follows, what is known of it, and what was chosen to mend.

Reading and judging is the lab's, on its own thread. This remembers the last few sets, so that a
reload or a second browser tab finds its report and its choices again, and gives the memory
estimate what is known of lengths.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from pathlib import Path
from typing import TYPE_CHECKING

from studio.errors import DataError, StudioError
from studio.hardware.workload import Examples
from studio.recipe import Recipe
from studio.settings import Settings
from studio.ui.data_look import (
    FollowedSet,
    Look,
    State,
    rows_key,
    set_key,
    tokens_key,
    with_choice,
)

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

    from studio.data.lab.record import Record
    from studio.data.lab.whole import Whole
    from studio.progress import Step

KEPT_SETS = 4
CLOSE_SECONDS = 10


class DataDesk:
    """One for all pages. Nothing here waits for a scan, except where it says so."""

    def __init__(self, settings: Settings) -> None:
        from studio.data.lab.lab import Lab

        self._settings = settings
        self.lab = Lab(settings)
        # What reads or loads never holds the lock that ticks take.
        self._lock = threading.RLock()
        self._beginning = threading.Lock()
        self._loading = threading.Lock()
        self._sets: OrderedDict[str, FollowedSet] = OrderedDict()
        self._current = ""
        self._tokenizers: dict[tuple[Path, bool], PreTrainedTokenizerBase] = {}

    def follow(self, recipe: Recipe, before: str = "") -> str:
        """Read the first rows of a recipe's data, without waiting for a library; gives the key of
        the set.

        `before` is the set that the page followed: its report stays until the new one is there,
        if both are of the same rows. A source that cannot be opened is no error here; the look
        tells it.
        """
        key, page, problem = set_key(recipe), None, None
        try:
            page = self.lab.first_page(recipe.taught_data)
        except StudioError as error:
            problem = (error.message, error.hint)
        with self._lock:
            earlier = self._sets.get(before)
            one = self._sets.setdefault(key, FollowedSet(recipe))
            self._sets.move_to_end(key)
            while len(self._sets) > KEPT_SETS:
                self._sets.popitem(last=False)
            one.recipe, one.page, one.error, one.changes = recipe, page, problem, one.changes + 1
            if earlier and not one.report and rows_key(earlier.recipe) == rows_key(recipe):
                one.report = earlier.report
        return key

    def begin(self, key: str) -> None:
        """Begin with the whole set, in the background. Loads the tokenizer, so the engine's
        libraries must be there.

        Calls that waited for the libraries go on in any order: a set that was followed later and
        is begun already goes before this one.
        """
        with self._beginning:
            one = self._sets.get(key)
            if one is None or one.error is not None or self._is_overtaken(key):
                return
            problem, tokenizer = None, None
            try:
                tokenizer = self.tokenizer(one.recipe)
                self.lab.start(one.recipe, tokenizer)
            except StudioError as error:
                problem = (error.message, error.hint)
            with self._lock:
                one.tokenizer, one.begun, one.error = tokenizer, True, problem
                if problem is None:
                    self._current = key
                if problem or self.lab.view().state != "done":
                    one.whole = None
                one.changes += 1

    def _is_overtaken(self, key: str) -> bool:
        with self._lock:
            order = list(self._sets)
        return key not in order or self._current in order[order.index(key) + 1:]

    def stop(self, key: str) -> None:
        """End the scan of this set, if it is the one under way."""
        if key == self._current:
            self.lab.stop()

    def close(self) -> None:
        """End a scan; its worker processes end with it."""
        self.lab.stop()
        self.lab.wait(CLOSE_SECONDS)

    def look(self, key: str) -> Look | None:
        """What is known of a set; None for one that nobody follows."""
        with self._lock:
            one = self._sets.get(key)
            if one is None:
                return None
            state, step, version, error = self._progress(key, one)
            settled = f"{key}|{one.changes}|{state if state != 'running' else ''}"
            return Look(
                one.recipe, one.tokenizer, one.begun, state, step, one.page, one.report,
                one.whole is not None, error, dict(one.choices), settled, f"{settled}|{version}")

    def _progress(
        self, key: str, one: FollowedSet
    ) -> tuple[State, Step | None, int, tuple[str, str] | None]:
        if one.error is not None:
            return "failed", None, 0, one.error
        if not one.begun:
            return "running", None, 0, None
        if key != self._current:
            return ("done" if one.whole else "elsewhere"), None, 0, None
        view = self.lab.view()
        is_mine = view.whole is not None and view.whole.data == one.recipe.taught_data
        if view.state == "done" and is_mine and view.whole is not one.whole:
            one.report, one.whole = view.report, view.whole
            one.changes += 1
        state: State = "running" if view.state == "idle" else view.state
        return state, view.step, view.version, view.error

    def wait(self, key: str, timeout_seconds: float | None = None) -> Look | None:
        """The look after the scan ended, or after the timeout."""
        if key == self._current:
            self.lab.wait(timeout_seconds)
        return self.look(key)

    def record(self, key: str, number: int, *, rendered: bool = True) -> Record | None:
        """Record `number`, counted from 1 and brought into range, of the whole set or of its first
        rows. Raises StudioError where it cannot be `rendered` with these settings."""
        one = self._sets.get(key)
        if one is None or one.page is None:
            return None
        from studio.data.lab.record import record_of_whole

        if one.whole is not None:
            if rendered and one.whole.template_error:
                raise one.whole.template_error
            return record_of_whole(one.whole, number)
        return self.lab.record(one.recipe.taught_data, one.tokenizer if rendered else None, number)

    def packed_row(self, key: str, number: int) -> list[tuple[int, int]]:
        """(record number from 1, tokens) of the row that this record is packed into; empty where
        packing is off, or the record is held out, or the set is still read."""
        self.look(key)
        one = self._sets.get(key)
        if one is None or one.whole is None or not one.recipe.data.packing:
            return []
        from studio.training.packed_row import packed_row

        return [(record + 1, tokens)
                for record, tokens in packed_row(one.whole, one.whole.split.train, number - 1)]

    def choose(self, key: str, finding: str, remedy: str) -> None:
        """A press on a remedy: chosen, changed, or taken back."""
        with self._lock:
            one = self._sets[key]
            found = one.report.findings if one.report else ()
            one.choices = with_choice(one.choices, finding, remedy, found)
            one.changes += 1

    def whole(self, key: str) -> Whole:
        """The set, looked at to the end. Raises DataError while it is not."""
        self.look(key)
        one = self._sets.get(key)
        if one is None or one.whole is None:
            raise DataError("The data is still being read.",
                            "Wait until its report is there, then try again.")
        return one.whole

    def sizes(self, recipe: Recipe) -> Examples | None:
        """Of the examples of `recipe`, if its data was looked at before; never reads."""
        one = self._read_alike(recipe)
        counted = one.report.statistics if one and one.report else None
        if counted is None or not counted.tokens_max or not counted.tokens_total:
            return None
        return Examples(counted.tokens_max, (counted.loss_tokens or 0) / counted.tokens_total)

    def cut_share(self, recipe: Recipe) -> float | None:
        """Which share of the examples `recipe` cuts; None where their lengths are not known."""
        one = self._read_alike(recipe)
        if one is None or one.whole is None or one.whole.lengths is None:
            return None
        if one.whole.data.divides:
            return 0.0
        total = one.whole.lengths.total[~one.whole.faulty]
        return float((total > recipe.data.max_length).mean()) if len(total) else None

    def format_of(self, recipe: Recipe) -> str | None:
        """The format of the rows of `recipe`, as the first of them look or as it says; None where
        they were not looked at, or are mixed."""
        wanted = rows_key(recipe)
        with self._lock:
            page = next((one.page for one in reversed(self._sets.values())
                         if one.page and rows_key(one.recipe) == wanted), None)
        return page.detection.format if page else None

    def _read_alike(self, recipe: Recipe) -> FollowedSet | None:
        """The newest set of the same rows and tokens, whatever the cut and the split."""
        self.look(self._current)
        wanted = tokens_key(recipe)
        with self._lock:
            return next((one for one in reversed(self._sets.values())
                         if one.whole and tokens_key(one.recipe) == wanted), None)

    def tokenizer(self, recipe: Recipe) -> PreTrainedTokenizerBase | None:
        """The model's tokenizer, or None while the model is not on this PC."""
        from studio.models.source import find_on_this_pc

        folder = find_on_this_pc(recipe.model, self._settings)
        if folder is None:
            return None
        from studio.models.loading import load_tokenizer

        key = (folder.path, recipe.model.trust_remote_code)
        with self._loading:
            if key not in self._tokenizers:
                self._tokenizers[key] = load_tokenizer(folder, trust_remote_code=key[1])
            return self._tokenizers[key]
