"""The Talk part: what a page asks, edits, chooses and measures, on a tiny model and its adapter."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from studio.arbiter import Holder
from studio.chat.conversation import Answer, Conversation
from studio.chat.sampling import Sampling
from studio.chat.saved import list_conversations, open_conversation
from studio.chat.scoring import AnswerScore
from studio.chat.session import Column
from studio.errors import BusyError, DataError
from studio.progress import Step
from studio.settings import Settings
from studio.ui.panels import chat_turns
from studio.ui.panels.chat_answering import Answering, Question
from studio.ui.panels.chat_board import board_view
from studio.ui.panels.chat_context_view import context_view
from studio.ui.panels.chat_saved import require_idle
from studio.ui.panels.chat_turns import BLANK
from studio.ui.studio import Studio
from tests.chat.alone import model_of
from tests.chat.conftest import make_adapter

LUCKY = Sampling(temperature=1.5, top_p=1, top_k=0, max_new_tokens=12, seed=7)
ENDLESS = replace(LUCKY, max_new_tokens=400)


def shown(conversation: Conversation, marks: Any = "plain") -> str:
    return "".join(board_view(conversation, marks))


def answered(**texts: str) -> Conversation:
    return Conversation().asked("one", texts).with_last(
        {name: Answer(text, 3, 12.34, "end") for name, text in texts.items()})


# Views


def test_what_models_and_people_write_is_shown_as_text() -> None:
    talk = Conversation().asked("<b>hi</b>", ["<i>"]).with_last({"<i>": Answer(
        "<script>alert()</script>", 3, 12.34, "length", seconds_to_first_token=0.2)})
    for marks in ("plain", "differences", "distance"):
        page = shown(talk, marks)
        assert "<script>" not in page and "<b>" not in page and "<i>" not in page
    assert "3 tokens, 12.3 tokens/s, first after 0.20 s, cut at the token limit" in page


def test_the_empty_the_loading_and_the_failed_board_say_what_goes_on() -> None:
    assert "press Send" in shown(Conversation())
    asked = Conversation().asked("one", ["base"])
    loading = shown(Conversation(asked.exchanges, Step("Loading the model", 1, 4)))
    assert "Loading the model" in loading and 'aria-valuenow="25"' in loading
    failed = asked.with_last(error=("Busy.", "Wait."))
    assert "Busy." in shown(failed) and "waiting" not in shown(failed)
    assert [one.prompt for one in failed.asked("two", ["base"]).exchanges] == ["two"]


def test_while_an_answer_is_written_it_can_be_stopped_and_nothing_can_be_edited() -> None:
    growing = answered(base="old").asked("two", ["base", "run"])
    page = shown(growing)
    assert page.count('data-what="stop"') == 2 and 'data-what="edit"' not in page
    over = growing.with_last({"base": Answer("x", 1, ending="end"),
                              "run": Answer("y", 1, ending="stopped")})
    page = shown(over)
    assert page.count('data-what="edit"') == 2 and 'data-what="stop"' not in page


def test_a_thought_is_folded_and_the_answer_behind_it_is_not() -> None:
    page = shown(answered(base="<think>two and two</think>four"))
    assert '<details class="thought"><summary>Thought, 3 words</summary>' in page
    assert '<div class="answer-text">four</div>' in page
    growing = Conversation().asked("one", ["base"]).with_last({"base": Answer("<think>two", 2)})
    assert "<summary>Thinking</summary>" in shown(growing)


def test_differences_are_marked_against_the_first_column_once_all_have_ended() -> None:
    talk = answered(base="two <red> pizzas", run="two <blue> pizzas")
    page = shown(talk, "differences")
    assert "<mark>red</mark>" in page and "<mark>blue</mark>" in page
    assert "Marked is what differs: run against base." in page
    growing = talk.asked("two", ["base", "run"]).with_last({"base": Answer("a"),
                                                            "run": Answer("b")})
    assert shown(growing, "differences").count("<mark>") == 2
    assert "<mark>" not in shown(talk)


def test_adapters_are_compared_with_each_other_where_the_base_says_something_else() -> None:
    page = shown(answered(base="Sure, here is a poem", one="2 red pizzas", two="2 blue pizzas"),
                 "differences")
    assert page.count("<mark>") == 2 and "<mark>red</mark>" in page
    assert "two against one. An answer that shares hardly a word" in page
    assert "No two of these answers" in shown(answered(a="yes", b="no"), "differences")


def test_the_distance_to_the_base_colours_the_tokens_of_the_answer_proper() -> None:
    talk = answered(base="<think>no</think>a<b", run="<think>no</think>a<b")
    assert "Press Measure" in shown(talk, "distance")
    texts = ["<think>", "no", "</think>a", "<b"]
    moved = AnswerScore(texts, [-0.5] * 4, [9.0, 9.0, 2.0, 4.0])
    same = AnswerScore(texts, [-0.5] * 4, [0.0] * 4)
    scored = talk.with_last({"base": Answer("<think>no</think>a<b", 4, ending="end", score=same),
                             "run": Answer("<think>no</think>a<b", 4, ending="end", score=moved)})
    page = shown(scored, "distance")
    assert page.count('class="heat"') == 2 and ">&lt;b</span>" in page and ">a</span>" in page
    assert "--heat: 0.22" in page and "--heat: 0.44" in page and "9.00 nats" in page
    assert "perplexity 1.65" in page and "KL to base 6.000 nats per token" in page


def test_the_context_is_counted_and_a_full_one_is_said() -> None:
    def talk(used: int, limit: int | None) -> Conversation:
        return Conversation().asked("one", ["base"]).with_last(
            {"base": Answer("x", 10, ending="end", prompt_tokens=used - 10, context_tokens=limit)})

    assert context_view(Conversation(), 100) == ""
    assert "40 of 512 tokens" in context_view(talk(40, 512), 100)
    assert "note" not in context_view(talk(40, 512), 100)
    assert "have 12 left" in context_view(talk(500, 512), 100)
    assert "reads at most 512" in context_view(talk(512, 512), 100)
    assert "names no limit" in context_view(talk(40, None), 100)


# Handlers


@pytest.fixture(scope="module")
def adapter(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_adapter(tiny_model, tmp_path_factory.mktemp("adapter") / "run", seed=1)


@pytest.fixture
def studio(settings: Settings) -> Iterator[Studio]:
    studio = Studio(settings)
    yield studio
    studio.close()


@pytest.fixture
def question(tiny_model: Path, adapter: Path) -> Question:
    return Question("2 pizzas", "", model_of(tiny_model),
                    [Column("base"), Column("run", adapter)], LUCKY)


def values(talk: Any = BLANK, editing: int = 0) -> dict[str, Any]:
    return {"talk": talk, "editing": editing, "marks": "plain"}


def last_of(updates: Iterator[dict[str, Any]]) -> dict[str, Any]:
    """What the page shows in the end: the newest update of each component."""
    found: dict[str, Any] = {}
    for update in updates:
        found |= update
    return found


def test_two_turns_another_try_and_an_edit_are_kept_in_one_saved_conversation(
    studio: Studio, question: Question
) -> None:
    answering = Answering(studio.chat)
    first = last_of(chat_turns.sent(studio, answering, "page", question, values()))
    assert first["prompt"] == "" and first["send"].interactive and not first["stop"].interactive
    exchange = first["talk"].conversation.exchanges[0]
    assert list(exchange.answers) == ["base", "run"]
    for answer in exchange.answers.values():
        assert answer.ending in ("end", "length") and answer.seed == 7
        assert answer.seconds_to_first_token is not None
    assert first["teach_column"].choices == [("base", "base"), ("run", "run")]

    cola = replace(question, prompt="A cola")
    second = last_of(chat_turns.sent(studio, answering, "page", cola, values(first["talk"])))
    again = last_of(chat_turns.sent_again(studio, answering, "page", cola, values(second["talk"])))
    tries = again["talk"].conversation.exchanges[1].columns["run"]
    assert [one.seed for one in tries.answers] == [7, 8] and tries.chosen == 1
    assert tries.answers[0] == second["talk"].conversation.exchanges[1].answers["run"]
    back = chat_turns.chosen(studio, values(again["talk"]), 2, "run", 1)
    assert back["talk"].conversation.exchanges[1].answers["run"] == tries.answers[0]
    assert "1/2" in "".join(back["board"])

    begun = chat_turns.editing(back["talk"], 1)
    assert begun["prompt"] == "2 pizzas" and "the turn after it" in begun["edit_words"]
    other = replace(question, prompt="3 pizzas")
    edited = last_of(chat_turns.sent(studio, answering, "page", other,
                                     values(back["talk"], editing=1)))
    assert [one.prompt for one in edited["talk"].conversation.exchanges] == ["3 pizzas"]
    assert edited["editing"] == 0

    (row,) = list_conversations(studio.settings)
    assert (row.title, row.prompts) == ("3 pizzas", 1)
    assert open_conversation(studio.settings, row.name) == edited["talk"]


def test_an_edit_that_fails_leaves_everything_as_it_was(
    studio: Studio, question: Question
) -> None:
    answering = Answering(studio.chat)
    talk = last_of(chat_turns.sent(studio, answering, "page", question, values()))["talk"]
    studio.chat.close()
    studio.arbiter.acquire(Holder("The training run orders", "Stop it on the Train tab."))
    other = replace(question, prompt="3 pizzas")
    failed = last_of(chat_turns.sent(studio, answering, "page", other, values(talk, editing=1)))
    assert failed["talk"].conversation.answered() == talk.conversation
    assert "The training run orders" in "".join(failed["board"])
    assert failed["prompt"] == "3 pizzas" and failed["editing"] == 1
    fresh = last_of(chat_turns.sent(studio, answering, "page", other, values()))
    assert fresh["prompt"] == "3 pizzas" and fresh["send"].interactive
    with pytest.raises(DataError, match="empty"):
        next(chat_turns.sent(studio, answering, "page", replace(question, prompt=" "), values()))


def test_answers_are_measured_also_when_the_model_was_unloaded_meanwhile(
    studio: Studio, question: Question
) -> None:
    answering = Answering(studio.chat)
    talk = last_of(chat_turns.sent(studio, answering, "page", question, values()))["talk"]
    measured = last_of(chat_turns.with_measures(studio, question, values(talk)))
    scores = {name: one.score for name, one
              in measured["talk"].conversation.exchanges[0].answers.items()}
    assert scores["base"].mean_kl_to_base == 0 and scores["run"].mean_kl_to_base > 0
    assert measured["marks"] == "distance" and 'class="heat"' in "".join(measured["board"])
    assert open_conversation(studio.settings, talk.name) == measured["talk"]

    studio.chat.close()
    later = last_of(chat_turns.with_measures(studio, question, values(talk)))
    assert later["talk"].conversation.exchanges[0].answers["run"].score.perplexity > 1
    nobody = replace(question, columns=[Column("somebody")])
    with pytest.raises(DataError, match="no answer to measure"):
        last_of(chat_turns.with_measures(studio, nobody, values(talk)))


def test_a_page_that_leaves_ends_the_computation_and_what_it_had_is_saved(
    studio: Studio, question: Question
) -> None:
    endless = replace(question, sampling=ENDLESS)
    stream = chat_turns.sent(studio, Answering(studio.chat), "page", endless, values())
    for now in stream:
        if any(one.text for one in now["talk"].conversation.exchanges[0].answers.values()):
            break
    assert studio.chat.is_answering
    stream.close()
    assert not studio.chat.is_answering
    assert not [one for one in threading.enumerate() if one.name.startswith("chat-tokens")]
    (row,) = list_conversations(studio.settings)
    kept = open_conversation(studio.settings, row.name).conversation.exchanges[0].answers
    assert kept and all(answer.ending for answer in kept.values())
    # The batch is free for whoever asks next.
    assert last_of(chat_turns.sent(studio, Answering(studio.chat), "other", question, values()))


def test_a_conversation_stays_on_its_page_while_it_is_answered(
    studio: Studio, question: Question
) -> None:
    answering = Answering(studio.chat)
    stream = chat_turns.sent(studio, answering, "page", question, values())
    next(stream)
    with pytest.raises(BusyError, match="being answered right now"):
        require_idle(answering, "page")
    require_idle(answering, "page", is_concerned=False)
    require_idle(answering, "another page")
    last_of(stream)
    require_idle(answering, "page")


def test_one_column_is_stopped_by_its_own_page_only_and_the_others_go_on(
    studio: Studio, question: Question
) -> None:
    answering = Answering(studio.chat)
    endless = replace(question, sampling=ENDLESS)
    stream = chat_turns.sent(studio, answering, "page", endless, values())
    for now in stream:
        if all(one.text for one in now["talk"].conversation.exchanges[0].answers.values()):
            break
    answering.stop_column("another page", "base")
    answering.stop("another page")
    answering.stop_column("page", "run")
    talk = last_of(stream)["talk"]
    answers = talk.conversation.exchanges[0].answers
    assert answers["run"].ending == "stopped" and answers["base"].ending != "stopped"
    assert answers["base"].tokens > answers["run"].tokens


def test_of_six_pages_that_send_at_once_one_is_answered_and_the_others_are_told(
    studio: Studio, question: Question
) -> None:
    answering = Answering(studio.chat)
    endless = replace(question, sampling=ENDLESS)
    first = chat_turns.sent(studio, answering, "page 1", endless, values())
    for now in first:
        if now["talk"].conversation.exchanges[0].is_answered:
            break

    def send(page: str) -> dict[str, Any]:
        return last_of(chat_turns.sent(studio, answering, page, question, values()))

    with ThreadPoolExecutor(5) as pages:
        others = list(pages.map(send, [f"page {number}" for number in range(2, 7)]))
    for other in others:
        assert "answering right now" in other["talk"].conversation.exchanges[0].error[0]
        assert other["prompt"] == "2 pizzas" and other["send"].interactive
    with pytest.raises(BusyError, match="This page is being answered already"):
        next(chat_turns.sent(studio, answering, "page 1", question, values()))
    done = last_of(first)["talk"].conversation.exchanges[0]
    assert done.error is None and all(answer.ending for answer in done.answers.values())


def test_six_pages_that_begin_in_the_same_moment_break_nothing(
    studio: Studio, question: Question
) -> None:
    answering, start = Answering(studio.chat), threading.Barrier(6)

    def send(page: int) -> Any:
        start.wait()
        return last_of(chat_turns.sent(studio, answering, f"page {page}", question, values()))

    with ThreadPoolExecutor(6) as pages:
        ends = [end["talk"].conversation.exchanges[0] for end in pages.map(send, range(6))]
    assert any(one.error is None for one in ends)
    for one in ends:
        whole = [answer.ending in ("end", "length") for answer in one.answers.values()]
        assert all(whole) if one.error is None else not any(whole)
    assert last_of(chat_turns.sent(studio, answering, "page 7", question, values()))["talk"].name
