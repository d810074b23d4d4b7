"""What a chat, a merge or a GGUF will take, told before it begins. For the Chat and Export tabs.

Reads the model's shape only. A model whose shape cannot be had is said instead of raised: the
person may still be choosing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from studio.errors import StudioError
from studio.files import free_bytes, readable_bytes
from studio.ui import markup
from studio.ui.charts_memory import legend

if TYPE_CHECKING:
    from studio.hardware.other_jobs import JobEstimate
    from studio.models.shape import ModelShape
    from studio.recipe import Adapter, Model
    from studio.ui.studio import Studio

CONVERSATION_TOKENS = 2048
"""A chat of some turns; a model with a shorter context ends there."""


def chat_room(studio: Studio, model: Model, columns: int, adapters: list[Adapter]) -> str:
    """The memory of a chat against what is free on the device that answers."""
    try:
        shape = _shape(studio, model)
        from studio.device import free_device_bytes, pick_device
        from studio.hardware.chat_memory import estimate_chat

        device = pick_device()
        tokens = min(CONVERSATION_TOKENS, shape.max_positions or CONVERSATION_TOKENS)
        found = estimate_chat(model, shape, device, columns=columns, adapters=adapters,
                              context_tokens=tokens)
        what = f"A conversation of {tokens:,} tokens"
        return job_view(what, found, free_device_bytes(device))
    except StudioError as error:
        return markup.note(error.message, error.hint, "warning")


def merge_room(studio: Studio, model: Model, adapter: Adapter) -> str:
    """Memory and disk of a merge against what is free."""
    try:
        from studio.hardware.export_memory import estimate_merge

        return _export_view(studio, "The merge", estimate_merge(_shape(studio, model), adapter))
    except StudioError as error:
        return markup.note(error.message, error.hint, "warning")


def gguf_room(studio: Studio, model: Model, outtype: str) -> str:
    """Memory and disk of writing a GGUF against what is free."""
    try:
        from studio.hardware.export_memory import estimate_gguf

        return _export_view(studio, "The file", estimate_gguf(_shape(studio, model), outtype))
    except StudioError as error:
        return markup.note(error.message, error.hint, "warning")


def _shape(studio: Studio, model: Model) -> ModelShape:
    studio.warm_up()
    from studio.models.shape import model_shape

    return model_shape(model.source, studio.settings, revision=model.revision,
                       trust_remote_code=model.trust_remote_code)


def _export_view(studio: Studio, what: str, found: JobEstimate) -> str:
    from studio.main_memory import read_main_memory

    return job_view(what, found, read_main_memory().available_bytes,
                    free_bytes(studio.settings.exports))


def job_view(
    what: str, found: JobEstimate, free_bytes: int, disk_free_bytes: int | None = None
) -> str:
    """A sentence on memory and disk, a warning where one does not suffice, the parts below."""
    where = "GPU memory" if found.place == "gpu" else "memory"
    said = (f"{what} takes about {readable_bytes(found.total_bytes)} of {where} "
            f"({readable_bytes(free_bytes)} free)")
    fits = found.high_bytes <= free_bytes
    hint = "" if fits else "Close other programs, or choose a smaller or quantised model."
    if disk_free_bytes is not None:
        said += (f" and {readable_bytes(found.disk_bytes)} of disk "
                 f"({readable_bytes(disk_free_bytes)} free)")
        if found.disk_bytes * 1.1 >= disk_free_bytes:
            fits = False
            hint = "Free some space, or start the studio with --home on a larger disk."
    head = (f'<div class="quiet">{said}.</div>' if fits
            else markup.note(f"{said}.", hint, "warning"))
    disk = (f"<h5>On disk</h5>{legend(found.disk, found.job)}" if found.disk else "")
    return (f'<div class="job-room">{head}<details><summary>How this comes about</summary>'
            f"{legend(found.parts, found.job)}{disk}</details></div>")
