"""How the base's matrices lie in memory: turned for batches of several rows, where that is faster.

A token for each column multiplies a few rows by every matrix of the base, which is mostly reading
them. In 32 bits on x86 processors torch leaves that to Intel's MKL, which reads a matrix that lies
by outputs, as torch stores them, for four rows at about 0.7 of the speed of one that lies by
inputs. One row is the same either way, and two or three are slower by inputs, so that matrices are
turned when the first line-up of four is shown, and then stay. In 16 bits the usual way is better.
Measured on a Xeon with AVX-512, matrices of 576 x 192 to 2048 x 8192.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from studio.allocator import give_freed_memory_back

if TYPE_CHECKING:
    from torch import nn

LEAST_ROWS = 4
"""Of a batch that gains."""
_BYTES_BETWEEN = 2 ** 26
"""Turned between two times that freed memory goes back to the system."""


def turnable(base: nn.Module) -> list[Any]:
    """The layers of a bare base whose matrices gain by being turned; none on other machines."""
    import torch

    if not torch.backends.mkl.is_available():
        return []
    return [module for module in base.modules() if _gains(module)]


def turn(layers: list[Any]) -> None:
    """One after another, and what was freed goes back meanwhile: the base is in memory once."""
    freed_bytes = 0
    for layer in layers:
        layer.weight.data = layer.weight.data.t().contiguous().t()
        freed_bytes += layer.weight.nbytes
        if freed_bytes >= _BYTES_BETWEEN:
            give_freed_memory_back()
            freed_bytes = 0
    give_freed_memory_back()


def _gains(module: Any) -> bool:
    import torch

    if type(module) is not torch.nn.Linear:  # quantised ones are classes of their own
        return False
    return module.weight.device.type == "cpu" and module.weight.dtype == torch.float32
