"""What the Export tab shows at one moment, and what a press on Export begins.

Reads small files and configurations; wiring is in `export.py`, the looks in `export_view.py`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import gradio as gr

from studio.adapters.folder import read_adapter_folder
from studio.adapters.kinds import kind_of_peft
from studio.errors import StudioError
from studio.export.door import GROUPS, Choices
from studio.export.doors import DOORS
from studio.export.plan import look_at, make_plan
from studio.export.quantize_shape import FORMATS
from studio.main_memory import read_main_memory
from studio.ui import markup
from studio.ui.adapter_shelf import first_unasked
from studio.ui.panels import export_view
from studio.ui.panels.chat_columns import base_label
from studio.ui.panels.export_sources import origin_of, sources_now
from studio.ui.seen import Part, fresh_updates
from studio.ui.task_buttons import start_part, stop_part
from studio.ui.words import counted

if TYPE_CHECKING:
    from studio.export.door import Subject
    from studio.export.origin import Origin
    from studio.export.plan import Plan
    from studio.ui.studio import Studio

WORK_PARTS = ("source", "work", "stop", "start")
CHOICE_PARTS = ("about", *GROUPS, "closed", "dequantized", "own_data", "tuned")
PLAN_PARTS = ("plan", "replace")


def page(studio: Studio, source: str | None, seen: dict[str, Any]) -> list[Any]:
    """One update for each of `WORK_PARTS` and for what was seen; what the page has is skipped."""
    now = studio.exports.snapshot()
    sources = sources_now(studio)
    choices = [(one.label, one.value) for one in sources]
    # A choice is set only where there is none: meanwhile the person may have gone on.
    offered = None if source else first_unasked(sources)
    first = {"value": offered.value} if offered else {}
    parts: dict[str, Part] = {
        "source": ((choices, first), lambda: gr.Dropdown(choices=choices, **first)),
        "work": ((now.task.version, len(now.made)), lambda: export_view.exporting_view(now)),
        "stop": stop_part(now.task),
        "start": start_part(now.task),
    }
    return fresh_updates(parts, WORK_PARTS, seen)


def choice_view(studio: Studio, values: dict[str, Any]) -> list[Any]:
    """One update for each of `CHOICE_PARTS`: which formats are open to what is chosen, and what
    each will weigh. Imports transformers."""
    if not values["source"]:
        return [gr.skip()] * len(CHOICE_PARTS)
    try:
        subject = _subject(studio, values)
        stages = make_plan(subject, list(DOORS)).stages
    except StudioError as error:
        return [markup.note(error.message, error.hint, "warning"),
                *[gr.skip()] * (len(CHOICE_PARTS) - 1)]
    groups = [_group_update(group, export_view.door_choices(stages, group), values[group])
              for group in GROUPS]
    origin = subject.origin
    is_rounded = origin.model.quantization != "none" and not origin.is_full_model
    return [export_view.origin_view(origin, _kind_words(origin),
                                    base_label(origin.base_to_show)), *groups,
            export_view.closed_view(stages), _switch(is_rounded),
            _switch(origin.run is not None),
            _switch(any(stage.door.key in FORMATS and not stage.why_not for stage in stages))]


def plan_views(studio: Studio, values: dict[str, Any]) -> list[Any]:
    """One update for each of `PLAN_PARTS`: what would be written, and whether something lies there
    already."""
    if not values["source"] or not _ticked(values):
        nothing = export_view.NOTHING if values["source"] else export_view.NOTHING_TRAINED
        return [nothing, gr.Checkbox(value=False, visible=False)]
    try:
        plan = _plan(studio, values)
    except StudioError as error:
        return [markup.note(error.message, error.hint, "warning"), gr.Checkbox(visible=False)]
    shown = export_view.plan_view(plan, read_main_memory().available_bytes)
    taken = len(plan.taken)
    if not taken:
        return [shown, gr.Checkbox(value=False, visible=False)]
    label = f"Replace the {counted(taken, 'export')} that {'is' if taken == 1 else 'are'} there"
    return [shown, gr.Checkbox(visible=True, label=label)]


def start(studio: Studio, values: dict[str, Any]) -> None:
    """Begin to write what is ticked. Raises StudioError for what cannot be."""
    from studio.export.chain import Way

    studio.exports.start(_plan(studio, values), Way(bool(values["check"]),
                                                    bool(values["replace"])))


def _plan(studio: Studio, values: dict[str, Any]) -> Plan:
    return make_plan(_subject(studio, values), _ticked(values), values["name"] or "")


def _subject(studio: Studio, values: dict[str, Any]) -> Subject:
    origin = origin_of(studio, values["source"])
    studio.warm_up()
    return look_at(origin, studio.settings, Choices(bool(values["dequantized"]),
                                                       bool(values["own_data"]),
                                                       bool(values["tuned"])))


def _ticked(values: dict[str, Any]) -> list[str]:
    return [key for group in GROUPS for key in values[group] or ()]


def _group_update(group: str, choices: list[tuple[str, str]], ticked: list[str] | None) -> Any:
    """The cards of a group; what is closed to the model is no longer ticked."""
    open_keys = [key for _, key in choices]
    kept = [key for key in ticked or () if key in open_keys]
    moved = {} if kept == list(ticked or ()) else {"value": kept}
    return gr.CheckboxGroup(choices=choices, visible=bool(choices), **moved)


def _switch(is_open: bool) -> Any:
    """A switch that is there only for some; hidden, it is off."""
    return gr.Checkbox(visible=True) if is_open else gr.Checkbox(value=False, visible=False)


def _kind_words(origin: Origin) -> str:
    """"LoRA of rank 16", by what the adapter's own file says."""
    if origin.is_full_model:
        return "All weights"
    adapter = read_adapter_folder(origin.path)
    kind = kind_of_peft(adapter.method)
    label = kind.label if kind else adapter.method
    rank = adapter.config.get("r")
    return f"{label} of rank {rank}" if rank else label
