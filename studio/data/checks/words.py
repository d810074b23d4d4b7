"""Words and shingles: what two texts are compared by.

A shingle is a pair of neighbouring words. Letter case, punctuation and spacing do not count.
"""

from __future__ import annotations

import re
import string
from collections.abc import Iterable, Sequence

_BREAKS = string.punctuation + (
    "\u2018\u2019\u201c\u201d\u2013\u2014\u2026\u00ab\u00bb\u00b7\u2022\u00bf\u00a1"
    "\u3001\u3002\u300c\u300d\u300e\u300f\uff01\uff08\uff09\uff0c\uff0e\uff1a\uff1b\uff1f\u30fb")
_TO_SPACES = str.maketrans(_BREAKS, " " * len(_BREAKS))

UNSPACED_SCRIPTS = (
    "\u0e01-\u0e5b\u3005-\u3007\u3041-\u30ff\u3400-\u9fff\uac00-\ud7af\uf900-\ufaff")
"""Scripts that put no space between words (Thai, Chinese, Japanese), and Korean, as the inside of a
regular expression's brackets: one character counts as a word there."""

_UNSPACED = re.compile(f"[{UNSPACED_SCRIPTS}]")


def words_of(text: str) -> list[str]:
    """The words of a text in order, without case and punctuation."""
    text = text.casefold().translate(_TO_SPACES)
    if not text.isascii() and _UNSPACED.search(text):
        text = _UNSPACED.sub(r" \g<0> ", text)
    return text.split()


def shingles_of(words: Sequence[str]) -> list[str]:
    """Every pair of neighbouring words, written as one; a single word stands for itself."""
    if len(words) < 2:
        return list(words)
    return list(map(str.__add__, words, words[1:]))


def similarity(first: Iterable[str], second: Iterable[str]) -> float:
    """Jaccard similarity of two sets of shingles: shared by all, 0 to 1. Two empty sets: 1."""
    one, other = set(first), set(second)
    together = len(one | other)
    return len(one & other) / together if together else 1.0
