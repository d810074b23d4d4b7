"""How often a page looks: more seldom beside a training whose steps take long on the processor.

A look takes processor time from such a training, and shows little new before a step.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from studio.story import Story
    from studio.ui.studio import Studio

TICK_SECONDS = 2.0
SLOWEST_SECONDS = 8.0
STEPS_BETWEEN = 2


def seconds_between_looks(studio: Studio) -> float:
    """Between `TICK_SECONDS` and `SLOWEST_SECONDS`."""
    run = studio.jobs.active
    if run is None or not _trains_on_the_processor():
        return TICK_SECONDS
    return seconds_between_steps_of(run.story())


def seconds_between_steps_of(story: Story) -> float:
    """A look every other step, in whole seconds."""
    seldom = round(STEPS_BETWEEN * _seconds_per_step(story))
    return float(min(max(TICK_SECONDS, seldom), SLOWEST_SECONDS))


def _seconds_per_step(story: Story) -> float:
    """Of the steps that were logged last; 0 before there are two of them."""
    if len(story.points) < 2:
        return 0.0
    before, last = story.points[-2:]
    steps = last.step - before.step
    # A run that was resumed begins its clock anew.
    return max(0.0, last.elapsed_seconds - before.elapsed_seconds) / steps if steps > 0 else 0.0


def _trains_on_the_processor() -> bool:
    from studio.device import pick_device

    return pick_device().kind == "cpu"
