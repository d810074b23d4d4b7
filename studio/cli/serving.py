"""`serve` opens the page."""

from __future__ import annotations

from typing import Annotated

import typer

from studio.bootstrap.ports import next_free_port
from studio.cli.common import Home, Offline, open_settings
from studio.cli.show import console
from studio.settings import DEFAULT_PORT

verbs = typer.Typer()

Port = Annotated[int, typer.Option("--port", min=1, max=65535,
                                   help="Where the page answers; a taken port moves on.")]
NoBrowser = Annotated[bool, typer.Option("--no-browser", help="Do not open a browser.")]


@verbs.command()
def serve(
    home: Home = None, offline: Offline = False, port: Port = DEFAULT_PORT,
    no_browser: NoBrowser = False,
) -> None:
    """Open the studio in the browser."""
    settings = open_settings(home, offline)
    port, moved = next_free_port(port)
    if moved:
        console.print(moved)
    from studio.ui.app import serve as serve_page

    serve_page(settings, port=port, open_browser=not no_browser, ready=_say_where)


def _say_where(url: str) -> None:
    console.print(f"Adapter Studio is open at {url}")
    console.print("Press Ctrl+C to end it; a running training keeps what it has.")
