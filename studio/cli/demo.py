"""`demo`: the main job without a page, with a table of what was measured at the end."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from studio.cli import show
from studio.cli.common import AsJson, Home, Offline, open_settings, report
from studio.cli.show import console
from studio.cli.training import follow
from studio.demo import Demo
from studio.files import readable_bytes

verbs = typer.Typer()
Steps = Annotated[int, typer.Option("--steps", min=0, help="Optimizer steps to train. 0: as "
                                    "many as the starter recipe says.")]


@verbs.command()
def demo(steps: Steps = 0, home: Home = None, offline: Offline = False,
         as_json: AsJson = False) -> None:
    """Do the whole job once: data, memory, training, score, chat, merge, GGUF, llama.cpp."""
    settings = open_settings(home, offline)

    def work() -> dict[str, Any]:
        with show.bar() as progress:
            job = Demo(settings, progress, lambda jobs, run: follow(jobs, run, progress),
                       max_steps=steps)
            return job.run().to_dict()

    report(as_json, work, _show_demo)


def _show_demo(found: dict[str, Any]) -> None:
    console.print(f"Question: {show.escape(found['question'])}", soft_wrap=True)
    show.table("Answers", ("Who", "Answer"), found["answers"].items())
    show.table("Measured", ("What", "Value"),
               [(name, _value(name, value)) for name, value in found["measured"].items()])
    show.table("Time", ("Step", "Took"),
               [(name, show.duration(took)) for name, took in found["seconds"].items()])
    show.table("Files", ("What", "Where"), found["files"].items())


def _value(name: str, value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if value is None:
        return "unknown"
    if name.endswith("bytes"):
        return readable_bytes(value)
    if name.endswith("seconds"):
        return show.duration(value)
    if name.endswith("percent"):
        return f"{value:.1f} %"
    return f"{value:,.4f}" if isinstance(value, float) else f"{value:,}" if isinstance(
        value, int) else str(value)
