"""`votes`: what the votes of blind tests say, and the votes as files."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from studio.cli import show
from studio.cli.asking import set_named
from studio.cli.common import AsJson, Home, open_settings, report
from studio.cli.show import console

if TYPE_CHECKING:
    from studio.chat.votes import Vote
    from studio.settings import Settings

verbs = typer.Typer()


@verbs.command()
def votes(
    of_set: Annotated[str | None, typer.Option(
        "--set", metavar="SET", help="Count the votes on this prompt set only.")] = None,
    table: Annotated[Path | None, typer.Option(
        "--csv", metavar="FILE", help="Write the votes as a table, a line for each answer.")] =
    None,
    pairs: Annotated[Path | None, typer.Option(
        "--pairs", metavar="FILE", help="Write each winner beside what it beat, as data for "
        "training.method=dpo (.jsonl).")] = None,
    home: Home = None, as_json: AsJson = False,
) -> None:
    """Say how often each column won in blind tests, and write the votes to files."""
    settings = open_settings(home)

    def work() -> dict[str, Any]:
        found = _votes(settings, of_set)
        return {**_summed(found), **_written(found, settings, table, pairs)}

    report(as_json, work, _show)


def _votes(settings: Settings, of_set: str | None) -> list[Vote]:
    from studio.chat.votes import VoteBox

    found = VoteBox(settings).votes()
    return found if of_set is None else set_named(of_set, settings).votes_on_it(found)


def _summed(found: list[Vote]) -> dict[str, Any]:
    from studio.chat.win_rates import duels, win_rates

    return {
        "votes": len(found),
        "columns": [{**asdict(one), "rate": one.rate, "interval": one.interval}
                    for one in win_rates(found)],
        "pairs": [{**asdict(one), "rate": one.rate, "interval": one.interval}
                  for one in duels(found)],
    }


def _written(found: list[Vote], settings: Settings, table: Path | None,
             pairs: Path | None) -> dict[str, Any]:
    from studio.chat.vote_files import write_preferences, write_votes_csv

    files: dict[str, Any] = {}
    if table is not None:
        write_votes_csv(found, table)
        files["table_file"] = str(table)
    if pairs is not None:
        made = write_preferences(found, settings, pairs)
        files |= {"pairs_file": str(pairs), "pairs_written": made.pairs,
                  "pairs_left_out": made.left_out}
    return files


def _show(found: dict[str, Any]) -> None:
    if not found["votes"]:
        console.print("There are no votes yet. Vote on the Chat tab, under Blind test.")
    else:
        show.table(f"Votes: {found['votes']}", ("Column", "Best", "Not best", "Ties", "All bad",
                                                "Share of wins", "95 % interval"),
                   (_row(one) for one in found["columns"]))
        show.table("Two at a time", ("Pair", "Won", "Share", "95 % interval"),
                   (_pair(one) for one in found["pairs"]))
    if "table_file" in found:
        console.print(f"Table: {show.escape(found['table_file'])}", soft_wrap=True)
    if "pairs_file" in found:
        console.print(f"Pairs: {found['pairs_written']} in {show.escape(found['pairs_file'])}",
                      soft_wrap=True)
        for why, count in found["pairs_left_out"].items():
            console.print(f"Left out, since {why}: {count}")


def _row(one: dict[str, Any]) -> tuple[str, ...]:
    counts = (str(one[key]) for key in ("wins", "losses", "ties", "all_bad"))
    return (one["contestant"]["name"], *counts, *_shares(one))


def _pair(one: dict[str, Any]) -> tuple[str, ...]:
    return (f"{one['one']['name']} against {one['other']['name']}",
            f"{one['wins']} : {one['losses']}", *_shares(one))


def _shares(one: dict[str, Any]) -> tuple[str, str]:
    if one["rate"] is None:
        return "-", "-"
    low, high = one["interval"]
    return f"{100 * one['rate']:.0f} %", f"{100 * low:.0f} to {100 * high:.0f} %"
