"""`dryrun`: two real steps of a recipe, measured beside the estimate; and this PC's calibration."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from studio.cli import show
from studio.cli.common import (
    AsJson,
    Changes,
    Home,
    Offline,
    open_settings,
    read_recipe,
    report,
)
from studio.cli.show import console
from studio.errors import RecipeError
from studio.files import readable_bytes
from studio.recipe.method_words import method_words
from studio.settings import Settings

verbs = typer.Typer()
Wanted = Annotated[
    str | None, typer.Argument(metavar="RECIPE", help="A recipe file (YAML), or 'starter'.")
]
Reset = Annotated[bool, typer.Option("--reset-calibration", help="Forget what earlier dry runs "
                                     "measured on this PC. Needs no recipe.")]


@verbs.command()
def dryrun(recipe: Wanted = None, changes: Changes = None, reset: Reset = False,
           home: Home = None, offline: Offline = False, as_json: AsJson = False) -> None:
    """Measure two steps on the longest examples beside the estimate. Trains and saves nothing."""
    settings = open_settings(home, offline)

    def work() -> dict[str, Any]:
        from studio.hardware.calibration import reset_calibration

        found: dict[str, Any] = {"was_reset": reset_calibration(settings)} if reset else {}
        if recipe is not None:
            found |= _measure(recipe, changes, settings)
        elif not reset:
            raise RecipeError("No recipe is given.", "Name a recipe file, or 'starter'.")
        return found

    report(as_json, work, _show)


def _measure(recipe: str, changes: list[str] | None, settings: Settings) -> dict[str, Any]:
    from studio.device import pick_device
    from studio.hardware.calibration import calibrated, calibration_dict
    from studio.training.dry_run import dry_run

    chosen = read_recipe(recipe, changes)
    with show.bar() as progress:
        found = dry_run(chosen, settings, progress=progress)
    return {**found.to_dict(),
            "calibration": calibration_dict(calibrated(pick_device(), settings).calibration)}


def _show(found: dict[str, Any]) -> None:
    if "was_reset" in found:
        console.print("The calibration of this PC is forgotten." if found["was_reset"]
                      else "There was no calibration to forget.")
    if "parts" in found:
        _show_measured(found)


def _show_measured(found: dict[str, Any]) -> None:
    rows = [(part["name"], readable_bytes(part["estimated_bytes"]), _size(part["measured_bytes"]))
            for part in found["parts"]]
    total = ("together", readable_bytes(found["estimated_bytes"]), _size(found["measured_bytes"]))
    show.table(f"Memory on {found['device']}", ("Part", "Estimated", "Measured"), [*rows, total])
    console.print(f"{found['sentence']} {found['sentence_before_steps']}".rstrip())
    if found["ran_out"] is None:
        examples = method_words(found["method"]).counted(found["batch"])
        console.print(f"The longest micro-batch: {examples}, {found['tokens']:,} tokens; "
                      f"{found['seconds_per_step']:.1f} s per optimizer step.")
        console.print(f"The whole run, {found['total_steps']:,} steps: about "
                      f"{show.duration(found['seconds_about'])}, at most "
                      f"{show.duration(found['seconds_at_most'])}, without evaluations.")
    if found["calibration"]:
        console.print(show.escape(found["calibration"]["sentence"]))


def _size(count: int | None) -> str:
    return "not known" if count is None else readable_bytes(count)
