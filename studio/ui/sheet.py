"""The recipe's form as one value on its way to the server, instead of a hundred.

For every input of every event so far gradio's page searches all of its components, three times at
each event, and its server hands each value to a thread: for a hundred fields that is a quarter of a
second, and more beside a training. So each field tells a record in the page what it holds whenever
that changes, and an event that wants the form sends the record. Values come as the page has them;
whether they are allowed is for the recipe to say, as with those from a file.

A handler with a parameter `asked` is told which page asks, and which of its questions this is.
"""

from __future__ import annotations

import functools
import inspect
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import gradio as gr
from gradio.block_function import BlockFunction
from gradio.components import Component

from studio.ui.newest import Asked

_RECORD = "window.adapterStudioForm"
_SHEET = (f"{{form: {_RECORD} ?? {{}}, page: window.adapterStudioPage ??= crypto.randomUUID(), "
          "number: window.adapterStudioAsked = (window.adapterStudioAsked ?? 0) + 1}")
_ROUNDS_OF_A_PERSON, _ROUNDS_OF_A_PROGRAM = 3, 12
"""A field tells its change some rounds of the browser's tasks after the event that brought it; more
where an answer of the server set many fields, some of them in tabs that are not shown."""


def _settled(event: BlockFunction) -> str:
    """Waits until the fields have told what `event` is to know. In rounds and not in seconds, so
    that a page that is held up gives them as much time as it takes itself."""
    follows_another = any(name in ("then", "change") for _, name in event.targets)
    rounds = _ROUNDS_OF_A_PROGRAM if follows_another else _ROUNDS_OF_A_PERSON
    return (f"for (let round = 0; round < {rounds}; round += 1) "
            "{ await new Promise(done => setTimeout(done, 0)); }")


def send_as_one(demo: gr.Blocks, fields: Mapping[str, Component], sheet: gr.JSON) -> None:
    """All events of `demo` that take any of `fields` by name, whatever the name, get them by
    `sheet`, a hidden component that holds nothing itself.

    To be called last, while `demo` is being built.
    """
    keys = {component: key for key, component in fields.items()}
    for event in list(demo.fns.values()):
        if event.input_keyword_names:
            _take_record(event, keys, sheet)
    before = set(demo.fns)
    for key, field in fields.items():
        field.change(None, field, None, api_visibility="private",
                     js=f"value => {{ ({_RECORD} ??= {{}})[{json.dumps(key)}] = value; }}")
    # The page runs what follows on one change in order, and waits for the server in between.
    told = {number: event for number, event in demo.fns.items() if number not in before}
    demo.default_config.fns = told | demo.fns


def _take_record(event: BlockFunction, keys: Mapping[Component, str], sheet: gr.JSON) -> None:
    by_place = len(event.inputs) - len(event.input_keyword_names)
    named = dict(zip(event.input_keyword_names, event.inputs[by_place:], strict=True))
    taken = {name: component for name, component in named.items() if component in keys}
    if event.js is not None or not taken:
        return
    others = {name: component for name, component in named.items() if name not in taken}
    event.inputs = [*event.inputs[:by_place], *others.values(), sheet]
    event.input_keyword_names = [*others, "sheet"]
    event.input_parameter_names = []
    event.js = (f"async (...values) => {{ {_settled(event)} "
                f"values[values.length - 1] = {_SHEET}; return values; }}")
    assert event.fn is not None
    event.fn = _with_form(event.fn, [
        _Field(name, keys[component], getattr(component, "value", None))
        for name, component in taken.items()])


class _Field(NamedTuple):
    """A field under the handler's name for it and its key in the record; `opening` is what holds
    until it changes."""

    name: str
    key: str
    opening: Any


def _with_form(handler: Callable[..., Any], fields: Sequence[_Field]) -> Callable[..., Any]:
    """`handler` with the fields of `sheet` as arguments. Of what the page sends only these keys
    are taken."""

    signature, hidden = inspect.signature(handler), {"asked", *(one.name for one in fields)}
    tells = "asked" in signature.parameters
    others = [name for name in signature.parameters if name not in hidden]

    def arguments(places: Sequence[Any], given: dict[str, Any]) -> dict[str, Any]:
        # What comes by place skips the fields, wherever they stand among the parameters.
        given = dict(zip(others, places, strict=False)) | given
        sheet = given.pop("sheet")
        form = {one.name: sheet["form"].get(one.key, one.opening) for one in fields}
        asked = {"asked": Asked(str(sheet["page"]), int(sheet["number"]))} if tells else {}
        return given | form | asked

    def stream(*places: Any, **given: Any) -> Iterator[Any]:
        yield from handler(**arguments(places, given))

    def answer(*places: Any, **given: Any) -> Any:
        return handler(**arguments(places, given))

    found = functools.wraps(handler)(stream if inspect.isgeneratorfunction(handler) else answer)
    # Gradio gives by place what a signature has a default for, so it is not to see these.
    found.__signature__ = signature.replace(  # type: ignore[attr-defined]
        parameters=[one for name, one in signature.parameters.items() if name not in hidden])
    return found
