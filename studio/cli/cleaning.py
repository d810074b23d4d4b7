"""`clean`: a cleaned copy of training data, with a record of what was done."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from studio.cli import show
from studio.cli.common import AsJson, Changes, Home, Offline, open_settings, report
from studio.cli.data import DataSource, OfRecipe, Split, recipe_for, tokenizer_of
from studio.cli.show import console
from studio.errors import DataError

verbs = typer.Typer()

Out = Annotated[Path, typer.Option(
    "--out", metavar="FOLDER", help="Where the cleaned files go. Default: the current folder.")]
Drop = Annotated[list[str] | None, typer.Option(
    "--drop", metavar="FINDING", help="Leave out the rows of a finding, such as exact_duplicates. "
    "Can be given several times.")]
Fix = Annotated[list[str] | None, typer.Option(
    "--fix", metavar="FINDING", help="Mend the rows of a finding, such as role_order.")]
Mask = Annotated[list[str] | None, typer.Option(
    "--mask", metavar="FINDING", help="Hide what was found, such as personal_data.")]


@verbs.command()
def clean(
    file: DataSource, out: Out = Path(), drop: Drop = None, fix: Fix = None, mask: Mask = None,
    recipe: OfRecipe = None, changes: Changes = None, home: Home = None, offline: Offline = False,
    as_json: AsJson = False, split: Split = "train",
) -> None:
    """Write a cleaned copy of training data, and a record of what was done; never overwrites."""
    settings = open_settings(home, offline)

    def work() -> dict[str, Any]:
        from studio.data.checks.findings import find_all
        from studio.data.cleaning import clean as write_cleaned
        from studio.data.lab.look import open_whole

        choices = _choices(drop, fix, mask)
        chosen = recipe_for(file, recipe, changes, split)
        with show.bar() as progress:
            whole = open_whole(chosen.taught_data, settings, tokenizer_of(chosen, settings),
                               progress=progress)
            made = write_cleaned(whole, find_all(whole), choices, out.absolute(),
                                 progress=progress)
        return made.as_json()

    report(as_json, work, _show)


def _choices(
    drop: list[str] | None, fix: list[str] | None, mask: list[str] | None
) -> dict[str, Any]:
    """Finding -> remedy. Raises DataError where nothing, or two things, are asked of one."""
    asked = [(key, remedy) for remedy, keys in (("drop", drop), ("fix", fix), ("mask", mask))
             for key in keys or ()]
    twice = {key for key, _ in asked if sum(other == key for other, _ in asked) > 1}
    if twice:
        raise DataError(f"{', '.join(sorted(twice))} is named more than once.",
                        "Choose one of --drop, --fix and --mask for it.")
    if not asked:
        raise DataError("Nothing was chosen to clean.",
                        "Name findings that `inspect` lists: --drop exact_duplicates.")
    return dict(asked)


def _show(made: dict[str, Any]) -> None:
    show.table("Cleaned copies", ("Source", "Rows in", "Kept", "Dropped", "Changed", "File"), [
        (one["source"], f"{one['rows_in']:,}", f"{one['kept']:,}", f"{one['dropped']:,}",
         f"{one['changed']:,}", one["file"]) for one in made["files"]])
    for one in made["files"]:
        if one["unreadable"]:
            console.print(f"{one['unreadable']:,} records of {show.escape(one['source'])} could "
                          "not be read and stay behind.")
    console.print("What was done stands beside each file, in a .record.json.")
