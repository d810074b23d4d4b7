"""How a column's model reads a conversation and ends its answer, without its weights."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from studio.data.templates import end_ids_of
from studio.models.generation import context_limit

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


@dataclass(frozen=True)
class Reader:
    """`end_ids` end an answer. `context_tokens` is the base's limit, None where it names none."""

    tokenizer: PreTrainedTokenizerBase
    end_ids: frozenset[int]
    context_tokens: int | None


class Readers:
    """Those of a base and of the adapters in use on it, by the adapter's folder."""

    def __init__(self, tokenizer: PreTrainedTokenizerBase, base: Any, *,
                 trust_remote_code: bool) -> None:
        self._generation_config = base.generation_config
        self._context_tokens = context_limit(base)
        self._trust_remote_code = trust_remote_code
        self._kept: dict[Path, Reader] = {}
        self.base = self._reader(tokenizer)

    def missing(self, paths: set[Path]) -> set[Path]:
        """Those of `paths` that are not in use."""
        return paths - self._kept.keys()

    def of(self, path: Path | None) -> Reader:
        """The base's for None, else that of an adapter in use."""
        return self.base if path is None else self._kept[path]

    def read(self, path: Path) -> Reader:
        """By the adapter's own tokenizer, since its chat template is what it learned; where it has
        none, the base's. Reads its folder."""
        from studio.models.loading import load_tokenizer
        from studio.models.source import ModelFolder

        if not (path / "tokenizer_config.json").is_file():
            return self.base
        folder = ModelFolder(path=path, name=path.name, source=str(path), revision=None)
        return self._reader(load_tokenizer(folder, trust_remote_code=self._trust_remote_code))

    def read_missing(self, paths: set[Path]) -> dict[Path, Reader]:
        """Those of `paths`, read from their folders unless they are in use."""
        return {path: self._kept.get(path) or self.read(path) for path in paths}

    def keep(self, readers: dict[Path, Reader]) -> None:
        """From now on these are in use, and no others."""
        self._kept = readers

    def _reader(self, tokenizer: PreTrainedTokenizerBase) -> Reader:
        return Reader(tokenizer, end_ids_of(tokenizer, self._generation_config),
                      self._context_tokens)
