"""What the Blend part of the Chat tab knows at one moment, and what its buttons do.

Wiring is in `chat_blend.py`, what is shown in `chat_blend_view.py`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import gradio as gr

from studio.adapters.blend.methods import METHODS, Mix
from studio.errors import ModelError, StudioError
from studio.files import folder_bytes, free_path, safe_name
from studio.progress import Progress, ShouldStop
from studio.ui import markup
from studio.ui.panels import chat_blend_view as view
from studio.ui.panels.chat_columns import (
    MAX_COLUMNS,
    Offer,
    blend_value,
    offer_of,
    offers_of,
)
from studio.ui.panels.chat_lineup_page import offers_now
from studio.ui.panels.chat_sliders import SliderRow, chosen_numbers, sliders_value
from studio.ui.panels.mixing_view import way_view
from studio.ui.seen import Part, fresh_updates
from studio.ui.task_buttons import start_part, stop_part

if TYPE_CHECKING:
    from pathlib import Path

    from studio.adapters import blend as blends
    from studio.settings import Settings
    from studio.ui.studio import Studio

MOST_PARTS = 6
USUAL_WEIGHT = 0.5
USUAL_NAME = "blend"
PARTS = ("adapters", "task", "make", "stop", "list")


@dataclass(frozen=True)
class BlendWish:
    """What the components hold: adapters by the values of the line-up, and how to mix them."""

    adapters: Sequence[str]
    weights: dict[str, float]
    mix: Mix


def wish_of(values: dict[str, Any]) -> BlendWish:
    """What is chosen; what the method does not use is left out. Raises ModelError."""
    method = METHODS.get(values["method"])
    if method is None:
        raise ModelError("No way of mixing is chosen.", "Choose one from the list.")
    # An emptied number box is 0 or None: the usual value.
    mix = Mix(method.name, values["density"] if method.prunes else None,
              (int(values["rank"] or 0) or None) if method.chooses_rank else None,
              int(values["seed"] or 0) if method.draws else 0)
    return BlendWish(values["adapters"] or [], chosen_numbers(values["weights"]), mix)


def mixable(offers: Sequence[Offer], base: str) -> list[Offer]:
    """Adapters of `base` that can be mixed: plain LoRA, whatever its rank."""
    return [one for one in offers_of(offers, base)
            if one.adapter.method == "lora" and not one.adapter.use_dora]


def parts_of(studio: Studio, wish: BlendWish) -> list[blends.Part]:
    """The adapters of a wish and how much of each. Raises ModelError for one that is no more."""
    from studio.adapters import blend as blends

    offers = {one.value: one for one in offers_now(studio)}
    chosen = [offer_of(offers, value) for value in dict.fromkeys(wish.adapters)]
    if len(wish.adapters) > MOST_PARTS:
        raise ModelError(f"{len(wish.adapters)} adapters are chosen, but at most {MOST_PARTS} are "
                         "mixed at a time.", "Mix some of them first, and the result with others.")
    return [blends.Part(one.path, wish.weights.get(one.value, USUAL_WEIGHT), one.name)
            for one in chosen]


def plan_view(studio: Studio, base: str, values: dict[str, Any]) -> str:
    """What would come out, or why nothing can."""
    from studio.adapters.blend import plan

    try:
        wish = wish_of(values)
        if not wish.adapters:
            return view.nothing_chosen_view(len(mixable(offers_now(studio), base)))
        return view.plan_view(plan(parts_of(studio, wish), wish.mix), len(wish.adapters))
    except StudioError as error:
        return markup.note(error.message, error.hint, "warning")


def weights_value(studio: Studio, adapters: Sequence[str]) -> dict[str, Any]:
    """What the sliders of the weights are drawn from."""
    offers = {one.value: one for one in offers_now(studio)}
    return sliders_value([SliderRow(value, offers[value].name) for value in adapters
                          if value in offers])


def method_updates(name: str) -> list[Any]:
    """Updates for the words about a method, and for density, rank, and seed: shown if used."""
    method = METHODS[name]
    return [way_view(method), gr.Slider(visible=method.prunes),
            gr.Number(visible=method.chooses_rank), gr.Number(visible=method.draws)]


def start_blend(studio: Studio, name: str, values: dict[str, Any]) -> None:
    """Begin to mix in the background. Raises StudioError if it cannot be."""
    from studio.adapters.blend import blend, plan

    wish = wish_of(values)
    parts = parts_of(studio, wish)
    plan(parts, wish.mix)
    name = safe_name(name.strip() or _free_name(studio.settings), USUAL_NAME)

    def work(progress: Progress, stop: ShouldStop) -> blends.Blend:
        return blend(name, parts, wish.mix, studio.settings, progress=progress, stop=stop)

    studio.blending.start(f"Mixing {name}", work)


def _free_name(settings: Settings) -> str:
    runs = settings.runs.glob(f"{USUAL_NAME}*") if settings.runs.is_dir() else ()
    taken: list[Path] = [settings.adapters / path.name for path in runs]
    return free_path(settings.adapters, USUAL_NAME, "", taken).name


def with_blend(name: str, columns: Sequence[str]) -> list[str]:
    """The line-up with that blend in it. Raises ModelError where it is full."""
    found = list(dict.fromkeys([*columns, blend_value(name)]))
    if len(found) > MAX_COLUMNS:
        raise ModelError(f"The line-up is full: at most {MAX_COLUMNS} columns answer side by side.",
                         "Remove one of them first.")
    return found


def page(studio: Studio, base: str, adapters: Sequence[str], seen: dict[str, Any]) -> list[Any]:
    """Updates for each of `PARTS` and for what was seen; unchanged ones are skipped."""
    offers = mixable(offers_now(studio), base)
    listed = [(one.label, one.value) for one in offers]
    kept = [value for value in adapters if value in {value for _, value in listed}]
    moved = {} if kept == list(adapters) else {"value": kept}
    task = studio.blending.snapshot()
    made = studio.adapters.blends()
    parts: dict[str, Part] = {
        "adapters": ((listed, moved), lambda: gr.Dropdown(
            choices=listed, multiselect=True, allow_custom_value=True, **moved)),
        "task": (task.version, lambda: view.task_view(task)),
        "make": start_part(task),
        "stop": stop_part(task),
        "list": ((base, [(one.name, one.made_seconds) for one in made]),
                 lambda: view.list_view(rows_of(made), base)),
    }
    return fresh_updates(parts, PARTS, seen)


def rows_of(made: Sequence[blends.Blend]) -> list[view.BlendRow]:
    """The blends as the list shows them."""
    return [view.BlendRow(one.name, one.words, one.rank, folder_bytes(one.path),
                          one.model.source if one.model else "") for one in made]
