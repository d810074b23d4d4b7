"""The attention of a joined row beside SDPA of each example."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from studio.training import attention

_BEGINS = [0, 7, 8, 21]


def _tensors(dtype: str) -> list[Any]:
    import torch

    torch.manual_seed(0)
    return [torch.randn(1, heads, _BEGINS[-1], 16, dtype=getattr(torch, dtype)).requires_grad_()
            for heads in (6, 2, 2)]


def _attended(whole: list[Any], **options: Any) -> tuple[Any, tuple[Any, ...]]:
    import torch

    module = SimpleNamespace(num_key_value_groups=3, is_causal=True)
    out, _ = attention.row_attention(module, *whole, None, scaling=0.3,
                                     cu_seq_lens_q=torch.tensor(_BEGINS), **options)
    return out, torch.autograd.grad(out, whole, out.detach().cos())


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_output_and_gradients_are_those_of_sdpa_to_the_bit(
    dtype: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    import torch

    out, gradients = _attended(_tensors(dtype))
    assert "RowAttention" in type(out.grad_fn).__name__
    monkeypatch.setattr(attention, "attends_here", lambda *_: False)
    again, others = _attended(_tensors(dtype))
    assert torch.equal(out, again)
    assert all(torch.equal(one, other) for one, other in zip(gradients, others, strict=True))


@pytest.mark.parametrize("option", [{"dropout": 0.5}, {"is_causal": False}])
def test_what_it_does_not_know_is_left_to_sdpa(option: dict[str, Any]) -> None:
    out, _ = _attended(_tensors("float32"), **option)
    assert "RowAttention" not in type(out.grad_fn).__name__


def test_the_output_is_kept_once() -> None:
    """The layer behind it keeps the very same memory."""
    import torch

    kept = []

    def keep(x: Any) -> Any:
        kept.append(x.untyped_storage().data_ptr())
        return x

    whole = _tensors("float32")
    with torch.autograd.graph.saved_tensors_hooks(keep, lambda x: x):
        out, _ = attention.row_attention(
            SimpleNamespace(num_key_value_groups=3, is_causal=True), *whole, None,
            cu_seq_lens_q=torch.tensor(_BEGINS))
        out.reshape(1, _BEGINS[-1], -1) @ torch.ones(96, 4, requires_grad=True)
    own = out.untyped_storage().data_ptr()
    assert kept.count(own) == 2
