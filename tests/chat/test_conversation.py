"""A conversation keeps each column's own side, and loses nothing but what is cut on purpose."""

from __future__ import annotations

import pytest

from studio.chat.conversation import Answer, Conversation
from studio.chat.turn import Turn
from studio.errors import DataError


def said(text: str, seed: int = 0) -> Answer:
    return Answer(text, 2, None, "end", seed)


@pytest.fixture
def talk() -> Conversation:
    """Two turns, the second one of other columns."""
    first = Conversation().asked("one", ["base", "a"]).with_last(
        {"base": said("from base"), "a": said("from a")})
    return first.asked("two", ["base", "b"]).with_last(
        {"base": said("again base"), "b": said("from b")})


def test_each_column_remembers_only_its_own_answers(talk: Conversation) -> None:
    now = talk.asked("three", ["base", "a", "b"])
    assert now.history("base", " Be brief. ") == [
        {"role": "system", "content": "Be brief."}, {"role": "user", "content": "one"},
        {"role": "assistant", "content": "from base"}, {"role": "user", "content": "two"},
        {"role": "assistant", "content": "again base"}, {"role": "user", "content": "three"}]
    assert [turn["content"] for turn in now.history("a", "")] == ["one", "from a", "three"]
    assert [turn["content"] for turn in now.side("b", "")] == ["two", "from b"]
    assert now.columns == ["base", "a", "b"]


def test_an_edited_turn_cuts_what_came_after(talk: Conversation) -> None:
    now = talk.edited(1, "uno", ["base"])
    assert [one.prompt for one in now.exchanges] == ["uno"]
    assert not now.exchanges[0].is_answered
    later = talk.edited(2, "due", ["a"])
    assert [one.prompt for one in later.exchanges] == ["one", "due"]
    assert later.exchanges[0] == talk.exchanges[0]


def test_regenerating_keeps_the_earlier_answers_and_goes_on_with_the_new_one(
    talk: Conversation
) -> None:
    again = talk.again()
    assert [len(one.answers) for one in again.exchanges[1].columns.values()] == [2, 2]
    assert again.exchanges[1].answers["b"] == Answer()
    now = again.with_last({"base": said("third", 1), "b": said("other b", 1)})
    assert now.latest_seed == 1
    assert [one.text for one in now.exchanges[1].columns["b"].answers] == ["from b", "other b"]
    assert now.history("b", "") == [{"role": "user", "content": "two"}]
    assert now.asked("three", ["b"]).history("b", "")[1]["content"] == "other b"
    chosen = now.choose(2, "b", 1)
    assert chosen.exchanges[1].answers["b"].text == "from b"
    assert chosen.exchanges[1].answers["base"].text == "third"
    assert chosen.asked("three", ["b"]).history("b", "")[1]["content"] == "from b"


def test_one_column_alone_can_be_regenerated(talk: Conversation) -> None:
    now = talk.again(["b"]).with_last({"b": said("other b", 1)})
    assert [len(one.answers) for one in now.exchanges[1].columns.values()] == [1, 2]
    assert now.exchanges[1].answers["base"].text == "again base"


def test_a_regeneration_that_fails_or_is_never_begun_loses_no_answer(talk: Conversation) -> None:
    failed = talk.again().with_last(error=("Busy.", "Wait."))
    assert failed.exchanges[1].error == ("Busy.", "Wait.")
    assert failed.exchanges[1].columns == talk.exchanges[1].columns
    assert failed.answered() == talk.answered() == talk
    assert talk.again().again().exchanges[1].columns["b"].answers == (said("from b"), Answer())


def test_a_failed_prompt_is_dropped_by_the_next_one() -> None:
    talk = Conversation().asked("one", ["base"]).with_last(error=("Busy.", "Wait."))
    assert [one.prompt for one in talk.asked("two", ["base"]).exchanges] == ["two"]


def test_a_turn_or_an_answer_that_is_not_there_is_a_sentence(talk: Conversation) -> None:
    with pytest.raises(DataError, match="2 turns, so there is no turn 3"):
        talk.edited(3, "x", ["base"])
    with pytest.raises(DataError, match="b has 1 answers to turn 2, so there is no answer 2"):
        talk.choose(2, "b", 2)
    with pytest.raises(DataError, match="nobody has 0 answers"):
        talk.choose(2, "nobody", 1)
    with pytest.raises(DataError, match="0 turns"):
        Conversation().again()


def test_an_answer_takes_a_turns_numbers_and_counts_the_context() -> None:
    turn = Turn("base", 40, "So.", [5, 6, 7], 0.5, 1.5, "end", 512)
    talk = Conversation().asked("Why?", ["base", "mute"]).with_last({"base": Answer.of(turn, 7)})
    answer = talk.exchanges[0].answers["base"]
    assert (answer.text, answer.tokens, answer.tokens_per_second, answer.seed) == (
        "So.", 3, 2.0, 7)
    assert [(use.column, use.used_tokens, use.limit_tokens) for use in talk.context_uses] == [
        ("base", 43, 512)]
    assert Conversation().context_uses == [] and Conversation().latest_seed is None


def test_a_thought_that_the_template_began_belongs_to_the_answer() -> None:
    answer = Answer("Two.</think>2", 5, None, "end", opening="<think>\n")
    assert (answer.parts.thought, answer.parts.answer) == ("Two.", "2")
    talk = Conversation().asked("1+1?", ["a"]).with_last({"a": answer}).asked("2+2?", ["a"])
    assert talk.history("a", "")[1]["content"] == "<think>\nTwo.</think>2"
