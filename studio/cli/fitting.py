"""The verbs that find settings: `fit` changes a recipe until it fits, `sizes` says what would."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

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
from studio.errors import RecipeError
from studio.files import readable_bytes

if TYPE_CHECKING:
    from studio.hardware.fit import Fit

verbs = typer.Typer()
CardName = Annotated[
    str | None, typer.Option("--card", metavar="NAME", help="Plan for this card instead of this "
                             "PC, such as \"RTX 4090\" or \"A100 80 GB\".")
]
FreeMemory = Annotated[
    float | None, typer.Option("--memory", metavar="GB", help="Count on so much free memory, "
                               "instead of what is free here now or what the card has.")
]


@verbs.command()
def fit(
    recipe: RecipeFile, card: CardName = None, memory: FreeMemory = None,
    apply: Annotated[
        Path | None, typer.Option("--apply", metavar="FILE", help="Write the changed recipe to "
                                  "this file. RECIPE itself stays as it is.")
    ] = None,
    changes: Changes = None, home: Home = None, offline: Offline = False, as_json: AsJson = False,
) -> None:
    """Find the mildest changes with which a recipe fits into the memory."""
    settings = open_settings(home, offline)

    def work() -> dict[str, Any]:
        from studio.hardware.cards import find_place
        from studio.hardware.fit import make_fit
        from studio.hardware.fit_advice import what_would_fit

        chosen = read_recipe(recipe, changes)
        place = find_place(settings, card, memory)
        shape = recipe_shape(chosen, settings)
        found = make_fit(chosen, shape, place.device, place.free_bytes,
                         has_bitsandbytes=None if place.is_this_pc else True)
        if apply is not None:
            _write(found, apply)
        return {**found.to_dict(), "place": place.name, "free_note": place.note,
                "advice": list(what_would_fit(found, shape, place)),
                "written": None if apply is None else str(apply)}

    report(as_json, work, _show_fit)


def _write(found: Fit, file: Path) -> None:
    from studio.recipe import save_recipe

    if not found.fits:
        raise RecipeError(
            f"Nothing was written to {file}: no settings make this recipe fit into "
            f"{readable_bytes(found.free_bytes)}.",
            "Leave --apply out to see what would fit.",
        )
    save_recipe(found.recipe, file)


def _show_fit(found: dict[str, Any]) -> None:
    console.print(show.escape(f"{found['place']}: {readable_bytes(found['free_bytes'])} free. "
                              f"{found['free_note']}"))
    before, after = found["before"], found["after"]
    if found["changes"]:
        show.table("Changes", ("Setting", "Before", "After", "Saves", "Why"),
                   [_change_row(change) for change in found["changes"]])
        rows = [(name.capitalize(), readable_bytes(size), readable_bytes(after["parts"][name]))
                for name, size in before["parts"].items()]
        show.table("Memory", ("Part", "Before", "After"), [
            *rows, *((title, readable_bytes(before[key]), readable_bytes(after[key]))
                     for title, key in (("Together", "total_bytes"), ("At most", "high_bytes")))])
    console.print(show.escape(_verdict(found)))
    for sentence in found["advice"]:
        console.print(show.escape(sentence))
    if found["written"]:
        console.print(show.escape(f"The changed recipe is in {found['written']}."))


def _change_row(change: dict[str, Any]) -> tuple[str, ...]:
    from studio.hardware.fit import setting_label, setting_text

    moved = [change, *change["along"]]
    return (
        "\n".join(setting_label(one["key"]) for one in moved),
        "\n".join(setting_text(one["old"]) for one in moved),
        "\n".join(setting_text(one["new"]) for one in moved),
        readable_bytes(change["saved_bytes"]), change["why"],
    )


def _verdict(found: dict[str, Any]) -> str:
    need = readable_bytes(found["after"]["total_bytes"])
    if found["fitted_already"]:
        return f"Fits as it is, with headroom: about {need}. Nothing has to change."
    if found["fits"]:
        return f"Fits with these changes, with headroom: about {need}."
    return "Nothing makes it fit."


@verbs.command()
def sizes(card: CardName = None, memory: FreeMemory = None, home: Home = None,
          offline: Offline = False, as_json: AsJson = False) -> None:
    """Say which model sizes can be trained here or on a card: every weight, LoRA, QLoRA."""
    settings = open_settings(home, offline)

    def work() -> dict[str, Any]:
        from studio.hardware.cards import find_place
        from studio.hardware.what_fits import what_fits

        place = find_place(settings, card, memory)
        return {"place": place.name, "free_note": place.note, **what_fits(place).to_dict()}

    report(as_json, work, _show_sizes)


def _show_sizes(found: dict[str, Any]) -> None:
    from studio.hardware.what_fits import METHODS, TABLE_SETTINGS

    console.print(show.escape(f"{found['place']}: {readable_bytes(found['free_bytes'])} free. "
                              f"{found['free_note']}"))
    show.table("What fits", ("Model", *METHODS), [
        (row["name"], *(_cell_text(row[method.casefold()]) for method in METHODS))
        for row in found["rows"]])
    console.print(f"At {TABLE_SETTINGS}. comfortable: a fifth stays free. tight: it should fit.")


def _cell_text(cell: dict[str, Any]) -> str:
    return f"{readable_bytes(cell['total_bytes']):>9}  {cell['level']}"
