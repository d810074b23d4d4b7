"""Counts the bytes of tensors that are alive, by kind and by phase of the step.

Bytes belong to storages, not to tensors: a view or a result written in place adds nothing, and a
storage is gone when the last tensor of it is, whoever held it (Python or autograd).
"""

from __future__ import annotations

import functools
import weakref
from collections import Counter
from collections.abc import Iterable
from contextlib import AbstractContextManager
from typing import Any, cast

from studio.errors import Stopped
from studio.progress import ShouldStop, never

BLOCK_BYTES = 512
"""torch's CUDA allocator hands out multiples of this (`kMinBlockSize` in CUDACachingAllocator)."""
_BETWEEN_LOOKS = 256
"""Operations between two looks at whether a stop was asked for."""

Phase = tuple[str, int]
"""A stretch of the step, such as ("backward", 3) for the fourth layer's."""


class LiveBytes:
    """What is alive now, and for each phase what was alive at its peak, by kind.

    `block` rounds every storage up, as an allocator does; 1 counts plain bytes.
    """

    def __init__(self, *, block: int = BLOCK_BYTES, stop: ShouldStop = never) -> None:
        self.now: Counter[str] = Counter()
        self.total = 0
        self.peaks: dict[Phase, Counter[str]] = {}
        self._highest: dict[Phase, int] = {}
        self._storages: dict[int, tuple[Any, str, int]] = {}
        self._block = block
        self._stop = stop
        self._operations = 0
        self.kind = "other"
        self.phase: Phase = ("before", 0)

    def enter(self, phase: Phase, kind: str) -> None:
        """From here on tensors are of `kind`, and a peak is this phase's."""
        self.phase, self.kind = phase, kind
        self._note()

    def see(self, tensor: Any, kind: str | None = None) -> None:
        """Count the storage of `tensor` unless it is known. Only tensors on meta are counted."""
        if tensor.device.type != "meta":
            return
        storage = tensor.untyped_storage()
        key = storage._cdata
        if key in self._storages:
            return
        size = -(-storage.nbytes() // self._block) * self._block
        kind = kind or self.kind
        self._storages[key] = (weakref.ref(storage, functools.partial(self._gone, key)), kind, size)
        self.now[kind] += size
        self.total += size
        if self.total > self._highest.get(self.phase, -1):
            self._note()

    def rename(self, tensor: Any, kind: str) -> None:
        """Count a known storage as `kind` from here on."""
        key = tensor.untyped_storage()._cdata
        if key not in self._storages:
            return self.see(tensor, kind)
        reference, before, size = self._storages[key]
        self._storages[key] = (reference, kind, size)
        self.now[before] -= size
        self.now[kind] += size
        return None

    def ran(self, results: Iterable[Any]) -> None:
        """One operation has run, with these results. Raises Stopped if asked to."""
        self._operations += 1
        if self._operations % _BETWEEN_LOOKS == 0 and self._stop():
            raise Stopped("Stopped before the simulation was done.")
        for tensor in results:
            self.see(tensor)

    def _gone(self, key: int, reference: Any) -> None:
        _, kind, size = self._storages.pop(key)
        self.now[kind] -= size
        self.total -= size

    def _note(self) -> None:
        if self.total > self._highest.get(self.phase, -1):
            self._highest[self.phase] = self.total
            self.peaks[self.phase] = self.now.copy()


def watching(live: LiveBytes) -> AbstractContextManager[Any]:
    """A block in which `live` counts what this thread's torch operations make."""
    return cast(AbstractContextManager[Any], _watch_class()(live))


@functools.cache
def _watch_class() -> Any:
    import torch
    from torch.utils._python_dispatch import TorchDispatchMode
    from torch.utils._pytree import tree_leaves

    class Watch(TorchDispatchMode):
        """Sees every operation of this thread, those of the backward pass too."""

        def __init__(self, live: LiveBytes) -> None:
            super().__init__()
            self.live = live

        def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None
                               ) -> Any:
            if func is torch.ops.aten._local_scalar_dense.default and args[0].is_meta:
                # Models ask of their inputs whether all is unpadded and unjoined: it is.
                return True if args[0].dtype == torch.bool else 1
            result = func(*args, **(kwargs or {}))
            if isinstance(result, torch.Tensor):
                self.live.ran((result,))
            else:
                self.live.ran(t for t in tree_leaves(result) if isinstance(t, torch.Tensor))
            return result

    return Watch
