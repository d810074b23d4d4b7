"""How the adapter of an export will be merged, from file to file or in memory, and what that takes.

Asks what the merge itself asks (`plain_lora`, `stream_adapter`) of the adapter's configuration and
the headers of files; loads nothing and imports no PEFT. That the names in the files of a base keep
a merge from streaming is only seen by the merge, which says so in a note.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING

from studio.adapters.folder import PREFIX, AdapterFolder, read_adapter_folder
from studio.export.plain_lora import plain_lora
from studio.export.stored import StoredTensor
from studio.export.stream import CannotStream
from studio.export.stream_adapter import require_no_own_code, require_streamed
from studio.hardware.merge_memory import (
    DORA_COPIES,
    UPDATE_COPIES,
    MergeSizes,
    Way,
    merge_estimate,
    sizes_of,
)
from studio.hardware.other_jobs import JobEstimate

if TYPE_CHECKING:
    from studio.export.door import Subject
    from studio.models.shape import ModelShape

_EXPERTS = ".experts."


@dataclass(frozen=True)
class MergeOutlook:
    """`memory` is the estimate; `why_whole` ends a sentence that begins with "since": why the base
    has to be loaded as a whole, empty where it does not."""

    way: Way
    memory: JobEstimate
    why_whole: str = ""


def merge_outlook(subject: Subject) -> MergeOutlook:
    """Raises ModelError where the adapter is damaged."""
    origin, shape = subject.origin, subject.shape
    if origin.is_full_model:
        return MergeOutlook("copied", merge_estimate(shape, "copied", MergeSizes(0, 0, 0, 0)))
    adapter = read_adapter_folder(origin.path)
    why_whole = _why_whole(subject, adapter)
    way: Way = "whole" if why_whole else "plain" if _is_plain(shape, adapter) else "layers"
    held = 0 if way == "plain" else adapter.numbers
    return MergeOutlook(way, merge_estimate(shape, way, _sizes(shape, adapter, held)), why_whole)


def _why_whole(subject: Subject, adapter: AdapterFolder) -> str:
    if subject.origin.makes_up_for_rounding or subject.choices.dequantized:
        return "it has to be rounded first"
    try:
        if subject.base is not None:
            require_no_own_code(subject.base)
        require_streamed(adapter)
    except CannotStream as reason:
        return str(reason)
    return ""


def _is_plain(shape: ModelShape, adapter: AdapterFolder) -> bool:
    """By the parameters of the model: kinds that are stored plainly have the same in their files.
    """
    stored = {name: StoredTensor(Path(), name, "F32", size, 0, 4 * prod(size))
              for name, size in shape.tensors.items()}
    try:
        plain_lora(adapter, {"model_type": shape.model_type, "vocab_size": shape.vocabulary},
                   stored)
    except CannotStream:
        return False
    return True


def _sizes(shape: ModelShape, adapter: AdapterFolder, held: int) -> MergeSizes:
    """Of the modules that the adapter's file names."""
    within: dict[str, list[tuple[int, ...]]] = defaultdict(list)
    for name, size in shape.tensors.items():
        within[name.rpartition(".")[0]].append(size)
    touched = {_module(name.removeprefix(PREFIX), within) for name in adapter.shapes}
    single = [sum(map(prod, within[path])) for path in touched if not _is_stack(within[path])]
    stacks = [[(size[0], prod(size[1:])) for size in within[path] if len(size) == 3]
              for path in touched if _is_stack(within[path])]
    copies = DORA_COPIES if adapter.config.get("use_dora") else UPDATE_COPIES
    return sizes_of(single, stacks, copies, held)


def _module(name: str, within: Mapping[str, object]) -> str:
    """The module of the base that a tensor of an adapter belongs to; older adapters name the
    experts of a mixture one by one, as modules that are no more."""
    path = name
    while path and path not in within:
        path = path.rpartition(".")[0]
    if not path and _EXPERTS in name:
        return next((one for one in within if one.endswith(_EXPERTS.rstrip("."))), "")
    return path


def _is_stack(sizes: Sequence[tuple[int, ...]]) -> bool:
    return any(len(size) == 3 for size in sizes)
