"""The Export tab: a run becomes a plain model folder, and that becomes a GGUF file.

Wiring and handlers. The work runs as a task of the program (`studio/ui/tasks.py`): a page that is
closed or reloaded changes nothing. What is shown is in `export_view.py`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import gradio as gr

from studio.adapters.kinds import describe
from studio.errors import ExportError, StudioError
from studio.files import safe_name
from studio.progress import Progress, ShouldStop
from studio.recipe import Model
from studio.ui import markup
from studio.ui.guard import guarded
from studio.ui.panels import export_view, job_memory
from studio.ui.panels.chat_columns import Trained, trained_runs
from studio.ui.panels.export_results import Result, find_results
from studio.ui.panels.export_view import Outcome
from studio.ui.shared import PRIVATE, QUIET, Shared
from studio.ui.tasks import TaskView

if TYPE_CHECKING:
    from studio.ui.studio import Studio

Choice = tuple[str, str]
PARTS = ("task", "stop", "results", "run", "model")


@dataclass(frozen=True)
class Snapshot:
    """All that the tab shows at one moment; `run` and `model` are what is chosen."""

    task: TaskView
    results: tuple[Result, ...]
    runs: tuple[Choice, ...]
    models: tuple[Choice, ...]
    run: str | None
    model: str | None


def build(studio: Studio, shared: Shared) -> None:
    """Two steps beside each other, the work under way, the results."""
    with gr.Row(equal_height=True):
        with gr.Column(min_width=360), gr.Group(elem_classes="card"):
            merge = _build_merge()
        with gr.Column(min_width=360), gr.Group(elem_classes="card"):
            write = _build_gguf()
    with gr.Row(equal_height=True, elem_id="export-work", visible=False) as work:
        task = gr.HTML(elem_id="export-task", padding=False)
        stop = gr.Button("Stop", variant="stop", scale=0, min_width=110, elem_id="export-stop")
    with gr.Group(elem_classes="card"):
        gr.HTML(markup.heading("Exports", "Everything stays on this PC, in the folders named."))
        results = gr.HTML(export_view.results_view([]), elem_id="export-results", padding=False)
    _wire(studio, shared, {**merge, **write, "task": task, "work": work, "stop": stop,
                           "results": results})


def _build_merge() -> dict[str, Any]:
    gr.HTML(markup.heading("1. Merge", "Adds a run's adapter to its base model: a plain "
                           "Transformers folder that needs no adapter any more."))
    run = gr.Dropdown([], label="Run", elem_id="export-run",
                      info="Finished and stopped runs that have an adapter.")
    name = gr.Textbox(label="Name", max_lines=1, elem_id="export-name",
                      placeholder="Empty: the name of the run")
    room = gr.HTML(elem_id="export-merge-room", padding=False)
    button = gr.Button("Merge", variant="primary", elem_id="export-merge")
    return {"run": run, "name": name, "merge_room": room, "merge": button}


def _build_gguf() -> dict[str, Any]:
    gr.HTML(markup.heading("2. Write GGUF", "One file for llama.cpp, LM Studio, and Ollama, "
                           "made from a merged model."))
    model = gr.Dropdown([], label="Merged model", elem_id="export-model",
                        info="Model folders from step 1.")
    outtype = gr.Dropdown(export_view.OUTTYPES, value="q8_0", label="Number format",
                          elem_id="export-outtype", info="How each weight is stored.")
    room = gr.HTML(export_view.NO_MODEL, elem_id="export-gguf-room", padding=False)
    button = gr.Button("Write GGUF", variant="primary", elem_id="export-gguf")
    return {"model": model, "outtype": outtype, "gguf_room": room, "gguf": button}


def _wire(studio: Studio, shared: Shared, parts: dict[str, Any]) -> None:
    seen = gr.State({})
    shown = [parts["work"], *(parts[name] for name in PARTS), seen]
    chosen = [parts["run"], seen]

    def refresh(run: str | None, seen: dict[str, Any]) -> list[Any]:
        return page(look(studio, run), seen)

    def merge(run: str | None, name: str | None, seen: dict[str, Any]) -> list[Any]:
        start_merge(studio, run, name)
        return ["", *refresh(run, seen)]

    def write(model: str | None, outtype: str, run: str | None, seen: dict[str, Any]) -> list[Any]:
        start_gguf(studio, model, outtype)
        return refresh(run, seen)

    shared.ticks.add(refresh, chosen, shown)
    shared.demo.load(refresh, chosen, shown, **QUIET)
    parts["merge"].click(guarded(merge), [parts["run"], parts["name"], seen],
                         [parts["name"], *shown], **PRIVATE)
    parts["gguf"].click(guarded(write), [parts["model"], parts["outtype"], *chosen], shown,
                        **PRIVATE)
    parts["stop"].click(lambda: studio.tasks.stop(), None, None, **QUIET)
    parts["run"].change(lambda run: merge_room(studio, run), parts["run"], parts["merge_room"],
                        **QUIET)
    gr.on([parts["model"].change, parts["outtype"].change],
          lambda model, outtype: gguf_room(studio, model, outtype),
          [parts["model"], parts["outtype"]], parts["gguf_room"], **QUIET)


def start_merge(studio: Studio, run: str | None, name: str | None) -> None:
    """Begin to merge a run's adapter in the background. Raises StudioError if it cannot."""
    if not run:
        raise ExportError("No run is chosen.", "Train something first, then choose it here.")
    source = studio.shelf.get(run).path
    output = studio.settings.exports / safe_name((name or "").strip() or run, "model")
    _refuse_taken(output)

    def work(progress: Progress, stop: ShouldStop) -> Outcome:
        from studio.export.merge import merge

        done = merge(source, output, studio.settings, progress=progress, stop=stop)
        return Outcome(done.path, done.notes)

    studio.tasks.start(f"Merging {run}", work)


def start_gguf(studio: Studio, model: str | None, outtype: str) -> None:
    """Begin to write a GGUF file in the background. Raises StudioError if it cannot."""
    from studio.export.gguf import default_gguf_file

    folders = model_folders(studio)
    if not model or model not in folders:
        raise ExportError("No merged model is chosen.", "Merge a run first (step 1).")
    output = default_gguf_file(studio.settings, model, outtype)
    _refuse_taken(output)

    def work(progress: Progress, stop: ShouldStop) -> Outcome:
        from studio.export.gguf import write_gguf

        return Outcome(write_gguf(folders[model], output, outtype, studio.settings,
                                  progress=progress, stop=stop))

    studio.tasks.start(f"Writing {output.name}", work)


def _refuse_taken(output: Path) -> None:
    if output.exists():
        raise ExportError(f"There is already an export named {output.name}.",
                          "Give another name, or delete that one in the exports folder.")


def model_folders(studio: Studio) -> dict[str, Path]:
    """The merged models by name, newest first."""
    return {one.name: one.path for one in find_results(studio.settings.exports)
            if one.kind == "model folder"}


def merge_room(studio: Studio, run: str | None) -> str:
    """Memory and disk that the merge of a run takes. Imports transformers."""
    if not run:
        return ""
    try:
        recipe = studio.shelf.get(run).recipe
    except StudioError as error:
        return markup.note(error.message, error.hint, "warning")
    return job_memory.merge_room(studio, recipe.model, recipe.adapter)


def gguf_room(studio: Studio, model: str | None, outtype: str) -> str:
    """Memory and disk that the GGUF of a merged folder takes. Imports transformers."""
    folder = model_folders(studio).get(model or "")
    if folder is None:
        return export_view.NO_MODEL
    return job_memory.gguf_room(studio, Model(source=str(folder)), outtype)


def look(studio: Studio, run: str | None) -> Snapshot:
    """Read the task, the exports, and what can be chosen.

    A run that was chosen stays chosen; of the merged models the newest is taken when one comes.
    """
    runs = trained_runs(studio.shelf.runs())
    models = list(model_folders(studio))
    return Snapshot(
        studio.tasks.snapshot(), tuple(find_results(studio.settings.exports)),
        tuple(_run_choice(one) for one in runs), tuple((name, name) for name in models),
        _kept(run, [one.name for one in runs]), next(iter(models), None),
    )


def _run_choice(run: Trained) -> Choice:
    what = describe(run.recipe.adapter)
    label = f"{run.title} ({run.name}, {what})" if run.title else f"{run.name} ({what})"
    return label, run.name


def _kept(chosen: str | None, names: list[str]) -> str | None:
    return chosen if chosen in names else next(iter(names), None)


def page(now: Snapshot, seen: dict[str, Any]) -> list[Any]:
    """Updates for the work row, each of `PARTS`, and what was seen; unchanged ones are skipped."""
    parts = view(now)
    keys = {name: key for name, (key, _) in parts.items()}
    fresh = {name: name not in seen or seen[name] != keys[name] for name in parts}
    return [*(parts[name][1]() if fresh[name] else gr.skip() for name in ("work", *PARTS)),
            keys if any(fresh.values()) else gr.skip()]


def view(now: Snapshot) -> dict[str, tuple[Any, Callable[[], Any]]]:
    """For each part a key that changes when the part does, and its update, made only if needed."""
    task = now.task
    return {
        "work": (task.state == "idle", lambda: gr.Row(visible=task.state != "idle")),
        "task": (task.version, lambda: export_view.task_view(task)),
        "stop": (task.state, lambda: gr.Button(
            visible=task.is_active, interactive=task.state == "running")),
        "results": (now.results, lambda: export_view.results_view(list(now.results))),
        "run": (now.runs, lambda: gr.Dropdown(choices=list(now.runs), value=now.run)),
        "model": (now.models, lambda: gr.Dropdown(choices=list(now.models), value=now.model)),
    }
