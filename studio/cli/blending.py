"""`blend`: several LoRA adapters of one base become one; without a name, what was blended."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from studio.adapters.blend.methods import METHODS, Mix
from studio.cli import show
from studio.cli.common import AsJson, Home, open_settings, report
from studio.cli.models import named_folder, with_number
from studio.cli.show import console
from studio.errors import ModelError
from studio.files import folder_bytes, readable_bytes
from studio.settings import Settings

verbs = typer.Typer()
_NEEDS_DENSITY = ", ".join(name for name, method in METHODS.items() if method.prunes)


@verbs.command()
def blend(
    name: Annotated[str | None, typer.Argument(
        metavar="NAME", help="What to call it.", show_default=False)] = None,
    of: Annotated[list[str] | None, typer.Option(
        "--of", metavar="RUN[:WEIGHT]", help="A run, a checkpoint, an earlier blend, or an "
        "adapter folder, and how much of it: 1 if left out, below 0 takes it away. Can be given "
        "several times.")] = None,
    method: Annotated[str, typer.Option(
        "--method", help=f"How to mix: {', '.join(METHODS)}.")] = Mix().method,
    density: Annotated[float | None, typer.Option(
        "--density", help="The share of numbers to keep, above 0 and up to 1. Default: half. "
        f"For {_NEEDS_DENSITY}.", show_default=False)] = None,
    rank: Annotated[int | None, typer.Option(
        "--rank", help="Rank of the blend, for svd and those that end so. Default: that of its "
        "largest parent.", show_default=False)] = None,
    seed: Annotated[int, typer.Option(
        "--seed", min=0, help="Of what dare draws; the same seed gives the same blend.")] = 0,
    home: Home = None, as_json: AsJson = False,
) -> None:
    """Mix adapters with weights into a new one; without a name, list the blends."""
    settings = open_settings(home)
    if name is None:
        if of:
            raise ModelError("The blend has no name.", "Write: launch.py blend NAME --of RUN:0.5")
        report(as_json, lambda: _listed(settings), _show_list)
        return
    mix = Mix(method, density, rank, seed)
    report(as_json, lambda: _made(name, of or [], mix, settings), _show_made)


def _made(name: str, of: list[str], mix: Mix, settings: Settings) -> dict[str, Any]:
    from studio.adapters.blend import Part
    from studio.adapters.blend import blend as blend_adapters

    parts = [Part(named_folder(given, settings), weight)
             for given, weight in (with_number(text, settings, "weight") for text in of)]
    with show.bar() as progress:
        made = blend_adapters(name, parts, mix, settings, progress=progress)
    return {**made.to_dict(), "words": made.words, "bytes": folder_bytes(made.path)}


def _listed(settings: Settings) -> dict[str, Any]:
    from studio.adapters.blend import list_blends

    return {"blends": [{**found.to_dict(), "words": found.words}
                       for found in list_blends(settings)]}


def _show_made(made: dict[str, Any]) -> None:
    console.print(f"Blend: {show.escape(made['path'])} ({readable_bytes(made['bytes'])})",
                  soft_wrap=True)
    console.print(f"It is {show.escape(made['words'])}, rank {made['rank']}.", soft_wrap=True)
    for note in made["notes"]:
        console.print(show.escape(note), soft_wrap=True)
    console.print(f"Try it with: launch.py chat {made['name']}")


def _show_list(found: dict[str, Any]) -> None:
    if not found["blends"]:
        console.print("There are no blends yet. Make one with: "
                      "launch.py blend NAME --of RUN:0.5 --of RUN:0.5")
        return
    show.table("Blends", ("Name", "Made of", "Rank"), (
        (one["name"], one["words"], str(one["rank"] or "")) for one in found["blends"]))
