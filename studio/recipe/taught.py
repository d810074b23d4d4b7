"""The data of a recipe as its training method takes them: what every look at the data begins with.

Which starter set, whether texts are whole documents, and what of a conversation counts follow from
the method; the recipe's own fields stay as they are.
"""

from __future__ import annotations

from typing import Any, ClassVar

from studio.recipe.base import STARTER
from studio.recipe.data import Data
from studio.recipe.training import Method

PREFERENCES, JUDGED, TEXTS = "starter:preferences", "starter:judged", "starter:texts"
STARTERS: dict[Method, str] = {
    "sft": STARTER, "grpo": STARTER, "rloo": STARTER, "pretrain": TEXTS, "dpo": PREFERENCES,
    "orpo": PREFERENCES, "reward": PREFERENCES, "kto": JUDGED,
}
"""What `data.source` "starter" means to each method; all are of one task."""


class Documents(Data):
    """Data for continued pre-training: a text file is one document instead of many paragraphs, and
    what is longer than `max_length` is divided into rows instead of cut."""

    divides: ClassVar[bool] = True


def taught_data(data: Data, method: Method) -> Data:
    """`data` as `method` takes them; those of sft are as they stand."""
    changes: dict[str, Any] = {}
    if STARTERS[method] != STARTER:
        changes = {"source": _named(data.source, method),
                   "mix": {_named(spec, method): weight for spec, weight in data.mix.items()}}
    if method in ("grpo", "rloo"):
        changes["loss_on"] = "last_response"  # what stands before it is the prompt
    elif method in ("dpo", "orpo", "kto", "reward"):
        changes["loss_on"] = "responses"  # an answer counts whole
    if method == "pretrain":
        return Documents.model_construct(**{**dict(data), **changes})
    return data.model_copy(update=changes) if changes else data


def _named(source: str, method: Method) -> str:
    return STARTERS[method] if source == STARTER else source
