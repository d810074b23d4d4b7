"""How the layers of a loaded model are computed: fused, by Liger's kernels, or compiled.

Brings the choices of `choices.py` together with what the model and this device can do. The
arithmetic itself is in `speed/`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from studio.device import Device
from studio.extras import is_installed
from studio.hardware.precision import Precision
from studio.recipe import Recipe
from studio.training.attention import ROWS
from studio.training.choices import choose_compile, choose_fused_layers, choose_liger
from studio.training.speed.compiling import compile_layers, decoder_layers, why_not_compile
from studio.training.speed.fusing import NOTHING, Fusable, fusable
from studio.training.speed.liger import PACKAGE, put_liger_on, suits_liger


@dataclass(frozen=True)
class Layers:
    """What is put on a model for a run; `setup.forward_kept` takes it off again."""

    fusable: Fusable = NOTHING
    liger: bool = False
    compiles: bool = False

    def put_on(self, model: Any) -> None:
        """From now on `model` computes so."""
        self.fusable.fuse()
        if self.liger:
            put_liger_on(model)
        if self.compiles:
            compile_layers(model)


LIBRARIES_OWN = Layers()
"""Nothing is put on."""


def layers_of(
    recipe: Recipe, model: Any, precision: Precision, device: Device, *, steps: int,
    checkpointing: bool,
) -> tuple[Layers, list[str]]:
    """What to put on `model`, and one sentence for each choice; `steps` are the optimizer's."""
    liger, why_liger = choose_liger(
        recipe, device, precision, suits=suits_liger(model.config),
        installed=is_installed(PACKAGE))
    compiles, why_compile = _compiles(recipe, model, device, steps=steps,
                                      checkpointing=checkpointing, liger=liger)
    if compiles:
        return Layers(compiles=True), [
            f"{why_compile} Fused layers and Liger's kernels are left off for it."]
    fused, why_fused = _fused(recipe, model, precision, device)
    return Layers(fused, liger), [why_fused, *why_liger, why_compile]


def _compiles(
    recipe: Recipe, model: Any, device: Device, *, steps: int, checkpointing: bool, liger: bool
) -> tuple[bool, str]:
    wanted, why = choose_compile(recipe, device, steps=steps, checkpointing=checkpointing,
                                 liger=liger)
    if not wanted:
        return False, why
    if not decoder_layers(model):
        return False, "Nothing is compiled: this architecture does not say what its layers are."
    if checkpointing and model.config._attn_implementation == ROWS:
        # Its attention reads where examples begin, at which torch gives a checkpointed layer up.
        return False, ("Nothing is compiled: on a CPU, layers whose activations are computed twice "
                       "cannot be while examples share a row.")
    missing = why_not_compile(device)
    return missing is None, why if missing is None else f"Nothing is compiled: {missing}."


def _fused(
    recipe: Recipe, model: Any, precision: Precision, device: Device
) -> tuple[Fusable, str]:
    wanted, why = choose_fused_layers(recipe, device, precision)
    found = fusable(model) if wanted else NOTHING
    if wanted and not found:
        why = "Layers are computed as their libraries write them: none of this model can be fused."
    return found, why
