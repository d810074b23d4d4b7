"""Optimizer state and the optimizer's own step, on the meta device.

torch's and transformers' own optimizers run for real; those of bitsandbytes are kernels that work
in place, so their states are made in the sizes that it makes them.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

from studio.hardware.workload import Workload

SMALLEST_8BIT = 4096
"""Parameters with fewer numbers keep 32-bit states (bitsandbytes `min_8bit_size`)."""
SMALLEST_PAGED = 100_000
"""Parameters with fewer numbers are not paged (bitsandbytes `get_state_buffer`)."""
STATE_BLOCK = 256
"""Numbers per scale of an 8-bit state."""


def optimizer_step(work: Workload, trained: Sequence[Any], embeddings: Sequence[Any]
                   ) -> Callable[[], None]:
    """Makes the states of `trained` now; what it gives back runs one step.

    `embeddings` are the weights that transformers keeps in 32 bits under an 8-bit optimizer.
    """
    import torch

    if work.master_weights:
        # DeepSpeed and others: a float32 copy of each 16-bit weight and its two states, in place.
        return _in_place([torch.empty_like(parameter, dtype=torch.float32)
                          for parameter in trained for _ in range(3)])
    if "8bit" in work.optimizer or "paged" in work.optimizer:
        return _in_place([state for parameter in trained for state in _packed_states(
            work, parameter, any(parameter is weight for weight in embeddings))])
    optimizer = _optimizer(work, trained)
    for parameter in trained:
        parameter.grad = torch.empty_like(parameter)
    optimizer.step()
    optimizer.zero_grad(set_to_none=True)
    return lambda: _step(optimizer)


def _in_place(states: list[Any]) -> Callable[[], None]:
    """A step that makes nothing; it keeps the states alive as long as it is kept itself."""
    return functools.partial(_nothing, states)


def _nothing(states: list[Any]) -> None:
    """What a kernel that works in place allocates."""


def _step(optimizer: Any) -> None:
    optimizer.step()


def _optimizer(work: Workload, trained: Sequence[Any]) -> Any:
    import torch

    if work.optimizer == "adafactor":
        from transformers.optimization import Adafactor

        return Adafactor(trained, lr=1e-4, scale_parameter=False, relative_step=False)
    if work.optimizer == "sgd":
        return torch.optim.SGD(trained, lr=1e-4, foreach=work.foreach_optimizer)
    return torch.optim.AdamW(trained, lr=1e-4, foreach=work.foreach_optimizer)


def _packed_states(work: Workload, parameter: Any, is_embedding: bool) -> list[Any]:
    """Both states of one parameter with their scales; nothing where they are paged out."""
    import torch

    count = parameter.numel()
    if "paged" in work.optimizer and count >= SMALLEST_PAGED:
        return []
    if "8bit" not in work.optimizer or is_embedding or count < SMALLEST_8BIT:
        # bitsandbytes keeps these in float32 whatever the weight's format.
        return [torch.empty_like(parameter, dtype=torch.float32) for _ in range(2)]
    scales = -(-count // STATE_BLOCK)
    return [tensor for _ in range(2) for tensor in (
        torch.empty(count, dtype=torch.uint8, device="meta"),
        torch.empty(scales, dtype=torch.float32, device="meta"))]
