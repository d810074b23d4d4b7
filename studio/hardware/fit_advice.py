"""What would fit where a recipe does not: another method, a larger card, a smaller model.

Says it in sentences. Everything named here was tried with the same steps as `fit.py` takes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from studio.files import readable_bytes
from studio.hardware.cards import Card, Place, cards
from studio.hardware.fit import Fit, least_bytes, make_fit
from studio.models.catalogue import CatalogueModel, usual_models
from studio.models.shape import known_shape

if TYPE_CHECKING:
    from studio.device import Device
    from studio.models.shape import ModelShape
    from studio.recipe import Recipe


def what_would_fit(fit: Fit, shape: ModelShape, place: Place) -> tuple[str, ...]:
    """Sentences on what to do where `fit` found nothing for `place`; none where it did.

    Builds shapes of smaller models until one fits: up to a second the first time.
    """
    if fit.fits:
        return ()
    said = [f"Even with every step {shape.name} needs up to "
            f"{readable_bytes(fit.after.high_bytes)}, and {readable_bytes(fit.free_bytes)} are "
            "free."]
    if fit.recipe.adapter.trains_base:
        said.append(_with_lora(fit, shape, place))
    said += [_larger_card(fit, shape), _smaller_model(fit, shape, place)]
    return tuple(said)


def _with_lora(fit: Fit, shape: ModelShape, place: Place) -> str:
    lora = make_fit(fit.recipe.with_values({"adapter.method": "lora"}), shape, place.device,
                    fit.free_bytes, has_bitsandbytes=_bitsandbytes_at(place))
    if not lora.fits:
        return "Training every weight takes the most memory, but LoRA would not fit either."
    base = "LoRA" if lora.recipe.model.quantization == "none" else "QLoRA (a 4-bit base)"
    return (f"Training every weight takes the most memory. {base} is the next thing, and fits: "
            f"about {readable_bytes(lora.after.total_bytes)}.")


def _larger_card(fit: Fit, shape: ModelShape) -> str:
    card = smallest_card(fit.recipe, shape, above_bytes=fit.free_bytes)
    if card is None:
        return "No single card of the list has the memory for it."
    return f"The smallest card on which changes like these make it fit is {card.name}."


def smallest_card(recipe: Recipe, shape: ModelShape, *, above_bytes: int = 0) -> Card | None:
    """The card with the least free memory on which `recipe` can be made to fit."""
    needs: dict[str, int] = {}
    for card in cards():
        if card.free_bytes <= above_bytes:
            continue
        device = card.device
        if device.fast_dtype not in needs:
            # The number format is all that the need knows of a card.
            needs[device.fast_dtype] = least_bytes(recipe, shape, device, has_bitsandbytes=True)
        if needs[device.fast_dtype] <= card.free_bytes:
            return card
    return None


def _smaller_model(fit: Fit, shape: ModelShape, place: Place) -> str:
    model = largest_model(fit.recipe, place.device, fit.free_bytes,
                          below_parameters=shape.parameters,
                          has_bitsandbytes=_bitsandbytes_at(place))
    if model is None:
        return "None of the usual models is small enough to be trained this way here."
    return f"The largest usual model that fits here, trained the same way, is {model.name}."


def largest_model(
    recipe: Recipe, device: Device, free_bytes: int, *, below_parameters: int,
    has_bitsandbytes: bool | None = None,
) -> CatalogueModel | None:
    """The largest usual model under `below_parameters` that `recipe` can be made to fit with."""
    plain = recipe.with_values({"adapter.modules_to_save": []})
    if isinstance(plain.adapter.targets, list):
        # Names of one model's layers mean nothing in another.
        plain = plain.with_values({"adapter.targets": "attention"})
    for model in reversed(usual_models()):
        if model.parameters_millions * 1e6 >= below_parameters:
            continue
        shape = known_shape(model.source)
        if shape is not None and least_bytes(
            plain, shape, device, has_bitsandbytes=has_bitsandbytes
        ) <= free_bytes:
            return model
    return None


def _bitsandbytes_at(place: Place) -> bool | None:
    """A card of the list is thought of with everything installed; this PC is looked at."""
    return None if place.is_this_pc else True
