"""Walks through a JSON text of any size value by value, holding only the part around one value.

Finds where values end and where the text is broken; does not keep what they mean.
"""

from __future__ import annotations

import codecs
import json
import re

from studio.data.reading.blocks import BLOCK_BYTES, LONGEST_RECORD_BYTES
from studio.data.reading.opened import Opened
from studio.errors import DataError

_SPACE = re.compile(r"[ \t\n\r]*")
_LONGEST_LITERAL = 16
# Numbers and control characters matter to whoever parses the value afterwards, not here.
_DECODER = json.JSONDecoder(strict=False, parse_int=len, parse_float=len)


class JsonScan:
    """A place in a JSON file that only moves forward. Raises DataError with line and column."""

    def __init__(self, opened: Opened) -> None:
        self._opened = opened
        self._decoder = codecs.getincrementaldecoder("utf-8")("surrogateescape")
        self._text = ""
        self._at = 0
        self._is_end = False
        self._lines_before = 0
        self._columns_before = 0
        self._more(1)

    @property
    def position(self) -> int:
        return self._opened.position

    def next_character(self) -> str:
        """The next one that is no space, which stays; "" at the end."""
        while True:
            self._at = _SPACE.match(self._text, self._at).end()  # type: ignore[union-attr]
            if self._at < len(self._text) or self._is_end:
                return self._text[self._at:self._at + 1]
            self._more(BLOCK_BYTES)

    def take(self, wanted: str) -> bool:
        """Step over `wanted` if it comes next."""
        if self.next_character() != wanted:
            return False
        self._at += 1
        return True

    def require(self, wanted: str) -> None:
        if not self.take(wanted):
            raise self.broken(f"Expecting {wanted!r}", self._at)

    def value(self) -> bytes:
        """The text of the next value, which is stepped over."""
        self.next_character()
        size = BLOCK_BYTES
        while True:
            end = self._end_of_value()
            if end is not None:
                text = self._text[self._at:end]
                self._at = end
                return text.encode("utf-8", "surrogateescape")
            if len(self._text) - self._at > LONGEST_RECORD_BYTES:
                raise self._fault("holds a record that is longer than "
                                  f"{LONGEST_RECORD_BYTES // 2**20} MB", self._at,
                                  "Break it up into records.")
            self._more(size)
            size *= 2

    def _end_of_value(self) -> int | None:
        """None where the text that was read so far does not hold it whole."""
        try:
            end = _DECODER.raw_decode(self._text, self._at)[1]
        except json.JSONDecodeError as error:
            is_far = error.pos < len(self._text) - _LONGEST_LITERAL
            if self._is_end or (is_far and not error.msg.startswith("Unterminated")):
                raise self.broken(error.msg, error.pos) from error
            return None
        except RecursionError as error:
            raise self._fault("is nested too deeply", self._at,
                              "Remove that record.") from error
        # A number may go on where the text that was read so far ends.
        return end if end < len(self._text) or self._is_end else None

    def broken(self, what: str, at: int | None = None) -> DataError:
        """The error for text that is no JSON at `at`, or where reading stands."""
        at = self._at if at is None else at
        if self._is_end and (at >= len(self._text.rstrip()) or what.startswith("Unterminated")):
            return self._fault("ends in the middle of a record", at,
                               "It was probably cut off; get the file again, or complete it.")
        return self._fault(f"is not valid JSON: {what}", at,
                           "Correct that place; a JSON file holds one list of objects, "
                           "[{...}, {...}].")

    def _fault(self, what: str, at: int, hint: str) -> DataError:
        before = self._text[:at]
        lines = before.count("\n")
        column = at - before.rfind("\n") if lines else self._columns_before + at + 1
        return DataError(f"{self._opened.file.name} {what} at line "
                         f"{self._lines_before + lines + 1}, column {column}.", hint)

    def _more(self, size: int) -> None:
        """Forget what lies behind, and read on by at least `size` characters or to the end."""
        behind = self._text[:self._at]
        lines = behind.count("\n")
        self._lines_before += lines
        self._columns_before = (len(behind) - behind.rfind("\n") - 1 if lines
                                else self._columns_before + len(behind))
        parts = [self._text[self._at:]]
        added = 0
        while added < size and not self._is_end:
            data = self._opened.read(size)
            self._is_end = not data
            parts.append(self._decoder.decode(data, self._is_end))
            added += len(parts[-1])
        self._text = "".join(parts)
        self._at = 0
