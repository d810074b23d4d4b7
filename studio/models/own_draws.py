"""Random numbers for modules whose start values are thrown away, drawn beside torch's own.

PEFT begins an adapter's parameters at random before it reads the file over them. torch's generators
are the whole process's: a training on another thread would go on with other dropouts.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

_DRAWING = frozenset({
    "uniform_", "normal_", "random_", "bernoulli_", "exponential_", "trunc_normal_", "orthogonal_",
    "kaiming_uniform_", "kaiming_normal_", "xavier_uniform_", "xavier_normal_",
    "rand", "randn", "randint", "randperm", "rand_like", "randn_like",
})
"""Functions of torch and of its `nn.init` that take a `generator`."""


@contextmanager
def own_draws() -> Iterator[None]:
    """Inside the block this thread draws nothing from torch's generators; other threads do."""
    import torch
    from torch.overrides import TorchFunctionMode

    generators: dict[torch.device, torch.Generator] = {}

    def generator_for(args: tuple[Any, ...], kwargs: dict[str, Any]) -> torch.Generator:
        given = args[0] if args else kwargs.get("tensor")
        device = given.device if isinstance(given, torch.Tensor) else torch.device(
            kwargs.get("device") or "cpu")
        if device not in generators:
            # What is on the meta device has no numbers, and no generator.
            generators[device] = torch.Generator("cpu" if device.type == "meta" else device)
        return generators[device]

    class Beside(TorchFunctionMode):
        def __torch_function__(self, func: Any, types: Any, args: tuple[Any, ...] = (),
                               kwargs: dict[str, Any] | None = None) -> Any:
            kwargs = dict(kwargs or {})
            if getattr(func, "__name__", "") in _DRAWING and kwargs.get("generator") is None:
                kwargs["generator"] = generator_for(args, kwargs)
            return func(*args, **kwargs)

    with Beside():
        yield
