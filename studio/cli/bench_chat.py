"""`bench chat`: columns in one batch beside the same in turn, and beside plain `generate`."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from studio.cli import show
from studio.cli.common import AsJson, Home, Offline, open_settings, report
from studio.cli.show import console
from studio.files import readable_bytes

verbs = typer.Typer()

Quick = Annotated[bool, typer.Option("--quick", help="Short answers, two rounds: a minute.")]


@verbs.command()
def chat(quick: Quick = False, home: Home = None, offline: Offline = False,
         as_json: AsJson = False) -> None:
    """Four columns of the chat in one batch, in turn, and plain generate. Takes five minutes."""
    settings = open_settings(home, offline)

    def work() -> dict[str, Any]:
        from studio.bench.chat import run_chat_bench

        with show.bar() as progress:
            return run_chat_bench(settings, quick=quick, progress=progress).as_json()

    report(as_json, work, _show)


def _show(found: dict[str, Any]) -> None:
    console.print(found["machine"])
    show.table(
        f"Answers of {found['tokens']} tokens in {found['dtype']}, medians of "
        "all answers",
        ("Way", "Answers", "Tokens/s, all columns", "To the first token"), [
            (way["name"], str(len(way["answers"])), f"{way['tokens_per_second']:.1f}",
             f"{way['first_token_seconds']:.2f} s") for way in found["ways"]])
    show.table("Memory beyond the libraries", ("Process", "While loading", "While answering"), [
        (one["name"], readable_bytes(one["loading_bytes"]), readable_bytes(one["answering_bytes"]))
        for one in found["memory"]])
    console.print(
        f"The base and {found['columns'] - 1} adapters in one batch: "
        f"{found['batched_over_sequential']:.2f} times the tokens per second of the same in turn, "
        f"in {found['memory_ratio']:.2f} times the memory of one copy of them.")
    console.print(
        f"One column streaming: {found['single_over_generate']:.2f} times the tokens per second "
        "of plain generate.")
