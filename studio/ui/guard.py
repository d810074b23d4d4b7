"""Translates StudioError into what the person sees: the only place of the page that does.

Gradio shows toasts as HTML, so every word is escaped here. Mistakes of the program itself are not
caught: they keep their traceback in the terminal, and the page shows a plain "Error".
"""

from __future__ import annotations

import functools
import html
import inspect
from collections.abc import Callable, Iterator
from typing import Any, ParamSpec, TypeVar

import gradio as gr

from studio.errors import StudioError

P = ParamSpec("P")
R = TypeVar("R")

TOAST_SECONDS = 12


def error_html(error: StudioError) -> str:
    """Message and hint as escaped HTML, the hint on a line of its own."""
    hint = f"<br><em>{html.escape(error.hint)}</em>" if error.hint else ""
    return f"{html.escape(error.message)}{hint}"


def warn(error: StudioError) -> None:
    """Show `error` as a toast in the page whose handler is running."""
    gr.Warning(error_html(error), duration=TOAST_SECONDS)


def guarded(handler: Callable[P, R]) -> Callable[P, R]:
    """A handler that shows a StudioError as a toast and leaves every output as it is."""
    if inspect.isgeneratorfunction(handler):
        return _guarded_generator(handler)  # type: ignore[return-value]

    @functools.wraps(handler)
    def run(*args: P.args, **kwargs: P.kwargs) -> Any:
        try:
            return handler(*args, **kwargs)
        except StudioError as error:
            warn(error)
            return gr.skip()

    return run


def _guarded_generator(handler: Callable[..., Iterator[Any]]) -> Callable[..., Iterator[Any]]:
    @functools.wraps(handler)
    def run(*args: Any, **kwargs: Any) -> Iterator[Any]:
        try:
            yield from handler(*args, **kwargs)
        except StudioError as error:
            warn(error)
            yield gr.skip()

    return run
