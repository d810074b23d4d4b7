"""Whether a model fits into main memory to be checked, and in which number format.

Reads headers of files; loads nothing. On a GPU the loading itself says what does not fit.
"""

from __future__ import annotations

from math import prod

from studio.device import Device, free_device_bytes
from studio.errors import ExportError
from studio.export.stored import FLOAT_DTYPES, stored_tensors
from studio.files import readable_bytes
from studio.models.folder import ModelFolder, weight_files
from studio.recipe import Model

_WORK_BYTES = 500 * 10**6
"""Beside the weights: distributions that are kept, and what a text takes while it is read."""


def dtype_with_room(model: Model, folder: ModelFolder, device: Device) -> str:
    """As torch spells it. On a processor in 32 bits where that fits, so that nothing but the
    weights makes a difference, else in 16.

    Raises ExportError where it does not fit at all.
    """
    if device.kind != "cpu":
        return model.dtype
    tensors = [tensor for file in weight_files(folder.path) for tensor in stored_tensors(file)]
    weights = sum(prod(tensor.shape) for tensor in tensors if tensor.dtype in FLOAT_DTYPES)
    packed = sum(tensor.bytes for tensor in tensors if tensor.dtype not in FLOAT_DTYPES)
    free = free_device_bytes(device) - _WORK_BYTES
    for dtype, bytes_each in (("float32", 4), ("bfloat16", 2)):
        if packed + weights * bytes_each <= free:
            return dtype
    raise ExportError(
        f"Checking an export of {folder.name} takes {readable_bytes(packed + 2 * weights)} of main "
        f"memory, and {readable_bytes(max(free, 0))} are free.",
        "Close other programs, or export without the check (--no-verify).")
