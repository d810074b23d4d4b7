"""`compare` lays runs over one another in a terminal; `note` writes down what one was about."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from studio.cli import show
from studio.cli.common import AsJson, Home, finite, open_settings, report
from studio.cli.show import console
from studio.files import disk_errors_told, readable_bytes, write_text_safely

if TYPE_CHECKING:
    from studio.runs import Run

verbs = typer.Typer()
Points = tuple[list[float], list[float]]


@verbs.command()
def compare(
    runs: Annotated[list[str], typer.Argument(metavar="RUN...", help="Names of runs.")],
    metric: Annotated[str | None, typer.Option("--metric", metavar="NAME", help="A curve too: "
                      "loss, eval_loss, perplexity, learning_rate, grad_norm, tokens_per_second, "
                      "score, forgetting, gpu_memory, gpu_load, memory, cpu_load; or what the "
                      "method measures: margin, accuracy, reward, eval_reward and more.")] = None,
    by: Annotated[Literal["step", "token", "time"], typer.Option(
        "--by", help="What the curve runs along.")] = "step",
    csv: Annotated[Path | None, typer.Option("--csv", metavar="FILE", help="Write the points of "
                                             "the curve (loss if none is named) here.")] = None,
    home: Home = None, as_json: AsJson = False,
) -> None:
    """Show runs beside one another: figures, the settings that differ, a curve."""
    settings = open_settings(home)

    def work() -> dict[str, Any]:
        from studio.comparison import differences, points_csv, summary
        from studio.hardware.telemetry import read_telemetry
        from studio.runs import open_run

        found = [open_run(settings, name) for name in dict.fromkeys(runs)]
        wanted = metric or ("loss" if csv else None)
        curves = {run.name: _points(run, wanted, by) for run in found} if wanted else {}
        if csv and wanted:
            titles = {run.name: run.about.title for run in found}
            with disk_errors_told(csv, "The file of points"):
                write_text_safely(csv, points_csv(curves, titles, wanted, by))
        return {
            "runs": [{**summary(run.story(), read_telemetry(run.path).read()).to_dict(),
                      "title": run.about.title, "note": run.about.note} for run in found],
            "differences": [vars(row) for row in differences(
                {run.name: run.readable_recipe for run in found},
                {run.name: run.story().adapted for run in found})],
            "metric": wanted, "by": by,
            "curves": {name: {"x": x, "y": [finite(value) for value in y]}
                       for name, (x, y) in curves.items()},
            "csv": str(csv) if csv else None,
        }

    report(as_json, work, _show)


def _points(run: Run, metric: str, by: Literal["step", "token", "time"]) -> Points:
    from studio.comparison import series
    from studio.hardware.telemetry import read_telemetry

    return series(run.story(), read_telemetry(run.path).read(), metric, by)


def _show(found: dict[str, Any]) -> None:
    names = [run["name"] for run in found["runs"]]
    show.table("Runs", ("", *names), [
        (label, *(cell(run) for run in found["runs"])) for label, cell in _FIGURES])
    if len(names) > 1 and found["differences"]:
        show.table("What differs", ("Setting", *names), [
            (row["key"], *(row["values"][name] for name in names))
            for row in found["differences"]])
    elif len(names) > 1:
        console.print("These runs have the same settings.")
    if found["metric"]:
        _show_curves(found, names)
    if found["csv"]:
        console.print(f"Points: {show.escape(found['csv'])}", soft_wrap=True)


def _show_curves(found: dict[str, Any], names: list[str]) -> None:
    ys = {name: [y for y in found["curves"][name]["y"] if y is not None] for name in names}
    rows: list[tuple[str, Callable[[list[float]], float]]] = [
        ("points", len), ("first", lambda y: y[0]), ("last", lambda y: y[-1]),
        ("lowest", min), ("highest", max)]
    show.table(f"{found['metric']} by {found['by']}", ("", *names), [
        (label, *(f"{take(ys[name]):.6g}" if ys[name] else "" for name in names))
        for label, take in rows])


def _number(value: float | None, shape: str = ".4f") -> str:
    return "" if value is None else format(value, shape)


def _bytes(count: int | None) -> str:
    return "" if count is None else readable_bytes(count)


_FIGURES = (
    ("title", lambda run: run["title"]),
    ("state", lambda run: run["state"]),
    ("steps", lambda run: f"{run['step']} of {run['total_steps']}"),
    ("first loss", lambda run: _number(run["first_loss"])),
    ("last loss", lambda run: _number(run["last_loss"])),
    ("best held-out loss", lambda run: "" if run["best"] is None else
     f"{run['best']['loss']:.4f} at step {run['best']['step']}"),
    ("score", lambda run: _number(run["score"], ".1%")),
    ("time", lambda run: show.duration(run["elapsed_seconds"])),
    ("tokens/s", lambda run: _number(run["tokens_per_second"], ",.0f")),
    ("GPU memory, peak", lambda run: _bytes(run["peak_gpu_bytes"])),
    ("memory, peak", lambda run: _bytes(run["peak_rss_bytes"])),
)


@verbs.command()
def note(
    name: Annotated[str, typer.Argument(metavar="NAME", help="A run.")],
    text: Annotated[str | None, typer.Argument(
        metavar="[TEXT]", help="What to note; '' clears it.", show_default=False)] = None,
    title: Annotated[str | None, typer.Option(
        "--title", metavar="TEXT", help="A title, shown instead of the run's name.")] = None,
    home: Home = None, as_json: AsJson = False,
) -> None:
    """Give a run a note or a title of your own; without either, show them."""
    settings = open_settings(home)

    def work() -> dict[str, Any]:
        from studio.runs import open_run

        run = open_run(settings, name)
        about = run.about if text is None and title is None else run.set_about(
            title=title, note=text)
        return {"run": run.name, "title": about.title, "note": about.note}

    report(as_json, work, _show_note)


def _show_note(found: dict[str, Any]) -> None:
    title = f": {found['title']}" if found["title"] else ""
    console.print(show.escape(f"{found['run']}{title}"))
    if found["note"]:
        console.print(show.escape(found["note"]), soft_wrap=True)
