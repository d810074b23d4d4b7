"""CSV: quotes, separators and line ends as spreadsheets write them."""

from __future__ import annotations

import csv
import io

import pytest

from studio.data.reading.blocks import LONGEST_RECORD_BYTES
from studio.data.reading.sources import sources_of
from studio.errors import DataError
from studio.recipe import Data

PAIR = {"prompt": "a", "completion": "b"}


def test_quoted_line_breaks_belong_to_the_field(write, read_all):
    found = read_all(write("a.csv", 'prompt,completion\n"a\nb","c, ""d"""\nx,y\n'))
    assert found.rows[0] == {"prompt": "a\nb", "completion": 'c, "d"'}
    assert found.places == ["line 2", "line 4"]


def test_windows_line_ends_do_not_reach_the_values(write, read_all):
    found = read_all(write("a.csv", "prompt,completion\r\na,b\r\nc,d\r\n"))
    assert found.rows == [PAIR, {"prompt": "c", "completion": "d"}]


def test_rows_of_another_width_and_open_quotes_are_left_out_by_line(write, read_all):
    found = read_all(write("a.csv", 'prompt,completion\na,b\na,b,c\na\n"open,b\nc,d'))
    assert found.rows == [PAIR]
    assert [problem.where for problem in found.left_out] == ["line 3", "line 4", "line 5"]
    assert "3 fields, but the header names 2" in found.left_out[0].what
    assert "it runs to line 6" in found.left_out[2].what
    assert found.records == 4


def test_a_row_after_a_wrong_quote_is_read(write, read_all):
    found = read_all(write("a.csv", 'prompt,completion\n"a"b,c\na,b\n'))
    assert found.rows == [PAIR]
    assert found.left_out[0].where == "line 2"


def test_semicolons_and_tabs_separate_as_well(write, read_all):
    assert read_all(write("a.csv", "prompt;completion\na;b\n")).rows == [PAIR]
    assert read_all(write("a.tsv", "prompt\tcompletion\na\tb\n")).rows == [PAIR]


def test_two_columns_of_one_name_are_told_apart(write, read_all):
    found = read_all(write("a.csv", "prompt,prompt,\na,b,c\n"))
    assert found.rows == [{"prompt": "a", "prompt 2": "b", "column 3": "c"}]
    assert "two columns are called 'prompt'" in found.notes[0].what


def test_fields_of_ten_megabytes_are_read_and_endless_ones_left_out(write, read_all):
    found = read_all(write("a.csv", f"prompt,completion\n{'x' * 10_000_000},b\n"
                                    f"{'x' * (LONGEST_RECORD_BYTES + 10)},b\na,b\n"))
    assert len(found.rows[0]["prompt"]) == 10_000_000
    assert "longer than 64 MB" in found.left_out[0].what
    assert found.places == ["line 2", "line 4"]


def test_a_broken_header_and_a_header_alone_are_sentences(write, read_all):
    with pytest.raises(DataError, match=r"header of a\.csv cannot be read.*quote"):
        read_all(write("a.csv", '"prompt"x,completion\na,b\n'))
    with pytest.raises(DataError, match="is empty"):
        read_all(write("a.csv", "prompt,completion\n\n ,\n"))


def test_many_rows_come_in_blocks_in_their_order(write, settings):
    text = io.StringIO()
    rows = [{"n": str(n), "text": 'ä "x"\n,' * (n % 40)} for n in range(20_000)]
    writer = csv.DictWriter(text, ["n", "text"])
    writer.writeheader()
    writer.writerows(rows)
    [source] = sources_of(Data(source=write("a.csv", text.getvalue())), settings)
    blocks = list(source.blocks())
    assert blocks[-1].done == source.total
    assert [read.row for block in blocks for read in block.read()] == rows
