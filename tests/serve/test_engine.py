"""The engine lets others in while a long answer is written, and fails one round and no more."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from studio.chat.desk import ChatDesk
from studio.chat.session import Column
from studio.models.generation import readable
from studio.recipe import Model
from studio.serve import engine
from studio.serve.engine import Engine
from studio.serve.errors import SERVER_FAILED
from studio.serve.requests import ChatRequest
from studio.serve.row import Piece, Question, Row
from studio.serve.served import ServedModels
from tests.chat.alone import GREEDY, SHORT, answer_alone


class Asker:
    """Asks one question and keeps what came, and when it was over among all askers."""

    ended: list[str] = []

    def __init__(self, name: str, question: Question) -> None:
        self.pieces: list[Piece] = []
        self.begun = threading.Event()
        self.over = threading.Event()
        self._name = name
        self.row = Row(question, self._take)

    def _take(self, piece: Piece) -> None:
        self.pieces.append(piece)
        self.begun.set()
        if piece.is_last:
            Asker.ended.append(self._name)
            self.over.set()


@pytest.fixture
def running(desk: ChatDesk, model: Model) -> Iterator[Engine]:
    Asker.ended = []
    running = Engine(lambda: desk.loaded(model) or desk.open(model, [Column("base")]))
    yield running
    running.close()


@pytest.fixture
def question(running: Engine, served_adapters: dict[str, object]) -> Callable[..., Question]:
    """A question that goes on until its last token: nothing ends it sooner."""
    columns = [Column("base"), *(Column(name, path)  # type: ignore[arg-type]
                                 for name, path in served_adapters.items())]
    models = ServedModels(columns)

    def make(name: str, tokens: int) -> Question:
        asked = ChatRequest(model=name, messages=SHORT, max_tokens=tokens, seed=1)  # type: ignore[arg-type]
        made = models.chat_question(asked, running.session())
        return replace(made, end_ids=frozenset())

    return make


@pytest.mark.parametrize("in_turn", [True, False])
def test_models_of_a_base_that_mixes_rows_share_no_round(running: Engine, in_turn: bool) -> None:
    models = ServedModels([Column("base")], in_turn=in_turn)
    asked = ChatRequest(model="base", messages=SHORT)  # type: ignore[arg-type]
    assert models.chat_question(asked, running.session()).is_alone == in_turn


@pytest.mark.parametrize(("long", "short"), [("base", "one"), ("one", "dora"), ("dora", "base")])
def test_a_short_answer_comes_while_a_long_one_is_written(
    running: Engine, question: Callable[..., Question], monkeypatch: pytest.MonkeyPatch,
    long: str, short: str
) -> None:
    monkeypatch.setattr(engine, "JOIN_SECONDS", 0)
    monkeypatch.setattr(engine, "TURN_SECONDS", 0)
    first, second = Asker("long", question(long, 300)), Asker("short", question(short, 3))
    running.submit([first.row])
    assert first.begun.wait(60)
    running.submit([second.row])
    assert first.over.wait(60) and second.over.wait(60)
    assert Asker.ended == ["short", "long"]
    assert [len(asker.row.token_ids) for asker in (first, second)] == [300, 3]
    assert first.pieces[-1].finish == "length" and first.pieces[-1].tokens == 300


def test_a_person_on_the_page_is_answered_while_a_long_answer_is_written(
    running: Engine, question: Callable[..., Question], desk: ChatDesk, model: Model,
    tiny_model: Path
) -> None:
    undisturbed, long = (Asker(name, question("one", 300)) for name in ("undisturbed", "long"))
    running.submit([undisturbed.row])
    assert undisturbed.over.wait(60)
    running.submit([long.row])
    assert long.begun.wait(60)
    said = [*desk.answer(model, [Column("me")], {"me": SHORT}, GREEDY)][-1]["me"]
    assert not long.over.is_set(), "the person waited for the whole of it"
    tokenizer = running.session().reader(None).tokenizer
    assert said == readable(tokenizer, answer_alone(tiny_model, None, SHORT))
    assert long.over.wait(60), "it goes on afterwards"
    assert long.row.token_ids == undisturbed.row.token_ids


def test_everyone_has_a_turn_when_more_ask_than_fit(
    running: Engine, question: Callable[..., Question], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine, "ROWS_AT_ONCE", 2)
    monkeypatch.setattr(engine, "TURN_SECONDS", 0)
    askers = [Asker(str(number), question("one", 40)) for number in range(5)]
    running.submit([asker.row for asker in askers])
    assert all(asker.over.wait(60) for asker in askers)
    texts = {"".join(piece.text for piece in asker.pieces) for asker in askers}
    assert len(texts) == 1, "the same seed, yet another text"


def test_a_computation_that_fails_ends_its_requests_and_the_next_is_answered(
    running: Engine, question: Callable[..., Question]
) -> None:
    good = question("base", 3)
    # A token that the model has no row for.
    bad = Asker("bad", replace(good, prompt_ids=[10**6]))
    running.submit([bad.row])
    assert bad.over.wait(60)
    error = bad.pieces[-1].error
    assert error is not None and error.status == SERVER_FAILED and "IndexError" in str(error)
    well = Asker("well", good)
    running.submit([well.row])
    assert well.over.wait(60) and well.pieces[-1].finish == "length"


def test_a_closed_engine_says_so(running: Engine, question: Callable[..., Question]) -> None:
    asked = question("base", 300)
    writing, late = Asker("writing", asked), Asker("late", asked)
    running.submit([writing.row])
    assert writing.begun.wait(60)
    running.close()
    running.submit([late.row])
    for asker in (writing, late):
        assert asker.over.is_set() and asker.pieces[-1].error is not None
        assert asker.pieces[-1].error.code == "closing"


def test_an_abandoned_row_is_computed_no_further(
    running: Engine, question: Callable[..., Question]
) -> None:
    left, other = Asker("left", question("base", 400)), Asker("other", question("one", 5))
    running.submit([left.row])
    assert left.begun.wait(60)
    left.row.abandon()
    running.submit([other.row])
    assert other.over.wait(60) and not left.over.is_set()
    assert len(left.row.token_ids) < 400
