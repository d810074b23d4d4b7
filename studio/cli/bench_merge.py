"""`bench merge`: merging through the studio beside PEFT's `merge_and_unload`."""

from __future__ import annotations

import statistics
from typing import Annotated, Any

import typer

from studio.cli import show
from studio.cli.common import AsJson, Home, Offline, open_settings, report
from studio.cli.show import console
from studio.files import readable_bytes

verbs = typer.Typer()

Quick = Annotated[bool, typer.Option("--quick", help="Two rounds, a smaller model: a minute.")]


@verbs.command()
def merge(quick: Quick = False, home: Home = None, offline: Offline = False,
          as_json: AsJson = False) -> None:
    """Merge the starter as PEFT does, and a model of 3 GB. Takes three minutes, 7 GB of disk."""
    settings = open_settings(home, offline)

    def work() -> dict[str, Any]:
        from studio.bench.merge import run_merge_bench

        with show.bar() as progress:
            return run_merge_bench(settings, quick=quick, progress=progress).as_json()

    report(as_json, work, _show)


def _show(found: dict[str, Any]) -> None:
    console.print(found["machine"])
    ways = (("The studio", found["studio_seconds"]), ("PEFT's merge_and_unload",
                                                      found["plain_seconds"]))
    show.table(f"The starter, from the start of the process to its end, {len(ways[0][1])} rounds",
               ("Way", "Median", "Fastest", "Slowest"), [
                   (name, *(f"{one:.1f} s" for one in (statistics.median(seconds), min(seconds),
                                                       max(seconds))))
                   for name, seconds in ways])
    show.table(f"A model of {readable_bytes(found['model_bytes'])}: memory beyond the libraries",
               ("Adapter", "Peak", "Largest file", "Adapter's file"), [
                   (peak["name"], *(readable_bytes(peak[key]) for key in (
                       "growth_bytes", "largest_shard_bytes", "adapter_bytes")))
                   for peak in found["peaks"]])
    same = "the same to the bit" if found["equal"] else "NOT the same"
    console.print(f"Both merges are {same}; the studio's takes {found['time_ratio']:.2f} of the "
                  f"time, and at most {found['peak_over_largest_shard']:.2f} of the memory of the "
                  "largest file and the adapter.")
