"""`ask`: the base and adapters answer a set of prompts, to be voted on later; lists such sets."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from studio.cli import show
from studio.cli.common import AsJson, Home, Offline, open_settings, report
from studio.cli.show import console
from studio.cli.talk import (
    BaseModel,
    BaseToo,
    Seed,
    Stop,
    Style,
    System,
    Temperature,
    Tokens,
    chat_columns,
    sampling_of,
)

if TYPE_CHECKING:
    from studio.chat.prompt_answers import AnsweredSet
    from studio.chat.sampling import Sampling
    from studio.settings import Settings

verbs = typer.Typer()


@verbs.command()
def ask(
    prompts: Annotated[str | None, typer.Argument(
        metavar="PROMPTS", help="A file, folder or Hub id that holds prompts or examples, or "
        "'starter' for the held-out part of the starter data.", show_default=False)] = None,
    of: Annotated[list[str] | None, typer.Option(
        "--of", metavar="RUN[:STRENGTH]", help="A run, a checkpoint, a blend, or an adapter folder "
        "that answers, as with chat. Can be given several times.")] = None,
    most: Annotated[int, typer.Option("--most", min=1, help="Take so many prompts at most.")] = 50,
    name: Annotated[str, typer.Option("--name", help="What to call the set. Default: its file's "
                                      "name.")] = "",
    go_on: Annotated[str | None, typer.Option(
        "--go-on", metavar="SET", help="Answer what is left of a set that was stopped.")] = None,
    model: BaseModel = None, base: BaseToo = True, system: System = "",
    style: Style = "balanced", temperature: Temperature = None, max_tokens: Tokens = 256,
    seed: Seed = 0, stop: Stop = None, home: Home = None,
    offline: Offline = False, as_json: AsJson = False,
) -> None:
    """Let the base and adapters answer prompts, to vote on blind; without PROMPTS, list the sets.

    The vote is on the Chat tab. Ctrl+C stops and keeps what was answered.
    """
    settings = open_settings(home, offline)
    if prompts is None and go_on is None:
        report(as_json, lambda: _listed(settings), _show_sets)
        return

    def work() -> dict[str, Any]:
        if go_on is not None:
            return _answered(set_named(go_on, settings), settings)
        sampling = sampling_of(style, temperature, max_tokens, seed, stop)
        return _answered(_made(prompts or "", most, chat_columns(of or [], model, base, settings),
                               sampling, settings, system=system, name=name), settings)

    report(as_json, work, _show_one)


def _made(prompts: str, most: int, asked: tuple[Any, list[Any]], sampling: Sampling,
          settings: Settings, *, system: str, name: str) -> AnsweredSet:
    from studio.chat.prompt_answers import new_answered_set
    from studio.chat.prompt_set import read_prompts

    found = read_prompts(prompts, settings, most=most)
    for problem in found.problems:
        show.errors.print(show.escape(str(problem)), soft_wrap=True)
    return new_answered_set(settings, found, *asked, sampling, system=system, name=name)


def _answered(asked: AnsweredSet, settings: Settings) -> dict[str, Any]:
    from studio.chat.opening import open_session

    with show.bar() as progress:
        session = open_session(asked.asked.model, list(asked.asked.columns), settings,
                               progress=progress)
        try:
            asked.answer(session, progress=progress)
        except KeyboardInterrupt:
            pass  # what was answered is kept, and told
        finally:
            session.close()
    return _as_data(asked)


def set_named(name: str, settings: Settings) -> AnsweredSet:
    """Raises DataError where there is none of that name."""
    from studio.chat.answered_sets import answered_sets, require_set

    return require_set(name, answered_sets(settings))


def _as_data(asked: AnsweredSet) -> dict[str, Any]:
    done = asked.answered()
    impossible = {number + 1: problem for number, problem in asked.problems.items()}
    return {"set": asked.name, "path": str(asked.path),
            "columns": [column.name for column in asked.asked.columns],
            "prompts": len(asked.asked.prompts), "answered": len(done) - len(impossible),
            "impossible": impossible}


def _listed(settings: Settings) -> dict[str, Any]:
    from studio.chat.answered_sets import answered_sets

    return {"sets": [_as_data(one) for one in answered_sets(settings)]}


def _show_one(found: dict[str, Any]) -> None:
    columns = show.escape("; ".join(found["columns"]))
    console.print(f"{found['answered']} of {found['prompts']} prompts of "
                  f"{show.escape(found['set'])} are answered by {columns}.", soft_wrap=True)
    for number, problem in found["impossible"].items():
        console.print(f"Prompt {number} could not be asked: {show.escape(problem)}",
                      soft_wrap=True)
    if found["answered"] + len(found["impossible"]) < found["prompts"]:
        console.print(f"Go on with: launch.py ask --go-on {show.escape(found['set'])}")
    console.print("Vote on the Chat tab, under Blind test. Then: launch.py votes")


def _show_sets(found: dict[str, Any]) -> None:
    if not found["sets"]:
        console.print("There are no prompt sets yet. Make one with: "
                      "launch.py ask PROMPTS --of RUN")
        return
    show.table("Prompt sets", ("Set", "Answered", "By"), (
        (one["set"], f"{one['answered']} of {one['prompts']}", "; ".join(one["columns"]))
        for one in found["sets"]))
