"""Runs laid over one another: which, in what, along what; the plot, the figures, what differs.

Wiring and handlers; what is shown is in `compare_view.py` and `charts_compare.py`. Which runs are
chosen is kept in the browser, so that a reload and a restarted studio show the same.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import gradio as gr

from studio.comparison import METRICS, differences, metrics_of, points_csv
from studio.errors import RunError
from studio.ui import markup
from studio.ui.charts_compare import HEIGHT_PIXELS, Curve, View, compare_figure, places
from studio.ui.kept import kept_by_browser, read_kept, restore_script
from studio.ui.live_plot import figure_value, live_plot
from studio.ui.panels.compare_view import (
    differences_view,
    run_label,
    short_labels,
    summary_view,
)
from studio.ui.save_file import page_file, save_on
from studio.ui.seen import Part, fresh_updates, seen_by_page, stamp
from studio.ui.shared import DIRECT, QUIET, Shared

if TYPE_CHECKING:
    from studio.runs import Run
    from studio.ui.studio import Studio

ALONG = [("Steps", "step"), ("Tokens", "token"), ("Time", "time")]
KEPT_AS = "studio-compare"
KEEP_SCRIPT = f"(kept) => {{ try {{ localStorage.setItem('{KEPT_AS}', kept); }} catch (e) {{}} }}"

Seen = dict[str, Any]


@dataclass(frozen=True)
class Chosen:
    """The runs that are compared, each with the place of its colour, and all runs to choose from.
    """

    runs: tuple[Run, ...]
    places: dict[str, int]
    choices: tuple[tuple[str, str], ...]
    labels: dict[str, str]
    """What each run is called, in the order in which they were chosen."""
    gone: tuple[str, ...] = ()
    """Names that were asked for and are no runs."""


def build(studio: Studio, shared: Shared) -> None:
    """Lay out the comparison and wire it; `shared.compared` is its list of runs afterwards."""
    with gr.Group(elem_classes="card"):
        gr.HTML(markup.heading("Compare runs", "Any runs over one another, and what differs."))
        controls, kept = _build_controls()
        parts = {
            "runs": controls["runs"], "metric": controls["metric"],
            "plot": live_plot(height_pixels=HEIGHT_PIXELS, elem_id="compare-plot",
                              empty_text="Tick runs in the table below, or pick them above, and a "
                                         "curve that they have."),
            "summary": gr.HTML(elem_id="compare-summary"),
        }
        save = gr.Button("Save the points as CSV", size="sm", elem_id="compare-save",
                         interactive=False)
        view = {key: controls[key] for key in ("metric", "by")}
        save_on(save, partial(save_points, studio), {"names": controls["runs"], **view},
                "compare-file")
    with gr.Group(elem_classes="card", visible=False) as parts["differing"]:
        gr.HTML(markup.heading("What differs", "The settings that are not the same in all of "
                               "these runs."))
        parts["differences"] = gr.HTML(elem_id="compare-differences")
    parts |= {"save": save, "kept": kept}
    shared.compared = controls["runs"]
    _wire(studio, shared, controls, parts)


def _build_controls() -> tuple[dict[str, Any], gr.Textbox]:
    # Names that are no longer there are left out by the handler, without a toast of gradio's.
    runs = gr.Dropdown([], value=[], multiselect=True, allow_custom_value=True, label="Runs",
                       elem_id="compare-runs", info="Also by the boxes in the table of runs.")
    with gr.Row():
        metric = gr.Dropdown([(one.label, one.name) for one in metrics_of([])], value="loss",
                             label="Curve", scale=3, min_width=200, elem_id="compare-metric")
        by = gr.Radio(ALONG, value="step", label="Along", scale=2, min_width=280,
                      elem_id="compare-by")
    with gr.Row():
        smoothing = gr.Slider(0, 0.99, 0.0, step=0.01, label="Smoothing", buttons=[], scale=3,
                              min_width=200, elem_id="compare-smoothing")
        is_log = gr.Checkbox(label="Logarithmic", scale=1, min_width=130, elem_id="compare-log")
    # The chosen runs and the places of their colours as JSON, on its way to and from the browser.
    kept = kept_by_browser()
    return {"runs": runs, "metric": metric, "by": by, "smoothing": smoothing,
            "is_log": is_log}, kept


def _wire(
    studio: Studio, shared: Shared, controls: dict[str, Any], parts: dict[str, Any]
) -> None:
    seen = seen_by_page()
    shown = [*(parts[name] for name in PARTS), seen]
    named = {**controls, "kept": parts["kept"], "seen": seen}

    def refresh(runs: list[str] | None, kept: str, seen: Seen, **view: Any) -> Any:
        if not kept:
            return gr.skip()  # what the browser remembers is still on its way
        places = read_places(seen.get("kept", kept))
        return page(studio, choose(studio, runs or [], places), View(**view), seen)

    def restore(kept: str) -> list[Any]:
        places = read_places(kept)
        return page(studio, choose(studio, list(places), places), View(), {})

    shared.ticks.add(refresh, outputs=shown, named=named)
    shared.demo.load(restore, inputs_kwargs={"kept": parts["kept"]}, outputs=shown,
                     js=restore_script(KEPT_AS), **QUIET)
    # Only the list of runs is also moved by program; a control that appears is no wish.
    moved = [control.change if name == "runs" else control.input
             for name, control in controls.items()]
    gr.on(moved, refresh, inputs_kwargs=named, outputs=shown, trigger_mode="always_last", **DIRECT)
    parts["kept"].change(None, parts["kept"], None, js=KEEP_SCRIPT, api_visibility="private")


def read_places(kept: str) -> dict[str, int]:
    """Names and places from what the browser kept; nothing where that is not ours."""
    return {name: place for name, place in read_kept(kept).items()
            if isinstance(place, int) and 0 <= place < 10_000}


def choose(studio: Studio, names: list[str], before: dict[str, int] | None = None) -> Chosen:
    """The runs of these names that still exist; one that was chosen before keeps its place."""
    by_name = {run.name: run for run in studio.shelf.runs()}
    found = [name for name in dict.fromkeys(names) if name in by_name]
    titles = {name: run.about.title for name, run in by_name.items()}
    return Chosen(
        tuple(by_name[name] for name in found), places(found, before or {}),
        tuple((run_label(name, title), name) for name, title in titles.items()),
        short_labels({name: titles[name] for name in found}),
        tuple(name for name in names if name not in by_name))


PARTS = ("runs", "metric", "plot", "summary", "differing", "differences", "save", "kept")


def page(studio: Studio, chosen: Chosen, view: View, seen: Seen) -> list[Any]:
    """One update for each of `PARTS` and for `seen`; what a page has seen already is skipped."""
    # Text as it is: the places of the colours are read back from what was seen.
    return fresh_updates(_parts(studio, chosen, view), PARTS, seen,
                         stamped=lambda key: key if isinstance(key, str) else stamp(key))


def _parts(studio: Studio, chosen: Chosen, view: View) -> dict[str, Part]:
    """For each part a key that changes when the part does, and its update, made only if needed."""
    names = [run.name for run in chosen.runs]
    stamps = [(run.name, studio.curves.stamp(run, with_samples=True)) for run in chosen.runs]
    named = (chosen.labels, chosen.places)
    kept = json.dumps(chosen.places)
    metrics = _metric_choices(chosen, view.metric)
    return {
        "runs": ((chosen.choices, chosen.gone), lambda: gr.Dropdown(
            choices=list(chosen.choices), value=names, multiselect=True,
            allow_custom_value=True)),
        "metric": (tuple(metrics), lambda: gr.Dropdown(choices=metrics)),
        "plot": ((view, stamps, named), lambda: figure_value(
            compare_figure(curves_of(studio, chosen, view.metric, view.by), view))),
        "summary": ((stamps, named), lambda: summary_view(
            [studio.curves.summary(run) for run in chosen.runs], *named)),
        "differing": (len(names) > 1, lambda: gr.Group(visible=len(names) > 1)),
        "differences": ((_adapted(chosen), named), lambda: _differences(chosen)),
        "save": (bool(names), lambda: gr.Button(interactive=bool(names))),
        "kept": (kept, lambda: kept),
    }


def _metric_choices(chosen: Chosen, shown: str) -> list[tuple[str, str]]:
    """The curves that these runs can have, and the one that is shown."""
    offered = metrics_of({run.story().method for run in chosen.runs})
    return [(one.label, one.name) for one in METRICS.values()
            if one in offered or one.name == shown]


def curves_of(studio: Studio, chosen: Chosen, metric: str, by: Any) -> list[Curve]:
    """One curve for each chosen run."""
    return [Curve(run.name, chosen.labels[run.name], chosen.places[run.name],
                  *studio.curves.of(run, metric, by)) for run in chosen.runs]


def _adapted(chosen: Chosen) -> dict[str, dict[str, Any]]:
    return {run.name: run.story().adapted for run in chosen.runs}


def _differences(chosen: Chosen) -> str:
    recipes = {run.name: run.readable_recipe for run in chosen.runs}
    return differences_view(
        differences(recipes, _adapted(chosen)), chosen.labels, chosen.places,
        [name for name, recipe in recipes.items() if recipe is None])


def save_points(studio: Studio, names: list[str] | None, metric: str, by: Any) -> str:
    """Write the points of the chosen runs to a CSV file that the page may hand out.

    Raises RunError where none of them has a point.
    """
    chosen = choose(studio, names or [])
    curves = {run.name: studio.curves.of(run, metric, by) for run in chosen.runs}
    if not any(x for x, _ in curves.values()):
        raise RunError("These runs have no points of this curve.",
                       "Choose another curve, or runs that have begun.")
    return page_file(studio.settings, f"{metric}-by-{by}.csv", points_csv(
        curves, {run.name: run.about.title for run in chosen.runs}, metric, by))
