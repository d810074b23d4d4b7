"""Many requests at a time on one set of weights: together where they can be, in turn otherwise.

Requests to the base and to adapters that PEFT can mix are rows of one batch, whatever their
settings. A request that comes while others are answered joins them within moments: the round ends
and begins anew with it, and what was written is read again (as vLLM's preemption by recomputation,
Kwon et al. 2023, section 4.5). Rows that cannot be together take turns. So nobody is refused and
nobody waits for the whole of somebody else's answer, but for a person's on the Chat tab: for that a
round makes room at its next token, and goes on after it.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from studio.errors import BusyError, StudioError
from studio.serve.errors import SERVER_FAILED, UNAVAILABLE, ApiError, unavailable
from studio.serve.round import Round

if TYPE_CHECKING:
    from studio.chat.session import ChatSession
    from studio.serve.row import Row

ROWS_AT_ONCE = 8
JOIN_SECONDS = 0.1
"""A round writes at least so long, and as long as it read, before others join it."""
TURN_SECONDS = 2.0
"""A round writes at least so long before others that cannot join it have a turn."""
PATIENCE_SECONDS = 600.0
"""How long requests wait for an answer on the Chat tab to end; as long as OpenAI's client waits."""
LOOK_SECONDS = 0.1

_log = logging.getLogger(__name__)


class Engine:
    """`open_session` gives the loaded chat, or raises StudioError where it cannot be."""

    def __init__(self, open_session: Callable[[], ChatSession]) -> None:
        self._open_session = open_session
        self._opening = threading.Lock()
        self._waiting: deque[Row] = deque()
        self._changed = threading.Condition()
        self._is_closed = False
        self._executor = ThreadPoolExecutor(1, thread_name_prefix="api-round")
        self._thread = threading.Thread(target=self._work, name="api-turns", daemon=True)
        self._thread.start()

    def session(self) -> ChatSession:
        """The loaded chat; whoever comes second waits while it loads. ApiError if there is none."""
        with self._opening:
            try:
                return self._open_session()
            except StudioError as error:
                raise unavailable(error) from error

    def submit(self, rows: list[Row]) -> None:
        """Answer these. Returns at once."""
        with self._changed:
            if not self._is_closed:
                self._waiting.extend(rows)
                self._changed.notify_all()
                return
        for row in rows:
            row.fail(_closing())

    def close(self) -> None:
        """End every answer and wait until nothing is computed any more."""
        with self._changed:
            self._is_closed = True
            self._changed.notify_all()
        self._thread.join()
        self._executor.shutdown(wait=True)

    def _work(self) -> None:
        while rows := self._next_rows():
            future = self._executor.submit(self._compute, rows)
            error = future.exception()
            if error is not None:
                self._end_failed(rows, error)
            with self._changed:
                self._waiting.extend(row for row in rows if not row.is_over)
        for row in self._waiting:
            row.fail(_closing())

    def _next_rows(self) -> list[Row]:
        """The row that waits longest and those that can be answered with it; none at the end."""
        with self._changed:
            while True:
                self._waiting = deque(row for row in self._waiting if not row.is_abandoned)
                if self._is_closed:
                    return []
                if self._waiting:
                    break
                self._changed.wait()
            first = self._waiting[0]
            rows = [row for row in self._waiting if _fit_together(first, row)][:ROWS_AT_ONCE]
            self._waiting = deque(row for row in self._waiting if row not in rows)
            return rows

    def _is_others_turn(self, round_: Round) -> bool:
        with self._changed:
            if self._is_closed:
                return True
            if not self._waiting:
                return False
            can_join = round_.rows_left < ROWS_AT_ONCE and any(
                _fit_together(round_.rows[0], row) for row in self._waiting)
        least = JOIN_SECONDS if can_join else TURN_SECONDS
        return round_.writing_seconds >= max(least, round_.reading_seconds)

    def _compute(self, rows: list[Row]) -> None:
        """On the executor, so that whatever fails there ends these requests and not the rest."""
        uses = {row.question.column.use for row in rows}
        until = time.monotonic() + PATIENCE_SECONDS
        while any(row.wants_tokens for row in rows):
            session = self.session()
            try:
                with session.lent({use for use in uses if use}, makes_room=True) as weights:
                    self._round(rows, session).run(weights, session.reader(None))
                return
            except BusyError as error:
                if self._is_closed or time.monotonic() >= until:
                    raise unavailable(error) from error
            time.sleep(LOOK_SECONDS)

    def _round(self, rows: list[Row], session: ChatSession) -> Round:
        return Round(rows, lambda one: session.is_wanted or self._is_others_turn(one))

    def _end_failed(self, rows: list[Row], error: BaseException) -> None:
        if isinstance(error, StudioError):
            told = unavailable(error)
        else:
            _log.error("A round of answers failed", exc_info=error)
            told = ApiError(f"The computation failed: {type(error).__name__}: {error}",
                            status=SERVER_FAILED)
        for row in rows:
            if not row.is_over:
                row.fail(told)


def _fit_together(one: Row, other: Row) -> bool:
    """Whether they can be rows of one batch."""
    if one.question.is_alone or other.question.is_alone:
        return one.question.column.use == other.question.column.use
    return True


def _closing() -> ApiError:
    return ApiError("The endpoint is being closed.", "Ask again when it is open.",
                    status=UNAVAILABLE, code="closing")
