"""Decides which format a whole source has, says why, and lets the person overrule it.

Rests on every record, not on the first: a source that mixes formats is reported with the rows of
each. Counting is in `groups.py`, reading a row in `convert.py`.
"""

from __future__ import annotations

import difflib

from studio.data import shapes
from studio.data.detection import Detection
from studio.data.expressions import columns_in
from studio.data.groups import UNKNOWN, Group, Groups, groups_of
from studio.data.guess import guess_columns
from studio.data.records import Problem
from studio.errors import DataError
from studio.recipe import Data

__all__ = ["Group", "Groups", "choose_format", "detect", "groups_of"]

_MIXED_BELOW = 0.9
"""Share of the recognised rows that one format must have, or the source counts as mixed."""
_Counts = dict[str, int]


def choose_format(groups: Groups, name: str, data: Data) -> Detection:
    """The format that the recipe names, or the detected one. `data.columns` is checked and used.

    `name` is what the source is called. Raises DataError where the named format or columns do
    not match what is there.
    """
    if data.format == "auto" and not data.columns:
        return detect(groups, name)
    shape = _shape_of_roles(groups, data) if data.format == "auto" else shapes.BY_NAME[data.format]
    columns = _overruled_columns(shape, groups, name, data.columns)
    used = ", ".join(f"{role}: {column}" for role, column in columns.items())
    return Detection(shape.format, f"chosen by the recipe ({used}).", columns, chosen=True)


def detect(groups: Groups, name: str) -> Detection:
    """The format of a source; None with a problem that counts each where formats are mixed."""
    counts = _told_apart(groups)
    known = {format: rows for format, rows in counts.items() if format != UNKNOWN}
    if not known:
        return _nothing_known(groups, name)
    best = max(known, key=lambda format: known[format])
    if known[best] >= _MIXED_BELOW * sum(known.values()) and 2 * known[best] >= groups.rows:
        return _one_format(best, counts, groups)
    listed = _listed_counts(groups, counts)
    return Detection(None, f"the records are mixed: {listed}.", {}, problems=(
        Problem(f"{name} mixes formats: {listed}.", "",
                "Split it into one file per format, or set data.format to read it as one.",
                kind="mixed_formats"),
    ))


def _told_apart(groups: Groups) -> _Counts:
    """Rows by format, where rows that differ in one value only count as one format."""
    counts = dict(groups.counts)
    for lesser, is_part_of in (("kto", _is_ungraded), ("prompt_completion", _is_short_alpaca),
                               ("prompts", _lacks_answer), ("text", _is_unmarked),
                               ("dialogue", _is_quoted)):
        if lesser not in counts:
            continue
        for greater in list(counts):
            if greater not in (lesser, UNKNOWN) and is_part_of(groups, greater):
                counts[greater] += counts.pop(lesser)
                break
    return counts


def _is_ungraded(groups: Groups, greater: str) -> bool:
    """A label that is often neither true nor false is something else, say the number of a class."""
    if greater not in ("messages", "sharegpt", "alpaca", "prompt_completion"):
        return False
    labels = {group.columns["label"] for group in groups.of("kto")}
    return any(groups.columns[label].filled > groups.counts["kto"]
               for label in labels if label in groups.columns)


def _is_short_alpaca(groups: Groups, greater: str) -> bool:
    """Alpaca rows whose input is null."""
    if greater != "alpaca":
        return False
    pairs = {(g.columns["instruction"], g.columns["output"]) for g in groups.of("alpaca")}
    return all((g.columns["prompt"], g.columns["completion"]) in pairs
               for g in groups.of("prompt_completion"))


def _lacks_answer(groups: Groups, greater: str) -> bool:
    """Rows with a prompt alone, among prompts with answers, are rows that lack one."""
    return groups.counts[greater] >= groups.counts["prompts"] and \
        bool({"prompt", "instruction"} & set(shapes.BY_NAME[greater].roles))


def _is_unmarked(groups: Groups, greater: str) -> bool:
    """Texts without marks, in a source of dialogues, are rows that lack them."""
    return greater == "dialogue" and groups.counts["dialogue"] >= groups.counts["text"]


def _is_quoted(groups: Groups, greater: str) -> bool:
    """A few dialogues among many texts are texts."""
    return greater == "text" and groups.counts["text"] > groups.counts["dialogue"]


def _nothing_known(groups: Groups, name: str) -> Detection:
    if shapes.is_tree_of_messages(groups.column_names):
        return Detection(None, "the records are messages of a tree, or whole trees.", {},
                         problems=(Problem(
            f"{name} holds trees of messages, each naming the one it answers, so no record is a "
            "conversation.", "", "Join the messages of each path into a list of turns first, or "
            "choose a prepared version of the set."),))
    return Detection(None, "no record has columns that the studio knows.", {}, problems=(
        Problem(
            f"the format is unknown; the columns are {listed(groups.column_names)}.", "",
            f"Say which column plays which part; {_example(groups)}.",
        ),
    ))


def _example(groups: Groups) -> str:
    columns = guess_columns(groups)
    said = ", ".join(f"{role}: {column}" for role, column in columns.items())
    return f"perhaps data.columns: {{{said}}}" if said else \
        "for example data.columns: {prompt: ..., completion: ...}"


def _one_format(name: str, counts: _Counts, groups: Groups) -> Detection:
    columns = _columns_of(name, groups)
    rows = groups.rows
    used = ", ".join(f"{role} in {column!r}" for role, column in columns.items())
    share = "every record has" if counts[name] == rows else f"{counts[name]} of {rows} records have"
    why = f"{share} {shapes.BY_NAME[name].looks_like}: {used}."
    unused = [column for column in groups.column_names if column not in columns.values()]
    if unused:
        why += f" Not used: {listed(unused)}."
    return Detection(name, why, columns, problems=tuple(
        _left_out(other, name, groups)
        for other in groups.counts if other != name and not _readable_as(other, name, groups)))


def _columns_of(name: str, groups: Groups) -> dict[str, str]:
    """role -> the column that most rows of the format use for it."""
    columns: dict[str, str] = {}
    for group in sorted(groups.of(name), key=lambda group: -group.rows):
        for role, column in group.columns.items():
            if column not in columns.values():
                columns.setdefault(role, column)
    return {role: columns[role] for role in shapes.BY_NAME[name].roles if role in columns}


def _left_out(other: str, name: str, groups: Groups) -> Problem:
    rows = groups.counts[other]
    return Problem(
        f"{rows} of {groups.rows} records do not have the columns of {name} "
        f"({_shown_places(groups, other)}).", groups.places(other)[0],
        "They are left out. Complete them or remove them.", kind="other_format")


def _readable_as(other: str, name: str, groups: Groups) -> bool:
    """Whether rows that look like `other` can be read as `name` all the same."""
    return (other, name) in (("prompt_completion", "alpaca"), ("dialogue", "text")) or (
        other == "kto" and _is_ungraded(groups, name))


def _listed_counts(groups: Groups, counts: _Counts) -> str:
    ordered = sorted(counts.items(), key=lambda item: -item[1])
    return "; ".join(f"{rows} {name} ({_shown_places(groups, name)})" for name, rows in ordered)


def _shown_places(groups: Groups, name: str) -> str:
    places = groups.places(name)
    return ", ".join(places) + (", ..." if groups.counts[name] > len(places) else "")


def _shape_of_roles(groups: Groups, data: Data) -> shapes.Shape:
    """The format whose roles are those in `data.columns`; the usual names fill in the others."""
    given = set(data.columns)
    possible = [shape for shape in shapes.SHAPES if given <= set(shape.roles)]
    complete = [shape for shape in possible if set(shape.needed) <= given]
    for shape in complete:
        if shape.format == "dialogue" and groups.kind_of(data.columns["text"]) != "dialogue":
            continue
        if shape.format != "prompts":
            return shape
    names = shapes.by_usual_name(groups.column_names)
    for shape in possible:
        if shape.format != "kto" and shapes.columns_for(_with_given(shape, data.columns), names):
            return shape
    if complete:
        return complete[0]
    known = sorted({role for shape in shapes.SHAPES for role in shape.roles})
    raise DataError(
        f"data.columns names the parts {listed(list(data.columns))}, which make up no format.",
        f"Parts are {listed(known)}; prompt and completion together are the usual ones.",
    )


def _with_given(shape: shapes.Shape, given: dict[str, str]) -> shapes.Shape:
    """`shape` without the parts that the recipe gives."""
    return shapes.Shape(
        shape.format, "",
        {role: usual for role, usual in shape.needed.items() if role not in given},
        {role: usual for role, usual in shape.optional.items() if role not in given})


def _overruled_columns(
    shape: shapes.Shape, groups: Groups, name: str, given: dict[str, str]
) -> dict[str, str]:
    for role, expression in given.items():
        if role not in shape.roles:
            raise DataError(f"data.columns names {role!r}, but {shape.format} has no such part.",
                            f"Its parts are {listed(list(shape.roles))}.")
        _check_there(role, expression, groups, name)
    free = [column for column in groups.column_names if column not in given.values()]
    found = shapes.columns_for(_with_given(shape, given), shapes.by_usual_name(free))
    if found is None:
        raise DataError(
            f"Format {shape.format} needs {listed(list(shape.needed))}, but {name} has "
            f"the columns {listed(groups.column_names)}.",
            "Say which column plays which part: data.columns: {"
            + ", ".join(f"{role}: ..." for role in shape.needed) + "}.",
        )
    return {role: {**found, **given}[role] for role in shape.roles if role in {**found, **given}}


def _check_there(role: str, expression: str, groups: Groups, name: str) -> None:
    """Raises DataError where `expression` reads a column that the source does not have."""
    there = groups.column_names
    if expression in groups.columns:
        return
    for path in columns_in(expression):
        if path in groups.columns or path.split(".")[0] in groups.columns:
            continue
        near = difflib.get_close_matches(path, [*there, *groups.paths], n=1)
        raise DataError(
            f"data.columns says {role}: {expression}, but {name} has no column {path!r}.",
            f"Did you mean {near[0]!r}?" if near else f"It has {listed(there)}.",
        )


def listed(names: list[str]) -> str:
    """Names in quotes, at most twelve."""
    shown = ", ".join(repr(name) for name in names[:12])
    return shown + (f" and {len(names) - 12} more" if names[12:] else "") if names else "none"
