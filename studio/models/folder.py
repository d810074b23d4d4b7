"""Is this folder a model that may be loaded? The checks every model passes, wherever it came from.

Reads names, config.json, and the headers of safetensors files; never weights, never a pickle.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from studio.errors import ModelError
from studio.files import readable_bytes
from studio.models.stored_plainly import STORED_PLAINLY

PICKLE_SUFFIXES = (".bin", ".pt", ".pth", ".ckpt", ".pkl")
INDEX_FILE = "model.safetensors.index.json"
"""Says which of several files holds which tensor."""


@dataclass(frozen=True)
class ModelFolder:
    """A model on this PC, checked. `source` is what the recipe said, `name` what to call it."""

    path: Path
    name: str
    source: str
    revision: str | None = None


def check_model_folder(folder: Path, *, trust_remote_code: bool = False) -> None:
    """Raise ModelError unless `folder` holds config.json and whole safetensors weights."""
    check_is_model(folder)
    config = read_config(folder / "config.json")
    check_weights(folder)
    check_remote_code(config, str(folder), trust_remote_code)


def check_is_model(folder: Path) -> None:
    """Raise ModelError where config.json is missing, saying what lies there instead."""
    if (folder / "config.json").is_file():
        return
    if (folder / "adapter_config.json").is_file():
        base = _adapter_base(folder / "adapter_config.json")
        raise ModelError(
            f"{folder} is an adapter, not a model.",
            f"Choose the model that it was trained on{base} as the base, and open the adapter "
            "in Chat or Export.",
        )
    if any(folder.glob("*.gguf")):
        raise ModelError(
            f"{folder} holds a GGUF file, which cannot be trained on.",
            "Choose the model in its Transformers form: config.json and *.safetensors.",
        )
    raise ModelError(
        f"{folder} is not a model: it has no config.json.",
        "Choose a folder with config.json and *.safetensors, as save_pretrained writes it.",
    )


def _adapter_base(path: Path) -> str:
    try:
        base = json.loads(path.read_text(encoding="utf-8")).get("base_model_name_or_path")
    except (ValueError, OSError, AttributeError):
        return ""
    return f" ({base})" if base else ""


def read_config(path: Path) -> dict[str, Any]:
    """config.json as a dictionary. Raises ModelError when it is not one."""
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, OSError) as error:
        raise ModelError(f"{path} cannot be read: {error}.", "Fetch the model again.") from None
    if not isinstance(config, dict):
        raise ModelError(f"{path} is not a map of settings.", "Fetch the model again.")
    return config


def judges_texts(config: dict[str, Any]) -> bool:
    """Whether a model with this config.json gives a text a number instead of writing on."""
    return any(str(name).endswith("ForSequenceClassification")
               for name in config.get("architectures") or [])


def check_weights(folder: Path) -> None:
    """Raise ModelError unless all weights are there, as safetensors, and none is cut short."""
    files = weight_files(folder)
    if not files:
        refuse_without_safetensors(str(folder), [path.name for path in folder.iterdir()])
    for path in files:
        if not path.is_file():
            raise ModelError(
                f"{folder} is incomplete: {path.name} is missing, which {INDEX_FILE} names.",
                "Fetch the model again.",
            )
        check_safetensors_file(path)


def weight_files(folder: Path) -> list[Path]:
    """The safetensors files of the model, shards as the index names them."""
    index = folder / INDEX_FILE
    if index.is_file():
        shards = read_config(index).get("weight_map", {})
        return sorted({folder / Path(name).name for name in shards.values()})
    return sorted(path for path in folder.glob("*.safetensors")
                  if not path.name.startswith(("adapter_", "consolidated")))


def files_state(folder: Path) -> list[tuple[str, int, int]]:
    """Path, bytes, and time of change (ns) of what a model is read from: the same, same model."""
    files = [folder / "config.json", folder / "generation_config.json", *weight_files(folder)]
    return [(str(path), path.stat().st_size, path.stat().st_mtime_ns)
            for path in files if path.is_file()]


def refuse_without_safetensors(where: str, names: list[str]) -> None:
    """Raise the ModelError for a model without safetensors; pickles are named as such."""
    pickles = sorted(name for name in names if name.lower().endswith(PICKLE_SUFFIXES))
    if pickles:
        raise ModelError(
            f"{where} has its weights only as pickles ({pickles[0]}), which can run any code "
            "when opened, so the studio refuses them.",
            "Look for a safetensors version of the model, or ask its author for one.",
        )
    raise ModelError(
        f"{where} has no *.safetensors weights.",
        "Choose a folder or repository with config.json and *.safetensors.",
    )


def check_safetensors_file(path: Path) -> None:
    """Raise ModelError when the file is shorter than its header says, or has no header.

    Format: 8 bytes little-endian header length, JSON header, data
    (https://github.com/huggingface/safetensors#format).
    """
    size = path.stat().st_size
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        if length <= 0 or length + 8 > size:
            raise _broken(path, size)
        try:
            header = json.loads(file.read(length))
            ends = [entry["data_offsets"][1] for name, entry in header.items()
                    if name != "__metadata__"]
        except (ValueError, KeyError, IndexError, TypeError, AttributeError):
            raise _broken(path, size) from None
    if 8 + length + max(ends, default=0) != size:
        raise _broken(path, size)


def _broken(path: Path, size_bytes: int) -> ModelError:
    return ModelError(
        f"{path} is not a whole safetensors file ({readable_bytes(size_bytes)} on disk).",
        "The download was probably cut short: delete the file and fetch the model again.",
    )


def check_remote_code(config: dict[str, Any], where: str, trusted: bool) -> None:
    """Raise ModelError when only the repository's own Python code could load the model."""
    model_type = str(config.get("model_type", ""))
    if trusted and config.get("auto_map"):
        return
    if model_type in STORED_PLAINLY:  # known without importing Transformers for more than a second
        return
    from transformers.models.auto.configuration_auto import CONFIG_MAPPING_NAMES

    if model_type in CONFIG_MAPPING_NAMES:
        return
    if config.get("auto_map"):
        raise ModelError(
            f"{where} wants to run its own Python code on this PC, which is off.",
            "If you trust its author, set model.trust_remote_code to true.",
        )
    import transformers

    raise ModelError(
        f"{where} has the model type {model_type!r}, which transformers "
        f"{transformers.__version__} does not know.",
        "Choose another model, or a newer version of the studio.",
    )
