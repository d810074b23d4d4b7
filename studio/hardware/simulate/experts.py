"""A mixture's experts: as single linear layers, and with adapters on their stack.

transformers 4 built each expert of linear layers and computed one after the other on the tokens
that chose it; tokens are taken to be spread evenly. transformers 5 holds experts as 3-D parameters,
which PEFT adapts by adding the adapter's product to all of them for the length of a call.
"""

from __future__ import annotations

import functools
import types
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


def split_experts(model: Any) -> None:
    """Replace every stack of experts in `model` by linear layers of the same sizes."""
    for module in list(model.modules()):
        for name, child in list(module.named_children()):
            stacked = getattr(child, "gate_up_proj", None)
            if stacked is not None and getattr(stacked, "ndim", 0) == 3:
                setattr(module, name, _experts_class()(child))


@functools.cache
def _experts_class() -> Any:
    import torch
    from torch import nn

    class Experts(nn.ModuleList):
        """Called as transformers 5 calls its stack: (tokens, hidden), indices, weights."""

        def __init__(self, stack: Any) -> None:
            count, hidden, middle = stack.num_experts, stack.hidden_dim, stack.intermediate_dim
            super().__init__(Expert(hidden, middle, stack.act_fn) for _ in range(count))

        def forward(self, hidden: Any, chosen: Any, weights: Any) -> Any:
            rows = -(-hidden.shape[0] * chosen.shape[-1] // len(self))
            rows = min(rows, hidden.shape[0])
            final = torch.zeros_like(hidden)
            picked = torch.empty(rows, dtype=torch.long, device=hidden.device)
            for expert in self:
                out = expert(hidden[picked]) * weights[picked, 0, None]
                final.index_add_(0, picked, out.to(hidden.dtype))
            return final

    class Expert(nn.Module):
        """A gated feed-forward block with the names of Mixtral in transformers 4."""

        def __init__(self, hidden: int, middle: int, activation: Any) -> None:
            super().__init__()
            with torch.device("meta"):
                self.w1 = nn.Linear(hidden, middle, bias=False)
                self.w3 = nn.Linear(hidden, middle, bias=False)
                self.w2 = nn.Linear(middle, hidden, bias=False)
            self.act_fn = activation

        def forward(self, x: Any) -> Any:
            return self.w2(self.act_fn(self.w1(x)) * self.w3(x))

    return Experts


def fold_adapters(model: Any) -> None:
    """Let PEFT's adapters on expert stacks fold on meta, where torch knows no autocast to turn off.

    Otherwise as `peft.tuners.lora.layer.ParamWrapper._activate_lora` does it.
    """
    from peft.tuners.lora.layer import ParamWrapper

    for module in model.modules():
        if isinstance(module, ParamWrapper) and module.num_experts > 1:
            module._activate_lora = types.MethodType(_folded, module)


@contextmanager
def _folded(wrapper: Any, adapters: list[str]) -> Iterator[None]:
    from torch.nn.utils import parametrize

    stack, name = wrapper.get_base_layer(), wrapper.parameter_name
    trains = wrapper.get_param().requires_grad
    parametrize.register_parametrization(
        stack, name, _fold_class()(*wrapper.get_delta_factors(adapters[0])))
    stack.parametrizations[name].original.requires_grad_(trains)
    try:
        with parametrize.cached():
            yield
    finally:
        wrapper._remove_parametrizations()


@functools.cache
def _fold_class() -> Any:
    import torch

    class Fold(torch.nn.Module):
        """Weights plus the adapter's product, in the weights' format."""

        def __init__(self, left: Any, right: Any, scaling: float) -> None:
            super().__init__()
            self.left, self.right, self.scaling = left, right, scaling

        def forward(self, weights: Any) -> Any:
            return torch.ops.aten.baddbmm.default(
                weights, self.left, self.right, alpha=self.scaling)

    return Fold
