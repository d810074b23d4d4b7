"""The model itself, whether or not PEFT has put an adapter around it."""

from __future__ import annotations

from typing import Any


def without_wrapper(model: Any) -> Any:
    """The transformers model that PEFT's wrapper holds, with the adapter's layers in it; `model`
    where there is no wrapper."""
    return model.get_base_model() if hasattr(model, "peft_config") else model
