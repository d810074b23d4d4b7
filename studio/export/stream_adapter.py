"""An adapter on a base without memory: PEFT's own model, of which single modules can be filled.

The base is built on torch's meta device, where tensors have shapes only; the adapter's tensors are
real. Which module's weights come from where is decided in `stream_layers`.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from studio.adapters.folder import AdapterFolder
from studio.export.stream import CannotStream
from studio.export.stream_experts import merge_by_experts
from studio.models.folder import ModelFolder, read_config

if TYPE_CHECKING:
    import torch
    from torch import nn

_NAME = "default"
"""PEFT's name for the one adapter."""
_STREAMED = frozenset({"LORA", "IA3", "OFT", "VERA", "LOHA", "LOKR"})
"""Methods (PEFT's names) that merge a module without looking at others."""
_STARTS = (True, False, "gaussian", "eva")
"""Beginnings of a LoRA that need no weights of the base."""

_TO_UNDO = "trainable_tokens_original"
"""Rows of the base that PEFT keeps to take a merge back, which nobody does here."""


@dataclass
class Place:
    """Where a tensor belongs in a model: in several modules where it is tied."""

    owners: list[tuple[nn.Module, str]] = field(default_factory=list)

    @property
    def tensor(self) -> torch.Tensor:
        """What is there now; on the meta device where it is empty."""
        module, name = self.owners[0]
        found: torch.Tensor = getattr(module, name)
        return found

    def put(self, tensor: torch.Tensor) -> None:
        """Fill it for all its owners."""
        from torch import nn

        if isinstance(self.tensor, nn.Parameter):
            tensor = nn.Parameter(tensor, requires_grad=False)
        for module, name in self.owners:
            setattr(module, name, tensor)

    def fill_anyhow(self) -> None:
        """Make room for what will be copied into it."""
        import torch

        if self.tensor.is_meta:
            self.put(torch.empty_like(self.tensor, device="cpu"))

    def make_empty(self) -> None:
        """Give the memory back."""
        import torch

        self.put(torch.empty_like(self.tensor, device="meta"))


def places(model: nn.Module) -> dict[str, Place]:
    """By the names of what a file of the model holds."""
    by_id: dict[int, Place] = defaultdict(Place)
    found = {}
    for name, tensor in model.state_dict(keep_vars=True).items():
        path, _, last = name.rpartition(".")
        place = by_id[id(tensor)]
        place.owners.append((model.get_submodule(path), last))
        found[name] = place
    return found


def base_without_memory(base: ModelFolder, dtype_name: str) -> Any:
    """The model in `base` on the meta device. Raises CannotStream for one with own code."""
    import torch
    from transformers import AutoConfig

    from studio.models.libraries import quieten
    from studio.models.shape import meta_model

    require_no_own_code(base.path)
    quieten()
    config = AutoConfig.from_pretrained(str(base.path), local_files_only=True)
    config.dtype = getattr(torch, dtype_name)
    return meta_model(config).eval()


def require_no_own_code(base: Path) -> None:
    """Raise CannotStream for a model that brings code, which would have to run."""
    if read_config(base / "config.json").get("auto_map"):
        raise CannotStream("the model brings Python code of its own")


def put_adapter_on(model: Any, adapter: AdapterFolder) -> None:
    """Have PEFT put the adapter, with its tensors, on a base without memory.

    As with a base in memory, PEFT copies the tensors into the formats that it wants for them.
    Raises CannotStream for adapters that PEFT cannot merge module by module.
    """
    from peft import PeftConfig, PeftModel
    from peft.utils import load_peft_weights, set_peft_model_state_dict

    require_streamed(adapter)
    of_base = {id(place.tensor) for place in places(model).values()}
    path = str(adapter.path)
    config = PeftConfig.from_pretrained(path)
    config.inference_mode = True
    wrapped = PeftModel(model, config, _NAME, low_cpu_mem_usage=True)
    weights = load_peft_weights(path, device="cpu",
                                key_mapping=getattr(model, "_checkpoint_conversion_mapping", None))
    all_places = places(wrapped)
    new = {name for name, place in all_places.items() if id(place.tensor) not in of_base}
    for name in new.union(name for name in weights if name in all_places):
        all_places[name].fill_anyhow()
    missing = set(set_peft_model_state_dict(wrapped, weights, _NAME).missing_keys)
    # Some share a tensor, which the file then holds once.
    loaded = {id(all_places[name]) for name in new - missing}
    lost = [name for name in new & missing if id(all_places[name]) not in loaded]
    if lost or any(_lacks_numbers(module, of_base) for _, module in wrapped_modules(model)):
        raise CannotStream("the adapter's file holds less than PEFT needs to merge it")
    wrapped.eval()


def _lacks_numbers(wrapped: nn.Module, of_base: Collection[int]) -> bool:
    """Whether there are none for what PEFT draws at random where no file holds it."""
    return any(buffer.is_meta and _TO_UNDO not in name and id(buffer) not in of_base
               for name, buffer in wrapped.named_buffers())


def require_streamed(adapter: AdapterFolder) -> None:
    """Raise CannotStream for adapters that PEFT cannot merge module by module."""
    options = adapter.config
    if adapter.method not in _STREAMED:
        raise CannotStream("the adapter is of a kind that is merged as a whole")
    if options.get("init_lora_weights", True) not in _STARTS:
        raise CannotStream("the adapter began at the weights of its base")
    if options.get("layer_replication"):
        raise CannotStream("the adapter repeats layers of its base")


def wrapped_modules(model: nn.Module) -> Iterator[tuple[str, Any]]:
    """The modules that PEFT has put something around, outermost only, in its order of merging."""
    from peft.tuners.tuners_utils import BaseTunerLayer
    from peft.utils import AuxiliaryTrainingWrapper

    outer = ""
    for path, module in model.named_modules():
        inside = outer and path.startswith(f"{outer}.")
        if not inside and isinstance(module, (BaseTunerLayer, AuxiliaryTrainingWrapper)):
            outer = path
            yield path, module


def merged_into(wrapped: Any) -> nn.Module | None:
    """The module of the base that is merged into; None where a trained copy takes its place."""
    if trained_copy(wrapped) is not None:
        return None
    found: nn.Module = getattr(wrapped, "token_adapter", wrapped).get_base_layer()
    return found


def trained_copy(wrapped: Any) -> nn.Module | None:
    """What stands in the place of a module that was trained as a whole (modules to save)."""
    from peft.utils import ModulesToSaveWrapper

    if not isinstance(wrapped, ModulesToSaveWrapper):
        return None
    found: nn.Module = wrapped.modules_to_save[_NAME]
    return found


def unloaded(wrapped: Any) -> nn.Module:
    """What PEFT's `merge_and_unload` leaves of this one module, once its weights are there."""
    import torch
    from peft.tuners.lora.layer import ParamWrapper

    with torch.no_grad():
        if isinstance(wrapped, ParamWrapper):
            layer: Any = wrapped
            while isinstance(layer, ParamWrapper):  # one around the other for each parameter
                merge_by_experts(layer, _NAME)
                layer = layer.base_layer
            return layer
        if hasattr(wrapped, "unload_and_optionally_merge_module"):
            found: nn.Module = wrapped.unload_and_optionally_merge_module(
                merge=True, safe_merge=False, adapter_names=None)
            return found
        wrapped.merge()
        found = wrapped.get_base_layer()
        return found


def tensors_of(module: nn.Module | None) -> dict[str, torch.Tensor]:
    """Parameters and buffers by their names in the module."""
    return {} if module is None else dict(module.state_dict(keep_vars=True))
