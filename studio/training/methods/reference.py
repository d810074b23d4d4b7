"""The model as it was before training, with which dpo and kto compare.

Where an adapter starts as nothing it is the base with the adapter off, which takes no memory. Where
its start values change the base (pissa, olora, loftq) it is a frozen copy of the adapter, named
"ref" as TRL names it. Where every weight is trained it is a second copy of the model.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from studio.errors import RecipeError
from studio.hardware.objectives import keeps_start_copy
from studio.recipe import Recipe

if TYPE_CHECKING:
    from studio.training.setup import Setup

REFERENCE = "ref"
"""TRL's name of the adapter that stays as it was."""


def check_reference(recipe: Recipe) -> None:
    """Raise RecipeError where there would be nothing right to compare with."""
    if not recipe.adapter.trains_base and recipe.adapter.bias != "none":
        raise RecipeError(
            f"adapter.bias {recipe.adapter.bias} does not go with training.method "
            f"{recipe.training.method}: it compares with the model before training, and trained "
            "biases of the base cannot be switched off for that.",
            "Set adapter.bias to none.")


def second_copy(recipe: Recipe, setup: Setup) -> Any:
    """The base once more as it was, frozen, where every weight is trained; None elsewhere."""
    if not recipe.adapter.trains_base:
        return None
    from studio.models.loading import load_base

    assert setup.folder is not None
    wanted = recipe.model.model_copy(update={"dtype": setup.precision.base_dtype})
    return load_base(wanted, setup.folder, setup.device).requires_grad_(False)


@contextmanager
def reference_adapter(recipe: Recipe, model: Any) -> Iterator[None]:
    """In the block TRL makes its trainer, and finds the copy of the adapter only where one is
    needed.

    A later trainer of the same model, as after running out of memory, finds trained weights in the
    adapter; the copy of the first one is kept.
    """
    if recipe.adapter.trains_base:
        yield
        return
    if keeps_start_copy(recipe) and REFERENCE not in model.peft_config:
        _copy_adapter(model)
    own = model.get_parameter
    # TRL adds an adapter and copies the weights into it: here, into themselves.
    model.add_adapter = lambda *_: None
    model.get_parameter = lambda name: own(name.replace(f".{REFERENCE}.", ".default."))
    try:
        yield
    finally:
        del model.add_adapter, model.get_parameter


def _copy_adapter(model: Any) -> None:
    config = copy.deepcopy(model.peft_config["default"])
    # Its own start would be taken out of the base a second time.
    config.init_lora_weights = False
    model.add_adapter(REFERENCE, config)
    for name, weight in model.named_parameters():
        if f".{REFERENCE}." in name:
            start = model.get_parameter(name.replace(f".{REFERENCE}.", ".default."))
            weight.data = start.data.clone()
            weight.requires_grad_(False)
