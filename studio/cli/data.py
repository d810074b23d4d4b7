"""`inspect`: what is in training data, and what the model would be taught of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from studio.cli import show
from studio.cli.common import AsJson, Changes, Home, Offline, open_settings, read_recipe, report
from studio.cli.show import console
from studio.recipe import Recipe
from studio.recipe.base import STARTER
from studio.settings import Settings

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

verbs = typer.Typer()

DataSource = Annotated[str, typer.Argument(
    metavar="DATA", help="A data file, a folder, a Hub id, or 'starter'.")]
OfRecipe = Annotated[str | None, typer.Option(
    "--recipe", metavar="FILE", help="Look at DATA the way this recipe would: its model, template "
    "and lengths. A file, or 'starter'.")]
Split = Annotated[str, typer.Option("--split", help="Split of a Hub dataset.")]


@verbs.command()
def inspect(
    file: DataSource, recipe: OfRecipe = None, changes: Changes = None, home: Home = None,
    offline: Offline = False, as_json: AsJson = False, split: Split = "train",
    record: Annotated[int, typer.Option(
        "--record", metavar="N", help="Show record N as the trainer gets it, too.")] = 0,
) -> None:
    """Look at training data: format, lengths, and everything that is wrong with it."""
    settings = open_settings(home, offline)

    def work() -> dict[str, Any]:
        from studio.data.lab.look import open_whole, report_of

        chosen = recipe_for(file, recipe, changes, split)
        tokenizer = tokenizer_of(chosen, settings)
        with show.bar() as progress:
            whole = open_whole(chosen.taught_data, settings, tokenizer, progress=progress)
            found = report_of(whole, chosen.training, progress=progress).as_json()
        if record:
            found["record"] = _record(whole, record)
        return found

    report(as_json, work, _show_inspection)


def recipe_for(
    file: str, recipe: str | None, changes: list[str] | None, split: str
) -> Recipe:
    """The recipe that DATA is looked at with: the given one or the starter's."""
    chosen = read_recipe(recipe or STARTER, changes)
    given = {"data.source": file}
    if split != "train":
        given["data.split"] = split
    return chosen.with_values(given)


def tokenizer_of(recipe: Recipe, settings: Settings) -> PreTrainedTokenizerBase | None:
    """The model's tokenizer, or None where the model is not on this PC."""
    from studio.models.source import find_on_this_pc

    folder = find_on_this_pc(recipe.model, settings)
    if folder is None:
        return None
    from studio.models.loading import load_tokenizer

    return load_tokenizer(folder, trust_remote_code=recipe.model.trust_remote_code)


def _record(whole: Any, number: int) -> dict[str, Any] | None:
    from studio.data.lab.record import record_of_whole

    found = record_of_whole(whole, number)
    if found is None:
        return None
    return {
        "number": found.number, "place": found.place, "row": found.row,
        "fault": found.fault.message if found.fault else None,
        "examples": [{"title": title, "text": one.text, "input_ids": one.input_ids,
                      "labels": one.labels, "cut_tokens": one.cut_tokens}
                     for title, one in found.examples],
    }


def _show_inspection(found: dict[str, Any]) -> None:
    console.print(f"Format: {found['format'] or 'not recognised'}   Rows: {found['rows']:,}   "
                  f"Usable: {found['usable_rows']:,}")
    if found["why"]:
        console.print(show.escape(found["why"]))
    _show_numbers(found)
    if found["findings"]:
        show.table("Findings", ("", "Rows", "What was found, and what to do"), [
            (f["level"], f"{f['count']:,}",
             f"{f['title']}: {f['what']}" + (f"\n-> {f['hint']}" if f["hint"] else ""))
            for f in found["findings"]])
    else:
        console.print("No problems found.")
    if found["problems"]:
        show.table("The first of them, one by one", ("Where", "What", "What to do"),
                   [(p["where"], p["what"], p["hint"]) for p in found["problems"][:20]])
    if found["advice"]:
        show.table("Advice", ("What", "Why"), [(a["what"], a["why"]) for a in found["advice"]])
    if found.get("record"):
        _show_record(found["record"])


def _show_numbers(found: dict[str, Any]) -> None:
    numbers, split = found["statistics"], found["split"]
    if any(one["key"] == "template_invalid" for one in found["findings"]):
        console.print("Lengths in tokens need a chat template that can be used.")
    elif numbers["tokens_total"] is None:
        console.print("Lengths in tokens need the model on this PC, and a row that can be taught; "
                      "the Hardware tab gets the model, and so does the first training.")
    else:
        console.print(
            f"Tokens: {numbers['tokens_total']:,} in all, {numbers['tokens_median']:,.0f} median, "
            f"{numbers['tokens_max']:,} longest; " + (
                f"divided into {numbers['rows']:,} rows."
                if numbers["rows"] > numbers["examples"] else
                f"{numbers['truncated']:,} examples are cut."))
    console.print(f"Trained on: {split['train']:,}   Held out: {split['eval']:,} ({split['how']})")


def _show_record(record: dict[str, Any]) -> None:
    console.print(f"Record {record['number']} ({record['place']})")
    if record["fault"]:
        console.print(show.escape(record["fault"]))
    for one in record["examples"]:
        learned = sum(label != -100 for label in one["labels"])
        console.print(show.escape(one["text"]))
        console.print(f"{one['title']}: {len(one['input_ids'])} tokens, {learned} learned, "
                      f"{one['cut_tokens']} cut off.")
