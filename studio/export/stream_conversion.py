"""Weights that Transformers puts together from several tensors, or turns, when it loads a model:
the same from single tensors of its files, and back into them as `save_pretrained` writes them.

The experts of a mixture are such: most files hold them one by one, and the model computes with all
of a layer as one. The rules and their arithmetic are Transformers' own.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from copy import deepcopy
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch

_NO_WAY_BACK = (AttributeError, ValueError, KeyError, IndexError, RuntimeError, StopIteration)
"""What Transformers' rules raise for tensors that they cannot take apart or put together; a rule
without a way back raises a kind of RuntimeError."""


@dataclass(frozen=True)
class Conversion:
    """One application of a rule: `pieces` are names in the files with the pattern that each met,
    in the order in which they are put together, `parameters` what is made of them, first first."""

    rule: Any
    pieces: tuple[tuple[str, str], ...]
    parameters: tuple[str, ...]

    def joined(self, model: Any, read: Callable[[str], torch.Tensor]) -> dict[str, torch.Tensor]:
        """The parameters, of the tensors that `read` gives for the names in the files; each is let
        go as soon as it is copied."""
        rule, first = deepcopy(self.rule), self.parameters[0]
        for name, pattern in self.pieces:
            rule.add_tensor(first, name, pattern, partial(read, name))
        made: dict[str, Any] = rule.convert(first, model=model, config=model.config)
        return {name: one[0] if isinstance(one, list) else one for name, one in made.items()}

    def parted(self, model: Any, parameters: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        """The tensors for a file, of the parameters; the inverse of `joined`."""
        from transformers.core_model_loading import revert_weight_conversion

        parted: dict[str, torch.Tensor] = revert_weight_conversion(model, dict(parameters))
        return parted

    def is_complete(self, model: Any, shapes: Mapping[str, tuple[int, ...]],
                    wanted: Mapping[str, tuple[int, ...]]) -> bool:
        """Whether tensors of these `shapes` make parameters of the shapes that are `wanted`."""
        try:
            made = self.joined(model, _without_memory(shapes))
        except _NO_WAY_BACK:
            return False
        return all(name in made and tuple(made[name].shape) == wanted[name]
                   for name in self.parameters)

    def is_undone(self, model: Any, shapes: Mapping[str, tuple[int, ...]]) -> bool:
        """Whether saving gives tensors of the same names and shapes as the files have."""
        try:
            after = self.parted(model, self.joined(model, _without_memory(shapes)))
        except _NO_WAY_BACK:
            return False
        return {name: tuple(tensor.shape) for name, tensor in after.items()} == {
            name: shapes[name] for name, _ in self.pieces}


def _without_memory(shapes: Mapping[str, tuple[int, ...]]) -> Callable[[str], torch.Tensor]:
    import torch

    return lambda name: torch.empty(shapes[name], device="meta")
