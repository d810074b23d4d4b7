"""What a merge of whole models will take and make, worked out before anything is written.

Sizes follow from the models' shapes, so none of them need be on this PC.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from studio.errors import ModelError
from studio.export.model_merge.alike import differ_in_tokens, require_alike, tokens_of
from studio.export.model_merge.methods import (
    USUAL_DENSITY,
    Method,
    Mix,
    require_density,
    require_possible,
)
from studio.export.model_merge.parts import Given, Part, Wish, read_part, usual_name
from studio.files import free_bytes, readable_bytes, safe_name, with_spare
from studio.hardware.workload import DTYPE_BYTES
from studio.main_memory import read_main_memory
from studio.models.tokenizer_files import TEMPLATE_FILE, tokenizer_files

if TYPE_CHECKING:
    from studio.settings import Settings

SHARD_BYTES = 2 * 10**9
"""Of the files that are written; as much is held in memory."""
_WIDE_BYTES = 4
"""Everything is computed in float32, whatever is written."""
_PROGRAM_BYTES = 800_000_000
"""What Python, torch and mergekit take before the first tensor."""
TokensFrom = Literal["copied", "base", "union"]


@dataclass(frozen=True)
class MergePlan:
    """`base` is the model whose configuration and tokenizer the result has: for some methods one of
    its own, else the first of `parts`. `tokens`: "copied" where all models know the same.

    `bytes` of the result, `fetched_bytes` of what is not on this PC yet, `memory_bytes` of the
    process at its peak, about. `notes` are what to know of the result.
    """

    name: str
    output: Path
    method: Method
    mix: Mix
    parts: tuple[Given, ...]
    base: Given
    dtype_name: str
    tokens: TokensFrom
    bytes: int
    fetched_bytes: int
    memory_bytes: int
    free_bytes: int
    notes: tuple[str, ...] = ()

    @property
    def fits(self) -> bool:
        """Whether the disk has room, with something to spare."""
        return with_spare(self.bytes + self.fetched_bytes) <= self.free_bytes

    @property
    def memory_warning(self) -> str:
        """That the memory which is free now will not do; empty if it will."""
        available = read_main_memory().available_bytes
        if self.memory_bytes <= available:
            return ""
        return (f"It takes about {readable_bytes(self.memory_bytes)} of memory, and only "
                f"{readable_bytes(available)} are free: close other programs first.")

    @property
    def is_taken(self) -> bool:
        """Whether something of that name is there already."""
        return self.output.exists()

    @property
    def everyone(self) -> tuple[Given, ...]:
        """All models that are read, each once."""
        return self.parts if self.base in self.parts else (self.base, *self.parts)

    @property
    def words(self) -> str:
        """"0.7 orders + 0.3 style by linear", for people."""
        if self.method.turns:
            first, second = self.parts
            return f"{first.name} towards {second.name} by {self.mix.t:g}, slerp"
        summed = " + ".join(f"{one.weight:g} {one.name}" for one in self.parts)
        over = f" over {self.base.name}" if self.method.needs_base else ""
        return f"{summed.replace('+ -', '- ')}{over} by {self.method.name}"


def plan_merge(wish: Wish, settings: Settings) -> MergePlan:
    """Look at the models and say what merging them would make. Imports transformers.

    Raises ModelError or ExportError for models that cannot be merged so, and for weights or
    densities that mean nothing.
    """
    mix = wish.mix
    method = require_possible(mix)
    _require_numbers(wish.parts, method)
    found = tuple(_usual(read_part(part, settings), method) for part in wish.parts)
    base = read_part(Part(mix.base), settings) if method.needs_base else found[0]
    _require_different(found, base, method)
    for other in (found if method.needs_base else found[1:]):
        require_alike(base, other)
    everyone = found if base in found else (base, *found)
    tokens = _tokens_from(base, found, mix)
    dtype_name = mix.dtype or base.dtype_name
    size = base.shape.parameters * DTYPE_BYTES.get(dtype_name, 2) + _beside_bytes(base)
    memory = _memory_bytes(method, everyone, size)
    name = safe_name(wish.name, "model") if wish.name.strip() else usual_name(settings)
    return MergePlan(
        name, settings.exports / name, method, mix, found, base, dtype_name, tokens, size,
        sum(_fetched_bytes(one) for one in everyone), memory, free_bytes(settings.exports),
        tuple(_notes(method, base, found, tokens)))


def _require_numbers(parts: Sequence[Part], method: Method) -> None:
    if method.turns and len(parts) != 2:
        raise ModelError(f"SLERP turns one model towards another: it takes exactly two, and "
                         f"{len(parts)} are named.", "Name two, or take linear for more.")
    if len(parts) < 2:
        raise ModelError("A merge needs two models or more.", "Name another one.")
    weights = [part.weight for part in parts]
    if not method.weighs and any(weight != 1 for weight in weights):
        raise ModelError(f"{method.label} takes no weights.",
                         "Leave them away: t says how far to go from the first to the second.")
    given = ", ".join(f"{weight:g}" for weight in weights)
    if not all(map(math.isfinite, weights)) or not any(weights):
        raise ModelError(f"The weights are {given}, which leaves nothing to merge.",
                         "Give each model a number, such as 0.7 and 0.3.")
    if method.name == "linear" and abs(math.fsum(weights)) < 1e-6:
        raise ModelError(f"The weights {given} add up to 0, and an average divides by their sum.",
                         "Give weights of another sum; only their ratio counts.")
    for part in parts:
        if part.density is not None:
            require_density(part.density, method)


def _usual(given: Given, method: Method) -> Given:
    """With the density that counts: the usual one where a pruning method was given none."""
    if not method.prunes or given.density is not None:
        return given
    return replace(given, density=USUAL_DENSITY)


def _require_different(parts: Sequence[Given], base: Given, method: Method) -> None:
    sources = [one.reference for one in parts]
    twice = next((one.name for one in parts if sources.count(one.reference) > 1), None)
    if twice is not None:
        raise ModelError(f"{twice} is named twice.", "Name it once, with the sum of its weights.")
    if method.needs_base and base.reference in sources:
        raise ModelError(f"{base.name} is the base, and one of the models as well: it changed "
                         "nothing of itself.", "Leave it out of the models.")


def _tokens_from(base: Given, parts: Sequence[Given], mix: Mix) -> TokensFrom:
    return mix.tokens if any(differ_in_tokens(base, one) for one in parts) else "copied"


def _beside_bytes(base: Given) -> int:
    files = tokenizer_files(base.folder) if base.folder is not None else ()
    return sum(file.stat().st_size for file in files)


def _fetched_bytes(given: Given) -> int:
    if given.folder is not None:
        return 0
    return given.shape.parameters * DTYPE_BYTES.get(given.shape.dtype_name, 2)


def _memory_bytes(method: Method, everyone: Sequence[Given], result_bytes: int) -> int:
    """All copies of the largest tensor that mergekit holds at once, read in its source: the
    models', the result, for pruning every change and what sorts or draws it."""
    largest = max(math.prod(size) for size in everyone[0].shape.tensors.values())
    copies = len(everyone) + 1
    if method.prunes:
        copies += 2 * len(everyone) + (3 if method.draws else 5)
    return _PROGRAM_BYTES + largest * _WIDE_BYTES * copies + min(result_bytes, SHARD_BYTES)


def _notes(method: Method, base: Given, parts: Sequence[Given],
           tokens: TokensFrom) -> Iterator[str]:
    total = math.fsum(one.weight for one in parts)
    if method.name == "dare_linear" and total > 1.0001:
        yield (f"The weights add up to {total:g}: DARE adds the changes, so the result moves "
               "further from the base than any one of the models.")
    yield from _token_notes(base, parts, tokens)
    templates = {_template(one) for one in (base, *parts)} - {None}
    if len(templates) > 1:
        yield f"Their chat templates differ: the result has that of {base.name}."


def _token_notes(base: Given, parts: Sequence[Given], tokens: TokensFrom) -> Iterator[str]:
    if tokens == "copied":
        return
    if tokens == "union":
        yield ("The models know different tokens: the result knows all of them. One that only some "
               "models know comes from those.")
        return
    known = tokens_of(base) or {}
    for one in parts:
        lost = len((tokens_of(one) or {}).keys() - known.keys())
        if lost:
            yield (f"{one.name} knows {lost:,} tokens that {base.name} does not: they are lost. "
                   "Keep all tokens to have them in the result.")


def _template(given: Given) -> str | None:
    file = given.folder / TEMPLATE_FILE if given.folder is not None else None
    if file is None or not file.is_file():
        return None
    return file.read_text(encoding="utf-8").strip()
