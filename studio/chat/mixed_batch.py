"""Rows of one batch, each through its own LoRA adapter, in two multiplications for all of them.

PEFT's mixed-adapter batch takes each adapter's rows out of the batch, multiplies, and writes them
back: some ten small operations per adapter and layer, which at one token per row cost more than
the base itself. Here the adapters of a layer stand side by side in one A and one B, and between
the two each row keeps only its own adapter's ranks, times its scale:

    y = W x + B (m * (A x)),   A = [A1; A2; ...],   B = [B1 B2 ...]

which is PEFT's sum but for the rounding. PEFT keeps calling: only the inner step of its plain LoRA
linears is replaced; whatever else an adapter sits on stays with PEFT. The adapters' own tensors
become views into A and B, so nothing is in memory twice.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch

_MOST_PLANS = 16
_STEP = "_mixed_batch_forward"


def speed_up_mixed_batches(model: Any) -> None:
    """Make batches of several adapters on a PEFT model cheap. Again after adapters came or went."""
    from peft.tuners.lora.layer import Linear

    for layer in model.modules():
        if type(layer) is Linear and not isinstance(vars(layer).get(_STEP), _SideBySide):
            setattr(layer, _STEP, _SideBySide(layer, getattr(layer, _STEP)))
        if isinstance(vars(layer).get(_STEP), _SideBySide):
            vars(layer)[_STEP].renew()


class _SideBySide:
    """Takes the place of one LoRA linear's step for mixed batches."""

    def __init__(self, layer: Any, usual: Any) -> None:
        self._layer = layer
        self._usual = usual
        self._ranges: dict[str, tuple[int, int]] = {}
        self._plans: dict[tuple[str, ...], _Plan | None] = {}
        self._a: Any = None
        self._b: Any = None

    def renew(self) -> None:
        """Take up the adapters that lie on the layer now, with their scales."""
        self._plans.clear()
        layer = self._layer
        names = [name for name in layer.lora_A if _is_plain(layer, name)]
        if names == list(self._ranges):
            return
        self._ranges = {}
        self._a = self._b = None
        owners: dict[int, tuple[int, int]] = {}
        parts: list[str] = []
        for name in names:
            key = id(layer.lora_A[name])  # one file at two strengths has its tensors once
            if key not in owners:
                start = max((end for _, end in owners.values()), default=0)
                owners[key] = (start, start + layer.lora_A[name].weight.shape[0])
                parts.append(name)
            self._ranges[name] = owners[key]
        if parts:
            self._stack(parts)

    def _stack(self, names: list[str]) -> None:
        import torch

        inner_a = [self._layer.lora_A[name] for name in names]
        inner_b = [self._layer.lora_B[name] for name in names]
        self._a = torch.cat([module.weight.data for module in inner_a])
        # Outputs along the rows: in this order the addition to few rows is four times as fast.
        self._b = torch.cat([module.weight.data.t() for module in inner_b])
        for name, module_a, module_b in zip(names, inner_a, inner_b, strict=True):
            start, end = self._ranges[name]
            module_a.weight.data = self._a[start:end]
            module_b.weight.data = self._b[start:end].t()

    def __call__(self, x: torch.Tensor, *args: Any, adapter_names: list[str],
                 **kwargs: Any) -> torch.Tensor:
        """`x` (rows, tokens, inputs) to (rows, tokens, outputs), as PEFT's own step does."""
        names = tuple(adapter_names)
        if names not in self._plans:
            if len(self._plans) >= _MOST_PLANS:
                self._plans.clear()
            self._plans[names] = self._plan(names)
        plan = self._plans[names]
        if plan is None or x.dim() != 3:
            result: torch.Tensor = self._usual(x, *args, adapter_names=adapter_names, **kwargs)
            return result
        return plan.add(self._layer.base_layer(x, *args), x)

    def _plan(self, names: tuple[str, ...]) -> _Plan | None:
        """How a batch with these adapters goes, or None where it is PEFT's to do."""
        import torch

        layer = self._layer
        used = {name for name in names if name in layer.lora_A}
        if not used or not used <= self._ranges.keys():
            return None
        first = min(self._ranges[name][0] for name in used)
        last = max(self._ranges[name][1] for name in used)
        own = torch.zeros(len(names), 1, last - first, dtype=self._a.dtype, device=self._a.device)
        for row, name in enumerate(names):
            if name in used:
                start, end = self._ranges[name]
                own[row, :, start - first:end - first] = layer.scaling[name]
        return _Plan(self._a[first:last], self._b[first:last], own)


class _Plan:
    """A batch's adapters: A (ranks, inputs), B (ranks, outputs), and each row's own ranks as
    scales of shape (rows, 1, ranks)."""

    def __init__(self, a: torch.Tensor, b: torch.Tensor, own: torch.Tensor) -> None:
        self._a, self._b, self._own = a, b, own

    def add(self, result: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
        """What the adapters make of `x`, added to the base's `result` in place."""
        from torch.nn.functional import linear

        ranks = linear(x.to(self._a.dtype), self._a) * self._own
        if result.dtype == ranks.dtype:
            result.view(-1, result.shape[-1]).addmm_(ranks.view(-1, ranks.shape[-1]), self._b)
        else:
            result += (ranks @ self._b).to(result.dtype)
        return result


def _is_plain(layer: Any, name: str) -> bool:
    """Whether it is nothing but B A x times a scale, in numbers that spoil no other row's.

    An infinite or undefined number times nothing is undefined: it would reach the other rows.
    """
    import torch

    a, b = layer.lora_A[name], layer.lora_B[name]
    if name in layer.lora_variant or a.bias is not None or b.bias is not None:
        return False
    if a.weight.dtype == torch.float16 or a.weight.dtype != b.weight.dtype:
        return False
    return bool(torch.isfinite(a.weight).all() and torch.isfinite(b.weight).all())
