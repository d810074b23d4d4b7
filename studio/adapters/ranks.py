"""How wide the adapter of each module is: the rank, ranks of single modules, blocks, directions.

Pure. Follows PEFT's rule for patterns (`peft.utils.other.get_pattern_key`, 0.21): a pattern is
the end of a path after a dot, and the first that matches counts.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from dataclasses import dataclass, replace

from studio.errors import ModelError
from studio.models.shape import LinearShape, ModelShape
from studio.recipe import Adapter

_ATTENTION_PART = re.compile(r"(^|_)(attn|attention)($|_)")


@dataclass(frozen=True)
class Target:
    """Linears of one size that get an adapter each.

    `rank` is its width: of LoRA's matrices (twice the rank on a fused pair of projections), of
    AdaLoRA's at the start, of VeRA's; the number of blocks of OFT. `scales_inputs` is IA3's: a
    factor for each input instead of each output.
    """

    linear: LinearShape
    rank: int
    scales_inputs: bool = False


def with_ranks(
    adapter: Adapter, linears: Iterable[LinearShape], shape: ModelShape
) -> list[Target]:
    """The target of each linear; split where patterns give its places different ranks.

    Raises ModelError for a block size that does not divide, and for a pattern without a match.
    """
    if adapter.method == "ia3":
        return [target for linear in linears for target in _by_direction(linear, shape)]
    if adapter.method == "oft":
        return _blocks(adapter, list(linears))
    if adapter.method == "lora" and (adapter.rank_pattern or adapter.alpha_pattern):
        return _by_pattern(adapter, list(linears))
    rank = initial_rank(adapter) if adapter.method == "adalora" else adapter.rank
    return [Target(linear, rank) for linear in linears]


def initial_rank(adapter: Adapter) -> int:
    """AdaLoRA's rank at the start; half as much again as the rank, where the recipe names none."""
    return adapter.initial_rank or math.ceil(1.5 * adapter.rank)


def fused(adapter: Adapter, stacked: LinearShape) -> int:
    """LoRA's rank on a stacked weight; twice as wide where it holds two projections."""
    return adapter.rank * (2 if stacked.name == "gate_up_proj" else 1)


def _blocks(adapter: Adapter, linears: list[LinearShape]) -> list[Target]:
    size = adapter.block_size
    uneven = next((linear for linear in linears if linear.inputs % size), None)
    if uneven is not None:
        common = math.gcd(*(linear.inputs for linear in linears))
        fitting = [width for width in range(2, min(common, 1024) + 1) if common % width == 0]
        near = sorted(sorted(fitting, key=lambda width: abs(width - size))[:6])
        raise ModelError(
            f"adapter.block_size {size} does not divide the {uneven.inputs:,} inputs of "
            f"{uneven.name}.",
            f"These divide the inputs of every target: {', '.join(map(str, near))}." if near else
            "No size divides the inputs of every target: choose other target modules.")
    return [Target(linear, linear.inputs // size) for linear in linears]


def _by_direction(linear: LinearShape, shape: ModelShape) -> list[Target]:
    """IA3 scales the inputs of the last feed-forward layer, the outputs of everything else."""
    last = [path for path in linear.modules if ends_feed_forward(path, linear, shape)]
    rest = [path for path in linear.modules if path not in set(last)]
    return [Target(replace(linear, modules=tuple(paths), count=len(paths)), 0, is_last)
            for paths, is_last in ((rest, False), (last, True)) if paths]


def ends_feed_forward(path: str, linear: LinearShape, shape: ModelShape) -> bool:
    """Whether a linear leads from the wide middle of a feed-forward block back to the stream."""
    return not in_attention(path) and linear.kind in ("linear", "conv1d") \
        and linear.outputs == shape.hidden < linear.inputs


def in_attention(path: str) -> bool:
    """Whether a module lies inside an attention block."""
    return any(_ATTENTION_PART.search(part) for part in path.split(".")[:-1])


def _by_pattern(adapter: Adapter, linears: list[LinearShape]) -> list[Target]:
    ranks = _compiled("adapter.rank_pattern", adapter.rank_pattern)
    alphas = _compiled("adapter.alpha_pattern", adapter.alpha_pattern)
    paths = [path for linear in linears for path in linear.modules]
    for patterns in (ranks, alphas):
        for field, name, pattern in patterns:
            if not any(pattern.match(path) for path in paths):
                raise ModelError(
                    f"{field} names {name}, which is the end of no adapted module's path.",
                    f"Adapted are {', '.join(dict.fromkeys(one.name for one in linears))}.")
    found = []
    for linear in linears:
        by_rank: dict[int, list[str]] = {}
        for path in linear.modules:
            rank = next((adapter.rank_pattern[name] for _, name, pattern in ranks
                         if pattern.match(path)), adapter.rank)
            by_rank.setdefault(rank, []).append(path)
        found += [Target(replace(linear, modules=tuple(those), count=len(those)), rank)
                  for rank, those in by_rank.items()]
    return found


def _compiled(
    field: str, patterns: Iterable[str]
) -> list[tuple[str, str, re.Pattern[str]]]:
    found = []
    for name in patterns:
        try:
            found.append((field, name, re.compile(rf"(.*\.)?({name})$")))
        except re.error as error:
            raise ModelError(f"{field} has {name!r}, which cannot be read: {error}.",
                             "Write a module's name, such as down_proj, or the end of its path."
                             ) from error
    return found
