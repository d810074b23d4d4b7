"""JSONL: every line counts, and whatever is wrong is named with its line."""

from __future__ import annotations

import json

import pytest

from studio.data.reading.blocks import BLOCK_ROWS, LONGEST_RECORD_BYTES
from studio.data.reading.sources import sources_of
from studio.recipe import Data

PAIR = {"prompt": "a", "completion": "b"}


def test_a_broken_line_is_named_by_its_number_and_the_rest_is_read(write, read_all):
    text = f'{json.dumps(PAIR)}\n\n{{"prompt": "x", \n{json.dumps(PAIR)}\n'
    found = read_all(write("a.jsonl", text))
    assert found.rows == [PAIR, PAIR]
    assert found.places == ["line 1", "line 4"]
    assert found.records == 3
    [problem] = found.problems
    assert problem.where == "line 3"
    assert "not valid JSON" in problem.what
    assert problem.hint
    assert problem.as_json()["line"] == 3


@pytest.mark.parametrize("line", ["[1, 2]", '"text"', "3", "null", "[" * 100_000, "9" * 5000,
                                  '{"a": ' * 150 + "1" + "}" * 150])
def test_a_line_that_is_no_object_is_left_out(write, read_all, line):
    found = read_all(write("a.jsonl", f"{json.dumps(PAIR)}\n{line}\n"))
    assert found.rows == [PAIR]
    assert [problem.where for problem in found.problems] == ["line 2"]


def test_many_short_lines_make_blocks_of_a_thousand_with_the_right_numbers(write, settings):
    path = write("a.jsonl", "".join(f'{{"n":{n}}}\n' for n in range(1, 50_001)))
    blocks = list(sources_of(Data(source=path), settings)[0].blocks())
    reads = [read for block in blocks for read in block.read()]
    assert all(len(block.read()) <= BLOCK_ROWS for block in blocks)
    assert [read.row for read in reads] == [{"n": n} for n in range(1, 50_001)]
    assert [read.place for read in reads] == [f"line {n}" for n in range(1, 50_001)]


def test_the_end_of_the_last_block_is_the_end_of_the_file(write, settings):
    [source] = sources_of(Data(source=write("a.jsonl", [PAIR] * 5000)), settings)
    blocks = list(source.blocks())
    assert source.unit == "bytes"
    assert blocks[-1].done == source.total
    assert [block.done for block in blocks] == sorted(block.done for block in blocks)


def test_a_line_of_ten_megabytes_is_read(write, read_all):
    rows = [PAIR, {"prompt": "x" * 10_000_000}, PAIR]
    found = read_all(write("a.jsonl", rows))
    assert found.rows == rows
    assert found.places == ["line 1", "line 2", "line 3"]


@pytest.mark.parametrize("end", ["", "\n", f"\n{json.dumps(PAIR)}"])
def test_a_line_that_is_too_long_is_left_out_and_the_rest_is_read(write, read_all, end):
    long = json.dumps({"prompt": "x" * LONGEST_RECORD_BYTES})
    found = read_all(write("a.jsonl", f"{json.dumps(PAIR)}\n{long}{end}"))
    assert [problem.where for problem in found.left_out] == ["line 2"]
    assert "longer than 64 MB" in found.left_out[0].what
    assert found.places == ["line 1"] + ["line 3"] * (end == f"\n{json.dumps(PAIR)}")
