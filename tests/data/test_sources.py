"""Reading: every record counts, and whatever is wrong is named with its place."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from studio.data.sources import NothingReadable, read_records, starter_files
from studio.errors import DataError, Stopped
from studio.progress import Step

PAIR = {"prompt": "a", "completion": "b"}


def problem_texts(records):
    return [str(problem) for problem in records.problems]


def test_a_broken_line_is_named_by_its_number_and_the_rest_is_read(write, settings):
    path = write("a.jsonl", f'{json.dumps(PAIR)}\n\n{{"prompt": "x", \n{json.dumps(PAIR)}\n')
    records = read_records(path, settings)
    assert records.rows == [PAIR, PAIR]
    assert records.places == ["line 1", "line 4"]
    assert records.total_rows == 3
    [problem] = records.problems
    assert problem.where == "line 3"
    assert "not valid JSON" in problem.what
    assert problem.hint
    assert problem.as_json()["line"] == 3


@pytest.mark.parametrize("line", ["[1, 2]", '"text"', "3", "null", "[" * 100_000, "9" * 5000])
def test_a_line_that_is_no_object_is_left_out(write, settings, line):
    records = read_records(write("a.jsonl", f"{json.dumps(PAIR)}\n{line}\n"), settings)
    assert records.rows == [PAIR]
    assert [problem.where for problem in records.problems] == ["line 2"]
    assert records.total_rows == 2


def test_a_truncated_last_line_is_named(write, settings):
    records = read_records(write("a.jsonl", f'{json.dumps(PAIR)}\n{{"prompt": "cut'), settings)
    assert [problem.where for problem in records.problems] == ["line 2"]


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32"])
def test_byte_order_marks_and_utf_16_are_recognised(write, settings, encoding):
    text = json.dumps({"prompt": "für Zoë", "completion": "ok"}, ensure_ascii=False) + "\r\n"
    records = read_records(write("a.jsonl", (text * 2).encode(encoding)), settings)
    assert [row["prompt"] for row in records.rows] == ["für Zoë"] * 2
    assert not records.problems


def test_windows_line_ends_do_not_reach_the_values(write, settings):
    records = read_records(write("a.csv", "prompt,completion\r\na,b\r\nc,d\r\n"), settings)
    assert records.rows == [PAIR, {"prompt": "c", "completion": "d"}]


def test_invalid_utf_8_leaves_out_its_line_only(write, settings):
    good = json.dumps(PAIR).encode()
    records = read_records(write("a.jsonl", good + b'\n{"prompt": "\xff\xfe", "completion": "b"}\n'
                                 + good), settings)
    assert len(records.rows) == 2
    assert records.problems[0].where == "line 2"
    assert "UTF-8" in str(records.problems[0])


def test_half_of_a_surrogate_pair_is_left_out_since_no_tokenizer_takes_it(write, settings):
    text = '{"prompt": "\\ud83d", "completion": "b"}\n' + json.dumps(PAIR)
    records = read_records(write("a.jsonl", text), settings)
    assert records.rows == [PAIR]
    assert records.problems[0].where == "line 1"


def test_nan_and_huge_numbers_are_read_as_null_and_told(write, settings):
    text = ('{"prompt": "a", "completion": "b", "score": NaN}\n'
            '{"prompt": "a", "completion": "b", "score": 1e999}\n')
    records = read_records(write("a.jsonl", text), settings)
    assert [row["score"] for row in records.rows] == [None, None]
    assert [problem.where for problem in records.problems] == ["line 1", "line 2"]


@pytest.mark.parametrize("name", ["a.jsonl", "a.json", "a.csv", "a.tsv", "a.txt"])
def test_an_empty_file_is_called_empty(write, settings, name):
    with pytest.raises(DataError, match="is empty"):
        read_records(write(name, ""), settings)


def test_an_empty_list_and_a_header_alone_are_called_empty(write, settings):
    for path in (write("a.json", "[]"), write("a.csv", "prompt,completion\n")):
        with pytest.raises(DataError, match="is empty"):
            read_records(path, settings)


def test_a_file_without_one_intact_record_says_what_is_wrong_with_the_first(write, settings):
    with pytest.raises(NothingReadable, match=r"None of the 2 records.*line 1") as caught:
        read_records(write("a.jsonl", "{\n{\n"), settings)
    assert caught.value.records.total_rows == 2


def test_a_folder_names_the_files_in_it(write, settings, tmp_path):
    write("orders.jsonl", [PAIR])
    with pytest.raises(DataError, match=r"is a folder.*orders\.jsonl"):
        read_records(str(tmp_path), settings)


def test_a_missing_file_names_the_nearest(write, settings, tmp_path):
    write("orders.jsonl", [PAIR])
    with pytest.raises(DataError, match=r"Did you mean orders\.jsonl"):
        read_records(str(tmp_path / "ordres.jsonl"), settings)


@pytest.mark.parametrize("source", [
    "https://example.org/a.jsonl", "owner/name", "nothing-here", "a\0b", "x" * 5000, "../", ".",
])
def test_a_source_that_is_nothing_is_a_sentence(settings, source):
    with pytest.raises(DataError):
        read_records(source, settings)


@pytest.mark.parametrize(("head", "word"), [
    (b"PK\x03\x04", "zip"), (b"\x1f\x8b\x08", "gzip"), (b"PAR1", "Parquet"),
    (b"\x80\x04", "pickle"),
])
def test_what_is_no_text_is_refused_by_its_kind(write, settings, head, word):
    with pytest.raises(DataError, match=word):
        read_records(write("a.jsonl", head + b"rest"), settings)


def test_an_unknown_ending_lists_the_readable_ones(write, settings):
    with pytest.raises(DataError, match=r"\.xlsx.*\.jsonl"):
        read_records(write("a.xlsx", b"x"), settings)


def test_json_may_be_a_list_one_object_a_wrapped_list_or_lines(write, settings):
    two = [PAIR, PAIR]
    for content, count in [(json.dumps(two), 2), (json.dumps(PAIR), 1),
                           (json.dumps(two, indent=2), 2),
                           (json.dumps({"data": two}), 2), (json.dumps({"train": two}), 2),
                           (f"{json.dumps(PAIR)}\n{json.dumps(PAIR)}\n", 2)]:
        assert read_records(write("a.json", content), settings).rows == [PAIR] * count


def test_a_list_under_the_name_of_lines_is_read(write, settings):
    path = write("a.jsonl", json.dumps([PAIR, 3], indent=1))
    records = read_records(path, settings)
    assert records.rows == [PAIR]
    assert records.problems[0].where == "row 2"


def test_broken_json_names_line_and_column(write, settings):
    with pytest.raises(DataError, match="line 3, column"):
        read_records(write("a.json", '[{"a": 1},\n{"a": 2},\n{"a": }]'), settings)


def test_quoted_line_breaks_belong_to_the_field(write, settings):
    records = read_records(write("a.csv", 'prompt,completion\n"a\nb","c, ""d"""\nx,y\n'), settings)
    assert records.rows[0] == {"prompt": "a\nb", "completion": 'c, "d"'}
    assert records.places == ["line 2", "line 4"]


def test_rows_of_another_width_and_open_quotes_are_left_out_by_line(write, settings):
    text = 'prompt,completion\na,b\na,b,c\na\n"open,b\nc,d'
    records = read_records(write("a.csv", text), settings)
    assert records.rows == [PAIR]
    assert [problem.where for problem in records.problems] == ["line 3", "line 4", "line 5"]
    assert records.total_rows == 4


def test_semicolons_and_tabs_separate_as_well(write, settings):
    assert read_records(write("a.csv", "prompt;completion\na;b\n"), settings).rows == [PAIR]
    assert read_records(write("a.tsv", "prompt\tcompletion\na\tb\n"), settings).rows == [PAIR]


def test_two_columns_of_one_name_are_told_apart(write, settings):
    records = read_records(write("a.csv", "prompt,prompt\na,b\n"), settings)
    assert records.rows == [{"prompt": "a", "prompt 2": "b"}]
    assert records.problems[0].where == "line 1"


def test_a_field_of_ten_megabytes_is_read(write, settings):
    records = read_records(write("a.csv", f"prompt,completion\n{'x' * 10_000_000},b\n"), settings)
    assert len(records.rows[0]["prompt"]) == 10_000_000


def test_paragraphs_of_a_text_file_are_records(write, settings):
    records = read_records(write("a.txt", "one\ntwo\n\n\nthree\n"), settings)
    assert records.rows == [{"text": "one\ntwo"}, {"text": "three"}]
    assert records.places == ["line 1", "line 5"]


def test_parquet_is_read_and_a_damaged_one_is_a_sentence(write, settings, tmp_path):
    import pyarrow
    import pyarrow.parquet

    path = tmp_path / "a.parquet"
    table = {"prompt": ["a", "c"], "completion": ["b", "d"], "score": [1.0, float("nan")]}
    pyarrow.parquet.write_table(pyarrow.table(table), path)
    records = read_records(str(path), settings)
    assert [row["score"] for row in records.rows] == [1.0, None]
    with pytest.raises(DataError, match="not a readable Parquet"):
        read_records(write("b.parquet", path.read_bytes()[:-20]), settings)


def test_a_parquet_file_without_rows_is_called_empty(settings, tmp_path):
    import pyarrow
    import pyarrow.parquet

    path = tmp_path / "a.parquet"
    pyarrow.parquet.write_table(pyarrow.table({"text": pyarrow.array([], "string")}), path)
    with pytest.raises(DataError, match="is empty"):
        read_records(str(path), settings)


def test_a_limit_ends_the_reading(write, settings):
    assert len(read_records(write("a.jsonl", [PAIR] * 50), settings, limit=7).rows) == 7


def test_progress_is_told_and_a_stop_is_honoured(write, settings):
    path = write("a.jsonl", [PAIR] * 2000)
    steps: list[Step] = []
    read_records(path, settings, progress=steps.append)
    assert steps and steps[-1].fraction is not None
    with pytest.raises(Stopped):
        read_records(path, settings, stop=lambda: True)


def test_the_starter_comes_with_the_studio(settings):
    train, held_out = starter_files()
    assert Path(train).is_file() and Path(held_out).is_file()
    assert len(read_records("starter", settings).rows) >= 500
