"""JSON files: a list of any size, one object, or an object around a list."""

from __future__ import annotations

import json

import pytest

from studio.data.reading.sources import sources_of
from studio.errors import DataError
from studio.recipe import Data

PAIR = {"prompt": "a", "completion": "b"}


@pytest.mark.parametrize(("content", "count"), [
    (json.dumps([PAIR, PAIR]), 2), (json.dumps(PAIR), 1), (json.dumps(PAIR, indent=1), 1),
    (json.dumps([PAIR, PAIR], indent=2), 2), (json.dumps({"data": [PAIR, PAIR]}), 2),
    (json.dumps({"version": 1, "train": [PAIR], "about": {"n": [1]}}), 1),
    (f"{json.dumps(PAIR)}\n{json.dumps(PAIR)}\n", 2), (f" [{json.dumps(PAIR)} ] \n", 1),
])
def test_json_may_be_a_list_one_object_a_wrapped_list_or_lines(write, read_all, content, count):
    assert read_all(write("a.json", content)).rows == [PAIR] * count


@pytest.mark.parametrize("indent", [None, 1])
def test_a_list_under_the_name_of_lines_is_read(write, read_all, indent):
    found = read_all(write("a.jsonl", json.dumps([PAIR, 3], indent=indent)))
    assert found.rows == [PAIR]
    assert found.left_out[0].where == "row 2"


def test_lines_that_are_lists_are_left_out_one_by_one(write, read_all):
    with pytest.raises(DataError, match="empty"):
        read_all(write("a.jsonl", "[]"))
    found = read_all(write("a.jsonl", '[{"a": 1}]\n[{"a": 2}]\n'))
    assert [problem.where for problem in found.left_out] == ["line 1", "line 2"]
    assert "a list instead of an object" in found.left_out[0].what


def test_the_split_chooses_among_lists_and_the_others_are_told(write, read_all):
    path = write("a.json", json.dumps({"train": [PAIR], "test": [PAIR, PAIR], "tags": ["x"]}))
    assert len(read_all(path, split="test").rows) == 2
    with pytest.raises(DataError, match=r"holds no list 'valid'.*train, test"):
        read_all(path, split="valid")
    assert len(read_all(write("b.json", json.dumps({"data": [PAIR]})), split="test").rows) == 1
    found = read_all(path)
    assert len(found.rows) == 1
    assert "'test'" in found.notes[0].what and "'tags'" not in found.notes[0].what


def test_a_big_list_is_cut_into_blocks_that_are_read_apart(write, settings):
    rows = [{"n": n, "text": "ä]}\",[{ \\ \n" * (n % 50)} for n in range(20_000)]
    for indent in (None, 2):
        path = write("a.json", json.dumps(rows, indent=indent, ensure_ascii=indent is None))
        [source] = sources_of(Data(source=path), settings)
        blocks = list(source.blocks())
        assert len(blocks) > 5
        assert blocks[-1].done == source.total
        reads = [read for block in blocks for read in block.read()]
        assert [read.row for read in reads] == rows
        assert reads[-1].place == "row 20000"


def test_an_element_that_reaches_over_many_reads_is_whole(write, read_all):
    rows = [PAIR, {"text": "ü" * 5_000_000}, {"list": [123456789] * 300_000}, PAIR]
    assert read_all(write("a.json", json.dumps(rows, ensure_ascii=False))).rows == rows


@pytest.mark.parametrize(("text", "words"), [
    ('[{"a": 1},\n{"a": 2},\n{"a": }]', "is not valid JSON: Expecting value at line 3, column 7"),
    ('[{"a": 1},\n{"a": 2}', "ends in the middle of a record at line 2"),
    ('[{"a": 1},\n{"a": "x', "ends in the middle of a record at line 2"),
    ('[{"a": 1}\n{"a": 2}]', "is not valid JSON: Expecting ',' at line 2, column 1"),
    ('[{"a": 1},\n{"a": 2}]\n[{"a": 3}]', "more follows after its end at line 3"),
    ('{"a": 1,\n"b"}', "Expecting ':' at line 2, column 4"),
    ("[" * 100_000, "nested too deeply at line 1"),
    ('[{"a": 1},]', "Expecting value at line 1, column 11"),
])
def test_broken_json_names_line_and_column(write, read_all, text, words):
    with pytest.raises(DataError, match=r"is not valid JSON|ends in|nested") as caught:
        read_all(write("a.json", text))
    assert words in str(caught.value)
    assert caught.value.hint


def test_line_and_column_are_right_far_into_a_file(write, read_all):
    rows = ",\n".join(json.dumps({"text": "x" * 1000}) for _ in range(5000))
    with pytest.raises(DataError, match="line 5001, column 9"):
        read_all(write("a.json", f'[{rows},\n{{"text" 1}}]'))


@pytest.mark.parametrize("text", ["3", '"text"', "null", "nonsense"])
def test_a_file_that_is_one_odd_value_is_left_out_by_name(write, read_all, text):
    assert [problem.where for problem in read_all(write("a.json", text)).left_out] == ["row 1"]


def test_nan_in_a_list_is_read_as_null_and_told(write, read_all):
    found = read_all(write("a.json", '[{"a": NaN}, {"a": -1e999}, {"a": ' + "7" * 30 + "}]"))
    assert [row["a"] for row in found.rows] == [None, None, 7.777777777777778e29]
    assert [problem.where for problem in found.problems] == ["row 1", "row 2"]
