"""What is freed within a step goes back to the system while the step still runs.

glibc before 2.38 cannot take a freed aligned block for another one of the same size
(https://sourceware.org/bugzilla/show_bug.cgi?id=14581), and PyTorch asks for aligned ones only. So
between what the layers keep lie holes that nothing fills, and a step takes a third more memory
than it uses. Giving them back every few layers costs about a hundredth of the step.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from studio.allocator import LAYERS_BETWEEN, give_freed_memory_back
from studio.training.speed.compiling import decoder_layers


@contextmanager
def holes_given_back(model: Any) -> Iterator[None]:
    """Inside the block: after every third decoder layer, forward and backward.

    Does nothing for an architecture that does not say what its layers are.
    """
    every_third = decoder_layers(model)[LAYERS_BETWEEN - 1::LAYERS_BETWEEN]
    hooks = [layer.register_forward_hook(_behind) for layer in every_third]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()


def _behind(layer: Any, arguments: Any, output: Any) -> None:
    """Once now, and once when the gradient of the layer's output is known."""
    hidden = output[0] if isinstance(output, tuple) else output
    if getattr(hidden, "requires_grad", False):
        give_freed_memory_back()
        hidden.register_hook(_given_back)


def _given_back(gradient: Any) -> None:
    give_freed_memory_back()
