"""A model that is loaded only to be written in another form: where to, and how it is saved."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from studio.device import Device

MAIN_MEMORY = Device("cpu", "CPU", "float32", 0)
"""For load_base; nothing is computed there whose memory would be estimated."""
GENERATION_FILE = "generation_config.json"
_SHARD_SIZE = "4GB"


def save_weights(model: Any, folder: Path) -> None:
    """Write config.json and weights. The generation settings are left out: they are copied from
    the base as they are, since saving refuses some that models were published with."""
    from transformers import GenerationConfig

    model.generation_config = GenerationConfig()
    model.save_pretrained(folder, max_shard_size=_SHARD_SIZE)
    # An empty one would say that the model never ends an answer.
    (folder / GENERATION_FILE).unlink(missing_ok=True)
