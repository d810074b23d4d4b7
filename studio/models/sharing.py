"""A second model over the same weights: modules of its own, memory only once.

Whatever is done to the copy's modules (adapters, hooks, another attention, another forward
pass) leaves the first model as it was; only writing into the weights themselves would show.
"""

from __future__ import annotations

import copy
from typing import Any, TypeVar

Model = TypeVar("Model")


def copy_sharing_weights(model: Model) -> Model:
    """A deep copy of `model` in which every parameter shares its memory with the first one's.

    Buffers are small and may be written to, so each copy has its own. Tied weights stay tied. For
    weights as torch keeps them; quantised ones keep more beside them and are not for this.
    """
    from torch.nn import Parameter

    shared: dict[int, Any] = {}
    for weight in model.parameters():  # type: ignore[attr-defined]
        shared[id(weight)] = Parameter(weight.detach(), requires_grad=weight.requires_grad)
    return copy.deepcopy(model, shared)
