"""`bench data`: the data lab beside plain `datasets.map`, and on large files."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from studio.cli import show
from studio.cli.common import AsJson, Home, Offline, open_settings, report
from studio.cli.show import console
from studio.files import readable_bytes

verbs = typer.Typer()

Quick = Annotated[bool, typer.Option("--quick", help="Small files, one round: a minute.")]


@verbs.command()
def data(quick: Quick = False, home: Home = None, offline: Offline = False,
         as_json: AsJson = False) -> None:
    """Reading, checking and tokenising beside plain `datasets.map`. Takes about twenty minutes."""
    settings = open_settings(home, offline)

    def work() -> dict[str, Any]:
        from studio.bench.data import run_data_bench

        with show.bar() as progress:
            return run_data_bench(settings, quick=quick, progress=progress).as_json()

    report(as_json, work, _show)


def _show(found: dict[str, Any]) -> None:
    console.print(found["machine"])
    show.table(
        f"{found['rows']:,} conversations, {readable_bytes(found['bytes'])}",
        ("Way", "Seconds, each round", "Rows per second"), [
            (one["way"], " ".join(f"{seconds:.1f}" for seconds in one["seconds"]),
             f"{one['rows_per_second']:,.0f}") for one in found["speeds"]])
    console.print(
        f"The lab reads, checks, renders and tokenises at {found['rows_per_second_ratio']:.2f} "
        "times the rows per second of datasets.map on the same cores, which only renders and "
        f"tokenises; {found['rows_per_second_ratio_one_process']:.2f} times those of one process.")
    console.print(
        f"First rows of {found['large_rows']:,} ("
        f"{readable_bytes(found['first_page_file_bytes'])}): {found['first_page_seconds']:.2f} s. "
        f"The whole of {found['large_rows']:,} ({readable_bytes(found['large_bytes'])}): "
        f"{found['large_seconds']:,.0f} s.")
    console.print(
        f"Peak memory: {readable_bytes(found['small_peak_bytes'])} for {found['small_rows']:,} "
        f"rows, {readable_bytes(found['large_peak_bytes'])} for {found['large_rows']:,}: "
        f"{found['memory_ratio']:.2f} times.")
