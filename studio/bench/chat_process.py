"""The studio's side of the chat bench: `python -m studio.bench.chat_process VERB REQUEST.json`.

speed: answers of four columns in one batch, of the same four in turn, of one column, and of plain
Transformers and PEFT in this same process, round after round. memory: one answer of four columns,
and what it took at most. Prints one line of JSON on standard error.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from studio.bench.peak import Peak
from studio.bench.plain_peft import PlainPeft
from studio.chat.sampling import Sampling
from studio.chat.session import BASE_COLUMN, ChatSession, Column
from studio.recipe import Model
from studio.settings import Settings, load_settings, prepare_environment

_WARM_TOKENS = 4

Answered = dict[str, float]
"""New tokens, seconds, and seconds to the first token."""
Way = Callable[[int], Answered]
"""Answers with so many tokens."""
Round = dict[str, list[Answered]]
"""By way, in the order in which they were asked."""
FOUR = ("batched", "in_turn")
ONE = ("single", "generate")
"""The cheap ways: those of one answer."""


def main(verb: str, request_file: str) -> None:
    request = json.loads(Path(request_file).read_text(encoding="utf-8"))
    settings = load_settings(request["home"], offline=True)
    prepare_environment(settings)
    peak = Peak()
    session = bench_session(request, settings)
    peak.models_are_loaded()
    if verb == "memory":
        answered(session, request, _names(session), request["tokens"])
        said: Any = peak.told()
    else:
        said = in_rounds(ways(session, request), request)
    sys.stderr.write(json.dumps(said) + "\n")


def bench_session(request: dict[str, Any], settings: Settings) -> ChatSession:
    """The base and all adapters of the request as columns."""
    loading = request["loading"]
    model = Model(source=request["model"], dtype=loading["dtype"], attention=loading["attention"])
    return ChatSession(model, [Column(BASE_COLUMN), *(
        Column(Path(path).name, Path(path)) for path in request["adapters"])], settings)


def ways(session: ChatSession, request: dict[str, Any]) -> dict[str, Way]:
    """All ways of answering, by name. The one column is that of the last adapter."""
    names = _names(session)
    plain = PlainPeft(request["model"], request["adapters"], **request["loading"])
    return {
        "batched": lambda tokens: answered(session, request, names, tokens),
        "in_turn": lambda tokens: _sum([answered(session, request, [name], tokens)
                                        for name in names]),
        "single": lambda tokens: answered(session, request, names[-1:], tokens),
        "generate": lambda tokens: _generated(plain, request, tokens),
    }


def in_rounds(ways: dict[str, Way], request: dict[str, Any]) -> list[Round]:
    """Each round asks the cheap ways twice and every other round all of them. A few tokens before,
    in which libraries prepare themselves, are not counted."""
    for answer in ways.values():
        answer(_WARM_TOKENS)
    rounds: list[Round] = []
    began, longest = time.monotonic(), 0.0
    while len(rounds) < request["rounds"]:
        round_began = time.monotonic()
        if rounds and round_began - began + longest > request["seconds"]:
            break
        now: Round = {way: [] for way in ways}
        for way in order_of(len(rounds)):
            now[way].append(ways[way](request["tokens"]))
        rounds.append(now)
        longest = max(longest, time.monotonic() - round_began)
    return rounds


def order_of(number: int) -> list[str]:
    """What the round of that number asks: whichever way comes first in one comes last in another,
    so that none gains by a PC that slows down or wakes up."""
    four = [] if number % 2 else list(FOUR[::-1 if number // 2 % 2 else 1])
    one = list(ONE[::-1 if number % 2 else 1])
    return [*four, *one, *reversed(one)]


def answered(session: ChatSession, request: dict[str, Any], names: list[str],
             tokens: int) -> Answered:
    """These columns together, to the end of their stream."""
    began, first = time.perf_counter(), 0.0
    for _ in session.answer({name: request["messages"] for name in names},
                            Sampling(temperature=0, max_new_tokens=tokens)):
        first = first or time.perf_counter() - began
    seconds = time.perf_counter() - began
    turns = [session.turns[name] for name in names]
    return {"tokens": sum(turn.tokens + (turn.ending == "end") for turn in turns),
            "seconds": seconds, "first_token_seconds": first}


def _generated(plain: PlainPeft, request: dict[str, Any], tokens: int) -> Answered:
    """All tokens, and before that one alone, since `generate` tells nothing until it is through."""
    _, first = plain.answer(request["messages"], 1)
    made, seconds = plain.answer(request["messages"], tokens)
    return {"tokens": made, "seconds": seconds, "first_token_seconds": first}


def _sum(answers: list[Answered]) -> Answered:
    return {"tokens": sum(one["tokens"] for one in answers),
            "seconds": sum(one["seconds"] for one in answers),
            "first_token_seconds": answers[0]["first_token_seconds"]}


def _names(session: ChatSession) -> list[str]:
    return [column.name for column in session.columns]


if __name__ == "__main__":
    main(*sys.argv[1:])
