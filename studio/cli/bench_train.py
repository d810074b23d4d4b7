"""`bench train`: training through the studio beside a plain TRL script."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from studio.cli import show
from studio.cli.common import AsJson, Home, Offline, open_settings, report
from studio.cli.show import console
from studio.files import readable_bytes

verbs = typer.Typer()

Quick = Annotated[bool, typer.Option("--quick", help="Six steps, one round: some minutes.")]


@verbs.command()
def train(quick: Quick = False, home: Home = None, offline: Offline = False,
          as_json: AsJson = False) -> None:
    """The starter model through the studio and through a plain TRL script, in turn."""
    settings = open_settings(home, offline)

    def work() -> dict[str, Any]:
        from studio.bench.train import run_train_bench

        with show.bar() as progress:
            return run_train_bench(settings, quick=quick, progress=progress).as_json()

    report(as_json, work, _show)


def _show(found: dict[str, Any]) -> None:
    console.print(found["machine"])
    show.table(
        f"At most {found['steps']} steps, medians of {len(found['ways'][0]['rounds'])}",
        ("Way", "Tokens/s", "Seconds a step", "Peak memory", "To its first step", "To its end"), [
            (way["name"], f"{way['tokens_per_second']:.0f}", f"{way['seconds_per_step']:.2f}",
             readable_bytes(way["peak_bytes"]), f"{way['start_seconds']:.1f} s",
             f"{way['first_step_seconds']:.1f} s")
            for way in found["ways"]])
    for sentence in found["choices"]:
        console.print(f"The studio: {sentence}")
    console.print(
        f"Studio by plain TRL at its defaults: {found['tokens_per_second_ratio']:.2f} times the "
        f"tokens per second, {found['peak_memory_ratio']:.2f} of the memory, "
        f"{found['startup_ratio']:.2f} of the time from the start of the process to the first "
        "step.")
    _show_page(found)


def _show_page(found: dict[str, Any]) -> None:
    page = found["page"]
    if page["why_not"]:
        console.print(page["why_not"])
        return
    console.print(
        f"From pressing Start to the first step: {page['pressing_start_seconds']:.1f} s "
        f"({found['pressing_start_ratio']:.2f} of the plain script's start), and again with the "
        f"model kept: {page['pressing_start_again_seconds']:.1f} s "
        f"({found['pressing_start_again_ratio']:.2f}).")
    console.print(
        f"While it trains, a tab or a slider is repainted after {page['page_answer_ms']:.0f} ms "
        f"(the slowest of {len(page['tab_switch_ms']) + len(page['slider_ms'])}: "
        f"{page['page_answer_worst_ms']:.0f} ms).")
    if page["studio_overhead"] is not None:
        console.print(
            f"Events, telemetry, and an open page with its browser cost the training "
            f"{page['studio_overhead']:.1%}; without the page it is {page['own_overhead']:.1%}.")
