"""A blind test: answers in an order that tells nothing, a verdict, and every verdict kept.

Verdicts are lines of one file in the home folder, which only grows: whoever votes again or
withdraws adds a line, and the last one of a ballot counts. What the votes add up to is told by
`win_rates.py`; `vote_files.py` hands them on.
"""

from __future__ import annotations

import functools
import json
import random
import threading
import time
import uuid
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

from pydantic import TypeAdapter, ValidationError

from studio.adapters.folder import WEIGHTS_FILE
from studio.chat.conversation import Answer
from studio.chat.prompt import Message
from studio.chat.sampling import Sampling
from studio.chat.session import Column
from studio.errors import StudioError
from studio.files import disk_errors_told, file_sha256
from studio.json_lines import JsonLines, append_json_lines
from studio.recipe import Model
from studio.settings import Settings

FILE_NAME = "votes.jsonl"
LABELS = "ABCDEF"
TIE: Literal["tie"] = "tie"
ALL_BAD: Literal["all_bad"] = "all_bad"

Outcome = Literal["winner", "tie", "all_bad", "withdrawn"]


@dataclass(frozen=True)
class Contestant:
    """Which weights answered. Two that differ in their name alone are the same.

    `adapter` is the folder, "" for the base. `fingerprint` is the SHA-256 of the adapter's weights,
    so that a folder that was trained anew is another contestant; "" for the base, and where the
    folder is gone.
    """

    name: str = field(compare=False)
    model: str = ""
    adapter: str = ""
    strength: float = 1.0
    fingerprint: str = ""


@dataclass(frozen=True)
class BallotAnswer:
    """One of the answers on a ballot, and the turns that it answers."""

    contestant: Contestant
    history: list[Message]
    answer: Answer


@dataclass(frozen=True)
class Ballot:
    """Answers to one prompt in the order in which they are shown: the first is called A.

    `shuffle_seed` made the order. `sampling` has the fields of what all were drawn with;
    `prompt_set` names the set that the prompt comes from, if any.
    """

    id: str
    answers: tuple[BallotAnswer, ...]
    shuffle_seed: int
    sampling: dict[str, Any] = field(default_factory=dict)
    prompt_set: str = ""

    @property
    def labels(self) -> tuple[str, ...]:
        """"A", "B", ... for each answer: all that a voter learns of who wrote it."""
        return tuple(LABELS[:len(self.answers)])


@dataclass(frozen=True)
class Vote:
    """A verdict. `winner` is the number of the better answer, None without one."""

    ballot: Ballot
    outcome: Outcome
    winner: int | None
    time_seconds: float

    @property
    def verdict(self) -> str:
        """The winner's label, or the outcome."""
        return self.outcome if self.winner is None else self.ballot.labels[self.winner]


def contestant_of(model: Model, column: Column) -> Contestant:
    """What stands behind a column. Reads the adapter's weights once, for their fingerprint; an
    adapter that is one file is its weights."""
    revision = f"@{model.revision}" if model.revision else ""
    quantised = "" if model.quantization == "none" else f" {model.quantization}"
    path = column.adapter_path
    return Contestant(
        column.name, f"{model.source}{revision}{quantised}", str(path or ""), column.strength,
        _fingerprint(path if path.is_file() else path / WEIGHTS_FILE) if path else "")


def make_ballot(
    answers: Sequence[BallotAnswer], shuffle_seed: int, sampling: Sampling, *,
    ballot_id: str = "", prompt_set: str = "",
) -> Ballot:
    """The answers shuffled. Raises StudioError unless there are two to six of them, all over."""
    if not 2 <= len(answers) <= len(LABELS):
        raise StudioError(f"A blind test compares two to {len(LABELS)} answers; these are "
                          f"{len(answers)}.", "Choose the columns again.")
    unfinished = [one.contestant.name for one in answers if not one.answer.ending]
    if unfinished:
        raise StudioError(f"There is no whole answer of {', '.join(unfinished)} yet.",
                          "Wait until all have answered, then vote.")
    shuffled = list(answers)
    random.Random(shuffle_seed).shuffle(shuffled)
    plain = json.loads(json.dumps(asdict(sampling)))
    return Ballot(ballot_id or uuid.uuid4().hex, tuple(shuffled), shuffle_seed, plain, prompt_set)


class VoteBox:
    """All verdicts of one home folder. Safe to use from several threads and pages."""

    def __init__(self, settings: Settings) -> None:
        self.path = settings.votes / FILE_NAME
        self._appending = threading.Lock()
        self._lines = JsonLines(self.path, _parsed)

    def cast(self, ballot: Ballot, verdict: str) -> Vote:
        """Keep a verdict: a label of the ballot, "tie", or "all_bad". It takes the place of an
        earlier one. Raises StudioError for any other word, and DiskError."""
        if verdict in ballot.labels:
            return self._keep(ballot, "winner", ballot.labels.index(verdict))
        if verdict == TIE:
            return self._keep(ballot, TIE, None)
        if verdict == ALL_BAD:
            return self._keep(ballot, ALL_BAD, None)
        raise StudioError(f"The verdict is {verdict!r}, but this ballot knows "
                          f"{', '.join(ballot.labels)}, {TIE} and {ALL_BAD}.", "Vote again.")

    def withdraw(self, ballot: Ballot) -> None:
        """Let no verdict on this ballot count; the file keeps them."""
        self._keep(ballot, "withdrawn", None)

    def votes(self) -> list[Vote]:
        """The verdict that counts on each ballot, by the time of the first one on it."""
        latest: dict[str, Vote] = {}
        for vote in self._lines.read():
            latest[vote.ballot.id] = vote
        return [vote for vote in latest.values() if vote.outcome != "withdrawn"]

    def _keep(self, ballot: Ballot, outcome: Outcome, winner: int | None) -> Vote:
        vote = Vote(ballot, outcome, winner, time.time())
        with self._appending, disk_errors_told(self.path.parent, "The verdict"):
            self.path.parent.mkdir(parents=True, exist_ok=True)
            append_json_lines(self.path, [_vote_kind().dump_python(vote, mode="json")])
        return vote


@functools.cache
def _vote_kind() -> TypeAdapter[Vote]:
    return TypeAdapter(Vote)


def _parsed(found: dict[str, Any]) -> Vote | None:
    """A line of another version counts as far as its fields are known."""
    try:
        vote = _vote_kind().validate_python(found)
    except ValidationError:
        return None
    inside = vote.winner is None or 0 <= vote.winner < len(vote.ballot.answers)
    return vote if inside and (vote.winner is None) == (vote.outcome != "winner") else None


def _fingerprint(weights: Path) -> str:
    try:
        status = weights.stat()
        return _sha256_of(weights, status.st_size, status.st_mtime_ns)
    except FileNotFoundError:
        return ""


@functools.lru_cache(maxsize=64)
def _sha256_of(weights: Path, size_bytes: int, changed_ns: int) -> str:
    return file_sha256(weights)
