"""The ways to mix adapters: what each does, what it needs, and when to take it.

Words and facts only; the arithmetic is in `layer.py`. TIES is arXiv:2306.01708, DARE
arXiv:2311.03099; PEFT's names are kept.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeVar

from studio.errors import ModelError

Way = TypeVar("Way")
USUAL_DENSITY = 0.5
"""The share of numbers that pruning keeps unless somebody says otherwise."""


@dataclass(frozen=True)
class Method:
    """One value of `Mix.method`.

    `same_rank`: works on A and B apart, so where several adapters sit on one layer their ranks
    must be equal. `prunes`: takes a density. `draws`: by chance, so that the seed matters.
    `chooses_rank`: the rank of the blend may be chosen. `on_whole_change`: works on the change of
    each weight in full size and takes it apart again, which needs time on large models.
    """

    name: str
    label: str
    summary: str
    good_for: str
    same_rank: bool = False
    prunes: bool = False
    draws: bool = False
    chooses_rank: bool = False
    on_whole_change: bool = False


_TIES = ("Keeps each adapter's largest numbers, lets the majority decide each sign, and averages "
         "those that agree, so that the blend is weaker than a sum: weights of 1 each are usual.")
_DARE = "Drops numbers by chance and enlarges the rest to make up for it, then adds."
_DARE_TIES = "Drops numbers by chance as DARE, then lets the majority decide each sign as TIES."
_PRUNE = "Keeps each adapter's largest numbers and adds them."
_APART = (" Done on A and B apart, so that the adapters also act on one another: rougher, and "
          "quick.")
_WHOLE = (" Done on the change of each weight itself, which is then taken apart again (SVD): "
          "exact up to the rank, and slow on large models.")
_PARTLY = "Quick trials with adapters of the same rank."

_ALL = (
    Method("svd", "Sum, rank kept",
           "Adds what the adapters do to each weight and keeps the strongest directions of the "
           "sum.",
           "Nearly everything: takes any ranks, and grows no larger than its largest parent.",
           chooses_rank=True),
    Method("cat", "Exact sum",
           "Adds what the adapters do to each weight, exactly; the ranks add up too.",
           "When not the least may be lost and a larger file does not matter."),
    Method("linear", "Linear",
           "Adds the A matrices and the B matrices apart, so that the adapters also act on one "
           "another and the blend does not quite do the sum of what they do.",
           "Changing the strength of one adapter; quick trials with the same rank.",
           same_rank=True),
    Method("ties", "TIES", _TIES + _APART, _PARTLY, same_rank=True, prunes=True),
    Method("ties_svd", "TIES on whole weights", _TIES + _WHOLE,
           "Adapters that pull in different directions.",
           prunes=True, chooses_rank=True, on_whole_change=True),
    Method("dare_linear", "DARE", _DARE + _APART, _PARTLY, same_rank=True, prunes=True, draws=True),
    Method("dare_linear_svd", "DARE on whole weights", _DARE + _WHOLE,
           "Many adapters, each of which shall leave the others room.",
           prunes=True, draws=True, chooses_rank=True, on_whole_change=True),
    Method("dare_ties", "DARE with TIES", _DARE_TIES + _APART, _PARTLY,
           same_rank=True, prunes=True, draws=True),
    Method("dare_ties_svd", "DARE with TIES on whole weights", _DARE_TIES + _WHOLE,
           "Many adapters that pull in different directions.",
           prunes=True, draws=True, chooses_rank=True, on_whole_change=True),
    Method("magnitude_prune", "Magnitude pruning", _PRUNE + _APART, _PARTLY,
           same_rank=True, prunes=True),
    Method("magnitude_prune_svd", "Magnitude pruning on whole weights", _PRUNE + _WHOLE,
           "Adapters of which only the strongest part is wanted.",
           prunes=True, chooses_rank=True, on_whole_change=True),
)
METHODS = {method.name: method for method in _ALL}
"""By `Mix.method`, in the order in which they are offered."""


@dataclass(frozen=True)
class Mix:
    """How to mix. `density`: the share of numbers kept, above 0 and up to 1, None for the usual
    one; `rank`: of the blend, None for that of the parents; `seed`: of what is drawn."""

    method: str = "svd"
    density: float | None = None
    rank: int | None = None
    seed: int = 0

    @property
    def kept_share(self) -> float | None:
        """The density that counts; None for a method that prunes nothing."""
        if not METHODS[self.method].prunes:
            return None
        return USUAL_DENSITY if self.density is None else self.density


def way_named(name: str, ways: Mapping[str, Way], doing: str) -> Way:
    """The one of that name. Raises ModelError, which names the nearest; `doing` what they are ways
    of."""
    if name not in ways:
        near = difflib.get_close_matches(name, ways, n=1)
        raise ModelError(f"There is no way of {doing} named {name!r}.",
                         f"Did you mean {near[0]}?" if near else f"Take {', '.join(ways)}.")
    return ways[name]


def require_possible(mix: Mix) -> Method:
    """The row of `mix.method`. Raises ModelError for a value that the method cannot take."""
    method = way_named(mix.method, METHODS, "mixing")
    if mix.density is not None:
        _require_density(mix.density, method)
    if mix.rank is not None:
        _require_rank(mix.rank, method)
    return method


def _require_density(density: float, method: Method) -> None:
    if not method.prunes:
        pruning = ", ".join(name for name, one in METHODS.items() if one.prunes)
        raise ModelError(f"{method.name} leaves nothing out, so a density means nothing to it.",
                         f"Leave the density away, or take one of {pruning}.")
    if not 0 < density <= 1:
        raise ModelError(f"The density is {density}, but it is the share of numbers to keep.",
                         "Give a number above 0 and up to 1; 0.5 is usual.")


def _require_rank(rank: int, method: Method) -> None:
    if not method.chooses_rank:
        choosing = ", ".join(name for name, one in METHODS.items() if one.chooses_rank)
        raise ModelError(f"The rank of a blend by {method.name} follows from those of its parents.",
                         f"Leave the rank away, or take one of {choosing}.")
    if rank < 1:
        raise ModelError(f"The rank is {rank}, but it counts directions.",
                         "Give a whole number of 1 or more.")
