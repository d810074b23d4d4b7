"""Plain text: a record is a paragraph."""

from __future__ import annotations

from studio.data.reading.blocks import LONGEST_RECORD_BYTES


def test_paragraphs_of_a_text_file_are_records(write, read_all):
    found = read_all(write("a.txt", "one\ntwo\n\n \t\n\nthree\r\nfour\n"))
    assert found.rows == [{"text": "one\ntwo"}, {"text": "three\nfour"}]
    assert found.places == ["line 1", "line 6"]


def test_a_paragraph_without_end_is_left_out_and_the_next_is_read(write, read_all):
    text = "one\n\n" + "x" * LONGEST_RECORD_BYTES + "y\nz\n\nlast"
    found = read_all(write("a.md", text))
    assert found.rows == [{"text": "one"}, {"text": "last"}]
    assert found.places == ["line 1", "line 6"]
    assert "more than 64 MB" in found.left_out[0].what


def test_a_long_line_is_one_line(write, read_all):
    found = read_all(write("a.txt", "x" * 3_000_000 + "\n\nlast"))
    assert found.places == ["line 1", "line 3"]
