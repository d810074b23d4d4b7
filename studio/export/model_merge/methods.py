"""The ways to merge whole models: what each does, what it needs, and when to take it.

Words and facts only; mergekit does the arithmetic, and its names are kept. Linear is
arXiv:2203.05482, TIES arXiv:2306.01708, DARE arXiv:2311.03099.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, get_args

from studio.adapters.blend.methods import way_named
from studio.errors import ModelError

USUAL_DENSITY = 0.5
"""The share of each model's changes that pruning keeps unless somebody says otherwise."""
Tokens = Literal["base", "union"]
DTYPES = ("float32", "bfloat16", "float16")


@dataclass(frozen=True)
class Method:
    """One value of `Mix.method`.

    `needs_base`: works on what each model changed of a base of its own. `weighs`: takes a weight
    for each model. `prunes`: takes a density for each. `draws`: by chance, so that the seed
    matters. `turns`: takes exactly two models and how far to go from the first to the second.
    """

    name: str
    label: str
    summary: str
    good_for: str
    needs_base: bool = False
    weighs: bool = True
    prunes: bool = False
    draws: bool = False
    turns: bool = False


_ALL = (
    Method("linear", "Linear (average)",
           "The weighted average of the models, number by number: only the ratio of the weights "
           "counts.",
           "Runs of one base that learned similar things; nearly always the first to try."),
    Method("slerp", "SLERP",
           "Turns each weight of the first model towards the second, along an arc instead of a "
           "straight line, so that its length is kept.",
           "Exactly two models that both answer well by themselves.", weighs=False, turns=True),
    Method("ties", "TIES",
           "Takes what each model changed of the base, keeps the largest of it, lets the majority "
           "decide each sign, and averages what agrees.",
           "Models of one base that learned different things and get in one another's way.",
           needs_base=True, prunes=True),
    Method("dare_ties", "DARE with TIES",
           "Takes what each model changed of the base, drops a part by chance and enlarges the "
           "rest to make up for it, then lets the majority decide each sign.",
           "Many models of one base that pull in different directions.",
           needs_base=True, prunes=True, draws=True),
    Method("dare_linear", "DARE",
           "Takes what each model changed of the base, drops a part by chance and enlarges the "
           "rest to make up for it, then adds, each times its weight.",
           "Several abilities in one model: each leaves the others room.",
           needs_base=True, prunes=True, draws=True),
)
METHODS = {method.name: method for method in _ALL}
"""By `Mix.method`, in the order in which they are offered."""


@dataclass(frozen=True)
class Mix:
    """How to merge. `base` is the source of the model whose changes are merged, for a method that
    needs one; `t` is how far SLERP goes from the first model (0) to the second (1); `dtype` of
    what is written, None for that of the base or first model; `tokens`: whose tokens the result
    knows where the models differ in them; `seed` of what is dropped by chance."""

    method: str = "linear"
    base: str = ""
    t: float = 0.5
    dtype: str | None = None
    tokens: Tokens = "base"
    seed: int = 0


def require_possible(mix: Mix) -> Method:
    """The row of `mix.method`. Raises ModelError for a value that it cannot take."""
    method = way_named(mix.method, METHODS, "merging models")
    if method.needs_base and not mix.base.strip():
        raise ModelError(
            f"{method.label} works on what each model changed of a base, and no base is chosen.",
            "Choose the model that all of them were trained from; linear and SLERP need none.")
    if not method.needs_base and mix.base.strip():
        raise ModelError(f"{method.label} merges the models themselves, so a base means nothing "
                         "to it.", "Leave the base away, or take TIES or DARE.")
    if method.turns and not (math.isfinite(mix.t) and 0 <= mix.t <= 1):
        raise ModelError(f"t is {mix.t:g}, but it says how far to go from the first model to the "
                         "second.", "Give a number from 0 (the first) to 1 (the second).")
    if mix.dtype is not None and mix.dtype not in DTYPES:
        raise ModelError(f"There is no number format {mix.dtype!r} to write.",
                         f"Take {', '.join(DTYPES)}, or leave it away.")
    if mix.tokens not in get_args(Tokens):
        raise ModelError(f"{mix.tokens!r} says nothing about whose tokens to keep.",
                         "Take base (those of the base or first model) or union (all of them).")
    return method


def require_density(density: float, method: Method) -> None:
    """Raise ModelError unless `density` is a share that `method` can keep."""
    if not method.prunes:
        pruning = ", ".join(name for name, one in METHODS.items() if one.prunes)
        raise ModelError(f"{method.label} leaves nothing out, so a density means nothing to it.",
                         f"Leave the density away, or take one of {pruning}.")
    if not 0 < density <= 1:
        raise ModelError(f"The density is {density:g}, but it is the share of changes to keep.",
                         "Give a number above 0 and up to 1; 0.5 is usual.")
