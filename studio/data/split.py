"""Which rows are trained on and which are held out, by fraction, group, column, or file.

Row numbers only; the same recipe and data give the same parts. How often a row of a mixed source
is taken is decided here as well.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy
import xxhash

from studio.data.expressions import columns_in, getter
from studio.errors import DataError

if TYPE_CHECKING:
    from studio.data.lab.whole import Whole


@dataclass(frozen=True)
class Split:
    """Row numbers from 0, uint32, in order. In `train` a row stands as often as an epoch sees it;
    `how` says in words what decided."""

    train: numpy.ndarray
    held_out: numpy.ndarray
    how: str


def split_of(whole: Whole) -> Split:
    """The two parts of the rows that can be taught. At least one is left to train on.

    Raises DataError where a column that decides is not there.
    """
    data = whole.data
    rows = numpy.flatnonzero(whole.teachable & ~whole.held_out)
    random = numpy.random.default_rng(data.seed)
    match data.held_out:
        case "file":
            aside, how = rows[:0], f"all of {data.eval_source}"
        case "column":
            aside, how = _by_column(whole, rows)
        case "grouped":
            aside, how = _grouped(whole, rows, random)
        case _:
            aside, how = _fraction(rows, data.eval_fraction, random)
    train = numpy.setdiff1d(rows, aside, assume_unique=True)
    elsewhere = numpy.flatnonzero(whole.teachable & whole.held_out)
    held_out = numpy.sort(numpy.concatenate([aside, elsewhere]))
    weighted = _weighted(whole, train, random)
    return Split(weighted.astype(numpy.uint32), held_out.astype(numpy.uint32), how)


def _fraction(
    rows: numpy.ndarray, fraction: float, random: numpy.random.Generator
) -> tuple[numpy.ndarray, str]:
    if not fraction:
        return rows[:0], "nothing is held out"
    count = _wanted(len(rows), fraction)
    return numpy.sort(random.permutation(rows)[:count]), f"{fraction:.0%} at random"


def _wanted(rows: int, fraction: float) -> int:
    """At least one is held out where there are two, and one is always left."""
    return 0 if rows < 2 else max(1, min(rows - 1, round(rows * fraction)))


def _grouped(
    whole: Whole, rows: numpy.ndarray, random: numpy.random.Generator
) -> tuple[numpy.ndarray, str]:
    """Whole groups in random order until the fraction is reached."""
    fraction = whole.data.eval_fraction
    groups = group_numbers(whole)[rows]
    names, members = numpy.unique(groups, return_counts=True)
    wanted = _wanted(len(rows), fraction) if fraction else 0
    taken = _groups_up_to(wanted, members, random.permutation(len(names)))
    aside = rows[numpy.isin(groups, names[taken])]
    return aside, f"about {fraction:.0%} in whole groups ({len(names):,} groups)"


def _groups_up_to(wanted: int, members: numpy.ndarray, order: numpy.ndarray) -> list[int]:
    """Groups in this order that together have `wanted` rows at most; one that is too large is
    passed over, since it would take what is trained on."""
    taken: list[int] = []
    left = wanted
    for group in order:
        if left <= 0:
            break
        if members[group] <= left:
            taken.append(int(group))
            left -= int(members[group])
    if wanted and not taken and len(members) > 1:
        taken = [int(numpy.argmin(members))]
    return taken


def group_numbers(whole: Whole) -> numpy.ndarray:
    """A number per row; rows share it that have the same prompt, are duplicates or near ones of
    each other, or have the same value in the group column."""
    links = [whole.groups, _prompts(whole)]
    if whole.data.group_column:
        links.append(_hashed_column(whole, whole.data.group_column))
    count = len(whole.store)
    group = numpy.arange(count)
    while True:
        before = group
        for link in links:
            _, keys = numpy.unique(link, return_inverse=True)
            lowest = numpy.full(count, count)
            numpy.minimum.at(lowest, keys, group)
            group = lowest[keys]
        if numpy.array_equal(before, group):
            return group


def _prompts(whole: Whole) -> numpy.ndarray:
    """A number per prompt; plain text has none, so each row of it stands alone."""
    prompts = whole.checks["prompt"].combine_chunks()
    known = prompts.is_valid().to_numpy(zero_copy_only=False)
    numbers = prompts.fill_null(0).to_numpy().copy()
    numbers[~known] = numpy.arange(len(numbers), dtype=numpy.uint64)[~known]
    return numbers


def _by_column(whole: Whole, rows: numpy.ndarray) -> tuple[numpy.ndarray, str]:
    column, wanted = str(whole.data.eval_column), whole.data.eval_value
    hashes = _hashed_column(whole, column)
    aside = rows[hashes[rows] == _hashed(wanted)]
    if len(aside) == len(rows) and len(rows):
        raise DataError(f"Every record has {wanted!r} in {column!r}, so nothing is left to train "
                        "on.", "Choose another data.eval_column or data.eval_value.")
    return aside, f"where {column} is {wanted}"


def _hashed_column(whole: Whole, column: str) -> numpy.ndarray:
    """A number for the value that each row has in `column`, which may be a path into it."""
    known = {name for source in whole.sources for name in source.groups.columns}
    if not any(name in known or name.partition(".")[0] in known for name in columns_in(column)):
        raise DataError(f"There is no column {column!r} to split by.",
                        f"The columns are {', '.join(sorted(known))}.")
    read = getter(column)
    found = numpy.zeros(len(whole.store), dtype=numpy.uint64)
    for number, row in enumerate(whole.store.each()):
        found[number] = _hashed(read(row))
    return found


def _hashed(value: object) -> int:
    return int(xxhash.xxh3_64_intdigest(str(value).encode("utf-8", "surrogatepass")))


def _weighted(
    whole: Whole, train: numpy.ndarray, random: numpy.random.Generator
) -> numpy.ndarray:
    """Rows of a source with weight 2.5 stand twice, and a random half of them once more."""
    weights = source_weights(whole)
    if all(weight == 1 for weight in weights):
        return train
    parts = []
    for number, weight in enumerate(weights):
        rows = train[whole.store.source_of[train] == number]
        whole_times, rest = int(weight), weight - int(weight)
        once_more = numpy.sort(random.permutation(rows)[: round(len(rows) * rest)])
        parts += [rows] * whole_times + [once_more]
    return numpy.concatenate(parts)


def source_weights(whole: Whole) -> list[float]:
    """How often an epoch takes each source; the first one counts once unless the mix names it."""
    data = whole.data
    mixed = [weight for spec, weight in data.mix.items() if spec != data.source]
    weights = [data.mix.get(data.source, 1.0), *mixed]
    return weights + [1.0] * (len(whole.sources) - len(weights))
