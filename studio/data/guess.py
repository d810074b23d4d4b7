"""A guess at which column plays which part, where no format fits.

Goes by names, by what columns hold, and last by their order; a person decides.
"""

from __future__ import annotations

import re

from studio.data.groups import Column, Groups

# In the languages in which hobbyists most often name their columns.
_LOOKS_LIKE = {
    "prompt": ("question", "prompt", "instruction", "query", "input", "request", "ask", "source",
               "frage", "aufgabe", "eingabe", "pregunta", "demande", "вопрос", "问题", "質問"),
    "completion": ("answer", "response", "completion", "output", "reply", "solution", "target",
                   "summary", "translation", "antwort", "ausgabe", "respuesta", "réponse",
                   "reponse", "ответ", "回答", "答案"),
    "chosen": ("chosen", "better", "prefer", "winner", "accepted"),
    "rejected": ("reject", "worse", "loser"),
    "system": ("system",),
}
_NO_CONTENT = ("id", "uuid", "url", "link", "date", "time", "lang", "language", "category",
               "license", "author", "split", "index", "nr", "no", "num", "number", "row")
_NUMBER = re.compile(r"[\d.,:/ +-]+")
"""Cells of a table are texts, numbers and dates as well."""


def guess_columns(groups: Groups) -> dict[str, str]:
    """role -> column or place inside one, as `data.columns` takes it; empty without a guess."""
    fields = {**groups.columns, **groups.paths}
    for kind, role in (("turns", "messages"), ("dialogue", "text")):
        found = next((name for name, column in fields.items() if column.kind == kind), None)
        if found is not None:
            return {role: found}
    texts = [name for name, column in fields.items() if _may_be_text(name, column)]
    guess = _by_name(texts, "chosen", "rejected", "prompt", "system")
    if "chosen" in guess and "rejected" in guess:
        return guess
    return _pair(texts)


def _pair(texts: list[str]) -> dict[str, str]:
    """A question and its answer; by order where the names say nothing."""
    pair = _by_name(texts, "prompt", "completion", "system")
    free = [name for name in texts if name not in pair.values()]
    if len(texts) == 1:
        return {"text": texts[0]}
    for role in ("prompt", "completion"):
        if role not in pair and free:
            pair[role] = free.pop(0)
    return pair if "completion" in pair else {}


def _may_be_text(name: str, column: Column) -> bool:
    last = name.rsplit(".", 1)[-1].lower().replace("-", "_").split("_")
    return (column.kind == "text" and not set(last) & set(_NO_CONTENT)
            and not _NUMBER.fullmatch(column.sample))


def _by_name(names: list[str], *roles: str) -> dict[str, str]:
    guess: dict[str, str] = {}
    for role in roles:
        free = [name for name in names if name not in guess.values()]
        found = next((name for word in _LOOKS_LIKE[role] for name in free if word in name.lower()),
                     None)
        if found is not None:
            guess[role] = found
    return guess
