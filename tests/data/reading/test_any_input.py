"""Generated records and bytes: no input crashes reading, and no record is lost uncounted."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator
from pathlib import Path

import orjson
import pyarrow
import pyarrow.parquet
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from studio.data.reading import json_files, json_scan, jsonl, opened
from studio.data.reading.json_rows import read_json_row
from studio.data.reading.sources import sources_of
from studio.data.records import Read
from studio.errors import DataError
from studio.recipe import Data
from studio.settings import Settings

quick = settings(max_examples=40, deadline=None,
                 suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])

text = st.text(st.characters(codec="utf-8"), max_size=30)
values = st.recursive(
    st.none() | st.booleans() | st.integers(-2**63, 2**64 - 1) | text
    | st.floats(allow_nan=False, allow_infinity=False),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(text, inner, max_size=3),
    max_leaves=8)
rows = st.dictionaries(text, values, max_size=4)
garbage = st.binary(max_size=60) | st.sampled_from([
    b"{", b"}", b'{"a": ', b"[1,", b"NaN", b'{"a": NaN}', b"\xff\xfe", b'"', b'{"a": "\\ud800"}',
    b'{"a": 1}{', b"\xef\xbb\xbf{}", b"1e999", b"- -", b'{"a" 1}'])


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("any")


@pytest.fixture(scope="module", params=[7, 2**20])
def small_blocks(request: pytest.FixtureRequest) -> Iterator[int]:
    """Blocks of a few bytes, so that every record lies across several, and usual ones."""
    with pytest.MonkeyPatch.context() as patch:
        for module in (jsonl, json_files):
            patch.setattr(module, "FIRST_BLOCK_BYTES", request.param)
        for module in (jsonl, json_files, json_scan):
            patch.setattr(module, "BLOCK_BYTES", request.param)
        if request.param < 100:
            patch.setattr(opened, "_HEAD_BYTES", 64)
            patch.setattr(jsonl, "BLOCK_ROWS", 3)
        yield request.param


def read(path: Path, content: bytes) -> list[Read]:
    """All of a file; an empty one is no records."""
    path.write_bytes(content)
    [source] = sources_of(Data(source=str(path)), Settings(home=path.parent / "home"))
    try:
        return [read for block in source.blocks() for read in block.read()]
    except DataError as error:
        if "is empty" in error.message:
            return []
        raise


def require_sound(reads: list[Read]) -> None:
    """Every record is a row that can be stored, or a problem with its place; places go on."""
    for one in reads:
        assert (one.row is None) <= (one.problem is not None)
        if one.row is not None:
            assert orjson.loads(orjson.dumps(one.row)) == one.row
    places = [one.place for one in reads if one.place]
    numbers = [int(place.split(" ")[1]) for place in places]
    assert numbers == sorted(set(numbers))


@quick
@given(lines=st.lists(rows.map(orjson.dumps) | garbage.map(lambda data: data.replace(b"\n", b"")),
                      max_size=12), end=st.sampled_from([b"\n", b"\r\n"]))
def test_every_line_that_is_not_blank_is_a_row_or_a_problem(folder, small_blocks, lines, end):
    content = b'{"first": 1}\n' + end.join(lines)  # so that no line is taken for another encoding
    found = read(folder / "a.jsonl", content)
    require_sound(found)
    assert len(found) == sum(1 for line in content.split(b"\n") if line.strip())


@quick
@given(records=st.lists(rows, max_size=8), indent=st.none() | st.integers(0, 2),
       is_ascii=st.booleans(), key=st.none() | st.sampled_from(["train", "data"]))
def test_every_element_of_a_list_is_read_as_it_was_written(
    folder, small_blocks, records, indent, is_ascii, key
):
    whole = {"about": [1, {"x": "]"}], key: records, "end": "}"} if key else records
    content = json.dumps(whole, indent=indent, ensure_ascii=is_ascii)
    found = [one for one in read(folder / "a.json", content.encode()) if one.place]
    require_sound(found)
    assert [one.row for one in found] == records


@quick
@given(records=st.lists(st.lists(st.text(st.characters(codec="utf-8", exclude_characters="\0"),
                                         max_size=20), min_size=2, max_size=2)
                        .filter(lambda fields: any(map(str.strip, fields))), max_size=10),
       quoting=st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL]))
def test_every_row_of_a_csv_is_read_as_it_was_written(folder, records, quoting):
    text = io.StringIO(newline="")
    writer = csv.writer(text, quoting=quoting)
    writer.writerows([["first", "second"], *records])
    found = read(folder / "a.csv", text.getvalue().encode())
    require_sound(found)
    assert [list(one.row.values()) for one in found if one.row] == records


@quick
@given(paragraphs=st.lists(st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Z"]),
                                   min_size=1, max_size=20), max_size=8))
def test_every_paragraph_is_a_record(folder, paragraphs):
    found = read(folder / "a.txt", "\n\n".join(["first", *paragraphs]).encode())
    assert [one.row for one in found] == [{"text": text} for text in ["first", *paragraphs]]


@quick
@given(data=garbage | st.lists(garbage, max_size=5).map(b"\n".join),
       name=st.sampled_from(["a.jsonl", "a.json", "a.csv", "a.tsv", "a.txt", "a.parquet", "a.arrow",
                             "a.jsonl.gz", "a.csv.zst", "a.arrow.gz", "a.parquet.zst"]))
@example(data=b'[{"a": "\xff"}]', name="a.json")
@example(data=b"\xff\xfe{", name="a.json")
@example(data=b"a\n\xff,\n", name="a.csv")
def test_any_bytes_give_records_or_a_sentence(folder, small_blocks, data, name):
    try:
        found = read(folder / name, data)
    except DataError as error:
        assert error.message.endswith(".") or error.hint
        assert name in error.message
    else:
        require_sound([one for one in found if one.place])


@quick
@given(data=st.data())
def test_any_damage_to_a_table_gives_rows_or_a_sentence(folder, data):
    table = pyarrow.table({"text": ["abc", "für", None], "turns": [[{"a": 1}], [], None]})
    sink = pyarrow.BufferOutputStream()
    if data.draw(st.booleans(), "parquet"):
        name = "b.parquet"
        pyarrow.parquet.write_table(table, sink)
    else:
        name = "b.arrow"
        with pyarrow.ipc.new_stream(sink, table.schema) as out:
            out.write_table(table)
    content = bytearray(sink.getvalue().to_pybytes())
    for _ in range(data.draw(st.integers(1, 4), "damages")):
        content[data.draw(st.integers(0, len(content) - 1), "at")] = data.draw(
            st.integers(0, 255), "to")
    try:
        require_sound([one for one in read(folder / name, bytes(content)) if one.place])
    except DataError as error:
        assert name in error.message


@quick
@given(row=rows)
def test_a_row_comes_back_as_it_was_written(row):
    for indent in (None, 1):
        written = json.dumps(row, indent=indent).encode()
        assert read_json_row(written, "line 1").row == row
