"""`bench`: what the studio claims, measured here, beside its peers."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from studio.cli import bench_chat, bench_cpu, bench_data, bench_merge, bench_train, show
from studio.cli.common import AsJson, report
from studio.cli.show import console

bench = typer.Typer(help="Measure what the studio claims, beside what others do.",
                    no_args_is_help=True)

bench.registered_commands += bench_chat.verbs.registered_commands
bench.registered_commands += bench_cpu.verbs.registered_commands
bench.registered_commands += bench_data.verbs.registered_commands
bench.registered_commands += bench_merge.verbs.registered_commands
bench.registered_commands += bench_train.verbs.registered_commands

Rows = Annotated[Path | None, typer.Option(
    "--rows", metavar="FILE.csv", help="Measurements to compare with, instead of those that come "
    "with the studio; the same columns.")]
Configs = Annotated[Path | None, typer.Option(
    "--configs", metavar="FILE.json", help="The models' configurations for --rows.")]
Simulated = Annotated[bool, typer.Option(
    "--simulated/--no-simulated", help="Also simulate each run's step: seconds per model.")]
EveryRun = Annotated[bool, typer.Option("--every-run", help="Print each run, not only sources.")]


@bench.command()
def memory(rows: Rows = None, configs: Configs = None, simulated: Simulated = True,
           every_run: EveryRun = False, as_json: AsJson = False) -> None:
    """The memory estimate beside published measurements of real GPUs."""

    def work() -> dict[str, Any]:
        from studio.bench.memory import compare, summary
        from studio.bench.rows import CONFIGS_FILE, ROWS_FILE, read_runs
        from studio.bench.simulated import simulated_bytes

        runs = read_runs(rows or ROWS_FILE, configs or CONFIGS_FILE)
        with show.bar() as progress:
            return summary(compare(runs, simulated_bytes if simulated else None,
                                   progress=progress))

    report(as_json, work, lambda found: _show_memory(found, every_run=every_run))


def _show_memory(found: dict[str, Any], *, every_run: bool) -> None:
    ways = [way for way in ("analytic", "simulated", "tutorial") if way in found]
    if every_run:
        show.table("Published runs, GiB", ("Run", "Model", "Counter", "Measured", *ways), [
            (run["id"], run["model"].split("/")[-1], run["counter"], f"{run['measured_gib']:.2f}",
             *(f"{run[f'{way}_gib']:.2f}" for way in ways)) for run in found["runs"]])
    lines = [*found["sources"], {**found, "source": "all"}]
    show.table("Absolute percentage error: median / 90th percentile", ("Source", "Runs", *ways), [
        (line["source"], str(line["rows"]), *(_errors(line[way]) for way in ways))
        for line in lines])
    if found["not_simulated"]:
        console.print(f"{len(found['not_simulated'])} models cannot be simulated; there the "
                      "formulas stand in.")
    console.print("tutorial: 16 bytes a parameter for full tuning, 2 for LoRA, half a byte for "
                  "QLoRA, and 0.5 GB for an adapter.")


def _errors(accuracy: dict[str, float]) -> str:
    return f"{accuracy['median_ape']:.1f} / {accuracy['p90_ape']:.1f}"
