"""The model as it is before its first step: asked after it, and remembered for the next run.

Many adapters start as nothing: without the adapter the model is then the base at any time, to the
bit. So the first step need not wait for what is asked of the base, and what a base once answered
is kept in the cache for every later run on it. Other adapters are asked before the first step.
"""

from __future__ import annotations

import hashlib
import json
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from studio.device import Device
from studio.files import write_json_safely
from studio.models.folder import files_state
from studio.training.environment import library_versions
from studio.training.observer import Live, Observer

if TYPE_CHECKING:
    from studio.hardware.precision import Precision
    from studio.models.folder import ModelFolder
    from studio.recipe import Adapter, Recipe
    from studio.settings import Settings

_START_AS_NOTHING = ("lora", "adalora", "vera", "ia3")
_COMPUTES = ("torch", "transformers", "peft", "bitsandbytes")
_MOST_KEPT = 500


@dataclass(frozen=True)
class Untrained:
    """The base behind an adapter. `key` names everything that its numbers depend on."""

    model: Any
    key: dict[str, Any]
    folder: Path

    def asked(self) -> AbstractContextManager[Any]:
        """Inside the block the model computes without its adapter."""
        off: AbstractContextManager[Any] = self.model.disable_adapter()
        return off

    def recall(self, question: dict[str, Any]) -> Any | None:
        """What was remembered for this very question; None where it was never asked."""
        try:
            return json.loads(self._place(question).read_text(encoding="utf-8"))["found"]
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def remember(self, question: dict[str, Any], found: Any) -> None:
        """Keep what was found; the oldest of very many goes. Raises DiskError."""
        self.folder.mkdir(parents=True, exist_ok=True)
        write_json_safely(self._place(question), {"found": found})
        kept = sorted(self.folder.glob("*.json"), key=_changed)
        for old in kept[:-_MOST_KEPT]:
            old.unlink(missing_ok=True)

    def _place(self, question: dict[str, Any]) -> Path:
        text = json.dumps([self.key, question], sort_keys=True)
        return self.folder / f"{hashlib.sha256(text.encode()).hexdigest()[:32]}.json"


def untrained_of(
    recipe: Recipe, model: Any, folder: ModelFolder, precision: Precision, device: Device,
    settings: Settings,
) -> Untrained | None:
    """The base behind `model`'s adapter; None where the adapter does not start as nothing."""
    if not starts_as_nothing(recipe.adapter):
        return None
    key = {
        "files": files_state(folder.path), "dtype": precision.base_dtype,
        "autocast": precision.autocast, "quantization": recipe.model.quantization,
        "double_quantization": recipe.model.double_quantization,
        "attention": model.config._attn_implementation, "device": device.name,
        "libraries": library_versions(_COMPUTES),
    }
    return Untrained(model, key, settings.cache / "base-answers")


def starts_as_nothing(adapter: Adapter) -> bool:
    """Whether the model with its new adapter computes the same as without it, to the bit."""
    if adapter.method not in _START_AS_NOTHING or adapter.bias != "none":
        return False
    return adapter.method != "lora" or not (adapter.starts_from_base or adapter.use_dora)


class AsksBase(Observer):
    """An observer that asks the model before its first step, or the base behind it soon after."""

    _asking: Live | None = None

    def begin_with_base(self, live: Live) -> None:
        """Now, where it is remembered or must be now; else when the first steps were logged."""
        if live.untrained is None or self.recalls_base(live):
            self.ask_base(live)
        else:
            self._asking = live

    def owes_base(self, live: Live, steps: set[int]) -> bool:
        """Whether step 0 is still to be asked, where answers of `steps` are kept: also by a run
        that goes on, if it ended before it came to it and the base can still be asked."""
        return live.step == 0 or (live.untrained is not None and 0 not in steps)

    def logged(self, event: dict[str, Any]) -> None:
        self.settle_base()

    def settle_base(self) -> None:
        """Ask the base if that is still to be done."""
        live, self._asking = self._asking, None
        if live is not None:
            self.ask_base(live)

    def recalls_base(self, live: Live) -> bool:
        """Whether everything that would be asked is remembered."""
        return False

    def ask_base(self, live: Live) -> None:
        """Ask for step 0, without the adapter where `live.untrained` is there."""


def _changed(file: Path) -> float:
    try:
        return file.stat().st_mtime
    except OSError:
        return 0.0
