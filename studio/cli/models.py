"""`merge` and `export`: from a trained adapter to a plain model folder and a GGUF file."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from studio.cli import show
from studio.cli.common import AsJson, Home, Offline, open_settings, report
from studio.cli.show import console
from studio.errors import ExportError
from studio.export.gguf import GGUF_TYPES
from studio.files import folder_bytes, readable_bytes
from studio.settings import Settings

verbs = typer.Typer()
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace what is already there.")]
Output = Annotated[Path | None, typer.Option("--output", metavar="PATH",
                                             help="Where to write. Default: in the exports.")]
OutType = Annotated[str, typer.Option("--type", help=f"One of {', '.join(GGUF_TYPES)}.")]


@verbs.command()
def merge(
    adapter: Annotated[str, typer.Argument(metavar="RUN", help="A run or an adapter folder.")],
    output: Output = None, overwrite: Overwrite = False, home: Home = None,
    offline: Offline = False, as_json: AsJson = False,
) -> None:
    """Merge an adapter into its base: a plain Transformers folder."""
    settings = open_settings(home, offline)

    def work() -> dict[str, Any]:
        from studio.export.merge import merge as merge_adapter

        source, name = adapter_folder(adapter, settings)
        target = output or settings.exports / f"{name}-merged"
        with show.bar() as progress:
            made = merge_adapter(source, target, settings, progress=progress, overwrite=overwrite)
        return {"folder": str(made.path), "bytes": made.bytes, "seconds": made.seconds}

    report(as_json, work, lambda made: console.print(
        f"Merged model: {show.escape(made['folder'])} ({readable_bytes(made['bytes'])})",
        soft_wrap=True))


@verbs.command()
def export(
    model: Annotated[str, typer.Argument(
        metavar="RUN", help="A run (merged first if needed), or a merged model folder.")],
    outtype: OutType = "q8_0",
    output: Output = None, overwrite: Overwrite = False, home: Home = None,
    offline: Offline = False, as_json: AsJson = False,
) -> None:
    """Write a GGUF file for llama.cpp, LM Studio, or Ollama."""
    settings = open_settings(home, offline)

    def work() -> dict[str, Any]:
        from studio.export.gguf import write_gguf

        with show.bar() as progress:
            folder = _merged_folder(model, settings, progress)
            target = output or settings.exports / f"{folder.name}-{outtype}.gguf"
            made = write_gguf(folder, target, outtype, settings, progress=progress,
                              overwrite=overwrite)
        return {"file": str(made), "bytes": made.stat().st_size, "type": outtype,
                "model": str(folder)}

    report(as_json, work, lambda made: console.print(
        f"GGUF: {show.escape(made['file'])} ({readable_bytes(made['bytes'])})", soft_wrap=True))


def _merged_folder(model: str, settings: Settings, progress: show.Reports) -> Path:
    """The folder to convert: the one given, or the run's merge, made now if it is not there."""
    from studio.export.merge import merge as merge_adapter

    given = Path(model)
    if (given / "config.json").is_file() and not (given / "adapter_config.json").exists():
        return given
    source, name = adapter_folder(model, settings)
    target = settings.exports / f"{name}-merged"
    if target.is_dir() and folder_bytes(target):
        return target
    return merge_adapter(source, target, settings, progress=progress).path


def adapter_folder(given: str, settings: Settings) -> tuple[Path, str]:
    """The adapter folder and name of a run's name or of a folder. Raises ExportError, RunError."""
    from studio.runs import open_run

    folder = Path(given)
    if (folder / "adapter_config.json").is_file():
        return folder, folder.parent.name if folder.name == "adapter" else folder.name
    if (folder / "recipe.yaml").is_file():
        settings, given = Settings(home=folder.parent.parent), folder.name
    run = open_run(settings, given)
    if not run.has_adapter:
        raise ExportError(f"The run {run.name} has no finished adapter yet.",
                          f"Go on with it first: launch.py resume {run.name}")
    return run.adapter_path, run.name
