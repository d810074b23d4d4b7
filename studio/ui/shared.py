"""What the panels of one page share: the components of the recipe, the ticks, the run selector.

There is one recipe on the page. Every field of it is one component, built by the panel it belongs
to and known here by its dotted key. Whatever shows a consequence of the recipe (memory, trainable
count) is a readout: one handler computes a `Reading`, each readout turns it into an update.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

import gradio as gr
from gradio.components import Component

from studio.recipe import Recipe, form_from_recipe, recipe_from_form
from studio.recipe.usual import usual_values
from studio.ui.newest import Asked, Newest
from studio.ui.ticks import Ticks, name_of

if TYPE_CHECKING:
    from studio.ui.reading import Reading

QUIET: dict[str, Any] = {
    "api_visibility": "private", "show_progress": "hidden", "concurrency_limit": None,
}
"""Event options of cheap readers: no spinner, no queue between browser tabs."""

DIRECT: dict[str, Any] = {"api_visibility": "private", "show_progress": "hidden", "queue": False}
"""Event options of what comes very often: answered in the request itself, past gradio's queue and
its bookkeeping, at half the cost. No toasts from there, they need the queue."""

PRIVATE: dict[str, Any] = {"api_visibility": "private"}
"""Event options of everything else."""


class Readout(NamedTuple):
    """A component and what it shows of a reading. One `of_form` answers to a person who asked
    about these settings, and stays while only what is known of the data changes."""

    component: Component
    view: Callable[[Reading], Any]
    of_form: bool


RATE = "training.learning_rate"


@dataclass
class Shared:
    """Components by role. Panels are built in tab order and add their own fields."""

    demo: gr.Blocks
    tabs: gr.Tabs
    fields: dict[str, Component] = field(default_factory=dict)
    mirrors: list[tuple[str, Component]] = field(default_factory=list)
    """Second sliders of a field, on another tab; never read, always moved along."""
    program_rate: gr.State = field(default_factory=lambda: gr.State(""))
    """The learning rate that a preset or an opened recipe brought: nobody typed it."""
    boxes: dict[str, tuple[str, ...]] = field(default_factory=dict)
    """Element ids of cards and folds by what they hold: without a field in use they hide."""
    place: Component | None = None
    """Chooses what the memory is planned for: this PC, or a card of the list."""
    compared: Component | None = None
    """Chooses the runs that are laid over one another."""
    along: dict[str, Component] = field(default_factory=dict)
    """Others whose values travel with the form, by a name for each (`sheet.py`)."""
    ticks: Ticks = field(default_factory=Ticks)
    readouts: list[Readout] = field(default_factory=list)
    newest: Newest = field(default_factory=Newest)
    """Of the questions that were answered with all readouts."""
    read: Callable[..., Reading] | None = None
    _later: list[Callable[[], None]] = field(default_factory=list)

    def when_complete(self, wire: Callable[[], None]) -> None:
        """Call `wire` once every panel is built: for events that need another panel's fields."""
        self._later.append(wire)

    def send_along(self, components: Iterable[Component]) -> None:
        """Send what these hold with the form: for inputs of what comes unasked, such as when the
        page opens. Gradio's page tells every input of every event that has run, at each later one.
        """
        self.along.update({name_of(one): one for one in components})

    def complete(self) -> None:
        """Every panel is built; run what waited for that, in order."""
        for wire in self._later:
            wire()
        self._later.clear()

    def add_readout(
        self, component: Component, view: Callable[[Reading], Any], *, of_form: bool = False
    ) -> None:
        """Keep `component` showing `view(reading)` whenever any field of the recipe changes."""
        self.readouts.append(Readout(component, view, of_form))

    def reader(self, readouts: Sequence[Readout]) -> dict[str, Any]:
        """Arguments of an event that brings `readouts` up to date. Inside `when_complete`."""

        shows_all = len(readouts) == len(self.readouts)

        def show(place: str = "", *, asked: Asked | None = None, **form: Any) -> list[Any]:
            assert self.read is not None
            reading = self.read(place, **form)
            if asked is not None and (
                    not self.newest.answered(asked) if shows_all
                    else self.newest.is_overtaken(asked)):
                return [gr.skip()] * len(readouts)
            return [readout.view(reading) for readout in readouts]

        return {"fn": show, "inputs_kwargs": self.reading_inputs(),
                "outputs": [readout.component for readout in readouts], **DIRECT}

    def form(self) -> dict[str, Component]:
        """All recipe fields by dotted key: pass as `inputs_kwargs`, read with `recipe_of(form)`.

        Complete only inside `when_complete`.
        """
        return dict(self.fields)

    def reading_inputs(self) -> dict[str, Component]:
        """What a reading is made of: the form and, under `place`, what it is planned for."""
        return {**self.form(), **({"place": self.place} if self.place else {})}

    def controls(self) -> list[Component]:
        """Everything that a person can move: all fields and their mirrors."""
        return [*self.fields.values(), *(mirror for _, mirror in self.mirrors)]

    def ordered(self) -> list[Component]:
        """The same and what goes with them, for outputs that set the whole form."""
        return [*self.controls(), self.program_rate]

    def updates_for(self, recipe: Recipe) -> list[Any]:
        """One update per component of `ordered()`, so that the page shows `recipe`."""
        from studio.ui.widgets import field_update, held

        shown, usual = form_from_recipe(recipe), usual_values(recipe)
        keys = [*self.fields, *(key for key, _ in self.mirrors)]
        return [*(field_update(key, shown[key], usual.get(key)) for key in keys),
                held(RATE, shown[RATE])]

    def refresh_after(self, dependency: Any, *, form_changed: bool = True) -> Any:
        """Refresh all readouts after an event that set fields by program (presets, mirrors), or
        after one that only learned something about the data.

        Call inside `when_complete`, with what `button.click(...)` returned.
        """
        readouts = [one for one in self.readouts if form_changed or not one.of_form]
        return dependency.then(trigger_mode="always_last", **self.reader(readouts))


def recipe_of(form: dict[str, Any]) -> Recipe:
    """The recipe that the page shows. Raises RecipeError with every mistake in one report."""
    return recipe_from_form(form)
