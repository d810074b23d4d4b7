"""`ollama`: an exported GGUF file into the Ollama of this PC."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from studio.cli import show
from studio.cli.common import AsJson, Home, open_settings, report
from studio.cli.show import console
from studio.errors import ExportError

verbs = typer.Typer()


@verbs.command()
def ollama(
    exported: Annotated[str, typer.Argument(
        metavar="GGUF", help="An exported GGUF file, by its name or path.")],
    home: Home = None, as_json: AsJson = False,
) -> None:
    """Take an exported GGUF file into Ollama, by the Modelfile that lies beside it."""
    settings = open_settings(home)

    def work() -> dict[str, Any]:
        from studio.export.ollama import create_in_ollama, default_modelfile
        from studio.models.gguf_file import find_gguf

        modelfile = default_modelfile(find_gguf(exported, settings))
        if not modelfile.is_file():
            raise ExportError(f"There is no {modelfile.name} beside {exported}.",
                              "Export the run again as a GGUF: that writes it.")
        with show.bar() as progress:
            name = create_in_ollama(modelfile, progress=progress)
        return {"name": name, "modelfile": str(modelfile)}

    report(as_json, work, lambda made: console.print(
        f"In Ollama now. Talk to it with: ollama run {show.escape(made['name'])}"))
