"""One layer of a blend, by PEFT's own `add_weighted_adapter`, without the base.

PEFT mixes adapters layer by layer and reads nothing of the base's weights, so an empty layer of
the right size stands in for it: the numbers are those of the whole model, and memory is that of
one layer. A result has the scale 1 within it.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from studio.adapters.blend.methods import METHODS, USUAL_DENSITY, Mix

if TYPE_CHECKING:
    import torch

_PLACE, _RESULT = "layer", "result"


@dataclass(frozen=True)
class Side:
    """One adapter on the layer: A (rank, inputs), B (outputs, rank), alpha, and its weight."""

    a: torch.Tensor
    b: torch.Tensor
    alpha: float
    weight: float
    use_rslora: bool = False

    @property
    def rank(self) -> int:
        return int(self.a.shape[0])


def mixed_layer(sides: Sequence[Side], mix: Mix, rank: int, generator: torch.Generator, *,
                is_embedding: bool = False) -> tuple[torch.Tensor, torch.Tensor]:
    """A (rank, inputs) and B (outputs, rank) in float32 of the blend; its change is B A.

    `rank` is what `blended_rank` says. What is drawn comes from `generator` alone.
    """
    if mix.method == "svd":
        # By chance or size nothing is left out, so the exact sum shortened is what PEFT's svd
        # is, without taking a matrix of the weight's own size apart.
        return _shortened(*_by_peft(sides, "cat", None, None, generator, is_embedding), rank)
    method = METHODS[mix.method]
    if method.prunes and len(sides) == 1:
        # PEFT prunes nothing of a single one: a second that does nothing changes that.
        sides = [sides[0], _nothing_like(sides[0])]
    return _by_peft(sides, mix.method, mix.kept_share, rank if method.chooses_rank else None,
                    generator, is_embedding)


def blended_rank(ranks: Sequence[int], mix: Mix, inputs: int, outputs: int) -> int:
    """Rank of the blend on a layer where its parents have `ranks`."""
    method = METHODS[mix.method]
    if method.same_rank:
        return ranks[0]
    if not method.chooses_rank:
        return sum(ranks)
    most = min(inputs, outputs) if method.on_whole_change else min(inputs, outputs, sum(ranks))
    return min(mix.rank or max(ranks), most)


def _sizes(side: Side) -> tuple[int, int]:
    return int(side.a.shape[1]), int(side.b.shape[0])


def _nothing_like(side: Side) -> Side:
    import torch

    return Side(torch.zeros_like(side.a), torch.zeros_like(side.b), side.alpha, 0.0,
                side.use_rslora)


def _by_peft(sides: Sequence[Side], combination: str, density: float | None, rank: int | None,
             generator: torch.Generator, is_embedding: bool) -> tuple[torch.Tensor, torch.Tensor]:
    import torch

    with torch.no_grad(), _drawing_from(generator), warnings.catch_warnings():
        # A density of 1 is said to prune nothing, which is what was asked for.
        warnings.filterwarnings("ignore", message="The density .* no pruning")
        tuner = _tuner(sides, is_embedding)
        tuner.add_weighted_adapter(
            [str(number) for number in range(len(sides))], [side.weight for side in sides],
            _RESULT, combination, svd_rank=rank, svd_full_matrices=False,
            density=USUAL_DENSITY if density is None else density)
        a, b = _matrices(tuner.model.get_submodule(_PLACE), _RESULT)
        return a.data.clone(), b.data.clone()


def _tuner(sides: Sequence[Side], is_embedding: bool) -> Any:
    """PEFT's LoRA around one layer without weights, with an adapter for each side."""
    from peft import LoraConfig, LoraModel
    from torch import nn
    from torch.nn.utils import skip_init

    inputs, outputs = _sizes(sides[0])
    model = nn.Module()
    # Memory that nobody writes is never taken from the system.
    model.add_module(_PLACE, skip_init(nn.Embedding, inputs, outputs) if is_embedding
                     else skip_init(nn.Linear, inputs, outputs, bias=False))
    configs = {str(number): LoraConfig(
        r=side.rank, lora_alpha=side.alpha,
        use_rslora=side.use_rslora, target_modules=[_PLACE]) for number, side in enumerate(sides)}
    tuner = LoraModel(model, configs, "0")
    for number, side in enumerate(sides):
        if number:
            tuner.inject_adapter(model, str(number))
        a, b = _matrices(model.get_submodule(_PLACE), str(number))
        a.data, b.data = side.a.float(), side.b.float()
    return tuner


def _matrices(layer: Any, name: str) -> tuple[Any, Any]:
    if name in layer.lora_A:
        return layer.lora_A[name].weight, layer.lora_B[name].weight
    return layer.lora_embedding_A[name], layer.lora_embedding_B[name]


def _shortened(a: torch.Tensor, b: torch.Tensor, rank: int) -> tuple[torch.Tensor, torch.Tensor]:
    """The strongest `rank` directions of B A (Eckart and Young 1936), its strengths in B.

    B A = Qb (Rb Ra') Qa', so only the small middle has to be taken apart.
    """
    import torch

    # Taken apart in 32 bits: there is no such algorithm for 16.
    qb, rb = torch.linalg.qr(b.float())
    qa, ra = torch.linalg.qr(a.T.float())
    left, strengths, right = torch.linalg.svd(rb @ ra.T)
    return (right[:rank] @ qa.T).contiguous(), (qb @ (left[:, :rank] * strengths[:rank]))


def _drawing_from(generator: torch.Generator) -> Any:
    """Inside the block whatever this thread draws comes from `generator`.

    PEFT draws from the generator of the whole process, which a training in another thread needs
    for itself to be repeatable.
    """
    from torch.utils._python_dispatch import TorchDispatchMode

    class Drawing(TorchDispatchMode):
        def __torch_dispatch__(self, func: Any, types: Any, args: Any = (),
                               kwargs: Any = None) -> Any:
            given = dict(kwargs or {})
            if any(argument.name == "generator" for argument in func._schema.arguments):
                given["generator"] = generator
            return func(*args, **given)

    return Drawing()
