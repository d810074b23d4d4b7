"""The card of the training method: a choice of cards, and whether the data suits it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from studio.recipe.method_words import METHODS
from studio.ui.panels import method_data
from studio.ui.shared import Shared
from studio.ui.widgets import Suggestions, build_cards

if TYPE_CHECKING:
    from studio.ui.studio import Studio

KEY = "training.method"


def build(studio: Studio, shared: Shared) -> None:
    """The cards, inside whatever card is open."""
    build_cards(shared, KEY, choices())
    method_data.build(studio, shared, "train-method-data")


def choices() -> Suggestions:
    """Each method with its name, what it does, and what data it needs."""
    from studio.data.columns import columns_of

    return [(f"{words.label}\n{words.summary} Needs {columns_of(name).needs}.", name)
            for name, words in METHODS.items()]
