"""Before Start is pressed: the estimate beside what is free this moment, and who holds the rest.

Follows both the settings and the free memory. It advises and forbids nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import gradio as gr

from studio.ui import markup
from studio.ui.reading import Reading
from studio.ui.seen import seen_by_page, unless_seen
from studio.ui.shared import Shared

if TYPE_CHECKING:
    from studio.device import Device
    from studio.hardware.free_now import FreeNow
    from studio.hardware.memory import Estimate
    from studio.ui.studio import Studio


def build(studio: Studio, shared: Shared) -> None:
    """The note, inside whatever card is open."""
    note = gr.HTML(elem_id="train-before-start", padding=False)
    estimated = gr.State(None)
    seen = seen_by_page()

    def compare_again(estimated: tuple[Any, Any] | None, last: Any) -> Any:
        now = now_view(studio, *(estimated or (None, None)))
        return unless_seen(now, last, lambda: [now])

    shared.add_readout(note, reading_view)
    shared.add_readout(estimated, lambda reading: (reading.estimate, reading.device))
    shared.ticks.add(compare_again, [estimated, seen], [note, seen])


def reading_view(reading: Reading) -> str:
    """What was free at the last change of the settings."""
    if reading.estimate is None or reading.free is None:
        return ""
    return view(reading.estimate, reading.free)


def now_view(studio: Studio, estimate: Estimate | None, device: Device | None) -> str:
    """What is free this moment; nothing while a run takes the memory."""
    if estimate is None or device is None or studio.jobs.active is not None:
        return ""
    return view(estimate, studio.free.now(device))


def view(estimate: Estimate, free: FreeNow) -> str:
    """Whether it fits, and who would have to leave if not."""
    from studio.hardware.free_now import compare

    found = compare(estimate, free)
    return markup.note(found.sentences[0], " ".join(found.sentences[1:]), found.level)
