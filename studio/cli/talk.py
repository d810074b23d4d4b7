"""`chat`: the base and any adapters answer the same prompt side by side in the terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from studio.cli import show
from studio.cli.common import AsJson, Home, Offline, open_settings, report
from studio.cli.models import origin_of
from studio.cli.show import console, errors

if TYPE_CHECKING:
    from studio.chat.sampling import Sampling
    from studio.chat.session import ChatSession
    from studio.settings import Settings

verbs = typer.Typer()
Runs = Annotated[list[str] | None, typer.Argument(metavar="[RUN]...",
                                                  help="Runs or adapter folders to compare.")]
Prompt = Annotated[str | None, typer.Option("--prompt", help="Ask this once and end.")]
System = Annotated[str, typer.Option("--system", help="System prompt.")]
Temperature = Annotated[float, typer.Option("--temperature", min=0, max=5,
                                            help="0 always takes the likeliest token.")]
Tokens = Annotated[int, typer.Option("--max-tokens", min=1, help="Longest answer, in tokens.")]
Seed = Annotated[int, typer.Option("--seed", min=0, help="The same seed gives the same answer.")]
BaseToo = Annotated[bool, typer.Option("--base/--no-base", help="Let the base answer too.")]
BaseModel = Annotated[str | None, typer.Option(
    "--model", help="The base model; the runs' own if there are any, else the starter.")]


@verbs.command()
def chat(
    runs: Runs = None, prompt: Prompt = None, model: BaseModel = None, base: BaseToo = True,
    system: System = "", temperature: Temperature = 0.7, max_tokens: Tokens = 256, seed: Seed = 0,
    home: Home = None, offline: Offline = False, as_json: AsJson = False,
) -> None:
    """Compare the base and adapters on the same prompt and seed."""
    settings = open_settings(home, offline)
    from studio.chat.sampling import Sampling

    sampling = Sampling(temperature=temperature, max_new_tokens=max_tokens, seed=seed)

    def work() -> dict[str, Any]:
        with show.bar() as progress:
            session = _open(runs or [], model, base, settings, progress)
        try:
            return _talk(session, prompt, system, sampling, quiet=as_json)
        finally:
            session.close()

    report(as_json, work, lambda answers: None)


def _open(runs: list[str], model: str | None, base: bool, settings: Settings,
          progress: show.Reports) -> ChatSession:
    from studio.chat.session import BASE_COLUMN, ChatSession, Column
    from studio.recipe import Model
    from studio.recipe.base import STARTER

    origins = [origin_of(given, settings) for given in runs]
    columns = [Column(BASE_COLUMN)] if base or not origins else []
    columns += [Column(origin.name, origin.path) for origin in origins]
    own = [origin.model for origin in origins]
    chosen = Model(source=model or STARTER) if model or not own else own[0]
    return ChatSession(chosen, columns, settings, progress=progress)


def _talk(session: ChatSession, prompt: str | None, system: str, sampling: Sampling,
          quiet: bool) -> dict[str, Any]:
    """One question, or a conversation until an empty line. Gives the last answers."""
    opening = [{"role": "system", "content": system}] if system else []
    histories = {column.name: list(opening) for column in session.columns}
    answers: dict[str, str] = {}
    asked = prompt
    while asked := asked or _next_prompt(quiet):
        for history in histories.values():
            history.append({"role": "user", "content": asked})
        answers = _answer(session, histories, sampling, quiet)
        for name, history in histories.items():
            history.append({"role": "assistant", "content": answers[name]})
        if prompt is not None:
            break
        asked = None
    return {"answers": answers}


def _answer(session: ChatSession, histories: dict[str, list[dict[str, str]]],
            sampling: Sampling, quiet: bool) -> dict[str, str]:
    """Draw the answers while they grow."""
    from rich.live import Live

    answers: dict[str, str] = {}
    with Live(console=errors if quiet else console, transient=quiet, auto_refresh=False) as live:
        for answers in session.answer(histories, sampling):
            live.update(_side_by_side(answers), refresh=True)
    return answers


def _side_by_side(answers: dict[str, str]) -> Any:
    from rich import box
    from rich.table import Table

    drawn = Table(box=box.ASCII2, expand=True)
    for name in answers:
        drawn.add_column(show.escape(name), ratio=1, overflow="fold")
    drawn.add_row(*(show.escape(text) for text in answers.values()))
    return drawn


def _next_prompt(quiet: bool) -> str:
    if quiet:
        return ""
    try:
        return console.input("You (empty line ends): ").strip()
    except EOFError:
        return ""
