"""Can these models be merged at all? The same architecture, tensor by tensor the same sizes; and
whether they know the same tokens. Looks at shapes and tokenizer.json, at no weights.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from studio.errors import ModelError

if TYPE_CHECKING:
    from studio.export.model_merge.parts import Given
    from studio.models.shape import ModelShape

_ALIKE = ("Only models that were made from one another or from the same base can be merged; "
          "they have the same layers and sizes.")


def require_alike(first: Given, other: Given) -> None:
    """Raise ModelError where tensors of both cannot be merged with one another. Only the number of
    tokens may differ."""
    one, two = first.shape, other.shape
    if (one.model_type, one.architecture) != (two.model_type, two.architecture):
        raise ModelError(f"{first.name} is a {one.architecture} and {other.name} a "
                         f"{two.architecture}, which are built differently.", _ALIKE)
    for what, words in _WORDS.items():
        here, there = getattr(one, what), getattr(two, what)
        if here != there:
            raise ModelError(f"{first.name} and {other.name} are of different size: "
                             f"{words} are {here:,} in one and {there:,} in the other.",
                             _ALIKE)
    if one.tied_embeddings != two.tied_embeddings:
        raise ModelError(f"Of {first.name} and {other.name} only one uses the same table for "
                         "reading and for writing tokens.", _ALIKE)
    _require_same_tensors(first, other)


_WORDS = {"layers": "layers", "hidden": "numbers of a token (hidden size)",
          "intermediate": "numbers inside an MLP", "heads": "attention heads",
          "kv_heads": "key-value heads"}


def _require_same_tensors(first: Given, other: Given) -> None:
    one, two = first.shape.tensors, other.shape.tensors
    lone = sorted(one.keys() ^ two.keys())
    if lone:
        owner = first.name if lone[0] in one else other.name
        raise ModelError(f"Of {first.name} and {other.name} only {owner} has {lone[0]}.", _ALIKE)
    by_token = _of_tokens(first.shape)
    for name, size in one.items():
        here, there = (size[1:], two[name][1:]) if name in by_token else (size, two[name])
        if here != there:
            raise ModelError(
                f"{first.name} and {other.name} are of different size: {name} has "
                f"{_size(size)} numbers in one and {_size(two[name])} in the other.", _ALIKE)


def _of_tokens(shape: ModelShape) -> set[str]:
    """The tensors that have a row for each token."""
    paths = {f"{path}.{end}" for one in shape.named_only for path in one.modules
             for end in ("weight", "bias")}
    return {name for name, size in shape.tensors.items()
            if name in paths and size[0] == shape.vocabulary}


def _size(shape: Sequence[int]) -> str:
    return " x ".join(f"{count:,}" for count in shape)


def differ_in_tokens(first: Given, other: Given) -> bool:
    """Whether a token has another number in one than in the other, or the tables have another
    length. What is not on this PC yet, or has no tokenizer.json, is taken to be the same."""
    if first.shape.vocabulary != other.shape.vocabulary:
        return True
    one, two = tokens_of(first), tokens_of(other)
    return one is not None and two is not None and one != two


def tokens_of(given: Given) -> Mapping[str, int] | None:
    """Number by token; None where that is not known."""
    file = given.folder / "tokenizer.json" if given.folder is not None else None
    if file is None or not file.is_file():
        return None
    return _tokens_in(file, file.stat().st_mtime_ns)


@functools.lru_cache(maxsize=8)
def _tokens_in(file: Path, changed_ns: int) -> Mapping[str, int] | None:
    """Read once until the file changes. A file of another form is None."""
    try:
        told: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
        found = told["model"]["vocab"]
        if isinstance(found, list):  # of a Unigram model: pairs of token and score
            found = {token: number for number, (token, _) in enumerate(found)}
        return {**found, **{one["content"]: one["id"] for one in told.get("added_tokens") or ()}}
    except (ValueError, KeyError, TypeError):
        return None
