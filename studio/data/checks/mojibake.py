"""Characters that did not decode: the sign for a lost one, and text read in a wrong encoding.

Wrong encodings are judged and mended by ftfy. Its judgement takes 130 microseconds a row, so it
sees only the places where two characters stand side by side that a wrong encoding leaves.
"""

from __future__ import annotations

import re

LOST = "\N{REPLACEMENT CHARACTER}"

_HIGH_1252 = ("\x80-\xbf\u20ac\u201a\u0192\u201e\u2026\u2020\u2021\u02c6\u2030\u0160\u2039\u0152"
              "\u017d\u2018\u2019\u201c\u201d\u2022\u2013\u2014\u02dc\u2122\u0161\u203a\u0153"
              "\u017e\u0178")
_HIGH_1251 = ("\x80-\xbf\u0402\u0403\u201a\u0453\u201e\u2026\u2020\u2021\u20ac\u2030\u0409\u2039"
              "\u040a\u040c\u040b\u040f\u0452\u2122\u0459\u045a\u045c\u045b\u045f\u2116")
_SUSPECT = re.compile(
    f"[\xc2-\xf4][{_HIGH_1252}]"  # UTF-8 read as Windows-1252 or Latin-1
    f"|[\u0410-\u044f][{_HIGH_1251}]"  # UTF-8 read as Windows-1251
    "|\u221a[\xb1\u2202\u2020\u2260\xae\u2122\xb4\u2264\u2265\xa5\xb5\xf8]|\u201a\xc4"  # Mac Roman
)
_BEFORE, _AFTER = 8, 16


def has_lost_characters(text: str) -> bool:
    """Whether characters were replaced by U+FFFD when the text was decoded; they are gone."""
    return LOST in text


def is_mojibake(text: str) -> bool:
    """Whether the text looks as if it was read in a wrong encoding, so that ftfy can mend it."""
    if text.isascii():
        return False
    from ftfy.badness import is_bad

    return any(is_bad(text[max(0, found.start() - _BEFORE): found.end() + _AFTER])
               for found in _SUSPECT.finditer(text))


def mended(text: str) -> str:
    """The text in its right encoding. Nothing else about it changes."""
    import ftfy

    return ftfy.fix_encoding(text) if is_mojibake(text) else text
