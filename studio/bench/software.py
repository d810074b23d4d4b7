"""What a published run's words say of its software, as the fields of a `Workload`.

Software differs in what it keeps: a float32 copy of the logits, a norm's input, a product's input.
Each rule here is what that software's code did at the time, not a fit to its measurements.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Literal

from studio.hardware.workload import Attention, Loss, Sharded, Workload

if TYPE_CHECKING:
    from studio.models.shape import LinearShape, ModelShape

FAST_KERNELS = "foak|unsloth|liger"
"""Software that replaces a norm by a kernel which keeps no float32 copy."""
NO_FLOAT_LOGITS = ("gpt2", "gpt_bigcode", "gpt_neox", "bloom", "opt", "falcon")
"""Architectures whose own loss code in transformers 4 left logits in their format."""

Counter = Literal["allocated", "reserved", "device"]
"""What was read: torch's count of live tensors, of what its allocator holds, or nvidia-smi's."""
Row = Mapping[str, str]


def counter_of(metric: str) -> Counter:
    if "reserved" in metric:
        return "reserved"
    return "allocated" if "alloc" in metric or "active" in metric else "device"


def workload_of_row(row: Row, shape: ModelShape) -> Workload:
    trains_base = row["method"].startswith("full")
    targets = _targets(row["targets"], shape, trains_base)
    rank = _whole(row["rank"])
    is_litgpt = "litgpt" in _software(row)
    own_code = is_litgpt or "torchtune" in _software(row)
    batch, length = _whole(row["micro_batch"]) or 1, _whole(row["seq_actual"])
    attention = _attention(row.get("attn_impl", ""))
    packed = _is_on(row.get("packing", ""))
    quantization = _quantization(row)
    autocast = _is_on(row.get("autocast", ""))
    weight_bytes = 4 if "float32" in row["base_dtype"] or "fp32" in row["base_dtype"] else 2
    parallel = row.get("parallel", "").lower()
    prepared = _kbit_preparation(row) if quantization != "none" else ""
    adapter_bytes = 2 if row.get("adapter_dtype", "").startswith(("bf", "fp16", "float16")) else 4
    masked = attention != "flash_attention_2" and batch > 1 and not packed and not own_code
    return Workload(
        device="cuda", batch=batch, length=length,
        dtype="float16" if re.search("float16|fp16", row["base_dtype"].replace("bfloat16", ""))
        else "bfloat16",
        weight_bytes=weight_bytes, activation_bytes=2 if autocast else weight_bytes,
        trainable_bytes=weight_bytes if trains_base else adapter_bytes, trains_base=trains_base,
        trainable=shape.parameters if trains_base else _adapter_parameters(row, shape, targets),
        rank=rank, targets=targets, optimizer=_optimizer(row["optimizer"]),
        checkpointing=_is_on(row["grad_ckpt"]), attention=attention, quantization=quantization,
        double_quantization=not re.fullmatch("nf4", row["base_dtype"]), autocast=autocast,
        mask_width=length if masked else 0, dora="dora" in row.get("method_detail", "").lower(),
        norm_bytes=4 if prepared else None, unquantized_bytes=4 if prepared == "all" else None,
        loss=_loss(row.get("loss_impl", "")), has_triton=True,
        foreach_optimizer=_optimizer(row["optimizer"]) == "adamw_torch"
        and not re.search("fused|master|deepspeed", f"{row['optimizer']} {parallel}")
        and _sharded(parallel) == "nothing",
        experts_as_linears=shape.experts_per_token > 0 and "transformers 5" not in _software(row),
        logit_bytes=_logit_bytes(row, shape, autocast=autocast),
        fast_norms=_has_fast_norms(row), fast_activation=own_code or _has_fast_norms(row),
        master_weights=bool(re.search("master|deepspeed|zero", f"{row['optimizer']} {parallel}")),
        shards=_whole(row.get("n_gpu", "")) or 1, sharded=_sharded(parallel),
        updates_in_backward=bool(re.search("in.?(bwd|backward)", row["optimizer"].lower())),
        offloads_activations=_is_on(row.get("act_offload", "")),
        keeps_quantized_inputs=quantization == "8bit"
        or (quantization == "4bit" and _keeps_inputs(_software(row))),
        lengths_vary=_lengths_vary(row), fused_qkv=is_litgpt, padded_adapter=is_litgpt,
        dropout=is_litgpt or "fms-acceleration" in _software(row),
    )


def _lengths_vary(row: Row) -> bool | None:
    """Whether the steps of the run differed in length, which tears the allocator's blocks apart."""
    if re.search("variab|fragment|dynamic", row.get("notes", "").lower()):
        return True
    if _is_on(row.get("packing", "")) or counter_of(row["metric"]) == "allocated":
        return False
    return None


def _is_on(text: str) -> bool:
    return text.lower() not in ("", "0", "no", "false", "none", "off")


def _keeps_inputs(software: str) -> bool:
    """bitsandbytes kept the input of every 4-bit product until 0.43.2 (July 2024).

    Where its version is not told, torch's says how old the run is.
    """
    version = re.search(r"(?:bitsandbytes|bnb) (\d+)\.(\d+)(?:\.(\d+))?", software)
    if version is not None:
        return tuple(int(part or 0) for part in version.groups()) < (0, 43, 2)
    torch = re.search(r"torch (\d+)\.(\d+)", software)
    return torch is not None and (int(torch[1]), int(torch[2])) < (2, 3)


def is_reentrant(row: Row) -> bool:
    """Whether checkpointing was torch's older kind, which transformers 4 took by default."""
    return bool(re.search("transformers 4|trl|peft|swift|axolotl|llama.?factory", _software(row)))


def _logit_bytes(row: Row, shape: ModelShape, *, autocast: bool) -> float | None:
    """Bytes per logit where the whole logits exist, by what the software of the time did.

    Hugging Face's loss held three float32 tensors of that size at its peak (log-softmax, its
    gradient, the logits' gradient), a fused kernel two (logits and their shifted copy). From
    transformers 4.46 on the 16-bit logits stay beside them. The oldest architectures made no
    float32 copy: four tensors, or three, in the format that the loss is computed in.
    """
    text = row.get("loss_impl", "")
    loss = _loss(text)
    if loss == "full" and autocast and "argmax" in text:
        # Accelerate gives autocast's outputs back in float32, and the accuracy reads them.
        return 2 + 12 + 4
    version = re.search(r"transformers (\d+)\.(\d+)", _software(row))
    if loss in ("chunked", "fused") or version is None:
        return None
    tensors = 3 if loss == "full" else 2
    if shape.model_type in NO_FLOAT_LOGITS and version[1] == "4":
        return (tensors + 1) * (4 if autocast else 2) + (2 if autocast else 0)
    kept = 2 if (int(version[1]), int(version[2])) >= (4, 46) else 0
    return tensors * 4 + kept


def _software(row: Row) -> str:
    return f"{row.get('software', '')} {row['source']}".lower()


def _whole(text: str) -> int:
    return round(float(text)) if text else 0


def _targets(text: str, shape: ModelShape, trains_base: bool) -> frozenset[str]:
    """Names of the adapted linear layers; every one where the text names none of this model."""
    names = {linear.name for linear in shape.linears}
    if trains_base:
        return frozenset(names)
    words = set(re.split(r"[+,;/\s]+", text))
    words |= {f"{word}_proj" for word in words}
    found = words & names
    if not found and re.search("attn|q.?k.?v|q\\+v", text):
        found = names & {"q_proj", "k_proj", "v_proj", "query_key_value", "qkv_proj", "c_attn"}
    return frozenset(found or names)


def _adapter_parameters(row: Row, shape: ModelShape, targets: frozenset[str]) -> int:
    rank = _whole(row["rank"])
    dora = "dora" in row.get("method_detail", "").lower()
    return sum((rank * (linear.inputs + linear.outputs) + dora * linear.outputs) * linear.count
               for linear in adapted(shape, targets))


def adapted(shape: ModelShape, targets: frozenset[str]) -> list[LinearShape]:
    """The linear layers of these names."""
    return [linear for linear in shape.linears if linear.name in targets]


def _optimizer(text: str) -> str:
    text = text.lower()
    if "adafactor" in text:
        return "adafactor"
    eight = re.search("8.?bit", text)
    if "paged" in text:
        return "paged_adamw_8bit" if eight else "paged_adamw"
    if "sgd" in text:
        return "sgd"
    return "adamw_8bit" if eight else "adamw_torch"


def _attention(text: str) -> Attention:
    text = text.lower()
    if "eager" in text:
        return "eager"
    return "flash_attention_2" if "flash" in text or "xformers" in text else "sdpa"


def _quantization(row: Row) -> Literal["none", "8bit", "4bit"]:
    text = f"{row['method']} {row['base_dtype']}".lower()
    if re.search("nf4|qlora4|fp4|int4", text):
        return "4bit"
    return "8bit" if re.search("int8|8.?bit|qlora8", text) else "none"


def _sharded(parallel: str) -> Sharded:
    """What several GPUs divided: nothing where each held it all."""
    if re.search("fsdp|zero.?3|full.?shard", parallel):
        return "weights"
    if re.search("zero.?2|grad", parallel):
        return "gradients"
    return "optimizer" if "zero" in parallel else "nothing"


def _has_fast_norms(row: Row) -> bool:
    """A kernel, or torch.compile, which computes the float32 copy again rather than keep it."""
    text = f"{_software(row)} {row.get('method_detail', '')} {row.get('loss_impl', '')}".lower()
    return bool(re.search(FAST_KERNELS, text)) or _is_on(row.get("compile", ""))


def _kbit_preparation(row: Row) -> str:
    """What the preparation of a quantised base left in 32 bits: "", "norms" or "all".

    PEFT's own widens all that is not quantised; IBM's benchmark widened only the norms for its
    baseline, and nothing for the accelerated runs.
    """
    detail = row.get("method_detail", "")
    if "baseline" in detail:
        return "norms"
    is_plain = re.search("trl|axolotl|peft", _software(row))
    return "all" if is_plain and not re.search(FAST_KERNELS + "|accelerated",
                                               _software(row) + detail) else ""


def _loss(text: str) -> Loss:
    text = text.lower()
    if re.search("liger|fused linear|cut cross|cce", text):
        return "fused"
    if re.search("kernel|unsloth", text):
        return "kernel"
    if re.search("chunk|half|pure|bf16", text):
        # Others' chunks only spare the float32 copy: the logits of all chunks are kept.
        return "half"
    return "full"
