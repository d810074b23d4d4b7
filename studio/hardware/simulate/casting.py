"""Autocast and GPU kernels for tensors on the meta device, where torch has neither.

Follows torch's lists for CUDA (`torch/docs/source/amp.rst`): matrix products in 16 bits, norms
and powers in 32, and a weight's copy kept until the forward pass is over. Only operations that
transformer layers use are listed.
"""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any, cast

from studio.hardware.simulate import kernels

_SHORT = {"linear", "matmul", "__matmul__", "__rmatmul__", "bmm", "mm", "addmm", "baddbmm",
          "conv1d", "einsum", "grouped_mm", "_grouped_mm", "scaled_dot_product_attention"}
_LONG = {"layer_norm", "group_norm", "pow", "__pow__", "rsqrt", "exp", "log", "norm",
         "cross_entropy", "nll_loss", "softplus", "cumsum", "prod"}
_LONG_RESULT = {"softmax", "log_softmax"}
_active = threading.local()


def cast_dtype() -> Any:
    """What matrix products are cast to in this thread; None where nothing is."""
    mode = getattr(_active, "mode", None)
    return mode.short if mode is not None else None


def forget_copies() -> None:
    """Drop the weights' copies, as torch does where an autocast block ends."""
    mode = getattr(_active, "mode", None)
    if mode is not None:
        mode.copies.clear()


def casting_again() -> AbstractContextManager[Any]:
    """The same block once more: the backward pass runs outside it, and recomputes inside it."""
    return casting(_active.mode.short, on_gpu=_active.mode.on_gpu)


def casting(
    short: Any, *, on_gpu: bool, on_copy: Callable[[Any], None] | None = None
) -> AbstractContextManager[Any]:
    """A block in which this thread computes as under autocast to dtype `short`, or None without.

    `on_gpu`: dropout keeps a byte per number instead of a number. `on_copy` is told of each copy
    of a weight that is kept.
    """
    return cast(AbstractContextManager[Any], _mode_class()(short, on_gpu, on_copy))


@functools.cache
def _mode_class() -> Any:
    from torch.overrides import TorchFunctionMode

    class Casting(TorchFunctionMode):
        """Stands before autograd, so that casts are part of what it records."""

        def __init__(self, short: Any, on_gpu: bool, on_copy: Callable[[Any], None] | None
                     ) -> None:
            super().__init__()
            self.short = short
            self.on_copy = on_copy
            self.on_gpu = on_gpu
            self.copies: dict[int, Any] = {}
            self.outer: Any = None
            self.replaced: dict[str, Callable[..., Any]] = {
                "scaled_dot_product_attention": kernels.scaled_dot_product_attention,
                "grouped_mm": kernels.grouped_mm, "_grouped_mm": kernels.grouped_mm}
            if on_gpu:
                self.replaced["dropout"] = kernels.dropout

        def __enter__(self) -> Any:
            self.outer = getattr(_active, "mode", None)
            _active.mode = self
            return super().__enter__()

        def __exit__(self, *error: Any) -> None:
            _active.mode = self.outer
            self.copies.clear()
            super().__exit__(*error)

        def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None
                               ) -> Any:
            name = getattr(func, "__name__", "")
            kwargs = kwargs or {}
            if self.short is not None:
                args, kwargs = _cast(self, name, args, kwargs)
            return self.replaced.get(name, func)(*args, **kwargs)

    return Casting


def _cast(mode: Any, name: str, args: Any, kwargs: Any) -> tuple[Any, Any]:
    """Arguments of the operation `name` as autocast hands them on."""
    import torch

    if name in _SHORT:
        return _each(functools.partial(_shortened, mode), args, kwargs)
    if name in _LONG:
        return _each(_lengthened, args, kwargs)
    if name in _LONG_RESULT and kwargs.get("dtype") is None:
        return args, {**kwargs, "dtype": torch.float32}
    return args, kwargs


def _each(change: Callable[[Any], Any], args: Any, kwargs: Any) -> tuple[Any, Any]:
    return (tuple(change(value) for value in args),
            {key: change(value) for key, value in kwargs.items()})


def _shortened(mode: Any, value: Any) -> Any:
    import torch

    if not isinstance(value, torch.Tensor) or not value.is_floating_point() or (
            value.dtype == mode.short):
        return value
    is_weight = value.is_leaf and value.requires_grad and value.dtype == torch.float32
    if not is_weight:
        return value.to(mode.short)
    if id(value) not in mode.copies:
        mode.copies[id(value)] = value.to(mode.short)
        if mode.on_copy is not None:
            mode.on_copy(mode.copies[id(value)])
    return mode.copies[id(value)]


def _lengthened(value: Any) -> Any:
    import torch

    short = isinstance(value, torch.Tensor) and value.dtype in (torch.float16, torch.bfloat16)
    return value.float() if short else value
