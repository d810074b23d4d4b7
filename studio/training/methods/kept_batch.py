"""Answers that several steps learn from, kept in a checkpoint so that a resume goes on with them.

Only where a recipe passes over its answers more than once; otherwise every step writes its own.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

_FILE = "answers.safetensors"


def save_batch(micro_batches: list[dict[str, Any]], folder: Path) -> None:
    """Write the micro-batches of one writing to `folder`, as one."""
    import torch
    from safetensors.torch import save_file

    whole = {}
    for name, value in micro_batches[0].items():
        if value is not None:
            whole[name] = value if value.ndim == 0 else torch.cat(
                [one[name] for one in micro_batches])
    save_file({name: value.contiguous() for name, value in whole.items()}, folder / _FILE)


def load_batch(folder: Path, count: int, device: Any) -> list[dict[str, Any]] | None:
    """The same, divided into `count` micro-batches; None where `folder` has none."""
    from safetensors.torch import load_file
    from trl.trainer.utils import split_tensor_dict

    if not (folder / _FILE).is_file():
        return None
    whole = load_file(folder / _FILE, device=str(device))
    rows = sorted(whole.items(), key=lambda item: item[1].ndim == 0)  # TRL counts by the first
    divided: list[dict[str, Any]] = split_tensor_dict(dict(rows), count)
    return divided
