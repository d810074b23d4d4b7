"""One base in memory and the adapters on it: loading, dropping, and who can share a batch.

Knows weights and PEFT, not conversations. LoRA adapters lie on the base together; one of another
kind takes the base for itself while it answers, since PEFT mixes no kinds. Adapters have inner
names (a0, a1, ...) since PEFT takes no dots in them, and run names may have some.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from studio.adapters.folder import (
    WEIGHTS_FILE,
    AdapterFolder,
    is_full_model,
    read_adapter_folder,
    require_fit,
)
from studio.chat.layout import LEAST_ROWS, turn, turnable
from studio.chat.mixed_batch import speed_up_mixed_batches
from studio.chat.strength import Scales, require_scalable
from studio.device import Device, release_memory
from studio.errors import ModelError
from studio.files import Stamp, stamp_of
from studio.models.libraries import made_in_turn
from studio.models.own_draws import own_draws

if TYPE_CHECKING:
    from transformers import PreTrainedModel

BASE = "__base__"
"""What PEFT calls the rows of a mixed batch that no adapter changes."""


@dataclass(frozen=True)
class AdapterUse:
    """An adapter folder as a column uses it: one folder may count at several strengths."""

    path: Path
    strength: float = 1.0


@dataclass(frozen=True)
class _Loaded:
    """What lies on the base: PEFT's name for it, what it was read from, and its scales. `stamp`
    is that of the file that was read."""

    inner: str
    folder: AdapterFolder
    scales: Scales
    stamp: Stamp | None


class Weights:
    """A loaded base and the adapters in use on it. The base's weights are in memory once."""

    def __init__(self, base: PreTrainedModel, base_name: str, device: Device) -> None:
        self._base: Any = base.eval()
        self._peft: Any = None
        self._unturned = turnable(base)
        self._base_name = base_name
        self._device = device
        self._held: dict[AdapterUse, AdapterFolder] = {}
        self._loaded: dict[AdapterUse, _Loaded] = {}
        self._numbers = itertools.count()
        self._has_changed = False
        release_memory(device)  # what loading took besides the weights

    @property
    def model(self) -> Any:
        """What answers: the base itself, or PEFT's model around it."""
        return self._base if self._peft is None else self._peft

    def rows(self, uses: list[AdapterUse | None]) -> dict[str, Any]:
        """Arguments of `model.generate` that give each row of a batch its weights.

        A single row whose adapter cannot be mixed has it made PEFT's active one instead. May
        change what `model` is, so it is to be asked first.
        """
        self._put_on([use for use in uses if use is not None])
        if self._peft is None:
            return {}
        if not all(self.shares_a_batch(use) for use in uses):
            self._peft.set_adapter(self._inner_name(uses[0]))
            return {}
        self._settle()
        return {"adapter_names": [self._inner_name(use) for use in uses]}

    def shares_a_batch(self, use: AdapterUse | None) -> bool:
        """Whether that column can be a row beside others."""
        return use is None or self._held[use].shares_a_batch

    def expect(self, uses: list[AdapterUse | None]) -> None:
        """Prepare for batches of these, the held ones of a line-up."""
        if sum(map(self.shares_a_batch, uses)) >= LEAST_ROWS:
            turn(self._unturned)
            self._unturned = []

    def outdated(self) -> set[AdapterUse]:
        """Those on the base whose files are others by now, such as a blend that was made anew under
        its old name. One whose files are gone is none of them: it goes on as it was."""
        return {use for use, loaded in list(self._loaded.items())
                if stamp_of(use.path / WEIGHTS_FILE) not in (None, loaded.stamp)}

    def virtual_tokens(self, use: AdapterUse | None) -> int:
        """How much of the context that column's adapter takes for itself."""
        return 0 if use is None else self._held[use].virtual_tokens

    def hold(self, uses: set[AdapterUse]) -> None:
        """Load the adapters in `uses` that are missing or outdated, then drop those not in it.

        Where only the strength is another, nothing is loaded. Raises ModelError for an adapter
        that is unsafe or does not fit; what was loaded before stays as it was.
        """
        outdated = self.outdated()
        missing = sorted(uses - (self._held.keys() - outdated),
                         key=lambda use: (use.path, use.strength))
        spare = {use.path: use for use in self._held.keys() - uses - outdated}
        changed = {use: spare.pop(use.path) for use in missing if use.path in spare}
        for use, before in changed.items():
            require_scalable(self._held[before], use.strength)
        new = {use: self._checked(use) for use in missing if use not in changed}
        for use in outdated:
            self._drop(use)
        for use, folder in new.items():
            self._put_on([use], {use: folder})
        self._held |= new
        for use, before in changed.items():
            self._change_strength(before, use)
        for use in self._held.keys() - uses:
            del self._held[use]
        for use in self._loaded.keys() - uses:
            self._drop(use)
        self._settle()
        if new:
            release_memory(self._device)  # what was read, and copied to where it lies now

    def close(self) -> None:
        """Forget the weights and give their memory back."""
        self._held.clear()
        self._loaded.clear()
        self._unturned = []
        self._peft = None
        self._base = None
        release_memory(self._device)

    def _inner_name(self, use: AdapterUse | None) -> str:
        return BASE if use is None else self._loaded[use].inner

    def _change_strength(self, before: AdapterUse, after: AdapterUse) -> None:
        self._held[after] = self._held.pop(before)
        if before in self._loaded:
            self._loaded[after] = self._loaded.pop(before)
            self._loaded[after].scales.set(after.strength)
            self._has_changed = True

    def _checked(self, use: AdapterUse) -> AdapterFolder:
        path = use.path
        if is_full_model(path):
            raise ModelError(
                f"{path} holds a whole model and no adapter: that run trained every weight.",
                "Choose this folder as the base model instead.",
            )
        folder = read_adapter_folder(path)
        if folder.judges:
            raise ModelError(
                f"The adapter {path} makes the base a reward model, which judges answers and "
                "writes none.",
                "Choose another adapter, or use this run as a reward in a run of training.method "
                "grpo or rloo.",
            )
        if folder.changed_biases:
            raise ModelError(
                f"The adapter {path} also changes {len(folder.changed_biases)} bias terms of the "
                "base, which it cannot share with other columns.",
                "Merge it on the Export tab and choose the merged model as the base.",
            )
        base = self._base if self._peft is None else self._peft.get_base_model()
        require_fit(folder, base, self._base_name)
        require_scalable(folder, use.strength)
        return folder

    def _put_on(self, uses: list[AdapterUse],
                new: dict[AdapterUse, AdapterFolder] | None = None) -> None:
        """Load what is missing of `uses` onto the base; what cannot lie beside it goes."""
        known = self._held | (new or {})
        if not uses:
            self._take_off_alone()
        for use in uses:
            for other, loaded in list(self._loaded.items()):
                if other != use and not known[use].lies_beside(loaded.folder):
                    self._drop(other)
            if use not in self._loaded:
                self._load(use, known[use])

    def _take_off_alone(self) -> None:
        """The base answers: adapters that cannot be left out for single rows go."""
        for use, loaded in list(self._loaded.items()):
            if not loaded.folder.lies_beside(loaded.folder):
                self._drop(use)

    def _load(self, use: AdapterUse, folder: AdapterFolder) -> None:
        from peft import PeftConfig, get_peft_model

        read_adapter_folder(folder.path)  # it may have gone since it was checked
        inner, stamp = f"a{next(self._numbers)}", stamp_of(folder.path / WEIGHTS_FILE)
        config = PeftConfig.from_pretrained(str(folder.path))
        config.inference_mode = True
        try:
            # A training may be at work on another thread.
            with made_in_turn(), own_draws():
                if self._peft is None:
                    self._peft = get_peft_model(self._base, config, adapter_name=inner)
                result = self._peft.load_adapter(folder.path, inner,
                                                 torch_device=self._device.torch_name)
            if result.missing_keys:
                raise ValueError(f"{result.missing_keys[0]} is missing in its file")
        except (ValueError, KeyError, RuntimeError) as error:
            self._remove(inner)
            raise ModelError(
                f"The adapter {folder.path} cannot be loaded: {str(error).splitlines()[0]}",
                "The folder is incomplete or was made by another version of PEFT.",
            ) from error
        self._peft.eval()
        twin = next((loaded.inner for other, loaded in self._loaded.items()
                     if other.path == use.path), None)
        if twin is not None:
            _share(self._peft, twin, inner)
        self._loaded[use] = _Loaded(inner, folder, Scales(self._peft, inner), stamp)
        self._loaded[use].scales.set(use.strength)
        self._has_changed = True

    def _drop(self, use: AdapterUse) -> None:
        self._remove(self._loaded.pop(use).inner)

    def _settle(self) -> None:
        """After adapters came, went, or count otherwise."""
        if self._has_changed and self._peft is not None:
            speed_up_mixed_batches(self._peft)
        self._has_changed = False

    def _remove(self, inner: str) -> None:
        self._has_changed = True
        others = [one.inner for one in self._loaded.values() if one.inner != inner]
        if others:
            # Another one is made active first, or PEFT would choose one and warn of it.
            self._peft.set_adapter(others[0])
            if inner in self._peft.peft_config:
                self._peft.delete_adapter(inner)
        elif self._peft is not None:
            # The last one takes PEFT's layers with it, so that a bare base is as fast as before.
            self._base = _bare(self._peft)
            self._peft = None
        release_memory(self._device)


def _share(model: Any, owner: str, inner: str) -> None:
    """One copy in memory of what two inner adapters read from the same file."""
    for module in model.modules():
        for part in getattr(module, "adapter_layer_names", ()):
            tensors = getattr(module, part, {})
            if owner in tensors and inner in tensors:
                tensors[inner] = tensors[owner]


def _bare(model: Any) -> Any:
    """The base of a PEFT model as it was before."""
    from peft.tuners.tuners_utils import BaseTuner

    if not isinstance(model.base_model, BaseTuner):
        return model.get_base_model()  # tokens in front of the text change no layer
    # PEFT's IA3 refuses to be merged into a quantised base, and so to leave it, too.
    return BaseTuner._unload_and_optionally_merge(model.base_model, merge=False, progressbar=False)
