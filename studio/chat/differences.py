"""Where answers differ, word by word. Pure: texts in, spans out; how they look is the page's.

A word carries the blanks behind it, but is compared without them, so that a line break in another
place marks nothing. The spans of a text joined are that text.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby

from studio.data.checks.words import UNSPACED_SCRIPTS

_WORDS = re.compile(
    rf"[{UNSPACED_SCRIPTS}]\s*|(?:(?![{UNSPACED_SCRIPTS}])\w)+\s*|[^\w\s]\s*|\s+")
_COMPARED_FULLY = 1000
"""Words of a text. In longer ones those that stand everywhere are no anchors, or a model that
repeats itself would keep the page waiting: comparing takes the square of their number."""


@dataclass(frozen=True)
class Span:
    """A part of a text; `is_changed` where the other text has something else, or nothing."""

    text: str
    is_changed: bool


def differences(texts: Mapping[str, str]) -> dict[str, list[Span]]:
    """The spans of every column's text; the first column is what the others are held against.

    A word of another column is changed where the first has it not, a word of the first where none
    of the others has it. A single column has no changes.
    """
    words = {name: _WORDS.findall(text) for name, text in texts.items()}
    if len(words) < 2:
        return {name: _spans(found, [True] * len(found)) for name, found in words.items()}
    (first, reference), *others = words.items()
    shared_by_any = [False] * len(reference)
    spans: dict[str, list[Span]] = {first: []}
    for name, found in others:
        in_reference, in_other = _shared(reference, found)
        shared_by_any = [one or other for one, other
                         in zip(shared_by_any, in_reference, strict=True)]
        spans[name] = _spans(found, in_other)
    spans[first] = _spans(reference, shared_by_any)
    return spans


def changed_spans(before: str, now: str) -> list[Span]:
    """The spans of `now`, changed where `before` has something else."""
    return differences({"before": before, "now": now})["now"]


def _shared(one: Sequence[str], other: Sequence[str]) -> tuple[list[bool], list[bool]]:
    """For each word of either text, whether it stands in the other at its place."""
    bare, bare_other = [word.rstrip() for word in one], [word.rstrip() for word in other]
    shorter = min(len(one), len(other))
    same = next((at for at in range(shorter) if bare[at] != bare_other[at]), shorter)
    middle, other_middle = bare[same:], bare_other[same:]
    matcher = difflib.SequenceMatcher(
        None, middle, other_middle, autojunk=max(len(middle), len(other_middle)) > _COMPARED_FULLY)
    in_one = [True] * same + [False] * len(middle)
    in_other = [True] * same + [False] * len(other_middle)
    for start, other_start, size in matcher.get_matching_blocks():
        in_one[same + start:same + start + size] = [True] * size
        in_other[same + other_start:same + other_start + size] = [True] * size
    return in_one, in_other


def _spans(words: Sequence[str], is_shared: Sequence[bool]) -> list[Span]:
    """Neighbours of one kind joined."""
    return [Span("".join(word for word, _ in group), not shared) for shared, group
            in groupby(zip(words, is_shared, strict=True), key=lambda pair: pair[1])]
