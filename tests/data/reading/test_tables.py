"""Parquet and Arrow: batches become rows of JSON-like values."""

from __future__ import annotations

import datetime
import decimal
import gzip
import json
from pathlib import Path

import numpy
import orjson
import pyarrow
import pyarrow.feather
import pyarrow.parquet
import pytest

from studio.data.reading.sources import sources_of
from studio.errors import DataError
from studio.recipe import Data

TURNS = [{"role": "user", "content": "für"}, {"role": "assistant", "content": None}]
PICTURE = pyarrow.struct([("bytes", pyarrow.binary()), ("path", pyarrow.string())])


def many(rows: int = 5000) -> pyarrow.Table:
    return pyarrow.table({"messages": [TURNS] * rows, "n": list(range(rows)),
                          "text": ["x" * 500] * rows})


def write_stream(table: pyarrow.Table, path: Path) -> None:
    with pyarrow.OSFile(str(path), "wb") as file, pyarrow.ipc.new_stream(file, table.schema) as out:
        out.write_table(table)


def write_file(table: pyarrow.Table, path: Path) -> None:
    with pyarrow.OSFile(str(path), "wb") as file, pyarrow.ipc.new_file(file, table.schema) as out:
        out.write_table(table)


WRITERS = {
    "a.parquet": lambda table, path: pyarrow.parquet.write_table(table, path),
    "a.feather": lambda table, path: pyarrow.feather.write_feather(table, str(path)),
    "a.arrow": write_file,
    "b.arrow": write_stream,
}


@pytest.mark.parametrize("name", WRITERS)
@pytest.mark.parametrize("packing", ["", ".gz"])
def test_every_table_format_gives_the_same_rows_in_blocks(tmp_path, settings, name, packing):
    path = tmp_path / name
    WRITERS[name](many(), path)
    if packing:
        packed = tmp_path / f"{name}{packing}"
        packed.write_bytes(gzip.compress(path.read_bytes()))
        path = packed
    [source] = sources_of(Data(source=str(path)), settings)
    blocks = list(source.blocks())
    reads = [read for block in blocks for read in block.read()]
    assert [read.row for read in reads] == many().to_pylist()
    assert reads[-1].place == "row 5000"
    assert all(len(block.data) < 1_500_000 for block in blocks)
    assert [block.done for block in blocks] == sorted(block.done for block in blocks)
    assert blocks[-1].done <= source.total


def test_values_become_those_of_json(tmp_path, read_all):
    table = pyarrow.table({
        "float": [1.5, float("nan")], "endless": [float("inf"), 1.0], "bytes": [b"123", None],
        "picture": pyarrow.array([{"bytes": b"12345", "path": "a.png"},
                                  {"bytes": None, "path": "b.png"}], PICTURE),
        "time": pyarrow.array([datetime.datetime(2020, 1, 2), None], pyarrow.timestamp("ns")),
        "day": [datetime.date(2020, 1, 2)] * 2, "long": [datetime.timedelta(1)] * 2,
        "price": [decimal.Decimal("1.50"), None],
        "exact": [decimal.Decimal("0.12345678901234567890123")] * 2,
        "map": pyarrow.array([[("a", 1)], None], pyarrow.map_(pyarrow.string(), pyarrow.int64())),
        "half": pyarrow.array(numpy.array([1, 2], numpy.float16)),
        "large": pyarrow.array([2**64 - 1, 0], pyarrow.uint64()),
        "kind": pyarrow.array(["a", "b"]).dictionary_encode(),
    })
    pyarrow.parquet.write_table(table, tmp_path / "a.parquet")
    found = read_all(str(tmp_path / "a.parquet"))
    first, second = found.rows
    assert first == {
        "float": 1.5, "endless": None, "bytes": "(3 bytes)", "picture": "(a.png, 5 bytes)",
        "time": "2020-01-02T00:00:00", "day": "2020-01-02", "long": "1 day, 0:00:00", "price": 1.5,
        "exact": "0.12345678901234567890123", "map": [["a", 1]], "half": 1.0, "large": 2**64 - 1,
        "kind": "a"}
    assert second["float"] is None and second["picture"] == "(b.png, not included)"
    assert orjson.loads(orjson.dumps(first)) == json.loads(json.dumps(first)) == first
    assert "'bytes', 'picture' hold bytes" in found.notes[0].what


def test_a_table_without_rows_is_called_empty(tmp_path, read_all):
    empty = pyarrow.table({"text": pyarrow.array([], "string")})
    for name, write in WRITERS.items():
        write(empty, tmp_path / name)
        with pytest.raises(DataError, match="is empty"):
            read_all(str(tmp_path / name))


@pytest.mark.parametrize("name", WRITERS)
@pytest.mark.parametrize("kept", [0.05, 0.5, 0.99])
def test_a_table_that_was_cut_off_is_a_sentence(tmp_path, read_all, name, kept):
    path = tmp_path / name
    WRITERS[name](many(2000), path)
    data = path.read_bytes()
    path.write_bytes(data[:int(len(data) * kept)])
    with pytest.raises(DataError, match=r"not a readable (Parquet|Arrow) file") as caught:
        read_all(str(path))
    assert "download it again" in caught.value.hint


def test_other_bytes_under_a_table_s_name_are_a_sentence(write, read_all):
    for name in WRITERS:
        for content in (b"{}\n", b"\0" * 100, b"ARROW1\0\0" + b"\xff" * 100, b"PAR1PAR1"):
            with pytest.raises(DataError, match="not a readable"):
                read_all(write(name, content))
    with pytest.raises(DataError, match="first version"):
        read_all(write("a.feather", b"FEA1" + b"\0" * 50))


def test_offsets_that_point_nowhere_do_not_end_the_program(tmp_path, read_all):
    offsets = pyarrow.py_buffer(numpy.array([0, 2_000_000_000, 1], numpy.int32))
    bad = pyarrow.Array.from_buffers(pyarrow.string(), 2, [None, offsets, pyarrow.py_buffer(b"x")])
    write_stream(pyarrow.table({"text": bad}), tmp_path / "a.arrow")
    with pytest.raises(DataError, match="not a readable Arrow file"):
        read_all(str(tmp_path / "a.arrow"))


def test_text_that_is_no_utf_8_leaves_out_its_row_only(tmp_path, read_all):
    offsets = pyarrow.py_buffer(numpy.array([0, 1, 2, 3], numpy.int32))
    text = pyarrow.Array.from_buffers(pyarrow.string(), 3,
                                      [None, offsets, pyarrow.py_buffer(b"a\xffb")])
    pyarrow.parquet.write_table(pyarrow.table({"text": text}), tmp_path / "a.parquet")
    found = read_all(str(tmp_path / "a.parquet"))
    assert found.rows == [{"text": "a"}, {"text": "b"}]
    assert [(problem.where, problem.kind) for problem in found.left_out] == [("row 2", "undecoded")]


def test_a_time_beyond_every_calendar_leaves_out_its_row_only(tmp_path, read_all):
    times = pyarrow.array([0, 2**62], pyarrow.timestamp("us"))
    pyarrow.parquet.write_table(pyarrow.table({"time": times}), tmp_path / "a.parquet")
    found = read_all(str(tmp_path / "a.parquet"))
    assert found.rows == [{"time": "1970-01-01T00:00:00"}]
    assert "a value cannot be read" in found.left_out[0].what


def test_two_columns_of_one_name_are_told_apart(tmp_path, read_all):
    table = pyarrow.table([pyarrow.array(["x"]), pyarrow.array(["y"])], names=["a", "a"])
    write_stream(table, tmp_path / "a.arrow")
    found = read_all(str(tmp_path / "a.arrow"))
    assert found.rows == [{"a": "x", "a 2": "y"}]
    assert "two columns are called 'a'" in found.notes[0].what
