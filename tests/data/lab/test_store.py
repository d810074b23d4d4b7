"""Every row is in the store at its number, whatever it holds, and none is lost."""

from __future__ import annotations

import json

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as some

from studio.data.lab.scan import scan
from studio.data.lab.store import dump_row, load_row
from studio.data.reading.sources import sources_of
from studio.progress import never, silent
from studio.recipe import Data

TEXTS = some.text(some.characters(exclude_categories=["Cs"]), max_size=30)
# Beyond 64 bits a number is read as a fraction, as most programs that read JSON do.
VALUES = some.recursive(
    some.none() | some.booleans() | some.integers(-2**63, 2**64 - 1) | TEXTS |
    some.floats(allow_nan=False, allow_infinity=False),
    lambda inside: some.lists(inside, max_size=3) | some.dictionaries(TEXTS, inside, max_size=3),
    max_leaves=8)
ROWS = some.dictionaries(TEXTS, VALUES, min_size=1, max_size=5)


def stored(source, settings, **data):
    return scan(sources_of(Data(source=source, **data), settings), settings, progress=silent,
                stop=never)


@given(ROWS | some.dictionaries(TEXTS, some.integers()))
def test_a_row_comes_back_as_it_was(row):
    assert json.dumps(load_row(dump_row(row))) == json.dumps(row)


@hypothesis_settings(max_examples=25, deadline=None,
                     suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(some.lists(ROWS, min_size=1, max_size=20))
def test_no_row_is_lost_between_file_and_store(write, settings, rows):
    store = stored(write("a.jsonl", rows), settings)
    assert len(store) == len(rows)
    assert json.dumps(store.rows(0, len(rows))) == json.dumps(rows)
    assert json.dumps(list(store.each())) == json.dumps(rows)
    assert [store.place(n) for n in range(len(rows))] == [
        f"line {n}" for n in range(1, len(rows) + 1)]


def test_rows_of_many_chunks_are_found_by_number(write, settings):
    rows = [{"text": f"row {n} " + "x" * 2000} for n in range(1500)]
    store = stored(write("a.jsonl", rows), settings)
    assert len(store.chunks) > 2
    for number in (0, 1, 700, 1499):
        assert store.row(number) == rows[number]
        assert store.place(number) == f"line {number + 1}"
    with pytest.raises(IndexError):
        store.row(1500)


def test_unreadable_rows_are_counted_and_named(write, settings):
    store = stored(write("a.jsonl", '{"text": "a"}\n{oops\n{"text": "b"}\n'), settings)
    [source] = store.facts.sources
    assert (source.total, source.readable, len(store)) == (3, 2, 2)
    assert sum(store.facts.problem_counts.values()) == 1
    assert store.facts.problems[0].where == "line 2"


def test_a_store_is_made_once_and_again_when_the_file_changes(write, settings):
    path = write("a.jsonl", [{"text": "a"}])
    first = stored(path, settings)
    assert stored(path, settings).folder == first.folder
    again = stored(write("a.jsonl", [{"text": "a"}, {"text": "b"}]), settings)
    assert again.folder != first.folder
    assert again.facts.fingerprint != first.facts.fingerprint


def test_the_fingerprint_is_of_the_content_alone(write, settings):
    one = stored(write("a.jsonl", [{"text": "a"}]), settings)
    other = stored(write("b.jsonl", [{"text": "a"}]), settings)
    assert one.facts.fingerprint == other.facts.fingerprint


def test_several_sources_stand_one_behind_the_other(write, settings):
    first = write("a.jsonl", [{"text": "a"}, {"text": "b"}])
    second = write("b.jsonl", [{"prompt": "q", "completion": "a"}])
    held_out = write("c.jsonl", [{"text": "c"}])
    store = stored(first, settings, mix={second: 0.5}, held_out="file", eval_source=held_out)
    assert store.source_of.tolist() == [0, 0, 1, 2]
    assert store.held_out.tolist() == [False, False, False, True]
    assert [source.name for source in store.facts.sources] == ["a.jsonl", "b.jsonl", "c.jsonl"]
