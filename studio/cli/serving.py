"""`serve` opens the page, or with names an endpoint in OpenAI's shape for other programs."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from studio.bootstrap.ports import next_free_port
from studio.cli import show
from studio.cli.common import Home, Offline, open_settings
from studio.cli.show import console
from studio.cli.talk import BaseModel, BaseToo, chat_columns
from studio.models.gguf_file import is_gguf
from studio.settings import DEFAULT_API_PORT, DEFAULT_PORT

if TYPE_CHECKING:
    from studio.serve.gguf_server import GgufServer
    from studio.serve.server import ApiServer
    from studio.settings import Settings

verbs = typer.Typer()

Names = Annotated[list[str] | None, typer.Argument(
    metavar="RUN[:STRENGTH]", help="Runs, checkpoints, blends, or adapter folders, as with "
    "chat: serve them and their base to other programs in OpenAI's shape, each under its name. Or "
    "a GGUF file, which llama.cpp answers from, and adapters behind it. Without any name the page "
    "opens.")]
Port = Annotated[int | None, typer.Option(
    "--port", min=1, max=65535, help="Where it answers; a taken port moves on. Default: "
    f"{DEFAULT_PORT} for the page, {DEFAULT_API_PORT} for the endpoint.")]
NoBrowser = Annotated[bool, typer.Option("--no-browser", help="Do not open a browser.")]
Key = Annotated[str, typer.Option("--key", help="The endpoint asks every client for this key.")]


@verbs.command()
def serve(
    names: Names = None, model: BaseModel = None, base: BaseToo = True, key: Key = "",
    home: Home = None, offline: Offline = False, port: Port = None, no_browser: NoBrowser = False,
) -> None:
    """Open the studio in the browser; with RUN or --model, an OpenAI-compatible endpoint."""
    settings = open_settings(home, offline)
    if names or model:
        server = _server_of(names or [], model, base, settings, key=key,
                            port=port or DEFAULT_API_PORT)
        _serve_models(server, port or DEFAULT_API_PORT, with_key=bool(key))
        return
    port, moved = next_free_port(port or DEFAULT_PORT)
    if moved:
        console.print(moved)
    from studio.ui.app import serve as serve_page

    serve_page(settings, port=port, open_browser=not no_browser, ready=_say_where)


def _say_where(url: str) -> None:
    console.print(f"Adapter Studio is open at {url}")
    console.print("Press Ctrl+C to end it; a running training keeps what it has.")


def _server_of(names: list[str], model: str | None, base: bool, settings: Settings, *,
               key: str, port: int) -> ApiServer | GgufServer:
    """The endpoint of a call, its models loaded or, of a GGUF file, found."""
    from studio.arbiter import Arbiter
    from studio.chat.desk import ChatDesk
    from studio.serve.server import ApiServer

    chosen, columns = chat_columns(names, model, base, settings)
    if is_gguf(chosen.source):
        from studio.serve.gguf_server import GgufServer

        return GgufServer(Path(chosen.source), settings, columns, key=key, port=port)
    desk = ChatDesk(settings, Arbiter())
    server = ApiServer(desk, chosen, columns, key=key, port=port)
    with show.bar() as progress:
        desk.open(chosen, columns, progress=progress)
    return server


def _serve_models(server: ApiServer | GgufServer, wanted_port: int, *, with_key: bool) -> None:
    """Answer until Ctrl+C. What is loaded goes with the program."""
    try:
        server.start()
        _say_models(server, wanted_port, with_key=with_key)
        while True:
            # Short waits: on Windows a wait without end does not notice Ctrl+C.
            threading.Event().wait(0.5)
    except KeyboardInterrupt:
        pass
    finally:
        server.close()


def _say_models(server: ApiServer | GgufServer, wanted_port: int, *, with_key: bool) -> None:
    if server.port != wanted_port:
        console.print(f"Port {wanted_port} is taken; the endpoint uses port {server.port}.")
    console.print(f"OpenAI-compatible endpoint: {server.url}", soft_wrap=True)
    console.print(f"Models: {show.escape(', '.join(server.model_names))}", soft_wrap=True)
    console.print("Clients need your key." if with_key else
                  "Any key will do; only programs on this PC can reach it.")
    console.print("Press Ctrl+C to end it.")
