"""What a chat will take, told before it begins, and the look of any such estimate.

Reads the model's shape only. A model whose shape cannot be had is said instead of raised: the
person may still be choosing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from studio.errors import StudioError
from studio.files import readable_bytes, with_spare
from studio.models.gguf_file import is_gguf
from studio.ui import markup
from studio.ui.charts_memory import legend
from studio.ui.panels.chat_columns import base_label

if TYPE_CHECKING:
    from studio.device import Device
    from studio.hardware.other_jobs import JobEstimate
    from studio.models.gguf_header import GgufHeader
    from studio.models.shape import ModelShape
    from studio.recipe import Adapter, Model
    from studio.ui.studio import Studio


def chat_room(studio: Studio, model: Model, columns: int, adapters: list[Adapter]) -> str:
    """The memory of a chat against what is free on the device that answers."""
    try:
        shape = shape_of(studio, model)
        from studio.device import free_device_bytes, pick_device
        from studio.hardware.chat_memory import conversation_tokens, estimate_chat

        device = pick_device()
        tokens = conversation_tokens(shape)
        found = estimate_chat(model, shape, device, columns=columns, adapters=adapters,
                              context_tokens=tokens)
        what = f"A conversation of {tokens:,} tokens"
        free = free_device_bytes(device) + _held_by_chat(studio, device)
        return _missing(studio, model) + job_view(what, found, free)
    except StudioError as error:
        return markup.note(error.message, error.hint, "warning")


def gguf_chat_room(header: GgufHeader, adapter_bytes: int) -> str:
    """The memory that llama.cpp takes for a chat with a GGUF file, against what is free."""
    from studio.hardware.gguf_memory import estimate_gguf_chat, gguf_context_tokens
    from studio.main_memory import read_main_memory

    found = estimate_gguf_chat(header, adapter_bytes)
    return job_view(f"A conversation of up to {gguf_context_tokens(header):,} tokens", found,
                    read_main_memory().available_bytes)


def _held_by_chat(studio: Studio, device: Device) -> int:
    """Bytes of the base that is loaded: this chat uses it, or another one takes its place."""
    from studio.hardware.chat_memory import estimate_chat

    session = studio.chat.session
    if session is None or is_gguf(session.model.source):
        return 0  # the system counts the pages of a GGUF file as free
    found = estimate_chat(session.model, shape_of(studio, session.model), device, columns=1,
                          adapters=[], context_tokens=1)
    return sum(piece.bytes for piece in found.parts if piece.name == "weights")


def _missing(studio: Studio, model: Model) -> str:
    """A note where the base has to be fetched first."""
    from studio.models.source import is_on_this_pc

    if is_on_this_pc(model, studio.settings):
        return ""
    name = base_label(model.source)
    if studio.settings.offline:
        return markup.note(f"{name} is not on this PC, and the studio is offline.",
                           "Start it once without --offline, or choose another base.", "warning")
    return markup.note(f"{name} is not on this PC yet.", "It is fetched at the first prompt.")


def shape_of(studio: Studio, model: Model) -> ModelShape:
    """The model without its weights. Raises ModelError where that cannot be had."""
    studio.warm_up()
    from studio.models.shape import model_shape

    return model_shape(model.source, studio.settings, revision=model.revision,
                       trust_remote_code=model.trust_remote_code)


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
        if with_spare(found.disk_bytes) > disk_free_bytes:
            fits = False
            hint = "Free some space, or start the studio with --home on a larger disk."
    head = (f'<div class="quiet">{said}.</div>' if fits
            else markup.note(f"{said}.", hint, "warning"))
    disk = (f"<h5>On disk</h5>{legend(found.disk, found.job)}" if found.disk else "")
    return (f'<div class="job-room">{head}<details><summary>How this comes about</summary>'
            f"{legend(found.parts, found.job)}{disk}</details></div>")
