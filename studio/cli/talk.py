"""`chat`: the base and any adapters answer the same prompt side by side in the terminal."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Any

import typer

from studio.chat.column_names import adapter_name, column_name
from studio.chat.sampling import Sampling
from studio.chat.sampling_presets import PRESETS, sampling_preset
from studio.cli import show
from studio.cli.common import AsJson, Home, Offline, open_settings, report
from studio.cli.models import origin_of, with_number
from studio.cli.show import console, errors
from studio.models.gguf_file import find_gguf, is_gguf

if TYPE_CHECKING:
    from studio.chat.abstract_session import Session
    from studio.chat.session import Column
    from studio.recipe import Model
    from studio.settings import Settings

verbs = typer.Typer()
Runs = Annotated[list[str] | None, typer.Argument(
    metavar="RUN[:STRENGTH]", help="What to compare: runs, checkpoints (RUN/checkpoint-20), "
    "blends, or adapter folders, each with how much it counts, from 0 to 2; 1 if left out. Or a "
    "GGUF file, and adapters over it behind it.")]
Prompt = Annotated[str | None, typer.Option("--prompt", help="Ask this once and end.")]
System = Annotated[str, typer.Option("--system", help="System prompt.")]
Style = Annotated[str, typer.Option(
    "--style", help=f"How tokens are chosen: {', '.join(one.name for one in PRESETS)}.")]
Temperature = Annotated[float | None, typer.Option(
    "--temperature", min=0, max=5, help="0 always takes the likeliest token. Default: that of the "
    "style.", show_default=False)]
Stop = Annotated[list[str] | None, typer.Option(
    "--stop", help="A text that ends an answer. Can be given several times.")]
Tokens = Annotated[int, typer.Option("--max-tokens", min=1, help="Longest answer, in tokens.")]
Seed = Annotated[int, typer.Option("--seed", min=0, help="The same seed gives the same answer.")]
BaseToo = Annotated[bool, typer.Option("--base/--no-base", help="Let the base answer too.")]
BaseModel = Annotated[str | None, typer.Option(
    "--model", help="The base model: an id, a folder, or a GGUF file; the runs' own if there are "
    "any, else the starter.")]


@verbs.command()
def chat(
    runs: Runs = None, prompt: Prompt = None, model: BaseModel = None, base: BaseToo = True,
    system: System = "", style: Style = "balanced", temperature: Temperature = None,
    max_tokens: Tokens = 256, seed: Seed = 0, stop: Stop = None, home: Home = None,
    offline: Offline = False, as_json: AsJson = False,
) -> None:
    """Compare the base and adapters on the same prompt and seed."""
    settings = open_settings(home, offline)

    def work() -> dict[str, Any]:
        sampling = sampling_of(style, temperature, max_tokens, seed, stop)
        with show.bar() as progress:
            session = _open(runs or [], model, base, settings, progress)
        try:
            return _talk(session, prompt, system, sampling, quiet=as_json)
        finally:
            session.close()

    report(as_json, work, lambda answers: None)


def sampling_of(style: str, temperature: float | None, max_tokens: int, seed: int,
                stop: list[str] | None) -> Sampling:
    """How the columns of a call write. Raises StudioError for a style that there is not."""
    sampling = sampling_preset(style).applied_to(
        Sampling(max_new_tokens=max_tokens, seed=seed, stop_strings=tuple(stop or ())))
    return sampling if temperature is None else replace(sampling, temperature=temperature)


def _open(runs: list[str], model: str | None, base: bool, settings: Settings,
          progress: show.Reports) -> Session:
    from studio.chat.opening import open_session

    chosen, columns = chat_columns(runs, model, base, settings)
    return open_session(chosen, columns, settings, progress=progress)


def chat_columns(runs: list[str], model: str | None, base: bool,
                 settings: Settings) -> tuple[Model, list[Column]]:
    """The base model of a call and its columns: the base unless unwanted, and each adapter.

    Without a `model` it is the first of `runs` if that is a GGUF file, else what they were trained
    on. Raises RunError, ExportError, and ModelError for what is no run, no adapter, and no file.
    """
    from studio.chat.session import BASE_COLUMN, Column
    from studio.recipe import Model
    from studio.recipe.base import STARTER

    if model is None and runs and is_gguf(runs[0]):
        model, runs = runs[0], runs[1:]
    if model is not None and is_gguf(model):
        model = str(find_gguf(model, settings))
    adapters = [_adapter_column(text, settings) for text in runs]
    columns = [Column(BASE_COLUMN)] if base or not adapters else []
    own = [trained_on for _, trained_on in adapters if trained_on is not None]
    return (Model(source=model or STARTER) if model or not own else own[0]), [
        *columns, *(column for column, _ in adapters)]


def _adapter_column(text: str, settings: Settings) -> tuple[Column, Model | None]:
    """An adapter with its strength, and its base, which a GGUF file does not name."""
    from studio.chat.session import Column

    # A file on Windows has a colon without a strength behind it.
    name, strength = (text, 1.0) if is_gguf(text) else with_number(text, settings, "strength")
    if is_gguf(name):
        file = find_gguf(name, settings)
        return Column(column_name(file.stem, strength), file, strength), None
    origin = origin_of(name, settings)
    return Column(column_name(adapter_name(origin.name, origin.path), strength), origin.path,
                  strength), origin.model


def _talk(session: Session, prompt: str | None, system: str, sampling: Sampling,
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


def _answer(session: Session, histories: dict[str, list[dict[str, str]]],
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
