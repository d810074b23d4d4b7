"""What is said survives every console."""

from __future__ import annotations

import io

import pytest

from studio.bootstrap import console
from studio.bootstrap.verbs import help_text
from studio.errors import SetupError


def _old_console(monkeypatch: pytest.MonkeyPatch) -> io.BytesIO:
    raw = io.BytesIO()
    monkeypatch.setattr("sys.stderr", io.TextIOWrapper(raw, encoding="cp1252", newline="\n"))
    return raw


def test_a_name_outside_the_code_page_does_not_end_the_program(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    raw = _old_console(monkeypatch)
    console.explain(SetupError("Cannot write to C:\\Users\\Žofie 学.", "Move it."))
    assert raw.getvalue().startswith(b"Error: Cannot write to C:\\Users\\\x8eofie ?.\nWhat to do")


def test_in_a_log_file_progress_is_a_line_now_and_then(monkeypatch: pytest.MonkeyPatch) -> None:
    raw = _old_console(monkeypatch)
    line = console.ProgressLine()
    for number in range(1000):
        line.show(f"step {number}")
    line.end()
    assert raw.getvalue() == b"step 0\n"


def test_a_python_without_a_console_is_no_reason_to_fail(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stderr", None)
    console.say("nobody hears")
    console.ProgressLine().show("nobody sees")


def test_help_is_plain_ascii() -> None:
    assert help_text().isascii()
