"""What merging whole models shows at one moment, and what a press on Merge begins.

Wiring is in `merge_models.py`, what is shown in `merge_models_view.py`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import gradio as gr

from studio.errors import ModelError, SetupError, StudioError
from studio.export.model_merge.methods import METHODS, Mix
from studio.export.model_merge.parts import USUAL_NAME, Part, Wish
from studio.recipe.base import STARTER
from studio.ui import markup
from studio.ui.panels import merge_models_view as view
from studio.ui.panels.chat_columns import all_offers, base_label, bases
from studio.ui.panels.chat_sliders import SliderRow, chosen_numbers, sliders_value
from studio.ui.panels.export_results import whole_models
from studio.ui.panels.mixing_view import way_view
from studio.ui.seen import Part as Shown
from studio.ui.seen import fresh_updates
from studio.ui.task_buttons import start_part, stop_part

if TYPE_CHECKING:
    from studio.export.model_merge import Merged, MergePlan
    from studio.progress import Progress, ShouldStop
    from studio.ui.studio import Studio

__all__ = ["METHOD_PARTS", "MOST_MODELS", "PARTS", "PLAN_PARTS", "USUAL_NAME", "USUAL_WEIGHT"]
MOST_MODELS = 8
USUAL_WEIGHT = 0.5
PARTS = ("models", "base", "task", "make", "stop")
METHOD_PARTS = ("about", "base", "t", "seed")
PLAN_PARTS = ("plan", "yaml", "replace")


def offered(studio: Studio) -> list[tuple[str, str]]:
    """(label, value) of the whole models that this studio knows: what it exported, what runs made
    that trained every weight, and the bases of all runs."""
    trained = studio.adapters.trained()
    known = bases(trained, all_offers(trained, studio.adapters.blends()), STARTER)
    return [*whole_models(studio.settings.exports), *known]


def wish_of(values: dict[str, Any]) -> Wish:
    """What is chosen; what the method does not use is left out. Raises ModelError."""
    method = METHODS.get(values["method"])
    if method is None:
        raise ModelError("No way of merging is chosen.", "Choose one from the list.")
    models = list(dict.fromkeys(values["models"] or []))
    if len(models) > MOST_MODELS:
        raise ModelError(f"{len(models)} models are chosen, but at most {MOST_MODELS} are merged "
                         "at a time.", "Merge some of them first, and the result with others.")
    weights, densities = chosen_numbers(values["weights"]), chosen_numbers(values["densities"])
    parts = [Part(one, weights.get(one, USUAL_WEIGHT) if method.weighs else 1.0,
                  densities.get(one) if method.prunes else None) for one in models]
    usual = Mix()
    mix = Mix(method.name, (values["base"] or "") if method.needs_base else "",
              values["t"] if method.turns else usual.t, values["dtype"] or None,
              values["tokens"] or usual.tokens, int(values["seed"] or 0) if method.draws else 0)
    return Wish(parts, mix, values["name"] or "")


def plan_views(studio: Studio, values: dict[str, Any]) -> list[Any]:
    """One update for each of `PLAN_PARTS`: what would come out or why nothing can, the YAML, and
    whether something of that name is there."""
    from studio.export.model_merge import yaml_text

    unasked = gr.Checkbox(value=False, visible=False)
    if not values["models"]:
        return [_missing() + view.NOTHING, "", unasked]
    try:
        plan = _plan(studio, wish_of(values))
    except StudioError as error:
        return [_missing() + markup.note(error.message, error.hint, "warning"), "", unasked]
    # Without a name of one's own a free one is taken.
    replace = gr.Checkbox(visible=True) if plan.is_taken else unasked
    return [_missing() + view.plan_view(plan), view.yaml_view(yaml_text(plan)), replace]


def _plan(studio: Studio, wish: Wish) -> MergePlan:
    from studio.export.model_merge import plan_merge

    studio.warm_up()
    return plan_merge(wish, studio.settings)


def _missing() -> str:
    """The command that installs mergekit, where it is not here."""
    from studio.export.model_merge import require_mergekit

    try:
        require_mergekit()
    except SetupError as error:
        return markup.note(error.message, error.hint, "warning")
    return ""


def number_values(studio: Studio, models: Sequence[str], method_name: str) -> list[Any]:
    """What the sliders of the weights and of the shares kept are drawn from: none where the method
    uses none."""
    method = METHODS[method_name]
    labels = {value: label for label, value in offered(studio)}
    rows = [SliderRow(value, labels.get(value) or base_label(value)) for value in models]
    return [sliders_value(rows if method.weighs else []),
            sliders_value(rows if method.prunes else [])]


def method_updates(name: str) -> list[Any]:
    """Updates for each of `METHOD_PARTS`: only what the method uses is shown."""
    method = METHODS[name]
    return [way_view(method), gr.Dropdown(visible=method.needs_base),
            gr.Slider(visible=method.turns), gr.Number(visible=method.draws)]


def start(studio: Studio, values: dict[str, Any]) -> None:
    """Begin to merge in the background. Raises StudioError for what cannot be."""
    from studio.export.model_merge import merge_models, require_mergekit
    from studio.export.output import folder_to_write

    wish = wish_of(values)
    require_mergekit()
    plan = _plan(studio, wish)
    checks, overwrite = bool(values["check"]), bool(values["replace"])
    folder_to_write(plan.output, overwrite)
    named = Wish(wish.parts, wish.mix, plan.name)

    def work(progress: Progress, stop: ShouldStop) -> Merged:
        return merge_models(named, studio.settings, checks=checks, overwrite=overwrite,
                            progress=progress, stop=stop)

    studio.merging.start(f"Merging {plan.name}", work)


def page(studio: Studio, seen: dict[str, Any]) -> list[Any]:
    """One update for each of `PARTS` and for what was seen; what the page has is skipped."""
    listed = offered(studio)
    task = studio.merging.snapshot()
    parts: dict[str, Shown] = {
        "models": (listed, lambda: gr.Dropdown(choices=listed, multiselect=True,
                                               allow_custom_value=True)),
        "base": (listed, lambda: gr.Dropdown(choices=listed, allow_custom_value=True)),
        "task": (task.version, lambda: view.task_view(task)),
        "make": start_part(task),
        "stop": stop_part(task),
    }
    return fresh_updates(parts, PARTS, seen)
