"""Findings about what the rows say: characters, personal data, labels, pairs, languages."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import numpy

from studio.data.checks.duplicates import column
from studio.data.checks.language import UNKNOWN, language_of
from studio.data.checks.personal import find_personal, mask_of
from studio.data.checks.rows import PERSONAL, Flag
from studio.data.checks.samples import sample_of
from studio.data.checks.shown import examples_of, rows_in_words
from studio.data.checks.texts import taught_texts
from studio.data.findings import Finding

if TYPE_CHECKING:
    from studio.data.lab.whole import Whole

_KIND_NAMES = {Flag.EMAIL: "e-mail addresses", Flag.PHONE: "phone numbers",
               Flag.CARD: "payment cards", Flag.KEY: "keys or access tokens"}
_BALANCED = 4
"""So many times more of one KTO label than of the other is still no finding."""
_ROWS_ASKED = 600
_MINORITY_SHARE, _MINORITY_LEAST = 0.2, 2
_NAMES_SHOWN = 6


def content_findings(whole: Whole) -> list[Finding]:
    """What was found."""
    flags = column(whole.checks, "flags")
    found = [_lost_characters(whole, flags), _mojibake(whole, flags), _personal(whole, flags),
             _identical_pair(whole, flags), _imbalance(flags), _stray_blanks(whole, flags),
             _minorities(whole)]
    return [finding for finding in found if finding is not None]


def languages(whole: Whole) -> dict[str, float]:
    """ISO 639 code -> share of the rows that can be taught, the largest first, judged on at most
    600 of them. "und" are texts too short to say, formulas, and program code."""
    counts = Counter(whole.languages.values())
    total = counts.total()
    return {code: count / total for code, count in counts.most_common()}


def languages_of_sample(whole: Whole) -> dict[int, str]:
    """Row -> language of a random sample, in the order of the rows; `whole.languages` keeps it."""
    rows = numpy.flatnonzero(~whole.faulty)
    if len(rows) > _ROWS_ASKED:
        rows = numpy.sort(numpy.random.default_rng(0).choice(rows, _ROWS_ASKED, replace=False))
    return {row: language_of(_text(whole, row)) for row in rows.tolist()}


def _text(whole: Whole, row: int) -> str:
    return "\n".join(taught_texts(whole.store.row(row), sample_of(whole, row)))


def _with(flags: numpy.ndarray, wanted: Flag) -> numpy.ndarray:
    return numpy.flatnonzero(flags & wanted).astype(numpy.uint32)


def _lost_characters(whole: Whole, flags: numpy.ndarray) -> Finding | None:
    rows = _with(flags, Flag.LOST_CHARACTERS)
    if not len(rows):
        return None
    return Finding(
        "undecoded", "warning", "Characters that were lost",
        f"{rows_in_words(len(rows), 'hold')} the sign \ufffd: a character there did not decode "
        "and is gone.",
        "Get the text again in its right encoding (UTF-8), or drop these rows.",
        len(rows), rows, examples_of(whole, rows), ("drop",))


def _mojibake(whole: Whole, flags: numpy.ndarray) -> Finding | None:
    rows = _with(flags, Flag.MOJIBAKE)
    if not len(rows):
        return None
    return Finding(
        "mojibake", "warning", "Text in a wrong encoding",
        f"{rows_in_words(len(rows), 'look')} like text that was read in a wrong encoding, such as "
        "\u201cschÃ¶n\u201d for \u201cschön\u201d.",
        "Fix brings back the characters (ftfy) and changes nothing else.",
        len(rows), rows, examples_of(whole, rows), ("fix", "drop"))


def _personal(whole: Whole, flags: numpy.ndarray) -> Finding | None:
    rows = _with(flags, PERSONAL)
    if not len(rows):
        return None
    counts = {name: int((flags & kind > 0).sum()) for kind, name in _KIND_NAMES.items()}
    kinds = ", ".join(f"{name} in {count:,}" for name, count in counts.items() if count)
    return Finding(
        "personal_data", "warning", "Likely personal data",
        f"{rows_in_words(len(rows), 'hold')} what looks like personal data: {kinds}. A model can "
        "repeat it to anybody.",
        "Mask replaces each with stars. Rather too little than too much is found: look yourself "
        "before you publish a model.",
        len(rows), rows, examples_of(whole, rows, lambda row: _masked_matches(whole, row)),
        ("mask", "drop"))


def _masked_matches(whole: Whole, row: int) -> str:
    text = _text(whole, row)
    found = dict.fromkeys(f"{match.kind}: {mask_of(match.kind, text[match.start:match.end])}"
                          for match in find_personal(text))
    return ", ".join(list(found)[:_NAMES_SHOWN])


def _identical_pair(whole: Whole, flags: numpy.ndarray) -> Finding | None:
    rows = _with(flags, Flag.IDENTICAL_PAIR)
    if not len(rows):
        return None
    return Finding(
        "identical_pair", "warning", "Chosen and rejected are the same",
        f"In {rows_in_words(len(rows))} the better and the worse answer are identical, so there is "
        "nothing to prefer.",
        "Correct or drop them.", len(rows), rows, examples_of(whole, rows), ("drop",))


def _imbalance(flags: numpy.ndarray) -> Finding | None:
    judged = int((flags & Flag.JUDGED > 0).sum())
    good = int((flags & Flag.GOOD > 0).sum())
    bad = judged - good
    if not judged or max(good, bad) <= _BALANCED * min(good, bad):
        return None
    return Finding(
        "kto_imbalance", "warning", "Good and bad answers are out of balance",
        f"{good:,} answers are labelled good and {bad:,} bad.",
        "Add some of the rarer kind: at most about four of one for each of the other. With one "
        "kind alone nothing can be learned.", count=judged)


def _stray_blanks(whole: Whole, flags: numpy.ndarray) -> Finding | None:
    rows = _with(flags, Flag.STRAY_BLANKS)
    if not len(rows):
        return None
    return Finding(
        "stray_blanks", "info", "Answers with blanks around them",
        f"In {rows_in_words(len(rows))} an answer begins or ends with blanks or line breaks, which "
        "the model learns to write.",
        "Fix removes them.", len(rows), rows, examples_of(whole, rows), ("fix", "drop"))


def _minorities(whole: Whole) -> Finding | None:
    """Languages that few rows are in: often a mistake of who collected the data."""
    found = {row: code for row, code in whole.languages.items() if code != UNKNOWN}
    counts = Counter(found.values())
    rare = {code: count for code, count in counts.items()
            if _MINORITY_LEAST <= count < _MINORITY_SHARE * counts.total()}
    rows = numpy.array([row for row, code in found.items() if code in rare], dtype=numpy.uint32)
    if not len(rows):
        return None
    named = ", ".join(f"{code} {count / counts.total():.1%}" for code, count in counts.most_common(
        _NAMES_SHOWN))
    return Finding(
        "rare_languages", "info", "A few rows in other languages",
        f"Of {rows_in_words(len(found))} that were looked at, these are the languages: {named}.",
        "Fine where it is meant. Short texts and code are sometimes taken for a language that they "
        "are not in.",
        len(rows), rows, examples_of(whole, rows, lambda row: f"looks like {found[row]}"))
