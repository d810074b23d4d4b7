"""The corpus of nasty files: each with the sentence that it must produce."""

from __future__ import annotations

import gzip
import io
import json
import zipfile
from pathlib import Path

import pyarrow
import pytest

from studio.data.reading.sources import sources_of
from studio.errors import DataError
from studio.recipe import Data

PAIR = {"prompt": "a", "completion": "b"}
LINE = json.dumps(PAIR)
UMLAUT = json.dumps({"prompt": "für Zoë", "completion": "ok"}, ensure_ascii=False)


def zst(data: bytes) -> bytes:
    sink = pyarrow.BufferOutputStream()
    with pyarrow.CompressedOutputStream(sink, "zstd") as out:
        out.write(data)
    return sink.getvalue().to_pybytes()


def zipped(data: bytes) -> bytes:
    sink = io.BytesIO()
    with zipfile.ZipFile(sink, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a.jsonl", data)
    return sink.getvalue()


PACK = {".gz": gzip.compress, ".zst": zst}

READ_ALL_THE_SAME = {
    "a byte-order mark": ("a.jsonl", f"{UMLAUT}\n{UMLAUT}\n".encode("utf-8-sig")),
    "two files with a mark, joined": ("a.jsonl", f"{UMLAUT}\n".encode("utf-8-sig") * 2),
    "windows line ends": ("a.jsonl", f"{UMLAUT}\r\n\r\n{UMLAUT}\r\n".encode()),
    "old line ends": ("a.jsonl", f"{UMLAUT}\r{UMLAUT}\r".encode()),
    "no line end at the end": ("a.jsonl", f"{UMLAUT}\n{UMLAUT}".encode()),
    "UTF-16 with a mark": ("a.jsonl", f"{UMLAUT}\r\n{UMLAUT}\r\n".encode("utf-16")),
    "UTF-16 without one": ("a.jsonl", f"{UMLAUT}\n{UMLAUT}\n".encode("utf-16-le")),
    "UTF-16, high byte first": ("a.jsonl", f"{UMLAUT}\n{UMLAUT}\n".encode("utf-16-be")),
    "UTF-32": ("a.jsonl", f"{UMLAUT}\n{UMLAUT}\n".encode("utf-32")),
    "a CSV in UTF-16": ("a.csv", "prompt;completion\r\nfür Zoë;ok\r\nfür Zoë;ok".encode("utf-16")),
    "a CSV with a mark": ("a.csv", "prompt,completion\nfür Zoë,ok\nfür Zoë,ok".encode("utf-8-sig")),
    "a JSON list with a mark": ("a.json", f"[{UMLAUT},{UMLAUT}]".encode("utf-8-sig")),
    "an ending in capitals": ("A.JSONL", f"{UMLAUT}\n{UMLAUT}\n".encode()),
    "gzip in several parts": ("a.jsonl.gz", gzip.compress(f"{UMLAUT}\n".encode()) * 2),
    "zstd in several parts": ("a.jsonl.zst", zst(f"{UMLAUT}\n".encode()) * 2),
    "a packed CSV": ("a.csv.gz", gzip.compress("prompt,completion\nfür Zoë,ok\nfür Zoë,ok"
                                                .encode())),
    "a packed JSON": ("a.json.zst", zst(f"[{UMLAUT},{UMLAUT}]".encode())),
}


@pytest.mark.parametrize("nasty", READ_ALL_THE_SAME)
def test_what_other_programs_write_is_read_as_it_was_meant(write, read_all, nasty):
    found = read_all(write(*READ_ALL_THE_SAME[nasty]))
    assert found.rows == [json.loads(UMLAUT)] * 2
    assert not found.problems


LEFT_OUT = {
    "invalid UTF-8": (b'{"prompt": "\xff\xfe"}', "undecoded", "not valid UTF-8", "as UTF-8"),
    "half a surrogate pair": (b'{"prompt": "\\ud83d"}', "undecoded", "half of a character",
                              "correct this record"),
    "half a pair in UTF-8": (b'{"prompt": "\xed\xa0\xbd"}', "undecoded", "not valid UTF-8",
                             "UTF-8"),
    "a line that was cut": (b'{"prompt": "cut', "unreadable",
                            "Unterminated string starting at column 12; the record ends in the "
                            "middle", "may have been cut off"),
    "a line cut between parts": (b'{"prompt": "x", ', "unreadable", "the record ends in the middle",
                                 "get the file again"),
    "a wrong comma": (b'{"prompt": "x",, "n": 1}', "unreadable", "at column 16", "{...}"),
    "two objects in a line": (b'{"a": 1} {"a": 2}', "unreadable", "Extra data at column 10",
                              "one whole object"),
    "Python instead of JSON": (b"{'prompt': 'x'}", "unreadable", "double quotes",
                               "instead of 'column'"),
    "a bare tab in a text": (b'{"prompt": "a\tb"}', "unreadable", "Invalid control character",
                             "write a tab as \\t"),
    "a list": (b"[1, 2]", "unreadable", "a list instead of an object", '{"column": "value", ...}'),
    "a number": (b"3", "unreadable", "a number instead of an object", "Write each record"),
    "too many levels": (b'{"a":' * 200 + b"1" + b"}" * 200, "unreadable", "more than 100 deep",
                        "Flatten"),
    "endless levels": (b"[" * 100_000, "unreadable", "nested more than 100 deep", "remove"),
    "a zero byte": (b'{"prompt": "\0"}', "unreadable", "Invalid control character", "write a tab"),
}


@pytest.mark.parametrize("end", [b"", b"\n", b"\r\n" + LINE.encode()])
@pytest.mark.parametrize("nasty", LEFT_OUT)
def test_a_record_that_cannot_be_read_is_named_and_the_others_are_read(write, read_all, nasty, end):
    line, kind, what, hint = LEFT_OUT[nasty]
    found = read_all(write("a.jsonl", LINE.encode() + b"\n" + line + end))
    [problem] = found.left_out
    assert (problem.where, problem.kind) == ("line 2", kind)
    assert what in problem.what
    assert hint in problem.hint
    assert found.records == 2 + (len(end) > 2)


@pytest.mark.parametrize(("number", "value"), [
    ("NaN", None), ("-Infinity", None), ("1e999", None), ("9" * 5000, None), ("9" * 30, 1e30),
    ("-" + "9" * 30, -1e30), ("18446744073709551615", 2**64 - 1), ("1" * 20, 11111111111111111111),
])
def test_numbers_beyond_a_computer_s_are_null_and_told(write, read_all, number, value):
    found = read_all(write("a.jsonl", f'{{"a": {number}, "b": NaN}}\n{{"a": {number}}}\n'))
    assert [row["a"] for row in found.rows] == [value, value]
    told = ["line 1", "line 2"] if value is None else ["line 1"]
    assert [problem.where for problem in found.problems] == told
    assert "was read as null" in found.problems[0].what
    assert found.problems[0].kind == "odd_number"
    assert found.records == 2


def test_nested_columns_are_kept_as_they_are(write, read_all):
    row = {"meta": {"turns": [{"q": "x", "tags": ["a", None]}]}, "n": 1.5}
    assert read_all(write("a.jsonl", [row])).rows == [row]


@pytest.mark.parametrize("name", ["a.jsonl", "a.json", "a.csv", "a.tsv", "a.txt", "a.md",
                                  "a.parquet", "a.arrow", "a.jsonl.gz", "a.txt.zst"])
def test_an_empty_file_is_called_empty(write, read_all, name):
    for content in (b"", b"\xef\xbb\xbf", b"\r\n \n\t\n"):
        data = PACK[Path(name).suffix](content) if Path(name).suffix in PACK else content
        if name.endswith(("parquet", "arrow")) and content:
            continue
        with pytest.raises(DataError, match="is empty: it holds no record") as caught:
            read_all(write(name, data))
        assert caught.value.hint
    with pytest.raises(DataError, match="is empty"):
        read_all(write(name, b""))


@pytest.mark.parametrize(("head", "word"), [
    (zipped(LINE.encode()), "zip archive"), (gzip.compress(b"x"), "gzip-compressed"),
    (zst(b"x"), "zstd-compressed"), (b"PAR1", "Parquet"), (b"\x80\x04", "pickle"),
    (b"%PDF-1.7", "PDF"), (b"\x89PNG", "picture"), (b"ARROW1\0\0", "Arrow"),
], ids=["zip", "gzip", "zstd", "parquet", "pickle", "pdf", "png", "arrow"])
@pytest.mark.parametrize("name", ["a.jsonl", "a.csv", "a.txt", "a.json", "a.jsonl.gz"])
def test_what_is_no_text_is_refused_by_its_kind(write, read_all, name, head, word):
    data = gzip.compress(head) if name.endswith(".gz") else head
    with pytest.raises(DataError, match=word) as caught:
        read_all(write(name, data))
    assert "give it the ending of what it is" in caught.value.hint


@pytest.mark.parametrize("ending", PACK)
def test_a_packed_file_that_swells_without_end_is_not_read_on(write, read_all, ending):
    """A bomb of 300 MB: many packed parts of a megabyte, each a thousand times smaller."""
    bomb = PACK[ending](b"\0" * 2**20) * 300
    assert len(bomb) < 1_000_000
    with pytest.raises(DataError, match="unpacks to more than 200 times its size") as caught:
        read_all(write(f"a.jsonl{ending}", bomb))
    assert "unpack it yourself" in caught.value.hint


@pytest.mark.parametrize("content", [b"[" + b" " * 2**18, b"\n" * 2**18])
@pytest.mark.parametrize("name", ["a.jsonl.gz", "a.json.gz", "a.csv.gz", "a.txt.gz"])
def test_a_bomb_is_met_in_every_format(write, read_all, name, content, monkeypatch):
    monkeypatch.setattr("studio.data.reading.opened._SWELLS_FROM_BYTES", 2**21)
    with pytest.raises(DataError, match="200 times its size"):
        read_all(write(name, gzip.compress(content) * 12))


@pytest.mark.parametrize("ending", PACK)
def test_a_packed_file_that_was_cut_off_is_a_sentence(write, read_all, ending):
    packed = PACK[ending]("".join(f'{{"n": {n * n}}}\n' for n in range(100_000)).encode())
    for damaged in (packed[:len(packed) // 2], packed[:-3], packed + b"more", b"no packing at all"):
        with pytest.raises(DataError, match="cannot be unpacked to its end") as caught:
            read_all(write(f"a.jsonl{ending}", damaged))
        assert "download or pack it again" in caught.value.hint


@pytest.mark.parametrize("name", ["a.jsonl", "a.json", "a.csv", "a.txt"])
def test_a_file_that_changes_while_it_is_read_is_told(write, settings, name):
    rows = {"a.jsonl": f"{LINE}\n" * 50_000, "a.json": "[" + ",".join([LINE] * 50_000) + "]",
            "a.csv": "prompt,completion\n" + "a,b\n" * 50_000, "a.txt": "some text\n\n" * 20_000}
    path = Path(write(name, rows[name]))

    def read_while(change) -> None:
        path.write_text(rows[name], encoding="utf-8")
        blocks = sources_of(Data(source=str(path)), settings)[0].blocks()
        next(blocks)
        change()
        with pytest.raises(DataError, match="changed while it was read") as caught:
            list(blocks)
        assert "read it again" in caught.value.hint

    def grow() -> None:
        with path.open("a", encoding="utf-8") as file:
            file.write(rows[name])

    def cut() -> None:
        with path.open("r+b") as file:
            file.truncate(1000)

    read_while(grow)
    read_while(cut)


def test_a_file_that_changed_before_it_is_read_is_told(write, settings):
    path = write("a.jsonl", [PAIR])
    [source] = sources_of(Data(source=path), settings)
    write("a.jsonl", [PAIR, PAIR])
    with pytest.raises(DataError, match="changed while it was read"):
        list(source.blocks())
