"""The Blind test part: prompts answered in the background, votes without names, what they say."""

from __future__ import annotations

import csv
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import gradio as gr
import pytest

from studio.arbiter import Holder
from studio.chat.prompt_answers import AnsweredSet, new_answered_set
from studio.chat.prompt_set import written_prompts
from studio.chat.sampling import Sampling
from studio.chat.session import Column
from studio.chat.votes import TIE, VoteBox
from studio.errors import BusyError, DataError, StudioError
from studio.recipe import Model
from studio.settings import Settings
from studio.ui.panels import chat_ballots, chat_prompts, chat_win_rates_view
from studio.ui.panels.chat_ballots import ALL_SETS, PARTS, THIS_SET, Place, act, page
from studio.ui.panels.chat_columns import BASE_VALUE
from studio.ui.panels.chat_votes_view import NEXT, SKIP, UNDO, Paper, paper_view
from studio.ui.seen import stamp
from studio.ui.studio import Studio
from tests.browser.chat_runs import home_with_runs
from tests.chat.votes import ballot_answer, vote_for

PROMPTS = "Two pizzas.\n\nA cola for Anna, please.\n\nSoup?"
SHORT = Sampling(temperature=0, max_new_tokens=6)


@pytest.fixture
def studio(settings: Settings, tiny_model: Path) -> Any:
    home_with_runs(settings.home, tiny_model, ["orders", "style"])
    studio = Studio(settings)
    yield studio
    studio.close()


@pytest.fixture
def asked(studio: Studio, tiny_model: Path) -> AnsweredSet:
    """A set for base, orders and style that nobody has answered yet."""
    columns = [Column("base"), *(Column(run.name, run.adapter_path)
                                 for run in studio.shelf.runs())]
    return new_answered_set(studio.settings, written_prompts(PROMPTS),
                            Model(source=str(tiny_model), dtype="float32"), columns, SHORT,
                            name="supper")


def answered(studio: Studio, asked: AnsweredSet) -> AnsweredSet:
    chat_prompts.begin(studio, asked, asked.asked.model)
    assert studio.answering.wait(120).state == "done"
    return asked


def line_up(model: Path) -> dict[str, Any]:
    """What the page holds where the base and one run answer."""
    return {"base": str(model), "runs": [BASE_VALUE, "orders"], "model.source": str(model),
            "model.dtype": "float32", "temperature": 0.0, "top_p": 1.0, "top_k": 0,
            "repetition_penalty": 1.0, "max_new_tokens": 6, "seed": None, "min_p": 0.0,
            "stop": ""}


def shown(updates: list[Any]) -> dict[str, Any]:
    return dict(zip((*PARTS, "seen"), updates, strict=True))


def at(updates: list[Any]) -> Place:
    return Place.of(shown(updates)["place"])


def test_prompts_are_answered_in_the_background_and_any_page_then_shows_the_first_ballot(
    studio: Studio, asked: AnsweredSet
) -> None:
    before = shown(page(studio, None, Place(), THIS_SET, {}))
    assert "0 of 3 prompts" in before["work"] and "Answer the rest" in before["work"]
    assert "data-label" not in before["paper"]
    answered(studio, asked)
    first = page(studio, None, Place(), THIS_SET, {})
    assert at(first) == Place(asked.asked.id, 0)
    assert shown(first)["sets"].value == "supper"
    assert 'data-answered="3" data-voted="0"' in shown(first)["work"]
    assert "Two pizzas." in shown(first)["paper"]
    again = page(studio, "supper", at(first), THIS_SET, shown(first)["seen"])
    assert again == gr.skip()


def test_nothing_before_the_vote_tells_who_wrote_what(studio: Studio, asked: AnsweredSet) -> None:
    answered(studio, asked)
    ballot = asked.ballot(0)
    unnamed = paper_view(Paper(ballot, 0, 3))
    for telling in ("base", "orders", "style", "tokens", ballot.id, "data-column",
                    str(studio.settings.home)):
        assert telling not in unnamed
    # Two ballots that differ in who wrote what alone look the same.
    names = [one.contestant for one in ballot.answers]
    turned = replace(ballot, answers=tuple(
        replace(one, contestant=who)
        for one, who in zip(ballot.answers, reversed(names), strict=True)))
    assert paper_view(Paper(turned, 0, 3)) == unnamed
    named = paper_view(Paper(ballot, 0, 3, "B"))
    assert all(f": {name}" in named for name in ("base", "orders", "style"))
    assert f"which {ballot.answers[1].contestant.name} wrote" in named


def test_what_a_page_keeps_and_gets_before_the_vote_tells_nothing_either(
    studio: Studio, asked: AnsweredSet
) -> None:
    answered(studio, asked)
    got = shown(page(studio, "supper", Place(), THIS_SET, {}))
    sent = json.dumps([got["place"], got["seen"], got["paper"]])
    assert not any(name in sent for name in ("base", "orders", "style"))


def test_a_vote_names_the_columns_is_counted_and_can_be_undone(
    studio: Studio, asked: AnsweredSet
) -> None:
    answered(studio, asked)
    place = act(studio, Place(asked.asked.id, 0), "B")
    got = shown(page(studio, "supper", place, THIS_SET, {}))
    winner = asked.ballot(0).answers[1].contestant.name
    assert f'data-contestant="{winner}" data-wins="1"' in got["rates"]
    assert 'data-verdict="B"' in got["paper"] and 'data-voted="1"' in got["work"]
    undone = act(studio, place, UNDO)
    assert undone == Place(asked.asked.id, 0) and studio.votes.votes() == []
    got = shown(page(studio, "supper", undone, THIS_SET, {}))
    assert "No votes yet" in got["rates"] and "data-column" not in got["paper"]


def test_skipped_prompts_come_again_at_the_end(studio: Studio, asked: AnsweredSet) -> None:
    answered(studio, asked)
    place = act(studio, Place(asked.asked.id, 0), SKIP)
    assert place.number == 1
    place = act(studio, act(studio, place, TIE), NEXT)
    assert place == Place(asked.asked.id, 2)
    place = act(studio, act(studio, place, "all_bad"), NEXT)
    assert place == Place(asked.asked.id, 0)
    place = act(studio, act(studio, place, "A"), NEXT)
    assert place == Place()
    got = shown(page(studio, "supper", place, THIS_SET, {}))
    assert "voted on all" in got["paper"] and 'data-votes="3"' in got["rates"]


def test_votes_of_other_sets_count_only_where_all_are_asked_for(
    studio: Studio, asked: AnsweredSet
) -> None:
    vote_for(studio.votes, "one", ballot_answer("two"), ballot_answer("one"))
    assert "No votes yet" in shown(page(studio, "supper", Place(), THIS_SET, {}))["rates"]
    assert 'data-votes="1"' in shown(page(studio, "supper", Place(), ALL_SETS, {}))["rates"]
    with pytest.raises(DataError, match="no votes"):
        chat_ballots.table_file(studio, "supper", THIS_SET)
    lines = Path(chat_ballots.table_file(studio, "supper", ALL_SETS)).read_text(encoding="utf-8")
    assert {line["column"] for line in csv.DictReader(lines.splitlines())} == {"one", "two"}


def test_pairs_go_to_a_run_of_dpo(studio: Studio) -> None:
    vote_for(studio.votes, "one", ballot_answer("two"), ballot_answer("one"))
    vote_for(studio.votes, TIE, ballot_answer("two"), ballot_answer("one"))
    made = chat_ballots.preferences(studio, None, ALL_SETS)
    assert made.also["training.method"] == "dpo"
    assert made.told.startswith("1 pair of") and "1 were left out" in made.told
    (line,) = made.source.read_text(encoding="utf-8").splitlines()
    assert json.loads(line)["chosen"][0]["content"] == "one says"


def test_a_training_run_is_named_and_the_set_waits(studio: Studio, asked: AnsweredSet) -> None:
    holder = Holder("The training run", "Stop it.")
    studio.arbiter.acquire(holder)
    chat_prompts.begin(studio, asked, asked.asked.model)
    task = studio.answering.wait(60)
    assert task.state == "failed" and task.error and "The training run" in task.error[0]
    work = shown(page(studio, "supper", Place(), THIS_SET, {}))["work"]
    assert "The training run" in work and "Answer the rest" in work
    studio.arbiter.release(holder)
    chat_prompts.act(studio, "supper", "go_on", {})
    assert studio.answering.wait(120).state == "done" and asked.pending == []


def test_somebody_else_at_the_chat_is_waited_for(studio: Studio, asked: AnsweredSet) -> None:
    model, columns = asked.asked.model, list(asked.asked.columns)
    session = studio.chat.open(model, columns[:1])
    other = session.answer({"base": [{"role": "user", "content": "Soup?"}]},
                           Sampling(temperature=1.5, max_new_tokens=400, seed=3))
    next(other)
    chat_prompts.begin(studio, asked, model)
    with pytest.raises(BusyError, match="still at work"):
        chat_prompts.begin(studio, asked, model)
    other.close()  # type: ignore[attr-defined]
    assert studio.answering.wait(120).state == "done"
    assert len(asked.answered()) == 3


def test_a_stop_keeps_what_was_answered(studio: Studio, asked: AnsweredSet) -> None:
    chat_prompts.begin(studio, asked, asked.asked.model)
    chat_prompts.act(studio, "supper", "stop", {})
    assert studio.answering.wait(120).state == "stopped"
    chat_prompts.act(studio, "supper", "go_on", {})
    assert studio.answering.wait(120).state == "done" and asked.pending == []


def test_a_deleted_set_leaves_the_page_and_its_votes_stay(
    studio: Studio, asked: AnsweredSet
) -> None:
    answered(studio, asked)
    place = act(studio, Place(asked.asked.id, 0), TIE)
    before = shown(page(studio, "supper", place, THIS_SET, {}))
    assert "Delete it for good" in before["work"]
    chat_prompts.act(studio, "supper", "delete", {})
    after = shown(page(studio, "supper", place, ALL_SETS, before["seen"]))
    assert "No vote is open" in after["paper"] and after["work"] == ""
    assert 'data-votes="1"' in after["rates"] and Place.of(after["place"]) == Place()


def test_what_the_page_asks_for_is_made_a_set(studio: Studio, tiny_model: Path) -> None:
    values = {**line_up(tiny_model), "kind": "written", "text": "Soup?\n\nTea?", "source": "",
              "most": 10, "system": "Be brief."}
    made = chat_prompts.ask_all(studio, values)
    assert studio.answering.wait(120).state == "done"
    assert [column.name for column in made.asked.columns] == ["base", "orders"]
    assert made.name == "Soup" and made.asked.prompts[1][0]["content"] == "Be brief."
    held_out = chat_prompts.ask_all(studio, {**values, "kind": "held_out", "most": 2})
    studio.answering.wait(120)
    assert held_out.name == "starter-held-out" and len(held_out.asked.prompts) == 2


@pytest.mark.parametrize(("changes", "sentence"), [
    ({"text": "  "}, "0 prompts"),
    ({"kind": "file", "source": ""}, "No file is chosen"),
    ({"kind": "file", "source": "/no/such.jsonl"}, "such.jsonl"),
    ({"runs": [BASE_VALUE]}, "two to six columns"),
])
def test_what_cannot_be_asked_is_a_sentence(
    studio: Studio, tiny_model: Path, changes: dict[str, Any], sentence: str
) -> None:
    values = {**line_up(tiny_model), "kind": "written", "text": "Soup?", "source": "", "most": 10,
              "system": "", **changes}
    with pytest.raises(StudioError, match=sentence):
        chat_prompts.ask_all(studio, values)
    assert studio.prompt_sets.all() == []


def test_two_of_one_name_are_told_apart_and_a_clear_winner_is_named(settings: Settings) -> None:
    box = VoteBox(settings)
    for number in range(8):
        vote_for(box, "one", ballot_answer("<two>"), ballot_answer("one"), seed=number)
    table = chat_win_rates_view.win_rates_view(box.votes())
    assert "one is better" in table and "<two>" not in table
    assert "8 : 0" in table or "0 : 8" in table
    assert chat_win_rates_view.win_rates_view(box.votes()[:2]).count("Open: more votes") == 1


def test_what_a_page_has_kept_of_another_home_leads_nowhere(studio: Studio) -> None:
    assert Place.of({"number": "1"}) == Place.of(None) == Place()
    with pytest.raises(DataError, match="no prompt set"):
        act(studio, Place("gone", 0), "A")
    assert stamp(Place()) == stamp(Place.of({}))


def test_a_ballot_that_is_still_on_the_screen_is_no_vote_on_a_later_set_of_that_name(
    studio: Studio, asked: AnsweredSet, tiny_model: Path
) -> None:
    answered(studio, asked)
    chat_prompts.act(studio, "supper", "delete", {})
    columns = list(asked.asked.columns)[::-1]
    later = answered(studio, new_answered_set(
        studio.settings, written_prompts("Tea?"), asked.asked.model, columns, SHORT,
        name="supper"))
    stale = Place(asked.asked.id, 0)
    with pytest.raises(DataError, match="no prompt set"):
        act(studio, stale, "A")
    got = page(studio, "supper", stale, THIS_SET, {})
    assert later.name == "supper" and at(got) == Place(later.asked.id, 0)
    assert "Tea?" in shown(got)["paper"] and studio.votes.votes() == []
