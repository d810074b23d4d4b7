"""`estimate`: the memory of training, chat, merging or a GGUF, and where each number comes from."""

from __future__ import annotations

import re
import textwrap
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from studio.cli import show
from studio.cli.common import (
    AsJson,
    Changes,
    Home,
    Offline,
    RecipeFile,
    open_settings,
    read_recipe,
    recipe_shape,
    report,
)
from studio.cli.show import console
from studio.files import readable_bytes
from studio.models.gguf_mixture import GgufType

if TYPE_CHECKING:
    from studio.models.shape import ModelShape
    from studio.recipe import Recipe
    from studio.settings import Settings

verbs = typer.Typer()
Job = Literal["train", "chat", "merge", "gguf"]
WIDTH = 78
"""Columns of an explanation: it fits a terminal of 80."""
ANSWER_TOKENS = 256
_UNBROKEN = "\u00a0"

ForJob = Annotated[Job, typer.Option("--for", help="What to estimate.")]
Explain = Annotated[bool, typer.Option(
    "--explain", help="Print the formula of every part, with this recipe's figures in it.")]
Simulate = Annotated[bool, typer.Option(
    "--simulate", help="Also run one step on PyTorch's meta device, without weights, and compare.")]
Columns = Annotated[int, typer.Option(
    "--columns", min=1, help="For chat: answers at once, one of them the base's.")]
Context = Annotated[int | None, typer.Option(
    "--context", min=1, help="For chat: tokens of the longest conversation. Default: the recipe's "
                             f"longest example and {ANSWER_TOKENS}.")]
OutType = Annotated[GgufType, typer.Option(
    "--type", help="For gguf: how each weight is stored.")]


@verbs.command()
def estimate(
    recipe: RecipeFile, job: ForJob = "train", explain: Explain = False,
    simulate: Simulate = False, columns: Columns = 2, context: Context = None,
    outtype: OutType = "q8_0", changes: Changes = None, home: Home = None,
    offline: Offline = False, as_json: AsJson = False,
) -> None:
    """Estimate the memory that a recipe needs, part by part."""
    settings = open_settings(home, offline)
    if simulate and job != "train":
        raise typer.BadParameter("--simulate is for training only.")

    def work() -> dict[str, Any]:
        chosen = read_recipe(recipe, changes)
        shape = recipe_shape(chosen, settings)
        if job == "train":
            return _of_training(chosen, shape, settings, simulate)
        return _of_job(job, chosen, shape, settings, columns, context, outtype)

    report(as_json, work, lambda found: _show(found, explain))


def _of_training(
    recipe: Recipe, shape: ModelShape, settings: Settings, simulate: bool
) -> dict[str, Any]:
    from studio.device import pick_device
    from studio.hardware.calibration import calibrated, calibration_dict
    from studio.hardware.free_now import compare, free_now
    from studio.hardware.memory import estimate as estimate_memory
    from studio.hardware.part_words import assumptions

    device = calibrated(pick_device(), settings)
    free = free_now(device)
    found = estimate_memory(recipe, shape, device, free_bytes=free.free_bytes)
    told = {"job": "train", **found.to_dict(free.free_bytes), "advice": compare(found, free).text,
            "assumptions": list(assumptions(recipe, device, found)),
            "calibration": calibration_dict(device.calibration)}
    if simulate:
        from studio.hardware.simulate.simulation import simulate_recipe

        with show.bar() as progress:
            progress(show.Step("Simulating one step on the meta device"))
            simulated = simulate_recipe(recipe, settings, device, free_bytes=free.free_bytes)
        told["simulated"] = _simulated_dict(found, simulated)
    return told


def _simulated_dict(found: Any, simulated: Any) -> dict[str, Any]:
    from studio.hardware.simulate.result import difference

    return {
        "peak_bytes": simulated.peak_bytes, "parts": dict(simulated.parts),
        "moment": simulated.moment, "seconds": simulated.seconds,
        "differences": [{"part": row.name, "estimated_bytes": row.estimated_bytes,
                         "simulated_bytes": row.simulated_bytes}
                        for row in difference(found, simulated)],
    }


def _of_job(
    job: Job, recipe: Recipe, shape: ModelShape, settings: Settings, columns: int,
    context: int | None, outtype: str,
) -> dict[str, Any]:
    from studio.device import pick_device
    from studio.files import free_bytes
    from studio.hardware.chat_memory import estimate_chat
    from studio.hardware.export_memory import estimate_gguf
    from studio.hardware.free_now import free_now
    from studio.hardware.merge_memory import estimate_merge
    from studio.main_memory import read_main_memory

    if job == "chat":
        device = pick_device()
        has_adapter = not recipe.adapter.trains_base
        found = estimate_chat(
            recipe.model, shape, device, columns=columns,
            adapters=[recipe.adapter] * (columns - 1 if has_adapter else 0),
            context_tokens=context or recipe.data.max_length + ANSWER_TOKENS)
        free = free_now(device).free_bytes
    else:
        found = (estimate_merge(shape, recipe.adapter) if job == "merge"
                 else estimate_gguf(shape, outtype))
        free = read_main_memory().available_bytes
    return found.to_dict(free, free_bytes(settings.exports))


def _show(found: dict[str, Any], explain: bool) -> None:
    if explain:
        _explain(found)
    else:
        _show_table(found)
    if found.get("disk"):
        fits = "" if found["disk_fits"] else ": too little"
        console.print(f"On disk about {readable_bytes(found['disk_bytes'])}, "
                      f"{readable_bytes(found['disk_free_bytes'])} are free{fits}.")
    console.print(show.escape(found.get("advice") or found["verdict"]))
    if found.get("calibration"):
        console.print(show.escape(found["calibration"]["sentence"]))
    if "simulated" in found:
        _show_simulated(found)


def _show_table(found: dict[str, Any]) -> None:
    from studio.hardware.part_words import words

    show.table("Memory", ("Part", "Size"),
               [(words(name, found["job"]), readable_bytes(size))
                for name, size in found["parts"].items()])
    console.print(_together(found))


def _together(found: dict[str, Any]) -> str:
    return (f"Together about {readable_bytes(found['total_bytes'])} (between "
            f"{readable_bytes(found['low_bytes'])} and {readable_bytes(found['high_bytes'])}).")


def _explain(found: dict[str, Any]) -> None:
    from studio.hardware.part_words import words

    for name, size in found["parts"].items():
        _part(words(name, found["job"]), size, found["formulas"][name])
    for name, size in found.get("disk", {}).items():
        _part(f"On disk: {words(name, found['job'])}", size, found["disk_formulas"][name])
    _say(_together(found))
    _say(f"The peak is at this moment: {found['moment']}.")
    _say(f"The range: {found['basis']}")
    _say("Taken for granted:")
    for line in found["assumptions"]:
        _say(f"- {line}", indent="  ")


def _part(title: str, size: int, formula: str) -> None:
    amount = readable_bytes(size)
    console.print(show.escape(f"{title:<{WIDTH - len(amount)}}{amount}"), style="bold")
    _say(formula, indent="  ")


def _say(text: str, indent: str = "") -> None:
    """A paragraph that fits a terminal; a number stays on one line with its unit."""
    hanging = indent + ("  " if text.startswith("- ") else "")
    whole = re.sub(r"(\d) (?=[KMGT]?B\b)", rf"\1{_UNBROKEN}", text)
    filled = textwrap.fill(whole, WIDTH, initial_indent=indent, subsequent_indent=hanging)
    console.print(show.escape(filled.replace(_UNBROKEN, " ")), soft_wrap=True)


def _show_simulated(found: dict[str, Any]) -> None:
    from studio.hardware.part_words import words

    seen = found["simulated"]
    _say(f"Simulated: {readable_bytes(seen['peak_bytes'])} of tensors at the peak, during "
         f"{seen['moment']}; by formulas {readable_bytes(found['allocated_bytes'])}. Libraries and "
         "the allocator's gaps come on top of both.")
    if not seen["differences"]:
        _say("No part differs by more than 5 % of the peak.")
        return
    show.table("Where they differ by more than 5 % of the peak",
               ("Part", "By formulas", "Simulated"),
               [(words(row["part"]), readable_bytes(row["estimated_bytes"]),
                 readable_bytes(row["simulated_bytes"])) for row in seen["differences"]])
