"""What a chat needs: the base once, its adapters, the key-value cache and one layer at work.

Follows `studio/chat/session.py` and transformers' DynamicCache: all columns are rows of one batch,
and every question reads the whole conversation anew, so that the peak comes while a prompt as
long as the conversation is read. Adapters that answer in turn are counted as if they did not.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from studio.adapters.count import trainable_parameters
from studio.adapters.folder import AdapterFolder
from studio.adapters.targets import saved_modules
from studio.files import readable_bytes
from studio.hardware import static_memory
from studio.hardware.feed_forward_memory import experts, is_gated
from studio.hardware.other_jobs import LIBRARIES_BYTES, JobEstimate
from studio.hardware.parts import PartBytes, gone, millions, part
from studio.hardware.passes import cache_bytes
from studio.hardware.slack import EVEN_SHARE
from studio.hardware.workload import DTYPE_BYTES, Workload
from studio.recipe import Recipe

if TYPE_CHECKING:
    from studio.device import Device
    from studio.models.shape import ModelShape
    from studio.recipe import Adapter, Model

STREAM_COPIES = 4
"""Tensors as wide as the model that live in a layer without gradients: the residual stream, the
block's input, its normalised form, and the block before. Counted by torch's profiler."""
CHOICE_BYTES = 32
"""Per row and vocabulary entry while the next token is chosen: the score in 32 bits, sorted
values and places, their softmax and running sum, noise."""
CPU_GAPS_SHARE = 1.0
"""Of what a layer computes: blocks that the C library keeps on Linux once they are freed. 0.9 to
1.5 measured on two models; nothing of it under MALLOC_MMAP_THRESHOLD_=65536."""
CONVERSATION_TOKENS = 2048
"""A chat of some turns; a model with a shorter context ends there."""
READING, CHOOSING = "the reading of the prompt", "the choice of the answer's first token"


def conversation_tokens(shape: ModelShape, wanted: int = 0) -> int:
    """Of the conversation that a chat is estimated for: the usual one, or one that grows to
    `wanted` where that is more."""
    tokens = max(CONVERSATION_TOKENS, wanted)
    return min(tokens, shape.max_positions or tokens)


def estimate_chat(
    model: Model, shape: ModelShape, device: Device, *, columns: int,
    adapters: Sequence[Adapter | AdapterFolder], context_tokens: int,
) -> JobEstimate:
    """The peak of a chat with `columns` answers at once, one of them for each of `adapters`: a
    recipe's, or the folder that one lies in.

    `context_tokens` is the length of the longest conversation, question and answer included.
    Raises ModelError for adapter targets that the model does not have.
    """
    work = _work(model, shape, device, columns, context_tokens)
    cache = part("cache", cache_bytes(shape, columns, context_tokens, work.activation_bytes),
                 _cache_formula(shape, work))
    layer, choice = _layer(work, shape, len(adapters)), _choice(work, shape)
    moment, passing = max(
        ((READING, (layer, gone(choice, READING))), (CHOOSING, (gone(layer, CHOOSING), choice))),
        key=lambda found: sum(piece.bytes for piece in found[1]))
    slack = _slack(work, layer, cache.bytes + sum(piece.bytes for piece in passing))
    parts = (static_memory.weights(work, shape),
             _adapters(model, shape, adapters, work.weight_bytes), cache,
             *passing, _overhead(work), slack)
    return JobEstimate("chat", "gpu" if device.kind == "cuda" else "main memory", parts, moment,
                       _basis(device), _assumptions(model, shape, work))


def _work(
    model: Model, shape: ModelShape, device: Device, columns: int, tokens: int
) -> Workload:
    """The base as it is loaded to answer: nothing of it is widened as for training."""
    dtype = device.fast_dtype if model.dtype == "auto" else model.dtype
    each = DTYPE_BYTES[dtype]
    return Workload(
        device=device.kind, batch=columns, length=tokens, dtype=dtype, weight_bytes=each,
        activation_bytes=each, trainable_bytes=4, trains_base=False, trainable=0, rank=0,
        targets=frozenset(), optimizer="none", checkpointing=False,
        attention="sdpa" if model.attention == "auto" else model.attention,
        quantization=model.quantization, double_quantization=model.double_quantization,
    )


def _adapters(
    model: Model, shape: ModelShape, adapters: Sequence[Adapter | AdapterFolder], item_bytes: int
) -> PartBytes:
    """PEFT loads the low-rank matrices in float32, modules trained in full as the base is."""
    size, numbers = 0, 0
    for one in adapters:
        if isinstance(one, AdapterFolder):
            numbers += one.numbers
            size += 4 * one.numbers
            continue
        copies = sum(shape.modules[path] for path in saved_modules(one, shape))
        trained = trainable_parameters(Recipe(model=model, adapter=one), shape)
        numbers += trained
        size += 4 * (trained - copies) + item_bytes * copies
    if not adapters:
        return PartBytes("adapter", 0, "The base answers alone.")
    named = "1 adapter" if len(adapters) == 1 else f"{len(adapters)} adapters"
    return part("adapter", size, f"{named}, {millions(numbers)} numbers together, in 32 bits")


def _cache_formula(shape: ModelShape, work: Workload) -> str:
    layers = " + ".join(
        f"{group.count} layers x {group.width:,} keys and values"
        + (f" (its window of {group.window:,} begins with the answer)" if group.window else "")
        for group in shape.cached)
    return (f"{_columns(work)} x {work.length:,} tokens x {work.activation_bytes} bytes x "
            f"({layers})")


def _columns(work: Workload) -> str:
    return "1 column" if work.batch == 1 else f"{work.batch} columns"


def _layer(work: Workload, shape: ModelShape, adapters: int) -> PartBytes:
    """One layer that reads the prompt; without gradients nothing of the others is kept."""
    b, rows, length = work.activation_bytes, work.batch, work.length
    width = _feed_forward_width(shape)
    stream = STREAM_COPIES * b * shape.hidden * work.tokens
    inner = (3 if is_gated(shape) else 2) * b * width * work.tokens
    if adapters:
        # PEFT computes a row's update in float32, scales it into a second tensor, then adds it.
        update = length * (8 * width + 4 * shape.hidden)
        inner = max(inner, 2 * b * width * work.tokens + update)
    masked = rows > 1 and work.attention != "flash_attention_2"
    attention = 4 * b * shape.heads * shape.head_dim * work.tokens
    if work.attention == "eager":
        attention += (4 + 2 * b) * shape.heads * rows * length**2
    elif masked:
        attention += b * rows * length**2
    mask = rows * length**2 if masked else 0
    copy = _unpacked_bytes(work, shape)
    text = (f"{work.tokens:,} tokens of all columns x ({STREAM_COPIES} x {shape.hidden:,} + "
            f"{max(inner, attention) / b / work.tokens:,.0f}) numbers x {b} bytes in one layer")
    text += f", {readable_bytes(mask)} of mask between columns of different length" if mask else ""
    text += f", and {readable_bytes(copy)} of an unpacked weight" if copy else ""
    return part("activations", stream + max(inner, attention) + mask + copy, text)


def _feed_forward_width(shape: ModelShape) -> int:
    """Of the block's inner product, for one token; with experts, of all that it is sent to."""
    found = experts(shape)
    if found is None:
        return shape.intermediate
    _, width = found
    return max(shape.intermediate, shape.experts_per_token * width)


def _unpacked_bytes(work: Workload, shape: ModelShape) -> int:
    """A quantised weight in full, for one product."""
    if work.quantization == "none":
        return 0
    return work.activation_bytes * max(one.inputs * one.outputs for one in shape.linears)


def _choice(work: Workload, shape: ModelShape) -> PartBytes:
    """Scores of the last position only, and the sampling over them."""
    scores = work.batch * shape.vocabulary
    size = scores * (work.activation_bytes + CHOICE_BYTES)
    text = (f"{_columns(work)} x {shape.vocabulary:,} vocabulary entries x "
            f"{work.activation_bytes + CHOICE_BYTES} bytes")
    if work.device == "cpu" and work.batch > 1 and work.activation_bytes == 2:
        # torch's 16-bit product of a strided batch copies the head's weight for each row.
        copies = work.batch * shape.vocabulary * shape.hidden * 2
        size += copies
        text += f", and {readable_bytes(copies)} of copies of the output head, one for each column"
    return part("logits", size, text)


def _overhead(work: Workload) -> PartBytes:
    if work.on_gpu:
        return static_memory.overhead(work)
    return part("overhead", LIBRARIES_BYTES, "The libraries in this program")


def _slack(work: Workload, layer: PartBytes, passing_bytes: int) -> PartBytes:
    if work.device == "cpu":
        return part("slack", CPU_GAPS_SHARE * layer.bytes, f"{CPU_GAPS_SHARE:.0%} of what a layer "
                    "computes, gaps that the system's allocator does not give back")
    return part("slack", EVEN_SHARE * passing_bytes,
                f"{EVEN_SHARE:.0%} of what comes and goes, kept by the allocator")


def _basis(device: Device) -> str:
    if device.kind == "cpu":
        return ("Rests on fresh processes measured on Linux, three models of 80 to 200 million "
                "parameters, one to four columns.")
    return ("Counted tensor by tensor on a processor; nothing was measured on a GPU.")


def _assumptions(model: Model, shape: ModelShape, work: Workload) -> tuple[str, ...]:
    found = [f"The conversation grows to {work.length:,} tokens, in {_columns(work)}.",
             "Every question reads the whole conversation anew."]
    if work.batch > 1:
        found.append("The columns' answers differ in length, so that their rows need a mask.")
    if work.device != "cuda" and model.quantization == "none" \
            and DTYPE_BYTES.get(shape.dtype_name, work.weight_bytes) != work.weight_bytes:
        found.append(f"The weights are turned from {shape.dtype_name} to {work.dtype}: while they "
                     "load, the files pass through memory too, and the system takes it back.")
    return tuple(found)
