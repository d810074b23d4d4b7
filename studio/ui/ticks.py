"""What a page looks at again and again, in one request per tick instead of one for each part.

A request costs the browser and the server some hundredths of a second, and training shares their
cores; so all readers of a page travel together. Readers must be quick and skip what is unchanged.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
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

    def wire(self, timer: gr.Timer, pace: Callable[[], float], **options: Any) -> None:
        """One event for all readers; what several of them read travels once. `pace` says how many
        seconds the timer is to wait from now on."""
        def look(seconds: float, **values: Any) -> list[Any]:
            wanted = pace()
            return [*self.read_all(**values),
                    gr.skip() if wanted == seconds else gr.Timer(wanted)]

        outputs = [one for reader in self.readers for one in reader.outputs]
        timer.tick(look, None, [*outputs, timer],
                   inputs_kwargs={"seconds": timer, **self.inputs()}, **options)

    def inputs(self) -> dict[str, Component]:
        """What all readers read, by a name for each component."""
        return {name_of(one): one for reader in self.readers
                for one in (*reader.inputs, *reader.named.values())}

    def read_all(self, **values: Any) -> list[Any]:
        """The updates of all readers, in order. One that meets a StudioError shows nothing new.

        No toast for it: it would come again with every tick.
        """
        return [update for reader in self.readers for update in _updates(reader, values)]


def name_of(component: Component) -> str:
    """For what has no name of its own."""
    return f"c{component._id}"


def _updates(reader: Reader, values: Mapping[str, Any]) -> list[Any]:
    places = [values[name_of(one)] for one in reader.inputs]
    named = {name: values[name_of(one)] for name, one in reader.named.items()}
    try:
        found = reader.read(*places, **named)
    except StudioError:
        found = gr.skip()
    if found == gr.skip():
        return [gr.skip()] * len(reader.outputs)
    return list(found) if isinstance(found, list | tuple) else [found]
