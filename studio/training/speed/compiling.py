"""torch.compile of a model's decoder layers, each for itself, while they train.

One compiled layer serves all of the same kind, and lengths are left open, so that rows of another
length do not compile it again. Measuring and answering, which come with other shapes and caches,
are computed as before. Whether to: `training/choices.py`.
"""

from __future__ import annotations

import shutil
from typing import Any

from studio.device import Device
from studio.models.wrapped import without_wrapper


def why_not_compile(device: Device) -> str | None:
    """What is missing for torch to compile on `device`, as the rest of a sentence; None if nothing.

    Compiles a small function to find out, which takes some seconds the first time.
    """
    import torch
    from torch._inductor import config

    if device.kind == "cpu":
        compilers = config.cpp.cxx if isinstance(config.cpp.cxx, tuple) else (config.cpp.cxx,)
        if not any(name and shutil.which(name) for name in ("cl", *compilers)):
            return "there is no C++ compiler"
    twice = torch.compile(lambda numbers: numbers.sin() * 2, dynamic=True)
    try:
        twice(torch.ones(8, device=device.torch_name))
    except RuntimeError as error:
        first = (str(error).strip().splitlines() or [type(error).__name__])[0]
        return f"torch's compiler does not work ({first[:200]})"
    return None


def decoder_layers(model: Any) -> list[Any]:
    """The layers of `model` that it says must not be split; none where it does not say."""
    inner = without_wrapper(model)
    names = set(inner._no_split_modules or ())
    return [module for module in inner.modules() if type(module).__name__ in names]


def compile_layers(model: Any) -> None:
    """From now on the decoder layers are compiled where gradients are wanted.

    `setup.forward_kept` takes it off again.
    """
    import torch

    torch._dynamo.reset()  # what an earlier run compiled counts against this one's number
    for layer in decoder_layers(model):
        layer.compile(dynamic=True)
        layer._compiled_call_impl = _in_training(layer, layer._compiled_call_impl)


def _in_training(layer: Any, compiled: Any) -> Any:
    import torch

    def call(*arguments: Any, **options: Any) -> Any:
        trains = layer.training and torch.is_grad_enabled()
        return (compiled if trains else layer._call_impl)(*arguments, **options)

    return call
