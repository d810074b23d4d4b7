"""A base model kept in memory between runs, so that the next run begins without loading it.

At most one, for some minutes, and only while this PC has memory to spare. What is kept is the
model as it was loaded: each run trains a copy of its modules over the same weights
(`models/sharing.py`), and only runs that leave the base's weights alone may keep it.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from studio.device import Device, free_device_bytes, release_memory
from studio.errors import SetupError
from studio.models.folder import ModelFolder, files_state
from studio.models.sharing import copy_sharing_weights
from studio.recipe.used import is_used
from studio.training.phases import distinct_bytes

if TYPE_CHECKING:
    from studio.hardware.precision import Precision
    from studio.recipe import Recipe

KEPT_SECONDS = 300.0
"""So long a model is kept that no run asks for."""
LEAST_FREE_SHARE = 0.15
"""Of the device's memory: with less of it free, the model is given up."""
_LOOK_SECONDS = 5.0


@dataclass(frozen=True)
class BaseKey:
    """What must be the same for a model to be used again. `files`: name, bytes and time of change
    of everything that it was read from."""

    files: tuple[tuple[str, int, int], ...]
    dtype: str
    attention: str
    trust_remote_code: bool
    device: str


def key_of(
    recipe: Recipe, folder: ModelFolder, precision: Precision, device: Device
) -> BaseKey | None:
    """The key of the base that `recipe` trains on, None where it may not be kept."""
    if not (recipe.speed.reuse and is_used("speed.reuse", recipe)):
        return None
    return BaseKey(tuple(files_state(folder.path)), precision.base_dtype, recipe.model.attention,
                   recipe.model.trust_remote_code, device.torch_name)


class Shelf:
    """Holds one model. Safe to use from several threads; a run takes it off and puts it back."""

    def __init__(self, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._lock = threading.Lock()
        self._clock = clock
        self._key: BaseKey | None = None
        self._model: Any = None
        self._device: Device | None = None
        self._until = 0.0
        self._changed = threading.Event()
        self._watch: threading.Thread | None = None

    @property
    def is_empty(self) -> bool:
        """Whether nothing is kept."""
        return self._model is None

    def take(self, key: BaseKey | None) -> Any:
        """The kept model where it has this key; any other is given up. None where there is none."""
        with self._lock:
            fits = key is not None and key == self._key
            model = self._model if fits else None
            device = self._empty()
        if device is not None and not fits:
            release_memory(device)
        return model

    def put(self, key: BaseKey, model: Any, device: Device) -> None:
        """Keep `model`, as it was loaded, for the next run that asks for it."""
        with self._lock:
            self._key, self._model, self._device = key, model, device
            self._until = self._clock() + KEPT_SECONDS
            if self._watch is None:
                self._changed.clear()
                self._watch = threading.Thread(target=self._give_up_in_time, name="model shelf",
                                               daemon=True)
                self._watch.start()

    def clear(self) -> None:
        """Give up what is kept; its memory is free afterwards."""
        self.take(None)

    def give_up_if_due(self) -> None:
        """Once its time is over, or others need the memory."""
        with self._lock:
            device = self._device
        if device is not None and (self._clock() >= self._until or _memory_is_short(device)):
            self.clear()

    def _empty(self) -> Device | None:
        device = self._device
        self._key = self._model = self._device = None
        self._changed.set()
        return device

    def _give_up_in_time(self) -> None:
        """A thread that ends with the shelf empty."""
        while True:
            self._changed.wait(_LOOK_SECONDS)
            self.give_up_if_due()
            with self._lock:
                self._changed.clear()
                if self._model is None:
                    self._watch = None
                    return


class BaseOfRun:
    """The base model of one run: taken off the shelf or loaded, and put back if it ended well.

    Without a shelf, or where the run may not keep its base, it is only loaded.
    """

    def __init__(self, shelf: Shelf | None, key: BaseKey | None, device: Device) -> None:
        self._shelf = shelf
        self._key = key if shelf is not None else None
        self._device = device
        self._model = shelf.take(key) if shelf is not None else None
        self.kept_bytes = 0 if self._model is None else distinct_bytes(self._model.parameters())
        """Of a model that was kept: memory that this run need not find free."""

    def model(self, load: Callable[[], Any]) -> Any:
        """The base, for one trainer to change as it likes."""
        if self._key is None:
            return load()
        if self._model is None:
            self._model = load()
        return copy_sharing_weights(self._model)

    def forget(self) -> None:
        """It is not put back: memory was short, or the run broke off."""
        self._key = self._model = None

    def put_back(self) -> None:
        """For the next run."""
        if self._shelf is not None and self._key is not None and self._model is not None:
            self._shelf.put(self._key, self._model, self._device)
        self.forget()


def _memory_is_short(device: Device) -> bool:
    try:
        return free_device_bytes(device) < LEAST_FREE_SHARE * device.total_bytes
    except SetupError:
        return True
