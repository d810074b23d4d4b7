"""`merge` and `export`: from a trained adapter to a plain model folder and a GGUF file."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from studio.cli import show
from studio.cli.common import AsJson, Home, Offline, open_settings, report
from studio.cli.show import console
from studio.export.gguf import GGUF_TYPES, default_gguf_file
from studio.export.origin import Origin, default_merge_folder, find_origin
from studio.files import readable_bytes
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

        origin = origin_of(adapter, settings)
        target = output or default_merge_folder(settings, origin.name)
        with show.bar() as progress:
            made = merge_adapter(origin.path, target, settings, progress=progress,
                                 overwrite=overwrite)
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
            target = output or default_gguf_file(settings, folder.name, outtype)
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
    origin = origin_of(model, settings)
    target = default_merge_folder(settings, origin.name)
    if (target / "config.json").is_file():
        return target
    return merge_adapter(origin.path, target, settings, progress=progress).path


def origin_of(given: str, settings: Settings) -> Origin:
    """The adapter and its base, of a run's name or of a folder. Raises RunError, ExportError."""
    from studio.runs import open_run

    folder = Path(given)
    return find_origin(folder if folder.is_dir() else open_run(settings, given).path)
