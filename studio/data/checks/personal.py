"""Likely personal data in a text: e-mail addresses, phone numbers, payment cards, and keys.

Rather misses one than cries wolf: a number counts as a phone's or a card's only where its form or
the word before it says so, so that order numbers, dates, versions and IP addresses are left alone.
Phone numbers are judged by phonenumbers, cards by issuer, length and the Luhn check.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

from studio.data.checks.keys import find_keys

Kind = Literal["email", "phone", "card", "key"]
KINDS: tuple[Kind, ...] = ("email", "phone", "card", "key")


@dataclass(frozen=True, slots=True)
class Match:
    """What was found: text[start:end]."""

    kind: Kind
    start: int
    end: int


_EMAIL = re.compile(
    r"(?<![\w.+%-])[A-Za-z0-9](?:[\w.+%-]{0,62}[\w+%-])?@"
    r"(?:[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?\.)+([A-Za-z]{2,24})(?![\w-]|\.\w)")
_NO_DOMAINS = {"png", "jpg", "jpeg", "gif", "svg", "webp", "js", "ts", "css", "py", "md", "json",
               "html", "local"}
"""Endings of files and of machines at home: logo@2x.png is a picture's name."""

_INTERNATIONAL = re.compile(r"(?<![\w+/*=^-])\+[1-9](?:[ ().-]{0,2}\d){6,14}(?![\w+])")
_NORTH_AMERICAN = re.compile(
    r"(?<![\w(.+/-])(?<!\d )(?:1[ .-])?(?:\([2-9]\d\d\) ?\d{3}[ .-]|"
    r"[2-9]\d\d(?P<sep>[-.])[2-9]\d\d(?P=sep))\d{4}(?![\w-]|\.\d)")
_NAMED = re.compile(
    r"(?i)\b(?:phone|mobile|cell|fax|whatsapp|tel|call|text|ring|telefon|handy|mobil|ruf|"
    r"t[eé]l[eé]phone|tel[eé]fono|m[oó]vil|cellulare|telefone)(?: (?:number|no|nr|me|us|him|her|"
    r"is|at|on|unter))*[.:#]?(?: (?:is|at|on|unter))?[ :]{0,2}"
    r"(?P<number>\(?\d(?:[ ()./-]{0,2}\d){6,14})(?![\w-]|\.\d)")
_REGIONS = ("US", "IN", "CN", "ES", "PL")
"""Behind a word such as "phone", a number without a country code counts if it begins with the 0 of
most countries, or is one of these large countries', which dial none."""
_TRUNK_DIGITS = range(8, 13)

_CARD = re.compile(r"(?<![\w.+-])(?<!\d )\d(?:[ -]?\d){12,18}(?![\w-]|[.]\d| \d)")
_CARD_GROUPS = re.compile(r"\d{4}([ -])\d{4}\1\d{4}\1\d{1,7}|\d{4}([ -])\d{6}\2\d{4,5}")
_CARD_WORDS = re.compile(
    r"(?i)\b(?:card|cards|visa|mastercard|amex|american express|kreditkarte|karte|carte|tarjeta|"
    r"carta)\b")
_CARD_WORD_BEFORE = 40
_ISSUERS = (  # leading digits, allowed lengths (ISO/IEC 7812 ranges of the large issuers)
    (re.compile(r"4"), (13, 16, 19)),
    (re.compile(r"5[1-5]|2(?:22[1-9]|2[3-9]|[3-6]|7[01]|720)"), (16,)),
    (re.compile(r"3[47]"), (15,)),
    (re.compile(r"6(?:011|4[4-9]|5)|35(?:2[89]|[3-8])|62"), (16, 19)),
    (re.compile(r"3(?:0[0-5]|[68])"), (14,)),
)
_RUN = re.compile(r"\d[\d ().+/-]{5,}\d")
_FEWEST_DIGITS = 7
_NAME_BEFORE, _SIGN_BEFORE, _BEHIND = 40, 3, 3
"""Characters around a run of digits in which the word, the "+1 (" and what ends it may stand."""


def find_personal(text: str) -> list[Match]:
    """All matches in order; of two that overlap, the later kind of `KINDS` wins."""
    found = [Match("key", start, end) for start, end in find_keys(text)]
    if "@" in text:
        found += _emails(text)
    for run in _RUN.finditer(text):
        if sum(map(str.isdigit, run[0])) >= _FEWEST_DIGITS:
            found += _cards(text, *run.span())
            found += _phones(text, *run.span())
    return _without_overlaps(found) if len(found) > 1 else found


def masked(text: str) -> str:
    """The text with every match masked: j***@e***.com, and digits and keys by their ends."""
    pieces, at = [], 0
    for match in find_personal(text):
        pieces += [text[at:match.start], mask_of(match.kind, text[match.start:match.end])]
        at = match.end
    return "".join([*pieces, text[at:]])


def mask_of(kind: Kind, found: str) -> str:
    """What is shown and written in place of `found`; it tells the kind and not the person."""
    if kind == "email":
        name, _, domain = found.partition("@")
        return f"{name[0]}***@{domain[0]}***.{domain.rpartition('.')[2]}"
    if kind == "key":
        return f"{found[:4]}***"
    digits = sum(char.isdigit() for char in found)
    return "".join(_starred(found, kept_from=digits - 2))


def _starred(found: str, kept_from: int) -> Iterator[str]:
    number = 0
    for char in found:
        if not char.isdigit():
            yield char
            continue
        yield char if number >= kept_from else "*"
        number += 1


def _without_overlaps(found: list[Match]) -> list[Match]:
    kept: list[Match] = []
    for match in sorted(found, key=lambda match: match.start):
        if not kept or match.start >= kept[-1].end:
            kept.append(match)
        elif KINDS.index(match.kind) > KINDS.index(kept[-1].kind):
            kept[-1] = match
    return kept


def _emails(text: str) -> Iterator[Match]:
    for found in _EMAIL.finditer(text):
        is_address = found[1].lower() not in _NO_DOMAINS and not found[0].startswith("git@")
        if is_address:
            yield Match("email", found.start(), found.end())


def _phones(text: str, start: int, end: int) -> Iterator[Match]:
    """Those in one run of digits, text[start:end]."""
    sign, stop = max(0, start - _SIGN_BEFORE), end + _BEHIND
    for found in _INTERNATIONAL.finditer(text, sign, stop):
        if _is_phone(found[0], None):
            yield Match("phone", found.start(), found.end())
    for found in _NORTH_AMERICAN.finditer(text, sign, stop):
        if "(" in found[0] or "555" in found[0] or _is_phone(found[0], "US"):
            yield Match("phone", found.start(), found.end())
    for found in _NAMED.finditer(text, max(0, start - _NAME_BEFORE), stop):
        if _is_national(found["number"]):
            yield Match("phone", found.start("number"), found.end("number"))


def _is_national(number: str) -> bool:
    digits = sum(map(str.isdigit, number))
    if number.lstrip("(").startswith("0") and digits in _TRUNK_DIGITS:
        return True
    return any(_is_phone(number, region) for region in _REGIONS)


@lru_cache(maxsize=4096)
def _is_phone(number: str, region: str | None) -> bool:
    """Whether a country has given out such numbers; with its code, also made-up 555 ones."""
    import phonenumbers

    try:
        parsed = phonenumbers.parse(number, region)
    except phonenumbers.NumberParseException:
        return False
    made_up = region is None and "555" in number and phonenumbers.is_possible_number(parsed)
    return made_up or phonenumbers.is_valid_number(parsed)


def _cards(text: str, start: int, end: int) -> Iterator[Match]:
    for found in _CARD.finditer(text, start, end + _BEHIND):
        digits = re.sub(r"\D", "", found[0])
        before = text[max(0, found.start() - _CARD_WORD_BEFORE): found.start()]
        looks_so = _CARD_GROUPS.fullmatch(found[0]) or (
            digits == found[0] and _CARD_WORDS.search(before))
        if looks_so and _is_issued(digits) and _passes_luhn(digits):
            yield Match("card", found.start(), found.end())


def _is_issued(digits: str) -> bool:
    return any(len(digits) in lengths and prefix.match(digits) for prefix, lengths in _ISSUERS)


def _passes_luhn(digits: str) -> bool:
    """The check digit of ISO/IEC 7812-1, annex B."""
    doubled = [sum(divmod(2 * int(digit), 10)) for digit in digits[-2::-2]]
    return (sum(doubled) + sum(map(int, digits[-1::-2]))) % 10 == 0
