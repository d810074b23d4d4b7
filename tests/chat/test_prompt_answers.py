"""A prompt set is answered as if each prompt was asked alone, kept, and voted on later."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from studio.chat.answered_sets import answered_sets, delete_set
from studio.chat.prompt_answers import AnsweredSet, new_answered_set
from studio.chat.prompt_set import PromptSet
from studio.chat.sampling import Sampling
from studio.chat.session import ChatSession, Column
from studio.chat.votes import TIE, VoteBox
from studio.errors import BusyError, DataError, ModelError, StudioError
from studio.progress import Step
from studio.settings import Settings
from tests.chat.alone import model_of

TEXTS = ("Two pizzas.", "A cola for Anna, please, and then to Berlin by Friday.", "Soup?",
         *(f"{number} pizzas and a cola" for number in range(6)))
WARM = Sampling(temperature=1.2, top_k=0, top_p=1, seed=9, max_new_tokens=10)


def _prompts(*texts: str) -> PromptSet:
    return PromptSet("orders.txt", tuple(({"role": "user", "content": text},) for text in texts))


@pytest.fixture(scope="module")
def columns(adapters: dict[str, Path]) -> list[Column]:
    return [Column("base"), Column("one", adapters["one"]), Column("half", adapters["one"], 0.5)]


@pytest.fixture(scope="module")
def session(tiny_model: Path, columns: list[Column], tmp_path_factory: pytest.TempPathFactory
            ) -> Iterator[ChatSession]:
    settings = Settings(home=tmp_path_factory.mktemp("home"), offline=True)
    session = ChatSession(model_of(tiny_model), columns, settings)
    yield session
    session.close()


@pytest.fixture
def asked(settings: Settings, session: ChatSession, columns: list[Column]) -> AnsweredSet:
    return new_answered_set(settings, _prompts(*TEXTS), session.model, columns, WARM)


def test_every_answer_is_the_one_to_its_prompt_asked_alone(
    asked: AnsweredSet, session: ChatSession, columns: list[Column]
) -> None:
    steps: list[Step] = []
    assert asked.answer(session, progress=steps.append) and asked.pending == []
    assert steps[0].done == 0 and steps[-1].done == steps[-1].total == len(TEXTS)
    kept = asked.answered()
    assert list(kept) == list(range(len(TEXTS)))
    session.show(columns)
    for number in (0, 1, 4):
        history = list(asked.asked.prompts[number])
        alone = list(session.answer({one.name: history for one in columns}, WARM))[-1]
        assert {name: one.text for name, one in kept[number].answers.items()} == alone
    assert {one.seed for one in kept[0].answers.values()} == {9}


def test_a_stopped_set_goes_on_where_it_was(
    asked: AnsweredSet, session: ChatSession, settings: Settings
) -> None:
    def enough() -> bool:
        return len(asked.answered()) >= 3

    assert not asked.answer(session, stop=enough)
    before = asked.answered()
    assert 3 <= len(before) < len(TEXTS)
    again = answered_sets(settings)[0]
    assert again.answer(session)
    assert again.pending == [] and before.items() <= again.answered().items()


def test_a_prompt_that_cannot_be_asked_keeps_its_reason_and_stops_no_other(
    settings: Settings, session: ChatSession, columns: list[Column]
) -> None:
    prompts = _prompts("Two pizzas.", "Berlin " * 600, "Soup?", " ")
    asked = new_answered_set(settings, prompts, session.model, columns[:2], WARM,
                             system="Be brief.")
    assert asked.answer(session)
    found = asked.answered()
    assert "512" in found[1].problem and "empty" in found[3].problem
    assert not found[0].problem and set(found[2].answers) == {"base", "one"}
    assert asked.asked.prompts[0][0] == {"role": "system", "content": "Be brief."}
    assert asked.unvoted([]) == [0, 2]
    with pytest.raises(DataError, match=r"Prompt 2 of orders has no answers: .*512"):
        asked.ballot(1)


def test_its_ballots_are_voted_on_once_each(
    asked: AnsweredSet, session: ChatSession, settings: Settings
) -> None:
    with pytest.raises(DataError, match=r"no answers yet"):
        asked.ballot(0)
    asked.answer(session)
    box = VoteBox(settings)
    ballot = asked.ballot(0)
    assert ballot == asked.ballot(0) and ballot.prompt_set == "orders"
    assert {one.contestant.name for one in ballot.answers} == {"base", "one", "half"}
    assert len({one.contestant for one in ballot.answers}) == 3
    orders = {tuple(one.contestant.name for one in asked.ballot(number).answers)
              for number in range(len(TEXTS))}
    assert len(orders) > 2
    box.cast(ballot, "A")
    box.cast(asked.ballot(0), TIE)
    assert [vote.verdict for vote in box.votes()] == [TIE]
    assert asked.unvoted(box.votes()) == list(range(1, len(TEXTS)))


def test_other_weights_than_those_asked_are_refused(
    settings: Settings, session: ChatSession, columns: list[Column], adapters: dict[str, Path],
    tmp_path: Path,
) -> None:
    folder = shutil.copytree(adapters["one"], tmp_path / "run")
    two = [columns[0], Column("run", folder)]
    asked = new_answered_set(settings, _prompts("Soup?"), session.model, two, WARM)
    shutil.copyfile(adapters["two"] / "adapter_model.safetensors",
                    folder / "adapter_model.safetensors")
    with pytest.raises(ModelError, match="run changed since"):
        asked.answer(session)
    other = session.model.model_copy(update={"source": "starter"})
    asked = new_answered_set(settings, _prompts("Soup?"), other, columns, WARM)
    with pytest.raises(ModelError, match="another base"):
        asked.answer(session)


def test_somebody_else_at_the_session_is_told_and_nothing_is_lost(
    asked: AnsweredSet, session: ChatSession, columns: list[Column]
) -> None:
    session.show(columns)
    other = session.answer({"base": list(asked.asked.prompts[0])},
                           replace(WARM, max_new_tokens=300, temperature=1.5))
    next(other)
    with pytest.raises(BusyError):
        asked.answer(session)
    other.close()  # type: ignore[attr-defined]

    class Meddling:
        """A session whose columns somebody changes between choosing and asking."""

        model, turns = session.model, session.turns

        @property
        def columns(self) -> list[Column]:
            return session.columns

        def show(self, wanted: list[Column]) -> None:
            session.show([Column("base"), Column("other")])

        answer = session.answer

    with pytest.raises(BusyError, match="other columns"):
        asked.answer(Meddling())  # type: ignore[arg-type]
    assert asked.answered() == {} and asked.answer(session)


def test_sets_are_listed_newest_first_and_damaged_ones_are_not_in_the_way(
    settings: Settings, session: ChatSession, columns: list[Column]
) -> None:
    made = [new_answered_set(settings, _prompts("Soup?"), session.model, columns, WARM)
            for _ in range(2)]
    assert made[0].name != made[1].name
    assert [one.name for one in answered_sets(settings)] == [made[1].name, made[0].name]
    assert answered_sets(settings)[0].asked == made[1].asked
    (made[1].path / "set.json").write_text("{", encoding="utf-8")
    assert [one.name for one in answered_sets(settings)] == [made[0].name]
    with pytest.raises(DataError, match="cannot be read"):
        AnsweredSet(made[1].path)


def test_columns_of_one_name_or_one_column_are_refused(
    settings: Settings, session: ChatSession, columns: list[Column]
) -> None:
    for wrong in (columns[:1], [columns[0], replace(columns[1], name="base")]):
        with pytest.raises(StudioError, match="two to six columns"):
            new_answered_set(settings, _prompts("Soup?"), session.model, wrong, WARM)


def test_a_deleted_set_is_gone_and_its_votes_stay(
    asked: AnsweredSet, session: ChatSession, settings: Settings
) -> None:
    asked.answer(session)
    box = VoteBox(settings)
    box.cast(asked.ballot(0), "A")
    delete_set(settings, asked)
    assert answered_sets(settings) == [] and list(settings.prompt_sets.iterdir()) == []
    assert [vote.verdict for vote in box.votes()] == ["A"]
