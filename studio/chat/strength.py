"""How strongly an adapter counts: a factor on what it adds to the base, changed while it is loaded.

0 is the base, 1 the adapter as it was trained, 0.5 the same as halving LoRA's B. Only where the
adapter is added to the layer times a scale does this mean something; the others are refused.
"""

from __future__ import annotations

from typing import Any

from studio.adapters.folder import AdapterFolder
from studio.errors import ModelError

LOWEST, HIGHEST = 0.0, 2.0
_SCALED = ("LORA", "ADALORA", "LOHA", "LOKR")
"""PEFT's methods that add a difference times a scale to a layer."""
_UNSCALED_PARTS = {
    "use_dora": "DoRA sets the size of each row anew, which no factor scales",
    "modules_to_save": "it replaces whole modules of the base",
    "trainable_token_indices": "it replaces rows of the embedding",
    "alora_invocation_tokens": "it counts from a certain token on",
    "target_parameters": "it changes parameters inside other modules",
}


def require_strength(strength: float, name: str) -> None:
    """Raise ModelError for a strength that no adapter may have."""
    if not LOWEST <= strength <= HIGHEST:
        raise ModelError(f"The strength of {name} is {strength:g}, but must lie between "
                         f"{LOWEST:g} and {HIGHEST:g}.", "0 is the base, 1 the adapter as trained.")


def why_no_strength(folder: AdapterFolder) -> str:
    """Why an adapter has only strength 1, as the end of a sentence; empty if it has others."""
    if folder.method not in _SCALED:
        return f"{folder.method} is not added to the layers times a scale"
    return next((reason for key, reason in _UNSCALED_PARTS.items() if folder.config.get(key)), "")


def require_scalable(folder: AdapterFolder, strength: float) -> None:
    """Raise ModelError if `strength` is not 1 and the adapter can have no other."""
    reason = why_no_strength(folder)
    if strength != 1 and reason:
        raise ModelError(
            f"The adapter {folder.path} cannot be given the strength {strength:g}: {reason}.",
            "Leave its strength at 1.")


class Scales:
    """The trained scale of one loaded adapter in each of its layers."""

    def __init__(self, model: Any, inner_name: str) -> None:
        self._name = inner_name
        self._trained = [(module.scaling, module.scaling[inner_name]) for module in model.modules()
                         if isinstance(getattr(module, "scaling", None), dict)  # attention has one
                         and inner_name in module.scaling]

    def set(self, strength: float) -> None:
        """Count the adapter `strength` times, from the next forward pass on."""
        for scaling, trained in self._trained:
            scaling[self._name] = strength * trained
