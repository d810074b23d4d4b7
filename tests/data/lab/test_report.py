"""The report of the Dataset tab: whole, plain, and unmoved by the nastiest file."""

from __future__ import annotations

import json

import pytest

from studio.data.lab.look import inspect
from studio.errors import DataError
from studio.recipe import Data

PAIR = {"prompt": "a", "completion": "b"}

NASTY = {
    "empty.jsonl": b"", "blank.jsonl": b"\n \n\n", "nul.jsonl": b"\0" * 100,
    "nulls.csv": b"a,b\n\0,\0\n", "mark.json": b"\xef\xbb\xbf", "half.json": b'[{"a": 1}, {"b"',
    "deep.json": b"[" * 50_000, "long.json": b'{"a": ' + b"9" * 10_000 + b"}", "scalar.json": b"3",
    "latin.csv": b"prompt,completion\ncaf\xe9,b\na,b\n", "latin.txt": b"caf\xe9\n\nfine\n",
    "quote.csv": b'"', "header.csv": b"prompt,completion", "commas.csv": b",,,\n,,,\n",
    "odd16.jsonl": b"\xff\xfe{\x00}", "mixed.jsonl": b'{"text": "a"}\n{"prompt": "q"}\n3\n',
    "types.jsonl": b'{"messages": {"role": "user"}}\n{"messages": [[]]}\n{"text": 4}\n{"text": []}',
    "nested.jsonl": b'{"prompt": {"a": [1, {"b": null}]}, "completion": [1, 2]}\n',
    "zip.jsonl": b"PK\x03\x04....", "bad.parquet": b"PAR1....PAR1", "none.parquet": b"",
    "binary.txt": bytes(range(256)) * 20, "binary.csv": bytes(range(256)) * 20,
    "binary.json": bytes(range(256)), "binary.jsonl": bytes(range(256)) * 20,
    "keys.jsonl": b'{"": "a", " ": "b"}\n{}\n',
    "numbers.jsonl": b'{"prompt": 1, "completion": 1e5}',
    "roles.jsonl": b'{"messages": [{"role": null, "content": "a"}]}\n{"messages": [{"role": []}]}',
    "utf7.md": b"+AGE-\n\n# title", "cr.csv": b"prompt,completion\ra,b\r",
    "big.jsonl": b'{"text": "' + b"word " * 100_000 + b'"}\n',
}


@pytest.mark.parametrize("name", NASTY)
def test_no_file_however_nasty_breaks_the_report(write, settings, tokenizer, name):
    data = Data(source=write(name, NASTY[name]))
    plain = inspect(data, settings)
    full = inspect(data, settings, tokenizer)
    for report in (plain.as_json(), full.as_json()):
        assert json.loads(json.dumps(report)) == report
        assert {"format", "rows", "problems", "columns", "statistics"} <= set(report)
        for problem in report["problems"]:
            assert problem["what"] and problem["hint"]
    assert full.rows >= full.statistics.examples
    if not full.statistics.examples:
        assert full.problems


def test_the_report_of_a_good_file_counts_everything(write, settings, tokenizer):
    rows = [PAIR, PAIR, {"prompt": "c " * 30, "completion": "d " * 30}]
    data = Data(source=write("a.jsonl", rows), max_length=64)
    report = inspect(data, settings, tokenizer).as_json()
    assert report["format"] == "prompt_completion"
    assert report["rows"] == 3
    assert report["columns"] == ["prompt", "completion"]
    statistics = report["statistics"]
    assert statistics["duplicates"] == 1
    assert statistics["truncated"] == 1
    assert statistics["tokens_min"] < 64 < statistics["tokens_max"]
    assert {"exact_duplicates", "truncated"} <= {one["key"] for one in report["findings"]}


def test_bad_rows_count_and_are_named(write, settings):
    path = write("a.jsonl", f"{json.dumps(PAIR)}\n{{oops\n{json.dumps(PAIR)}\n")
    report = inspect(Data(source=path), settings).as_json()
    assert report["rows"] == 3
    assert report["format"] == "prompt_completion"
    assert report["problems"][0]["line"] == 2


def test_a_row_of_a_list_is_named_by_its_row(write, settings):
    path = write("a.json", json.dumps([PAIR, {"prompt": "x", "completion": ""}]))
    report = inspect(Data(source=path), settings).as_json()
    assert report["problems"][0]["row"] == 2


def test_an_empty_file_is_a_problem_in_the_report(write, settings):
    report = inspect(Data(source=write("a.jsonl", "")), settings).as_json()
    assert report["format"] is None and report["rows"] == 0
    assert "empty" in report["problems"][0]["what"]


def test_wrong_columns_of_the_recipe_are_a_problem_in_the_report(write, settings):
    report = inspect(Data(source=write("a.jsonl", [PAIR]), format="alpaca"), settings).as_json()
    assert report["format"] is None
    assert "needs 'instruction', 'output'" in report["problems"][0]["what"]


def test_a_missing_file_is_an_error(settings, tmp_path):
    with pytest.raises(DataError, match="no data file"):
        inspect(Data(source=str(tmp_path / "a.jsonl")), settings)
