"""`ask` and `votes` on the command line."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import pytest

from studio.chat.answered_sets import answered_sets
from studio.chat.votes import VoteBox
from studio.settings import Settings
from tests.browser.chat_runs import home_with_runs


@pytest.fixture
def prompts(settings: Settings, tiny_model: Path, tmp_path: Path) -> str:
    """A file of two prompts, beside a home with two runs."""
    home_with_runs(settings.home, tiny_model, ["orders", "style"])
    file = tmp_path / "supper.txt"
    file.write_text("Two pizzas.\n\nSoup?\n", encoding="utf-8")
    return str(file)


def asked(call: Any, prompts: str, *more: str) -> Any:
    code, out, err = call("ask", prompts, "--of", "orders", "--of", "style", "--max-tokens", "4",
                          "--temperature", "0", *more, "--json")
    assert code == 0, err
    return json.loads(out)


def test_all_columns_answer_every_prompt_and_the_set_is_listed(call: Any, prompts: str) -> None:
    assert "no prompt sets yet" in call("ask")[1]
    made = asked(call, prompts)
    assert (made["set"], made["columns"]) == ("supper", ["base", "orders", "style"])
    assert made["prompts"] == made["answered"] == 2 and made["impossible"] == {}
    assert asked(call, prompts, "--most", "1", "--name", "one")["prompts"] == 1
    listed = call("ask")[1]
    assert "supper" in listed and "2 of 2" in listed and "1 of 1" in listed


def test_a_set_that_was_stopped_goes_on(call: Any, prompts: str, settings: Settings) -> None:
    made = asked(call, prompts)
    (Path(made["path"]) / "answers.jsonl").unlink()
    code, out, _ = call("ask", "--go-on", "supper")
    assert code == 0 and "2 of 2 prompts of supper are answered by base; orders; style" in out
    assert answered_sets(settings)[0].pending == []


def test_votes_are_summed_and_written(
    call: Any, prompts: str, settings: Settings, tmp_path: Path
) -> None:
    assert "no votes yet" in call("votes")[1]
    asked(call, prompts)
    box, (found,) = VoteBox(settings), answered_sets(settings)
    ballot = found.ballot(0)
    names = [one.contestant.name for one in ballot.answers]
    box.cast(ballot, ballot.labels[names.index("orders")])
    box.cast(found.ballot(1), "tie")
    out = call("votes", "--set", "supper")[1]
    for words in ("Votes: 2", " against ", "100 %", "21 to 100 %"):
        assert words in out
    table = tmp_path / "out" / "votes.csv"
    summed = json.loads(call("votes", "--csv", str(table), "--json")[1])
    best = summed["columns"][0]
    assert (best["contestant"]["name"], best["wins"], best["ties"]) == ("orders", 1, 1)
    with table.open(encoding="utf-8", newline="") as file:
        assert len(list(csv.DictReader(file))) == 6


def test_pairs_are_written_where_one_says_or_it_is_said_why_not(
    call: Any, prompts: str, settings: Settings, tmp_path: Path
) -> None:
    from tests.chat.votes import ballot_answer, vote_for

    code, _, err = call("votes", "--pairs", str(tmp_path / "pairs.jsonl"))
    assert code == 1 and "there are no votes" in err
    vote_for(VoteBox(settings), "one", ballot_answer("one"), ballot_answer("two"))
    vote_for(VoteBox(settings), "tie", ballot_answer("one"), ballot_answer("two"))
    out = call("votes", "--pairs", str(tmp_path / "pairs.jsonl"))[1]
    assert "Pairs: 1 in" in out and "Left out, since no answer won: 1" in out
    assert "chosen" in (tmp_path / "pairs.jsonl").read_text(encoding="utf-8")


@pytest.mark.parametrize(("arguments", "sentence"), [
    (["ask", "missing.jsonl", "--of", "orders"], "missing.jsonl"),
    (["ask", "--go-on", "lunch"], "There is no prompt set 'lunch'"),
    (["votes", "--set", "lunch"], "There is no prompt set 'lunch'"),
    (["ask", "starter"], "two to six columns"),
])
def test_a_mistake_is_a_sentence(
    arguments: list[str], sentence: str, call: Any, prompts: str
) -> None:
    code, _, err = call(*arguments)
    assert code == 1 and sentence in err
