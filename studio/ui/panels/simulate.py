"""The button "Check by simulation" under the estimate, and the two side by side.

What was found holds for the settings it was made from: it goes away as soon as one of them moves.
"""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING, Any

import gradio as gr

from studio.files import readable_bytes
from studio.ui import markup
from studio.ui.guard import guarded
from studio.ui.reading import read
from studio.ui.shared import PRIVATE, Shared

if TYPE_CHECKING:
    from studio.hardware.memory import Estimate
    from studio.hardware.simulate.result import Difference, Simulated
    from studio.ui.studio import Studio


def build_button() -> gr.Button:
    """What starts it; `build` wires it."""
    return gr.Button("Check by simulation", size="sm", elem_id="simulate-start",
                     elem_classes="narrow", scale=0, min_width=200)


def build(studio: Studio, shared: Shared, button: gr.Button) -> None:
    """The result of a simulation, which `button` starts."""
    result = gr.HTML(elem_id="simulate-result", padding=False)
    shared.add_readout(result, lambda reading: "", of_form=True)

    @guarded
    def simulate(place: str, **form: Any) -> str:
        reading = read(studio, form, place)
        if reading.problem is not None:
            raise reading.problem
        assert reading.recipe and reading.place and reading.planned
        from studio.hardware.simulate.result import difference
        from studio.hardware.simulate.simulation import simulate_recipe

        found = simulate_recipe(reading.recipe, studio.settings, reading.place.device,
                                free_bytes=reading.place.free_bytes,
                                examples=reading.examples)
        return result_view(reading.planned, found, difference(reading.planned, found))

    shared.when_complete(lambda: button.click(
        simulate, inputs_kwargs=shared.reading_inputs(), outputs=result,
        show_progress="minimal", **PRIVATE))


def result_view(estimate: Estimate, found: Simulated, apart: list[Difference]) -> str:
    """Both totals, and the parts that are more than 5 % of the peak apart."""
    from studio.hardware.part_words import words

    sentence = (f"One training step simulated without weights: "
                f"{readable_bytes(found.peak_bytes)} of tensors at the peak, during "
                f"{found.moment}. The formulas say {readable_bytes(estimate.allocated_bytes)}.")
    if not apart:
        return markup.note(sentence, "No part differs by more than 5 % of the peak.", "good")
    rows = "".join(
        f'<tr><td>{escape(words(row.name))}</td>'
        f'<td class="right">{readable_bytes(row.estimated_bytes)}</td>'
        f'<td class="right">{readable_bytes(row.simulated_bytes)}</td></tr>' for row in apart)
    return (markup.note(sentence, "The parts below differ by more than 5 % of the peak. Trust "
                        "the simulation there: it runs the libraries' own code.", "info")
            + '<table class="plain"><thead><tr><th>Part</th><th class="right">By formulas</th>'
              f'<th class="right">Simulated</th></tr></thead><tbody>{rows}</tbody></table>')
