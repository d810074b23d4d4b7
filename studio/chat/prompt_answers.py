"""A prompt set answered by several columns in one go, kept in the home folder to be voted on later.

A folder holds `set.json` (prompts, base, columns, sampling) and `answers.jsonl`, a line for each
prompt that was answered. Whoever stops loses nothing: the next time the rest is answered.
"""

from __future__ import annotations

import functools
import hashlib
import json
import time
import uuid
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from studio.chat.abstract_session import Session
from studio.chat.conversation import Answer
from studio.chat.many import ROWS_AT_ONCE
from studio.chat.prompt import Message
from studio.chat.prompt_set import PromptSet
from studio.chat.sampling import Sampling
from studio.chat.session import Column
from studio.chat.votes import (
    LABELS,
    Ballot,
    BallotAnswer,
    Contestant,
    Vote,
    contestant_of,
    make_ballot,
)
from studio.errors import BusyError, DataError, ModelError, StudioError
from studio.files import (
    disk_errors_told,
    folder_written_whole,
    free_path,
    safe_name,
    write_json_safely,
)
from studio.json_lines import JsonLines, append_json_lines
from studio.progress import Progress, ShouldStop, Step, never, silent
from studio.recipe import Model
from studio.settings import Settings

SET_FILE = "set.json"
ANSWERS_FILE = "answers.jsonl"


@dataclass(frozen=True)
class Asked:
    """What a set asks, and of whom; nothing of it changes later."""

    id: str
    source: str
    prompts: tuple[tuple[Message, ...], ...]
    model: Model
    columns: tuple[Column, ...]
    contestants: tuple[Contestant, ...]
    sampling: Sampling
    created_seconds: float


@dataclass(frozen=True)
class Answered:
    """Prompt `number`, counted from 0: an answer by column, or the problem why there is none."""

    number: int
    answers: dict[str, Answer] = field(default_factory=dict)
    problem: str = ""


class AnsweredSet:
    """One folder. Making one reads what was asked: DataError where that is damaged or gone."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.name = path.name
        self.asked = _read_asked(path / SET_FILE)
        self._lines = JsonLines(path / ANSWERS_FILE, _parsed)

    def answered(self) -> dict[int, Answered]:
        """By number, those that are done."""
        found = {one.number: one for one in self._lines.read()
                 if 0 <= one.number < len(self.asked.prompts)}
        return dict(sorted(found.items()))

    @property
    def problems(self) -> dict[int, str]:
        """By number, why a prompt could not be asked."""
        return {number: one.problem for number, one in self.answered().items() if one.problem}

    @property
    def pending(self) -> list[int]:
        """Numbers of the prompts that nobody answered yet."""
        done = self.answered()
        return [number for number in range(len(self.asked.prompts)) if number not in done]

    def answer(self, session: Session, *, progress: Progress = silent,
               stop: ShouldStop = never) -> bool:
        """Answer what is pending; False where a stop came first.

        The session's columns are replaced. A prompt that no column can be asked is kept with its
        problem. Raises ModelError where the session has another base or an adapter is another one
        than when the set was made, BusyError where somebody else uses the session, and DiskError.
        """
        self._require_same(session)
        # Prompts of like length together: a long one would leave a short one's answer no room.
        pending = sorted(self.pending, key=lambda number: len(str(self.asked.prompts[number])))
        at_once = max(1, ROWS_AT_ONCE // len(self.asked.columns))
        for start in range(0, len(pending), at_once):
            step = self._step(start, pending)
            progress(step)
            if not self._answer_batch(session, pending[start:start + at_once], step, progress,
                                      stop):
                return False
        progress(self._step(len(pending), pending))
        return True

    def ballot(self, number: int, shuffle_seed: int | None = None) -> Ballot:
        """The answers to prompt `number`, shuffled; without a seed always in the same order.

        Raises DataError where there are none yet.
        """
        found = self.answered().get(number)
        if found is None or found.problem:
            why = f": {found.problem}" if found else " yet."
            raise DataError(f"Prompt {number + 1} of {self.name} has no answers{why}",
                            "Answer the set first, or vote on another prompt.")
        history = list(self.asked.prompts[number])
        answers = [BallotAnswer(who, history, found.answers[column.name]) for column, who
                   in zip(self.asked.columns, self.asked.contestants, strict=True)]
        seed = self._shuffle_seed(number) if shuffle_seed is None else shuffle_seed
        return make_ballot(answers, seed, self.asked.sampling, prompt_set=self.name,
                           ballot_id=self._ballot_id(number))

    def _shuffle_seed(self, number: int) -> int:
        """Another one for other weights: who votes on the same prompts as the last time could know
        the order by heart."""
        who = [(one.fingerprint, one.strength) for one in self.asked.contestants]
        told = repr((self.asked.sampling.seed, number, self.asked.prompts[number], who))
        return int.from_bytes(hashlib.blake2b(
            told.encode("utf-8", "replace"), digest_size=4).digest())

    def unvoted(self, votes: Iterable[Vote]) -> list[int]:
        """Numbers of the answered prompts that no vote is about, in order."""
        voted = {vote.ballot.id for vote in votes}
        return [number for number, one in self.answered().items()
                if not one.problem and self._ballot_id(number) not in voted]

    def votes_on_it(self, votes: Iterable[Vote]) -> list[Vote]:
        """Those of `votes` that are about its prompts."""
        own = {self._ballot_id(number) for number in range(len(self.asked.prompts))}
        return [vote for vote in votes if vote.ballot.id in own]

    def _ballot_id(self, number: int) -> str:
        return f"{self.asked.id}/{number}"

    def _step(self, done: int, pending: list[int]) -> Step:
        total = len(self.asked.prompts)
        return Step("Answering", total - len(pending) + done, total, "prompts")

    def _require_same(self, session: Session) -> None:
        asked = self.asked
        same_base = session.model.model_copy(update={"trust_remote_code": False}) == asked.model
        changed = [column.name for column, who in zip(asked.columns, asked.contestants, strict=True)
                   if contestant_of(asked.model, column) != who]
        if not same_base or changed:
            what = f"{', '.join(changed)} changed since" if changed else \
                f"it asks {asked.model.source} as it was loaded then, and loaded is another base"
            raise ModelError(f"The set {self.name} cannot be answered to its end: {what}.",
                             "Make a new set, so that all its answers are of the same weights.")

    def _answer_batch(self, session: Session, numbers: list[int], step: Step,
                      progress: Progress, stop: ShouldStop) -> bool:
        if not session.columns:
            raise BusyError("The model was unloaded meanwhile.",
                            "Answer the rest of the set with a new session.")
        columns = {(number, column.name): Column(f"{column.name} {number + 1}",
                                                 column.adapter_path, column.strength)
                   for number in numbers for column in self.asked.columns}
        session.show(list(columns.values()))
        histories = {column.name: list(self.asked.prompts[number])
                     for (number, _), column in columns.items()}
        try:
            answering = session.answer(histories, self.asked.sampling, stop)
        except (DataError, ModelError) as error:
            if session.columns != list(columns.values()):
                raise BusyError("Somebody else chose other columns meanwhile.",
                                "Answer the rest of the set when they are done.") from error
            # Nothing was computed: one of the prompts cannot be asked.
            return self._without_the_impossible(session, numbers, error, step, progress, stop)
        for _ in answering:
            progress(step)
        if any(session.turns[name].ending in ("", "stopped") for name in histories):
            return False
        seed = self.asked.sampling.seed
        self._keep([Answered(number, {
            column.name: Answer.of(session.turns[columns[number, column.name].name], seed)
            for column in self.asked.columns}) for number in numbers])
        return True

    def _without_the_impossible(
        self, session: Session, numbers: list[int], error: StudioError, step: Step,
        progress: Progress, stop: ShouldStop,
    ) -> bool:
        if len(numbers) == 1:
            self._keep([Answered(numbers[0], problem=str(error))])
            return True
        half = len(numbers) // 2
        return all(self._answer_batch(session, part, step, progress, stop)
                   for part in (numbers[:half], numbers[half:]))

    def _keep(self, answered: list[Answered]) -> None:
        with disk_errors_told(self.path, "The answers"):
            append_json_lines(self.path / ANSWERS_FILE, [
                _answered_kind().dump_python(one, mode="json") for one in answered])


def new_answered_set(
    settings: Settings, prompts: PromptSet, model: Model, columns: list[Column],
    sampling: Sampling, *, system: str = "", name: str = "",
) -> AnsweredSet:
    """A folder for the answers of `columns`; nothing is loaded or answered yet.

    `system` goes before prompts that have no system prompt of their own. Raises StudioError where
    there are not two to six columns of different names, and DiskError.
    """
    if not 2 <= len({column.name for column in columns}) == len(columns) <= len(LABELS):
        raise StudioError(f"A prompt set is answered by two to six columns of different names; "
                          f"given: {', '.join(column.name for column in columns) or 'none'}.",
                          "Choose the columns again.")
    model = model.model_copy(update={"trust_remote_code": False})
    asked = Asked(
        uuid.uuid4().hex, prompts.name,
        tuple(_with_system(prompt, system) for prompt in prompts.prompts), model, tuple(columns),
        tuple(contestant_of(model, column) for column in columns), sampling, time.time())
    stem = safe_name(name or prompts.name.partition(".")[0], "prompts")
    with disk_errors_told(settings.prompt_sets, "The prompt set"):
        path = free_path(settings.prompt_sets, stem, "")
        with folder_written_whole(path) as folder:
            write_json_safely(folder / SET_FILE, _asked_kind().dump_python(asked, mode="json"))
    return AnsweredSet(path)


def _with_system(prompt: tuple[Message, ...], system: str) -> tuple[Message, ...]:
    if not system.strip() or prompt[0]["role"] == "system":
        return prompt
    return ({"role": "system", "content": system.strip()}, *prompt)


@functools.cache
def _asked_kind() -> TypeAdapter[Asked]:
    return TypeAdapter(Asked)


@functools.cache
def _answered_kind() -> TypeAdapter[Answered]:
    return TypeAdapter(Answered)


def _read_asked(file: Path) -> Asked:
    try:
        return _asked_kind().validate_python(json.loads(file.read_text(encoding="utf-8")))
    except (OSError, ValueError, StudioError) as error:
        said = str(error).splitlines()[0]
        raise DataError(f"The prompt set {file.parent.name} cannot be read: {said}.",
                        "Delete its folder, or bring back an earlier copy.") from error


def _parsed(found: dict[str, Any]) -> Answered | None:
    try:
        return _answered_kind().validate_python(found)
    except ValidationError:
        return None
