"""Merges an adapter into its base from file to file: the base is never loaded as a whole.

The files of the base are copied in their layout, shard by shard; only what the adapter changes is
read, merged, and written, one module at a time. What is changed, and how, is said by `plain_lora`
for the usual LoRA and by `stream_layers` for every other kind.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from studio.export.output import end_if_stopped
from studio.export.stored import StoredTensor, stored_tensors
from studio.export.stream_files import Entry, stored_chunks, tensor_chunks, write_index, write_shard
from studio.files import write_json_safely
from studio.models.folder import INDEX_FILE, read_config, weight_files
from studio.progress import Progress, ShouldStop, Step

if TYPE_CHECKING:
    import torch

WHAT = "Merging and writing the model"


class CannotStream(Exception):
    """Why a merge must take place in memory, as the end of a sentence that begins with "since"."""


class Changes(Protocol):
    """What an adapter changes in the files of its base, by the names of tensors in them.

    `dropped` are left out, as Transformers leaves them out of what it saves; `added` is new.
    `settings` are fields of config.json that have other values after the merge.
    """

    @property
    def dropped(self) -> frozenset[str]: ...

    @property
    def added(self) -> Sequence[Entry]: ...

    @property
    def settings(self) -> Mapping[str, Any]: ...

    def changes(self, name: str) -> bool:
        """Whether the tensor is another one after the merge."""

    def entry(self, stored: StoredTensor) -> Entry:
        """A tensor as it is after the merge, which may have other rows."""

    def merged(self, name: str) -> torch.Tensor:
        """A tensor that is changed or added. May be asked once for each."""


def stored_by_name(base: Path) -> dict[str, StoredTensor]:
    """All tensors in the files of a model folder."""
    return {tensor.name: tensor for file in weight_files(base) for tensor in stored_tensors(file)}


def write_merged(base: Path, changes: Changes, folder: Path, *, progress: Progress,
                 stop: ShouldStop) -> None:
    """Write the weights of `base` with `changes` to `folder`, in the layout that they have.

    Raises Stopped, within some megabytes or one module.
    """
    stored = stored_by_name(base)
    shards = _shards(stored, changes)
    watch = _Watch(sum(entry.bytes for entries in shards.values() for entry in entries), progress,
                   stop)
    for name, entries in shards.items():
        write_shard(folder / name, entries,
                    (watch.through(_chunks(entry, stored, changes)) for entry in entries))
    if (base / INDEX_FILE).is_file():
        write_index(folder, shards, _metadata(base, shards))


def _shards(stored: Mapping[str, StoredTensor], changes: Changes) -> dict[str, list[Entry]]:
    """What is written into each file, in the base's order; what is added comes last."""
    shards: dict[str, list[Entry]] = {}
    for tensor in stored.values():
        if tensor.name not in changes.dropped:
            shards.setdefault(tensor.file.name, []).append(changes.entry(tensor))
    shards[list(shards)[-1]].extend(changes.added)
    return shards


def _chunks(entry: Entry, stored: dict[str, StoredTensor],
            changes: Changes) -> Iterable[memoryview]:
    if entry.name in stored and not changes.changes(entry.name):
        return stored_chunks(stored[entry.name])
    return tensor_chunks(changes.merged(entry.name))


class _Watch:
    """Counts the bytes of all files for the progress, and ends the work when asked to."""

    def __init__(self, total_bytes: int, progress: Progress, stop: ShouldStop) -> None:
        self._total, self._done = total_bytes, 0
        self._progress, self._stop = progress, stop

    def through(self, chunks: Iterable[memoryview]) -> Iterator[memoryview]:
        for chunk in chunks:
            end_if_stopped(self._stop)
            yield chunk
            self._done += len(chunk)
        self._progress(Step(WHAT, self._done, self._total, "bytes"))


def _metadata(base: Path, shards: dict[str, list[Entry]]) -> dict[str, Any]:
    """What the base's index says besides, with the number of parameters as it is now."""
    metadata = dict(read_config(base / INDEX_FILE).get("metadata") or {})
    if "total_parameters" in metadata:
        metadata["total_parameters"] = sum(prod(entry.shape) for entries in shards.values()
                                           for entry in entries)
    return metadata


def write_config(base: Path, changes: Changes, folder: Path) -> None:
    """config.json of the base, with what is different after the merge."""
    config = read_config(base / "config.json")
    for part in (config, config.get("text_config")):
        if isinstance(part, dict):
            part.update(changes.settings)
    write_json_safely(folder / "config.json", config)
