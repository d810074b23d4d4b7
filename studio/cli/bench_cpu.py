"""`bench cpu-memory`: real training steps on this processor beside the memory estimate."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from studio.cli import show
from studio.cli.common import AsJson, Home, Offline, open_settings, report
from studio.cli.show import console

verbs = typer.Typer()

Quick = Annotated[bool, typer.Option("--quick", help="Four small models instead of all.")]
_MOMENTS = ("loading the base model", "forward pass", "backward pass", "optimizer step")


@verbs.command("cpu-memory")
def cpu_memory(quick: Quick = False, home: Home = None, offline: Offline = False,
               as_json: AsJson = False) -> None:
    """The memory estimate beside real training steps on this PC's processor. Takes minutes."""
    settings = open_settings(home, offline)

    def work() -> dict[str, Any]:
        from studio.bench.cpu_grid import run_grid

        with show.bar() as progress:
            return run_grid(settings, progress=progress, quick=quick).to_dict()

    report(as_json, work, _show)


def _show(found: dict[str, Any]) -> None:
    console.print(found["machine"])
    show.table("Peak of two training steps, MB", (
        "Model", "Examples", "Training", "Estimated", "Measured", "Error"), [
        (*_named(row), _megabytes(row["estimated_bytes"]), _megabytes(row["measured_bytes"]),
         f"{row['error_percent']:+.1f} %") for row in found["rows"]])
    show.table("Measured by moment, MB", (
        "Model", "Examples", "Training", "Loading", "Forward", "Backward", "Update"), [
        (*_named(row), *(_megabytes(_peak(row["peaks"], moment)) for moment in _MOMENTS))
        for row in found["rows"]])
    show.table("Absolute percentage error", ("Group", "Rows", "Median", "90th percentile"), [
        (line["group"], str(line["rows"]), f"{line['median_ape']:.1f} %",
         f"{line['p90_ape']:.1f} %")
        for line in [*found["groups"], {**found, "group": "all", "rows": len(found["rows"])}]])


def _named(row: dict[str, Any]) -> tuple[str, str, str]:
    return row["family"], f"{row['batch']} x {row['length']}", row["what"]


def _megabytes(size: int) -> str:
    return f"{size / 1e6:,.0f}"


def _peak(peaks: dict[str, int], moment: str) -> int:
    """The highest of all steps."""
    return max((peak for name, peak in peaks.items() if name.startswith(moment)), default=0)
