"""Liger's Triton kernels for norms and gated layers (arXiv:2410.10989), on NVIDIA GPUs.

Only what belongs to one model's own modules: Liger also replaces classes and functions inside
transformers, which would meet the next model on a CPU; those are put back at once. The head and its
loss stay TRL's. Whether to: `training/choices.py`.
"""

from __future__ import annotations

import sys
from typing import Any

from studio.models.wrapped import without_wrapper

PACKAGE = "liger_kernel"
_MODEL_TYPES = ("llama", "mistral", "qwen2", "qwen3")
"""Their norm and gate are Liger's to the letter (liger-kernel 0.8, transformers 5.23)."""
_KERNELS = {"rope": False, "cross_entropy": False, "fused_linear_cross_entropy": False,
            "rms_norm": True, "swiglu": True}
LEFT_BEHIND = ("_get_name", "extra_repr", "offset", "casting_mode", "in_place", "row_mode",
               "impl", "mode")
"""What Liger writes into a module beside its forward pass."""


def suits_liger(config: Any) -> bool:
    """True if a model with this configuration has layers that Liger computes the same way."""
    return (config.model_type in _MODEL_TYPES
            and getattr(config, "hidden_act", None) in ("silu", "swish"))


def put_liger_on(model: Any) -> None:
    """From now on Liger computes the norms and gated layers of `model`, an adapter's base included.

    `setup.forward_kept` takes it off again.
    """
    from transformers.integrations.liger import apply_liger_kernel

    inner = without_wrapper(model)
    architecture = vars(sys.modules[type(inner).__module__])
    before = dict(architecture)
    try:
        apply_liger_kernel(model, dict(_KERNELS))
    finally:
        architecture.update(before)
