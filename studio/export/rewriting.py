"""A model that is loaded only to be written in another form: where to, and how it is saved."""

from __future__ import annotations

import errno
import os
import re
import shutil
from pathlib import Path
from typing import Any

from studio.device import Device

MAIN_MEMORY = Device("cpu", "CPU", "float32", 0)
"""For load_base; nothing is computed there whose memory would be estimated."""
GENERATION_FILE = "generation_config.json"
_SHARD_SIZE = "4GB"
_DISK_FULL = re.compile(r"os error (28|112)\b")
"""How safetensors words it, which has no kind of error for it: on Linux and macOS, on Windows."""


def copy_generation_settings(source: Path, folder: Path) -> None:
    """As they are; not every model has some."""
    file = source / GENERATION_FILE
    if file.is_file():
        shutil.copyfile(file, folder / file.name)


def save_weights(model: Any, folder: Path) -> None:
    """Write config.json and weights. The generation settings are left out: they are copied from
    the base as they are, since saving refuses some that models were published with. Raises OSError
    where the disk is full, as writing by hand does."""
    from safetensors import SafetensorError
    from transformers import GenerationConfig

    model.generation_config = GenerationConfig()
    try:
        model.save_pretrained(folder, max_shard_size=_SHARD_SIZE)
    except SafetensorError as error:
        if not _DISK_FULL.search(str(error)):
            raise
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)) from error
    # An empty one would say that the model never ends an answer.
    (folder / GENERATION_FILE).unlink(missing_ok=True)
