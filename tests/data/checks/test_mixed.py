"""A source of several formats is told row by row, and a cleaned copy of it has one."""

from __future__ import annotations

from studio.data.checks.findings import find_all
from studio.data.cleaning import clean
from studio.data.lab.look import inspect, open_whole
from studio.recipe import Data

TURNS = [{"role": "user", "content": "q"}, {"role": "assistant", "content": "a"}]
MIXED = [{"messages": TURNS}, {"prompt": "q", "completion": "a"}, {"messages": TURNS},
         {"strange": 1}, {"prompt": "q2", "completion": "a"}, {"messages": TURNS}]


def test_rows_of_the_rarer_formats_are_counted_with_their_places(write, settings, tokenizer):
    whole = open_whole(Data(source=write("a.jsonl", MIXED)), settings, tokenizer)
    [found] = [one for one in find_all(whole) if one.key == "mixed_formats"]
    assert found.level == "problem" and found.count == 3
    assert found.rows.tolist() == [1, 3, 4]
    assert "3 messages (line 1, line 3, line 6)" in found.what
    assert "2 prompt_completion (line 2, line 5)" in found.what
    assert "1 of no known format (line 4)" in found.what
    assert whole.lengths is not None and (whole.lengths.total > 0).sum() == 5


def test_a_cleaned_copy_has_one_format(write, settings, tmp_path):
    whole = open_whole(Data(source=write("a.jsonl", MIXED)), settings)
    made = clean(whole, find_all(whole), {"mixed_formats": "drop"}, tmp_path / "clean")
    report = inspect(Data(source=str(made.files[0].file)), settings)
    assert (report.format, report.rows, report.statistics.examples) == ("messages", 3, 3)


def test_rows_count_from_the_beginning_of_the_set(write, settings):
    first = write("a.jsonl", [{"text": "a"}] * 2)
    whole = open_whole(Data(source=first, mix={write("b.jsonl", MIXED): 1.0}), settings)
    [found] = [one for one in find_all(whole) if one.key == "mixed_formats"]
    assert found.rows.tolist() == [3, 5, 6]
    assert found.what.startswith("b.jsonl: ")


def test_one_format_is_no_finding(write, settings):
    whole = open_whole(Data(source=write("a.jsonl", [{"messages": TURNS}] * 3)), settings)
    assert "mixed_formats" not in {one.key for one in find_all(whole)}
