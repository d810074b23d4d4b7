"""Blocks are counted apart and add up to the whole."""

from __future__ import annotations

import json
import pickle

from hypothesis import given, settings
from hypothesis import strategies as st

from studio.data.groups import Groups, groups_of

TURNS = [{"role": "user", "content": "q"}, {"role": "assistant", "content": "a"}]
KINDS = [{"prompt": "q", "completion": "a"}, {"messages": TURNS, "n": 1}, {"text": "words"},
         {"prompt": "q"}, {"meta": {"question": "q"}}, {}]


def places(rows, start=0):
    return [f"line {number}" for number in range(start + 1, start + len(rows) + 1)]


@settings(deadline=None, max_examples=50)
@given(st.lists(st.sampled_from(KINDS), max_size=30), st.integers(0, 30))
def test_two_blocks_merged_are_the_whole(rows, cut):
    first, second = rows[:cut], rows[cut:]
    merged = groups_of(first, places(first)).merge(groups_of(second, places(second, len(first))))
    whole = groups_of(rows, places(rows))
    assert merged == whole
    assert list(merged.columns) == list(whole.columns)


@settings(deadline=None, max_examples=50)
@given(st.lists(st.sampled_from(KINDS), max_size=30))
def test_every_row_is_counted_under_one_format(rows):
    groups = groups_of(rows, places(rows))
    assert sum(groups.counts.values()) == groups.rows == len(rows)
    numbers = [number for format in groups.counts for number in groups.rows_of(format).tolist()]
    assert sorted(numbers) == list(range(len(rows)))


def test_groups_travel_to_other_processes_and_into_a_file():
    groups = groups_of(KINDS, places(KINDS))
    assert pickle.loads(pickle.dumps(groups)) == groups
    assert Groups.from_json(json.loads(json.dumps(groups.as_json()))) == groups


def test_places_are_the_first_three_of_a_format():
    rows = [KINDS[0], KINDS[2], {"question": "q", "answer": "a"}, *[KINDS[0]] * 5]
    groups = groups_of(rows, places(rows))
    assert groups.places("prompt_completion") == ["line 1", "line 3", "line 4"]
    assert groups.places("kto") == []
    assert groups.rows_of("text").tolist() == [1]


def test_columns_tell_what_they_hold_with_a_sample():
    rows = [{"a": None, "b": 1, "c": TURNS, "d": {"e": {"f": "deep"}}},
            {"a": "x " * 200, "b": True, "c": TURNS, "d": {"e": {"f": "deep"}}}]
    groups = groups_of(rows, places(rows))
    assert groups.columns["a"].kinds == {"empty": 1, "text": 1}
    assert groups.columns["a"].filled == 1
    assert groups.columns["a"].sample.endswith("…") and len(groups.columns["a"].sample) == 120
    assert groups.columns["b"].kinds == {"number": 1, "yes or no": 1}
    assert groups.columns["c"].kind == "turns"
    assert groups.paths["d.e.f"].sample == "deep"
    assert groups.paths["c.0.content"].sample == "q"


def test_rows_with_names_of_their_own_do_not_fill_the_memory():
    rows = [{f"column {number}": "x"} for number in range(3000)]
    groups = groups_of(rows, places(rows))
    assert len(groups.columns) == 1000
    assert groups.counts == {"unknown": 3000}


def test_a_million_rows_cost_a_byte_each_and_less_in_a_file():
    block = groups_of([KINDS[0]] * 1000, ["line 1"] * 1000)
    groups = Groups()
    for _ in range(1000):
        groups.merge(block)
    assert groups.counts == {"prompt_completion": 1_000_000}
    assert len(pickle.dumps(groups)) < 1_100_000
    assert len(json.dumps(groups.as_json())) < 20_000
