"""A PEFT adapter folder, read without loading a model: what it is, and whether it fits a base.

Reads `adapter_config.json` and the header of `adapter_model.safetensors` only, and writes that
file. Pickled weights are refused. Loading the weights into a model is PEFT's work, in
`studio/chat` and `studio/export`.
"""

from __future__ import annotations

import functools
import json
import math
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from studio.adapters.kinds import kind_of_peft
from studio.errors import ModelError
from studio.files import Stamp, file_written_whole, stamp_of
from studio.models.folder import judges_texts, read_config

if TYPE_CHECKING:
    import torch
    from torch import nn

CONFIG_FILE = "adapter_config.json"
WEIGHTS_FILE = "adapter_model.safetensors"
PICKLED_FILES = ("adapter_model.bin", "adapter_model.pt", "adapter_model.pth")
PREFIX = "base_model.model."
"""Begins the name of every tensor in an adapter's file, before the layer's path in the base."""
_APART = {"use_dora": "DoRA cannot be mixed with others",
          "alora_invocation_tokens": "it wakes up at certain tokens only",
          "trainable_token_indices": "it replaces rows of the embedding"}
"""What a LoRA may be that no batch holds beside others, and why not, as the end of a sentence."""
_STARTS_FROM_BASE = ("pissa", "olora", "corda", "loftq", "lora_ga")
_SIZES: tuple[tuple[str, int, str], ...] = (
    (".lora_A.", 1, "inputs"), (".lora_B.", 0, "outputs"), (".lora_A", 1, "inputs"),
    (".lora_B", 0, "outputs"), (".vera_lambda_b", 0, "outputs"), (".ia3_l", -1, ""),
    (".oft_R.", -1, ""),
)
"""Part of a tensor's name behind its layer's; the axis, and which size of the layer that is."""
_WRAPPED = re.compile(r"(\.base_layer)+$")
_OLDER_MIXTURE = re.compile(r"\.experts\.\d+\.\w+$|\.block_sparse_moe\.gate$")


@dataclass(frozen=True)
class AdapterFolder:
    """An adapter on disk. `shapes` maps the tensor names of the file to their shapes."""

    path: Path
    config: dict[str, Any]
    shapes: dict[str, tuple[int, ...]]

    @property
    def base_name(self) -> str:
        """The base that the adapter says it was trained on; may be empty."""
        return str(self.config.get("base_model_name_or_path") or "")

    @property
    def method(self) -> str:
        """PEFT's name of the method, in capitals: LORA and others."""
        return str(self.config.get("peft_type") or "").upper()

    @property
    def numbers(self) -> int:
        """How many its file holds."""
        return sum(math.prod(shape) for shape in self.shapes.values())

    def alpha_at(self, layer: str) -> float:
        """LoRA's alpha at one layer; a pattern that matches its path goes before the usual one."""
        from peft.utils.other import get_pattern_key

        alphas = self.config.get("alpha_pattern") or {}
        return float(alphas.get(get_pattern_key(list(alphas), layer), self.config["lora_alpha"]))

    @property
    def judges(self) -> bool:
        """Whether it makes the base a judge of answers, which writes none."""
        return self.config.get("task_type") == "SEQ_CLS"

    @property
    def shares_a_batch(self) -> bool:
        """Whether PEFT can answer with it beside other adapters in one batch."""
        return not self.why_alone

    @property
    def why_alone(self) -> str:
        """Why no batch can hold it beside others, as the end of a sentence; empty if one can."""
        if self.method != "LORA":
            kind = kind_of_peft(self.method)
            label = kind.label if kind else self.method
            return f"only LoRA can be mixed, and it is of the kind {label}"
        if not self._mixes:
            return "it replaces whole modules of the base"
        return next((reason for name, reason in _APART.items() if self.config.get(name)), "")

    def lies_beside(self, other: AdapterFolder) -> bool:
        """Whether PEFT can hold both on one base at a time, and answer without either.

        It mixes no kinds, and of the others than LoRA some share what should be each one's own.
        """
        return self._mixes and other._mixes

    @property
    def _mixes(self) -> bool:
        """A LoRA whose modules trained in full, if any, are linears or embeddings: PEFT can leave
        no others out for single rows of a batch."""
        if self.method != "LORA":
            return False
        return all(self._is_matrix(name) for name in self.shapes if self._is_saved_module(name))

    def _is_matrix(self, name: str) -> bool:
        """Whether a tensor of a module trained in full is that of a linear or an embedding."""
        saved, parts = self.config.get("modules_to_save") or [], name.split(".")
        last = parts[-1]
        return parts[-2] in saved and (last == "bias" or (
            last == "weight" and len(self.shapes[name]) == 2))

    @property
    def virtual_tokens(self) -> int:
        """Learned tokens that stand before every text and take room in the context."""
        return int(self.config.get("num_virtual_tokens") or 0)

    @property
    def changed_biases(self) -> list[str]:
        """Names of bias terms that belong to the base itself and that the adapter replaces."""
        return [name for name in self.shapes if name.endswith(".bias") and "lora_" not in name
                and not self._is_saved_module(name)]

    def _is_saved_module(self, name: str) -> bool:
        saved = self.config.get("modules_to_save") or []
        return any(part in saved for part in name.split("."))


def is_full_model(path: Path) -> bool:
    """True for a folder with a whole model, as runs without an adapter leave it."""
    return (path / "config.json").is_file() and not (path / CONFIG_FILE).exists()


def is_judge(path: Path) -> bool:
    """True for an adapter or a whole model that gives a text one number and writes none."""
    if (path / CONFIG_FILE).is_file():
        return _read_config(path / CONFIG_FILE).get("task_type") == "SEQ_CLS"
    return is_full_model(path) and judges_texts(read_config(path / "config.json"))


def known_adapter_folder(path: Path) -> AdapterFolder:
    """As `read_adapter_folder`, read once until its files change: for who asks again and again."""
    return _known(path, stamp_of(path / CONFIG_FILE), stamp_of(path / WEIGHTS_FILE))


@functools.lru_cache(maxsize=64)
def _known(path: Path, config: Stamp | None, weights: Stamp | None) -> AdapterFolder:
    return read_adapter_folder(path)


def read_adapter_folder(path: Path) -> AdapterFolder:
    """The adapter at `path`. Raises ModelError if it is missing, damaged, or pickled."""
    if not path.is_dir():
        raise ModelError(f"There is no adapter folder at {path}.",
                         "Choose a finished run, or a folder that PEFT saved.")
    if not (path / CONFIG_FILE).is_file():
        raise ModelError(f"{path.name} is not an adapter: {CONFIG_FILE} is missing in {path}.",
                         "Choose a finished run, or a folder that PEFT saved.")
    _require_safetensors(path)
    return AdapterFolder(path, _read_config(path / CONFIG_FILE), _read_shapes(path / WEIGHTS_FILE))


def _require_safetensors(path: Path) -> None:
    if (path / WEIGHTS_FILE).is_file():
        return
    pickled = next((name for name in PICKLED_FILES if (path / name).exists()), None)
    if pickled:
        raise ModelError(
            f"{path.name} has its weights only in {pickled}, which is a pickle and could run "
            "code when it is opened. The studio reads safetensors only.",
            f"Ask its author for {WEIGHTS_FILE}, or convert it where you trust it.",
        )
    raise ModelError(f"{path.name} has no weights: {WEIGHTS_FILE} is missing in {path}.",
                     "The folder was not copied whole, or the run had not saved yet.")


def _read_config(file: Path) -> dict[str, Any]:
    try:
        config = json.loads(file.read_text(encoding="utf-8"))
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise ModelError(f"{file} is not valid JSON: {error}.",
                         "Save the adapter again.") from error
    if not isinstance(config, dict) or not config.get("peft_type"):
        raise ModelError(f"{file} does not say which method it is (peft_type is missing).",
                         "Save the adapter again with PEFT.")
    return config


def _read_shapes(file: Path) -> dict[str, tuple[int, ...]]:
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(file, framework="np") as tensors:
            names = list(tensors.keys())
            return {name: tuple(tensors.get_slice(name).get_shape()) for name in names}
    except SafetensorError as error:
        raise ModelError(f"{file} is damaged: {error}.",
                         "Copy the adapter again, or train it again.") from error


def write_weights(tensors: dict[str, torch.Tensor], file: Path) -> None:
    """Write `tensors` by the names that PEFT gives them, whole or not at all."""
    from safetensors.torch import save

    with file_written_whole(file) as beside:
        beside.write(save({name: tensor.contiguous().cpu() for name, tensor in tensors.items()},
                          metadata={"format": "pt"}))


def require_fit(adapter: AdapterFolder, base: nn.Module, base_name: str) -> None:
    """Raise ModelError naming the first layer at which `adapter` does not fit `base`."""
    sizes = {path: _inputs_outputs(module) for path, module in base.named_modules()}
    require_fit_layers(adapter, sizes, base_name)


def require_fit_layers(adapter: AdapterFolder, sizes: Mapping[str, tuple[int, int] | None],
                       base_name: str) -> None:
    """The same by `sizes`: inputs and outputs of each module of the base, None for no linear.

    LoRA's A is (rank, inputs) and B is (outputs, rank) of the layer that it stands beside.
    """
    require_made_for_plain_base(adapter, base_name)
    stacks_experts = _stacks_experts(sizes)
    for name, shape in adapter.shapes.items():
        reason = _misfit(name, shape, sizes, stacks_experts=stacks_experts)
        if reason:
            trained_on = f" It was trained on {adapter.base_name}." if adapter.base_name else ""
            raise ModelError(
                f"The adapter {adapter.path} does not fit {base_name}: {reason}.{trained_on}",
                "Choose the base model that the adapter was trained on.",
            )


def require_made_for_plain_base(adapter: AdapterFolder, base_name: str) -> None:
    """Raise ModelError for one that belongs to a base which its start had changed."""
    start = adapter.config.get("init_lora_weights")
    if isinstance(start, str) and start.startswith(_STARTS_FROM_BASE):
        raise ModelError(
            f"The adapter {adapter.path} was trained over a changed base (its start, {start}, was "
            f"taken out of the weights), so it is none for {base_name} itself.",
            "Choose the finished adapter of the run: that one is made for the base as it is.")


def _misfit(name: str, shape: tuple[int, ...], layers: Mapping[str, tuple[int, int] | None], *,
            stacks_experts: bool) -> str:
    path = name.removeprefix(PREFIX)
    for part, axis, side in _SIZES:
        layer, found, _ = path.partition(part)
        if not found:
            continue
        # PEFT puts one wrapper around the other where it adapts several parameters of a module.
        layer = _WRAPPED.sub("", layer)
        if layer not in layers:
            # Older versions of PEFT and Transformers name a mixture's experts and their router so.
            is_of_expert = stacks_experts and _OLDER_MIXTURE.search(layer) is not None
            return "" if is_of_expert else f"the base has no layer {layer}"
        sizes = layers[layer]
        if sizes is None or axis < 0 or len(shape) > 2:
            return ""
        has = sizes[0] if side == "inputs" else sizes[1]
        if shape[axis] != has:
            rank = f" (rank {shape[1 - axis]})" if len(shape) == 2 else ""
            return f"{layer} has {has} {side} in the base, and {shape[axis]} in the adapter{rank}"
        return ""
    return ""


def _stacks_experts(layers: Collection[str]) -> bool:
    """Whether a base has all experts of a layer in one module without numbers, as newer versions
    of Transformers do; PEFT then puts adapters together that were trained on single experts."""
    experts = [path for path in layers if path.endswith(".experts")]
    return bool(experts) and not any(f"{path}.0" in layers for path in experts)


def _inputs_outputs(layer: nn.Module) -> tuple[int, int] | None:
    """Sizes of a linear layer, also a quantised one, or of GPT-2's transposed Conv1D."""
    inputs, outputs = getattr(layer, "in_features", None), getattr(layer, "out_features", None)
    if isinstance(inputs, int) and isinstance(outputs, int):
        return inputs, outputs
    if type(layer).__name__ == "Conv1D":
        weight: Any = layer.weight
        return int(weight.shape[0]), int(weight.shape[1])
    return None
