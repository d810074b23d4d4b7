"""What a page looks at again and again, in one request per tick instead of one for each part.

A request costs the browser and the server some hundredths of a second, and training shares their
cores; so all readers of a page travel together. Readers must be quick and skip what is unchanged.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import gradio as gr
from gradio.components import Component

from studio.errors import StudioError


@dataclass(frozen=True)
class Reader:
    """A handler with its inputs, by place and by name, and its outputs."""

    read: Callable[..., Any]
    inputs: Sequence[Component]
    named: dict[str, Component]
    outputs: Sequence[Component]


@dataclass
class Ticks:
    """Collects readers while the page is built; `wire` hangs them all on the one timer."""

    readers: list[Reader] = field(default_factory=list)

    def add(
        self, read: Callable[..., Any], inputs: Sequence[Component] = (),
        outputs: Sequence[Component] = (), named: dict[str, Component] | None = None,
    ) -> None:
        """Call `read` at every tick. It gives one update per output, or a single `gr.skip()`."""
        self.readers.append(Reader(read, inputs, named or {}, outputs))

    def wire(self, timer: gr.Timer, **options: Any) -> None:
        """One event for all readers."""
        inputs = [one for reader in self.readers
                  for one in (*reader.inputs, *reader.named.values())]
        outputs = [one for reader in self.readers for one in reader.outputs]
        timer.tick(self.read_all, inputs, outputs, **options)

    def read_all(self, *values: Any) -> list[Any]:
        """The updates of all readers, in order. One that meets a StudioError shows nothing new.

        No toast for it: it would come again with every tick.
        """
        updates: list[Any] = []
        start = 0
        for reader in self.readers:
            end = start + len(reader.inputs) + len(reader.named)
            updates += _updates(reader, values[start:end])
            start = end
        return updates


def _updates(reader: Reader, values: Sequence[Any]) -> list[Any]:
    places = len(reader.inputs)
    named = dict(zip(reader.named, values[places:], strict=True))
    try:
        found = reader.read(*values[:places], **named)
    except StudioError:
        found = gr.skip()
    if found == gr.skip():
        return [gr.skip()] * len(reader.outputs)
    return list(found) if isinstance(found, list | tuple) else [found]
