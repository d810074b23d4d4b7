"""Votes become a table that a spreadsheet reads and pairs that a run of dpo learns."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest

from studio.chat.vote_files import votes_csv, write_preferences, write_votes_csv
from studio.chat.votes import ALL_BAD, TIE, VoteBox
from studio.data.lab.first_page import first_page
from studio.data.prepare import prepare
from studio.errors import DataError
from studio.recipe import Data, Recipe
from studio.settings import Settings
from tests.chat.votes import ballot_answer, vote_for
from tests.training.conftest import tiny_recipe

BASE, ONE, TWO = (ballot_answer(name) for name in ("base", "one", "two"))


def _voted(settings: Settings, count: int = 1) -> VoteBox:
    """Each with a winner over one other answer, to prompts that differ."""
    box = VoteBox(settings)
    for number in range(count):
        vote_for(box, "one", *(ballot_answer(name, f"{name}, of course", prompt=f"{number} pizzas")
                               for name in ("base", "one")), seed=number)
    return box


def test_the_table_has_a_line_for_every_answer_of_every_vote(
    settings: Settings, tmp_path: Path
) -> None:
    box = VoteBox(settings)
    nasty = ballot_answer("one", 'He said "yes",\nthen;\rleft 🍕')
    vote_for(box, "one", BASE, nasty, TWO, seed=4)
    vote_for(box, TIE, BASE, TWO)
    write_votes_csv(box.votes(), tmp_path / "votes.csv")
    with (tmp_path / "votes.csv").open(encoding="utf-8", newline="") as file:
        lines = list(csv.DictReader(file))
    assert [line["is_winner"] for line in lines].count("True") == 1 and len(lines) == 5
    winner = next(line for line in lines if line["is_winner"] == "True")
    assert winner["answer"] == nasty.answer.text and winner["column"] == "one"
    assert winner["label"] == winner["verdict"] and winner["shuffle_seed"] == "4"
    assert json.loads(winner["sampling"])["seed"] == 42
    assert {line["verdict"] for line in lines[3:]} == {"tie"}
    assert votes_csv([]).startswith("ballot,time,")


def test_the_winner_is_chosen_over_each_of_the_others(settings: Settings) -> None:
    box = VoteBox(settings)
    vote_for(box, "one", BASE, ONE, TWO)
    written = write_preferences(box.votes(), settings)
    pairs = [json.loads(line) for line in written.path.read_text(encoding="utf-8").splitlines()]
    assert {(pair["chosen"][0]["content"], pair["rejected"][0]["content"]) for pair in pairs} == {
        ("one says", "base says"), ("one says", "two says")}
    assert all(pair["prompt"] == BASE.history for pair in pairs) and written.pairs == 2
    assert settings.uploads == written.path.parent
    assert write_preferences(box.votes(), settings).path != written.path
    there = write_preferences(box.votes(), settings, settings.home / "my" / "pairs.jsonl")
    assert there.path.read_bytes() == written.path.read_bytes()


def test_what_teaches_nothing_is_left_out_and_counted(settings: Settings) -> None:
    box = VoteBox(settings)
    cut = ballot_answer("one", "and then", ending="length")
    for winner, answers in (
        (TIE, (BASE, ONE)), (ALL_BAD, (BASE, ONE)), ("one", (BASE, cut)), ("base", (BASE, cut)),
        ("one", (ballot_answer("base", "yes"), ballot_answer("one", "yes"))),
        ("one", (ballot_answer("base", " "), ONE)), ("base", (BASE, cut)),
        ("one", (ONE, ballot_answer("base", prompt="Another question")))):
        vote_for(box, winner, *answers)
    written = write_preferences(box.votes(), settings)
    assert written.pairs == 1
    assert written.left_out == {
        "no answer won": 2, "the better answer was cut at the token limit": 1,
        "both answers are the same": 1, "an answer is empty": 1, "the same pair came before": 1,
        "the answers belong to different conversations": 1}


def test_without_a_pair_the_reasons_are_told(settings: Settings) -> None:
    with pytest.raises(DataError, match="there are no votes"):
        write_preferences([], settings)
    box = VoteBox(settings)
    vote_for(box, TIE, BASE, ONE)
    with pytest.raises(DataError, match="1 times no answer won"):
        write_preferences(box.votes(), settings)
    assert not settings.uploads.exists()


def test_thoughts_go_where_templates_look_for_them(settings: Settings) -> None:
    box = VoteBox(settings)
    vote_for(box, "one", BASE, ballot_answer("one", "<think>two?</think>\n\nTwo pizzas."))
    pair = json.loads(write_preferences(box.votes(), settings).path.read_text(encoding="utf-8"))
    assert pair["chosen"] == [{"role": "assistant", "content": "Two pizzas.",
                               "reasoning_content": "two?"}]


def _dpo(tiny_model: Path, file: Path) -> Recipe:
    return tiny_recipe(tiny_model, file, training__method="dpo", training__max_steps=1,
                       data__eval_fraction=0.0, training__batch_size=2)


def test_the_dataset_tab_reads_the_pairs_as_preferences(
    settings: Settings, tiny_model: Path
) -> None:
    from transformers import AutoTokenizer

    written = write_preferences(_voted(settings, 4).votes(), settings)
    only_here = Settings(home=settings.home, offline=True, data_folders=(settings.home / "no",))
    page = first_page(Data(source=str(written.path)), only_here)
    assert page.detection.format == "preference" and not page.problems
    tokenizer = AutoTokenizer.from_pretrained(tiny_model)
    prepared = prepare(_dpo(tiny_model, written.path), tokenizer, settings)
    assert len(prepared.train) == 4


@pytest.mark.slow
def test_a_run_of_dpo_learns_the_pairs(settings: Settings, tiny_model: Path) -> None:
    from studio.runs import create_run
    from studio.training.loop import train

    written = write_preferences(_voted(settings, 4).votes(), settings)
    recipe = _dpo(tiny_model, written.path)
    run = create_run(settings, recipe, "voted")
    assert train(recipe, run, lambda: False, settings=settings) == "done"
    assert run.has_adapter and run.story().points[0].loss > 0
