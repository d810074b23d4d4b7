"""Decides which format a whole source has, says why, and lets the person overrule it.

Looks at every record, not at the first: a file that mixes formats is reported with the rows of
each. Reading is in `sources.py`, converting a row in `conversations.py`.
"""

from __future__ import annotations

import difflib
from dataclasses import dataclass

from studio.data import shapes
from studio.data.conversations import Conversation, to_messages
from studio.data.detection import Detection
from studio.data.records import Problem, Records
from studio.errors import DataError
from studio.recipe import Data

__all__ = ["Conversation", "Detection", "choose_format", "detect", "to_messages"]

UNKNOWN = "unknown"
_EXAMPLES_OF_PLACES = 3


@dataclass
class _Group:
    """The rows of one format: how many, the first few, and the columns they use."""

    rows: int
    places: list[str]
    columns: dict[str, str]


def choose_format(records: Records, data: Data) -> Detection:
    """The format that the recipe names, or the detected one. `data.columns` is checked and used.

    Raises DataError where the named format or columns do not match what is there.
    """
    if data.format == "auto" and not data.columns:
        return detect(records)
    shape = _shape_of_roles(data) if data.format == "auto" else shapes.BY_NAME[data.format]
    columns = _overruled_columns(shape, records, data.columns)
    used = ", ".join(f"{role}: {column}" for role, column in columns.items())
    return Detection(shape.format, f"chosen by the recipe ({used}).", columns, chosen=True)


def detect(records: Records) -> Detection:
    """The format of the records; None with a problem that counts each where they are mixed."""
    groups = _grouped(records)
    known = [name for name in groups if name != UNKNOWN]
    if len(known) > 1:
        known = _without_missing_answers(known, groups)
    if len(known) == 1 and 2 * groups[known[0]].rows >= len(records.rows):
        return _one_format(known[0], groups, records)
    if not known:
        return Detection(None, "no record has columns that the studio knows.", {}, problems=(
            Problem(
                f"the format is unknown; the columns are {_listed(records.columns)}.", "",
                "Set data.format and data.columns, for example format: prompt_completion with "
                "columns: {prompt: ..., completion: ...}.",
            ),
        ))
    counts = "; ".join(f"{group.rows} {name} ({_places(group)})" for name, group in groups.items())
    return Detection(None, f"the records are mixed: {counts}.", {}, problems=(
        Problem(f"the file mixes formats: {counts}.", "",
                "Split it into one file per format, or set data.format to read it as one."),
    ))


def _grouped(records: Records) -> dict[str, _Group]:
    groups: dict[str, _Group] = {}
    for row, place in zip(records.rows, records.places, strict=True):
        name, columns = shapes.match(row) or (UNKNOWN, {})
        group = groups.setdefault(name, _Group(0, [], {}))
        group.rows += 1
        for role, column in columns.items():
            group.columns.setdefault(role, column)
        if len(group.places) < _EXAMPLES_OF_PLACES:
            group.places.append(place)
    return dict(sorted(groups.items(), key=lambda item: -item[1].rows))


def _without_missing_answers(known: list[str], groups: dict[str, _Group]) -> list[str]:
    """Rows with a prompt alone, in a file of prompts with answers, are rows that lack one."""
    rest = [name for name in known if name != "prompts"]
    if len(rest) == 1 and "prompt" in shapes.BY_NAME[rest[0]].roles:
        return rest
    return known


def _one_format(name: str, groups: dict[str, _Group], records: Records) -> Detection:
    group, rows = groups[name], len(records.rows)
    used = ", ".join(f"{role} in {column!r}" for role, column in group.columns.items())
    share = "every record has" if group.rows == rows else f"{group.rows} of {rows} records have"
    others = [(other, it) for other, it in groups.items() if other != name]
    problems = tuple(
        Problem(f"{it.rows} of {rows} records do not have the columns of {name} ({_places(it)}).",
                it.places[0], "They are left out. Complete them or remove them.")
        for _, it in others
    )
    why = f"{share} {shapes.BY_NAME[name].looks_like}: {used}."
    unused = [column for column in records.columns if column not in group.columns.values()]
    if unused:
        why += f" Not used: {_listed(unused)}."
    return Detection(name, why, dict(group.columns), problems=problems)


def _places(group: _Group) -> str:
    more = ", ..." if group.rows > len(group.places) else ""
    return ", ".join(group.places) + more


def _shape_of_roles(data: Data) -> shapes.Shape:
    """The format whose roles are those in `data.columns`."""
    for shape in shapes.SHAPES:
        if set(shape.needed) <= set(data.columns) <= set(shape.roles):
            return shape
    known = sorted({role for shape in shapes.SHAPES for role in shape.roles})
    raise DataError(
        f"data.columns names the parts {_listed(list(data.columns))}, which make up no format.",
        f"Parts are {_listed(known)}; prompt and completion together are the usual ones.",
    )


def _overruled_columns(
    shape: shapes.Shape, records: Records, given: dict[str, str]
) -> dict[str, str]:
    there = records.columns
    for role, column in given.items():
        if role not in shape.roles:
            raise DataError(f"data.columns names {role!r}, but {shape.format} has no such part.",
                            f"Its parts are {_listed(list(shape.roles))}.")
        if column not in there:
            near = difflib.get_close_matches(column, there, n=1)
            raise DataError(
                f"data.columns says {role}: {column}, but {records.name} has no column {column!r}.",
                f"Did you mean {near[0]!r}? " if near else f"It has {_listed(there)}.",
            )
    names = {name.strip().lower(): name for name in there}
    wanted = {role: (given[role].strip().lower(),) if role in given else usual
              for role, usual in shape.needed.items()}
    optional = {role: (given[role].strip().lower(),) if role in given else usual
                for role, usual in shape.optional.items()}
    found = shapes.columns_for(shapes.Shape(shape.format, "", wanted, optional), names)
    if found is None:
        raise DataError(
            f"Format {shape.format} needs {_listed(list(shape.needed))}, but {records.name} has "
            f"the columns {_listed(there)}.",
            "Say which column plays which part: data.columns: {"
            + ", ".join(f"{role}: ..." for role in shape.needed) + "}.",
        )
    return found


def _listed(names: list[str]) -> str:
    shown = ", ".join(repr(name) for name in names[:12])
    return shown + (f" and {len(names) - 12} more" if names[12:] else "") if names else "none"
