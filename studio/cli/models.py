"""`merge`, and which adapter or run a name on the command line stands for."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from studio.cli import show
from studio.cli.common import AsJson, Home, Offline, open_settings, report
from studio.cli.show import console
from studio.errors import ModelError, RunError, StudioError
from studio.export.origin import Origin, default_merge_folder, find_origin
from studio.files import readable_bytes
from studio.settings import Settings

verbs = typer.Typer()
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace what is already there.")]
Output = Annotated[Path | None, typer.Option("--output", metavar="PATH",
                                             help="Where to write. Default: in the exports.")]
Dequantized = Annotated[bool, typer.Option(
    "--dequantized", help="Into the base as it was rounded in training (4 or 8 bits), written in "
    "full precision; else into the base's own weights.")]


@verbs.command()
def merge(
    adapter: Annotated[str, typer.Argument(metavar="RUN", help="A run or an adapter folder.")],
    output: Output = None, dequantized: Dequantized = False, overwrite: Overwrite = False,
    home: Home = None, offline: Offline = False, as_json: AsJson = False,
) -> None:
    """Merge an adapter into its base: a plain Transformers folder."""
    settings = open_settings(home, offline)

    def work() -> dict[str, Any]:
        from studio.export.folder import complete_merged
        from studio.export.merge import merge as merge_adapter

        origin = origin_of(adapter, settings)
        target = output or default_merge_folder(settings, origin.name)
        with show.bar() as progress:
            made = complete_merged(merge_adapter(
                origin.path, target, settings, dequantized=dequantized, progress=progress,
                overwrite=overwrite), origin, settings)
        return {"folder": str(made.path), "bytes": made.bytes, "seconds": made.seconds,
                "notes": list(made.notes)}

    report(as_json, work, _show_merged)


def _show_merged(made: dict[str, Any]) -> None:
    console.print(f"Merged model: {show.escape(made['folder'])} ({readable_bytes(made['bytes'])})",
                  soft_wrap=True)
    for note in made["notes"]:
        console.print(f"  {show.escape(note)}", soft_wrap=True)


def origin_of(given: str, settings: Settings) -> Origin:
    """The adapter and its base, of the name of a run or blend or of a folder. Raises RunError,
    ExportError."""
    return find_origin(named_folder(given, settings))


def named_folder(given: str, settings: Settings) -> Path:
    """The folder that `given` names: itself, a run, a checkpoint of a run ("orders/checkpoint-20"),
    or a blend. Raises RunError for none of them."""
    from studio.adapters.blend import list_blends
    from studio.runs import checkpoint_step, open_run

    if Path(given).is_dir():
        return Path(given)
    blends = {blend.name: blend.path for blend in list_blends(settings)}
    if given in blends and not (settings.runs / given).is_dir():
        return blends[given]
    name, _, checkpoint = given.partition("/")
    if checkpoint_step(Path(checkpoint)) < 0:
        return open_run(settings, given).path
    kept = {path.name: path for path in open_run(settings, name).checkpoints()}
    if checkpoint not in kept:
        raise RunError(f"The run {name} has no checkpoint named {checkpoint}.",
                       f"It has {', '.join(kept)}." if kept else "It kept none.")
    return kept[checkpoint]


def with_number(text: str, settings: Settings, what: str) -> tuple[str, float]:
    """"orders:0.7" -> ("orders", 0.7). What already names an adapter has the number 1.

    Raises ModelError for what is no number; `what` it stands for.
    """
    name, colon, number = text.rpartition(":")
    if not colon or Path(text).is_dir():  # a Windows path has a colon of its own
        return text, 1.0
    try:
        return name, float(number)
    except ValueError:
        pass
    try:
        named_folder(text, settings)
    except StudioError:
        raise ModelError(f"In {text} the {what} {number!r} is no number.",
                         f"Write a run and its {what}, such as orders:0.7") from None
    return text, 1.0
