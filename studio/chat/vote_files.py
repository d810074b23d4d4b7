"""Votes as files: a table for a spreadsheet, and preference pairs for a run of training.method dpo.
"""

from __future__ import annotations

import csv
import io
import json
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from studio.chat.training_file import CUT, taught_turn, write_lines, write_new_lines
from studio.chat.votes import BallotAnswer, Vote
from studio.errors import DataError
from studio.files import disk_errors_told, write_text_safely
from studio.settings import Settings

_COLUMNS = ("ballot", "time", "prompt_set", "verdict", "label", "is_winner", "column", "model",
            "adapter", "strength", "fingerprint", "prompt", "answer", "tokens", "ending", "seed",
            "shuffle_seed", "sampling")


@dataclass(frozen=True)
class PreferenceFile:
    """What was written. `left_out` counts the pairs that teach nothing, by reason."""

    path: Path
    pairs: int
    left_out: dict[str, int]


def votes_csv(votes: Sequence[Vote]) -> str:
    """One line for each answer of each vote. `prompt` is the last turn, or, where others stand
    before it, the whole conversation as JSON; times are in UTC."""
    text = io.StringIO()
    # A field is quoted where a part of the line's end is in it; models write lone returns, too.
    writer = csv.writer(text, lineterminator="\r\n")
    writer.writerow(_COLUMNS)
    for vote in votes:
        for number, one in enumerate(vote.ballot.answers):
            writer.writerow(_line(vote, number, one))
    return text.getvalue()


def write_votes_csv(votes: Sequence[Vote], path: Path) -> None:
    """`votes_csv` as a file, whole or not at all. Raises DiskError."""
    with disk_errors_told(path.parent, "The table of votes"):
        write_text_safely(path, votes_csv(votes))


def write_preferences(votes: Sequence[Vote], settings: Settings,
                      path: Path | None = None) -> PreferenceFile:
    """A file with the winner of each vote against each of the others: lines of {"prompt",
    "chosen", "rejected"}, all of them lists of turns. Without a `path` a new one among the uploads.

    Raises DataError where no vote gives a pair, saying why, and DiskError.
    """
    lines: dict[str, None] = {}
    left_out: Counter[str] = Counter()
    for vote in votes:
        for pair, why in _pairs(vote):
            line = json.dumps(pair, ensure_ascii=False)
            why = why or ("the same pair came before" if line in lines else "")
            if why:
                left_out[why] += 1
            else:
                lines[line] = None
    if not lines:
        raise DataError(f"No vote gives a pair of a better and a worse answer: {_why(left_out)}.",
                        "Vote for an answer that is better than the others.")
    what = "The preference pairs"
    if path is None:
        path = write_new_lines(settings, "votes", lines, what)
    else:
        write_lines(path, lines, what)
    return PreferenceFile(path, len(lines), dict(left_out))


def _line(vote: Vote, number: int, one: BallotAnswer) -> list[Any]:
    who, answer, ballot = one.contestant, one.answer, vote.ballot
    prompt = one.history[-1]["content"] if len(one.history) == 1 else \
        json.dumps(one.history, ensure_ascii=False)
    time = datetime.fromtimestamp(vote.time_seconds, UTC).isoformat(timespec="seconds")
    return [ballot.id, time, ballot.prompt_set, vote.verdict, ballot.labels[number],
            number == vote.winner, who.name, who.model, who.adapter, who.strength, who.fingerprint,
            prompt, answer.whole_text, answer.tokens, answer.ending, answer.seed,
            ballot.shuffle_seed, json.dumps(ballot.sampling)]


def _pairs(vote: Vote) -> Iterator[tuple[dict[str, Any], str]]:
    """Each pair that a vote makes, and why it is left out, "" where it is not."""
    if vote.winner is None:
        yield {}, "no answer won"
        return
    better = vote.ballot.answers[vote.winner]
    for number, worse in enumerate(vote.ballot.answers):
        if number != vote.winner:
            yield {"prompt": better.history, "chosen": [taught_turn(better.answer)],
                   "rejected": [taught_turn(worse.answer)]}, _nothing_to_learn(better, worse)


def _nothing_to_learn(better: BallotAnswer, worse: BallotAnswer) -> str:
    if better.history != worse.history:
        return "the answers belong to different conversations"
    if better.answer.ending in CUT:
        return f"the better answer {CUT[better.answer.ending]}"
    if not all(one.answer.parts.answer.strip() for one in (better, worse)):
        return "an answer is empty"
    same = taught_turn(better.answer) == taught_turn(worse.answer)
    return "both answers are the same" if same else ""


def _why(left_out: Counter[str]) -> str:
    return "; ".join(f"{count} times {why}" for why, count in left_out.most_common()) or \
        "there are no votes"
