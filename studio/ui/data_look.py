"""What is known of a set that a page follows, and the keys that tell sets apart. Plain values."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from studio.recipe import Data, Recipe

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

    from studio.data.findings import Finding, Remedy
    from studio.data.lab.first_page import Page
    from studio.data.lab.report import Report
    from studio.data.lab.whole import Whole
    from studio.progress import Step

ROW_FIELDS = ("source", "mix", "config", "split", "revision", "format", "columns", "eval_source")
"""Fields of the recipe's data that decide which rows there are and how they are read."""
State = Literal["running", "done", "stopped", "failed", "elsewhere"]


@dataclass
class FollowedSet:
    """One set that a page follows. `page` or `error` is what the first look gave; `begun` says
    that the lab was asked for the rest. A `report` without the `whole` is of the same rows,
    looked at with other settings."""

    recipe: Recipe
    page: Page | None = None
    error: tuple[str, str] | None = None
    begun: bool = False
    tokenizer: PreTrainedTokenizerBase | None = None
    whole: Whole | None = None
    report: Report | None = None
    choices: dict[str, Remedy] = field(default_factory=dict)
    changes: int = 0


@dataclass(frozen=True)
class Look:
    """What is known of a set now. The tokenizer is known once the scan has `begun`, None where the
    model is not on this PC. `state` "elsewhere": another page took the lab before this
    set was done. `is_new` is false for a report of the same rows that was made with other
    settings. `settled` changes with everything but the progress."""

    recipe: Recipe
    tokenizer: PreTrainedTokenizerBase | None
    begun: bool
    state: State
    step: Step | None
    page: Page | None
    report: Report | None
    is_new: bool
    error: tuple[str, str] | None
    choices: dict[str, Remedy]
    settled: str
    version: str


def with_choice(
    choices: Mapping[str, Remedy], key: str, remedy: str, findings: Sequence[Finding]
) -> dict[str, Remedy]:
    """`choices` after a press: chosen anew, changed, or, pressed again, taken back.

    A remedy that the finding does not offer changes nothing; choices of findings that are gone
    go as well.
    """
    offered = {one.key: one.remedies for one in findings}
    kept = {name: value for name, value in choices.items() if value in offered.get(name, ())}
    wanted = next((one for one in offered.get(key, ()) if one == remedy), None)
    if wanted is None:
        return kept
    if kept.get(key) == wanted:
        return {name: value for name, value in kept.items() if name != key}
    return {**kept, key: wanted}


def set_key(recipe: Recipe) -> str:
    """Changes with everything that the report of a set depends on."""
    return _hashed(recipe)


def tokens_key(recipe: Recipe) -> str:
    """The same whatever the cut and the split."""
    return _hashed(recipe, max_length=8, packing=False, eval_fraction=0.0, seed=0)


def rows_key(recipe: Recipe) -> str:
    """The same whatever is made of the rows."""
    return _hashed(recipe, **{name: getattr(Data(), name) for name in Data.model_fields
                              if name not in ROW_FIELDS})


def _hashed(recipe: Recipe, **unlike: Any) -> str:
    taught = recipe.taught_data.model_copy(update=unlike)
    data = f"{taught.model_dump_json()} {taught.divides}"
    model = "" if "template" in unlike else f"{recipe.model.source} {recipe.model.revision}"
    return hashlib.sha256(f"{data} {model}".encode()).hexdigest()[:32]
