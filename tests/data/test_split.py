"""Held-out rows are chosen by fraction, group, column, or file; no group is in both parts."""

from __future__ import annotations

import numpy
import pytest

from studio.data.lab.look import open_whole
from studio.data.split import split_of
from studio.errors import DataError
from studio.recipe import Data

ROWS = [{"prompt": f"question {n}", "completion": f"answer {n}", "topic": f"t{n % 5}",
         "part": "test" if n % 4 == 0 else "train", "meta": {"who": n % 3}} for n in range(40)]
WORDS = ["alder", "birch", "cedar", "dogwood", "elder", "fir", "gorse", "hazel", "ivy", "juniper",
         "kelp", "larch", "maple", "nettle", "oak", "pine", "quince", "rowan", "spruce", "teak"]


@pytest.fixture
def split(write, settings):
    def make(rows=ROWS, **data):
        source = data.pop("source", None) or write("a.jsonl", rows)
        whole = open_whole(Data(source=source, **data), settings)
        return whole, split_of(whole)

    return make


def test_a_fraction_is_seeded_and_shares_no_row(split):
    _, one = split(eval_fraction=0.25, seed=1)
    _, again = split(eval_fraction=0.25, seed=1)
    _, other = split(eval_fraction=0.25, seed=2)
    assert len(one.held_out) == 10 and len(one.train) == 30
    assert numpy.array_equal(one.held_out, again.held_out)
    assert not numpy.array_equal(one.held_out, other.held_out)
    assert sorted([*one.train, *one.held_out]) == list(range(40))


def test_one_row_is_always_left_to_train_on(split):
    _, parts = split(rows=ROWS[:1], eval_fraction=0.5)
    assert (len(parts.train), len(parts.held_out)) == (1, 0)
    _, parts = split(rows=ROWS[:2], eval_fraction=0.01)
    assert (len(parts.train), len(parts.held_out)) == (1, 1)


def test_nothing_is_held_out_at_zero(split):
    _, parts = split(eval_fraction=0)
    assert (len(parts.train), len(parts.held_out)) == (40, 0)


def test_duplicates_and_conversations_stay_together(split):
    text = " ".join(WORDS * 3)
    rows = [{"prompt": f"{number} {text}", "completion": f"{text} {number}"}
            for number in range(10) for _ in range(3)]
    rows += [{"prompt": f"the same question {n % 4}", "completion": f"{n}"} for n in range(20)]
    whole, parts = split(rows=rows, held_out="grouped", eval_fraction=0.3)
    assert 0 < len(parts.held_out) < 25
    prompts = [whole.store.row(n)["prompt"] for n in range(len(rows))]
    assert not {prompts[n] for n in parts.train} & {prompts[n] for n in parts.held_out}
    assert sorted([*parts.train, *parts.held_out]) == list(range(len(rows)))


def test_groups_of_a_column_stay_together(split):
    whole, parts = split(held_out="grouped", group_column="topic", eval_fraction=0.4)
    topics = [row["topic"] for row in whole.store.each()]
    held_out = {topics[n] for n in parts.held_out}
    assert len(held_out) == 2 and not held_out & {topics[n] for n in parts.train}


def test_a_group_column_may_lie_inside_another(split):
    whole, parts = split(held_out="grouped", group_column="meta.who", eval_fraction=0.4)
    who = [row["meta"]["who"] for row in whole.store.each()]
    assert parts.held_out.size
    assert not {who[n] for n in parts.held_out} & {who[n] for n in parts.train}


def test_plain_texts_without_a_prompt_are_not_one_group(split):
    rows = [{"text": f"{word} is a kind of plant number {n}"} for n, word in enumerate(WORDS)]
    _, parts = split(rows=rows, held_out="grouped", eval_fraction=0.25)
    assert len(parts.held_out) == 5


def test_a_group_that_is_too_large_is_not_held_out(split):
    rows = [{"prompt": "the same", "completion": f"{n}"} for n in range(30)] + ROWS[:10]
    _, parts = split(rows=rows, held_out="grouped", eval_fraction=0.1)
    assert 0 < len(parts.held_out) <= 4


def test_a_column_decides(split):
    _, parts = split(held_out="column", eval_column="part", eval_value="test")
    assert parts.held_out.tolist() == list(range(0, 40, 4))
    assert "part is test" in parts.how


@pytest.mark.parametrize(("data", "said"), [
    ({"held_out": "column", "eval_column": "prat"}, "no column 'prat'"),
    ({"held_out": "grouped", "group_column": "nothing"}, "no column 'nothing'"),
])
def test_a_column_that_is_not_there_is_named_with_those_that_are(split, data, said):
    with pytest.raises(DataError, match=said) as caught:
        split(**data)
    assert "topic" in caught.value.hint


def test_a_value_that_every_row_has_leaves_nothing(split):
    rows = [{**row, "part": "test"} for row in ROWS]
    with pytest.raises(DataError, match="nothing is left to train"):
        split(rows=rows, held_out="column", eval_column="part")


def test_another_file_is_held_out_whole(split, write):
    other = write("b.jsonl", [{"question": "q", "answer": f"{n}"} for n in range(3)])
    whole, parts = split(held_out="file", eval_source=other)
    assert parts.held_out.tolist() == [40, 41, 42]
    assert len(parts.train) == 40
    assert [one.format for one in whole.detections] == ["prompt_completion"] * 2


def test_weights_decide_how_often_rows_are_taken(split, write):
    other = write("b.jsonl", [{"text": f"text {n}"} for n in range(10)])
    _, parts = split(mix={other: 2.5}, eval_fraction=0)
    counts = numpy.bincount(parts.train)
    assert set(counts[:40]) == {1}
    assert sorted(counts[40:]) == [2] * 5 + [3] * 5
    _, parts = split(mix={other: 0.5}, eval_fraction=0)
    assert sorted(numpy.bincount(parts.train, minlength=50)[40:]) == [0] * 5 + [1] * 5
