"""One base in memory and the adapters on it: loading, dropping, and who can share a batch.

Knows weights and PEFT, not conversations. LoRA adapters lie on the base together; one of another
kind takes the base for itself while it answers, since PEFT mixes no kinds. Adapters have inner
names (a0, a1, ...) since PEFT takes no dots in them, and run names may have some.
"""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import TYPE_CHECKING, Any

from studio.adapters.folder import AdapterFolder, is_full_model, read_adapter_folder, require_fit
from studio.device import Device, release_memory
from studio.errors import ModelError

if TYPE_CHECKING:
    from transformers import PreTrainedModel

BASE = "__base__"
"""What PEFT calls the rows of a mixed batch that no adapter changes."""


class Weights:
    """A loaded base and its adapters by path. The base's weights are in memory once."""

    def __init__(self, base: PreTrainedModel, base_name: str, device: Device) -> None:
        self._base: Any = base.eval()
        self._peft: Any = None
        self._base_name = base_name
        self._device = device
        self._held: dict[Path, AdapterFolder] = {}
        self._loaded: dict[Path, tuple[str, AdapterFolder]] = {}
        self._numbers = itertools.count()

    @property
    def model(self) -> Any:
        """What answers: the base itself, or PEFT's model around it."""
        return self._base if self._peft is None else self._peft

    def rows(self, paths: list[Path | None]) -> dict[str, Any]:
        """Arguments of `model.generate` that give each row of a batch its weights.

        A single row whose adapter cannot be mixed has it made PEFT's active one instead. May
        change what `model` is, so it is to be asked first.
        """
        self._put_on([path for path in paths if path is not None])
        if self._peft is None:
            return {}
        if not all(self.shares_a_batch(path) for path in paths):
            self._peft.set_adapter(self._inner_name(paths[0]))
            return {}
        return {"adapter_names": [self._inner_name(path) for path in paths]}

    def shares_a_batch(self, path: Path | None) -> bool:
        """Whether that column can be a row beside others."""
        return path is None or self._held[path].shares_a_batch

    def virtual_tokens(self, path: Path | None) -> int:
        """How much of the context that column's adapter takes for itself."""
        return 0 if path is None else self._held[path].virtual_tokens

    def hold(self, paths: set[Path]) -> None:
        """Load the adapters in `paths` that are missing, then drop those not in it.

        Raises ModelError for an adapter that is unsafe or does not fit; what was loaded before
        stays as it was.
        """
        folders = [self._checked(path) for path in sorted(paths - self._held.keys())]
        for folder in folders:
            self._put_on([folder.path], {folder.path: folder})
        self._held |= {folder.path: folder for folder in folders}
        for path in self._held.keys() - paths:
            del self._held[path]
        for path in self._loaded.keys() - paths:
            self._drop(path)

    def close(self) -> None:
        """Forget the weights and give their memory back."""
        self._held.clear()
        self._loaded.clear()
        self._peft = None
        self._base = None
        release_memory(self._device)

    def _inner_name(self, path: Path | None) -> str:
        return BASE if path is None else self._loaded[path][0]

    def _checked(self, path: Path) -> AdapterFolder:
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
        return folder

    def _put_on(self, paths: list[Path], new: dict[Path, AdapterFolder] | None = None) -> None:
        """Load what is missing of `paths` onto the base; what cannot lie beside it goes."""
        known = self._held | (new or {})
        wanted = [known[path] for path in paths]
        if not wanted:
            self._take_off_alone()
        for folder in wanted:
            for path, (_, other) in list(self._loaded.items()):
                if path != folder.path and not folder.lies_beside(other):
                    self._drop(path)
            if folder.path not in self._loaded:
                self._load(folder)

    def _take_off_alone(self) -> None:
        """The base answers: adapters that cannot be left out for single rows go."""
        for path, (_, folder) in list(self._loaded.items()):
            if not folder.lies_beside(folder):
                self._drop(path)

    def _load(self, folder: AdapterFolder) -> None:
        from peft import PeftConfig, get_peft_model

        inner = f"a{next(self._numbers)}"
        config = PeftConfig.from_pretrained(str(folder.path))
        config.inference_mode = True
        try:
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
        self._loaded[folder.path] = (inner, folder)

    def _drop(self, path: Path) -> None:
        inner, _ = self._loaded.pop(path)
        self._remove(inner)

    def _remove(self, inner: str) -> None:
        others = [name for name, _ in self._loaded.values() if name != inner]
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


def _bare(model: Any) -> Any:
    """The base of a PEFT model as it was before."""
    from peft.tuners.tuners_utils import BaseTuner

    if not isinstance(model.base_model, BaseTuner):
        return model.get_base_model()  # tokens in front of the text change no layer
    # PEFT's IA3 refuses to be merged into a quantised base, and so to leave it, too.
    return BaseTuner._unload_and_optionally_merge(model.base_model, merge=False, progressbar=False)
