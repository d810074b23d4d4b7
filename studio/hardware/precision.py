"""In which number format a recipe's weights are held and computed on a device. One place decides.

Training loads by it, the memory estimate counts by it.
"""

from __future__ import annotations

from dataclasses import dataclass

from studio.adapters.kinds import trains_base_along
from studio.device import Device
from studio.errors import RecipeError
from studio.recipe import Recipe

_NUMBERS = {"bfloat16": "16-bit (bfloat16)", "float16": "16-bit (float16)",
            "float32": "32-bit"}


@dataclass(frozen=True)
class Precision:
    """`base_dtype` holds the base weights; `autocast` is what arithmetic is cast to, or None.

    Trained weights are always float32. float16 arithmetic scales its gradients, since small ones
    would vanish.
    """

    base_dtype: str
    autocast: str | None
    why: str


def choose_precision(recipe: Recipe, device: Device) -> Precision:
    """Raises RecipeError for float16 on a CPU, which cannot train in it."""
    wanted = recipe.model.dtype
    dtype = device.fast_dtype if wanted == "auto" else wanted
    if dtype == "float16" and device.kind == "cpu":
        raise RecipeError("model.dtype is float16, but a CPU cannot train in float16.",
                          "Set model.dtype to auto, bfloat16 or float32.")
    asked = "as asked" if wanted != "auto" else f"what this {device.name} is fast at"
    if recipe.adapter.trains_base:
        return _precision_of_all_weights(wanted, dtype, device)
    if dtype == "float16":
        return Precision("float16", "float16", "Base and arithmetic in 16-bit (float16), with "
                         "scaled gradients; the adapter in 32-bit.")
    if dtype != "float32" and trains_base_along(recipe.adapter):
        return Precision(dtype, dtype, f"Base and arithmetic in {_NUMBERS[dtype]}, {asked}; what "
                         "is trained in 32-bit, the modules and biases of the base too.")
    return Precision(dtype, None, f"Base in {_NUMBERS[dtype]}, {asked}; the adapter in 32-bit.")


def _precision_of_all_weights(wanted: str, dtype: str, device: Device) -> Precision:
    """Weights that are trained stay in 32-bit: 16 bits would round small updates to nothing."""
    if wanted == "bfloat16":
        return Precision("bfloat16", None, "All weights trained in 16-bit (bfloat16), as asked: "
                         "small updates are lost to rounding.")
    if dtype == "float32":
        return Precision("float32", None, "All weights and arithmetic in 32-bit.")
    return Precision("float32", dtype,
                     f"All weights in 32-bit, arithmetic in {_NUMBERS[dtype]}, which this "
                     f"{device.name} is fast at.")
