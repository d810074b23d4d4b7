"""One sentence on what this PC can train, from its memory alone.

A rule of thumb over usual model sizes for whoever has not chosen a model yet; what a certain recipe
needs is said by `memory.py`.
"""

from __future__ import annotations

from studio.files import readable_bytes
from studio.hardware.nvml import Gpu

SIZES_BILLION = (0.135, 0.5, 1, 1.5, 3, 4, 8, 14, 24, 32, 70)
"""Usual sizes of open models, in billions of parameters."""

# Bytes per parameter and fixed bytes, at one example of 1024 tokens with checkpointing: 16-bit
# weights 2 B (NF4 0.52 B, embeddings and head 16-bit), adapter with gradients and AdamW about
# 0.1 B, stored activations and the widest layer grow with the model; the fixed part is the CUDA
# context or the libraries, and allocator slack.
LORA_BYTES = (2.4, 2.0e9)
QLORA_BYTES = (0.75, 2.5e9)
CPU_LORA_BYTES = (4.6, 3.0e9)  # weights in float32 where the processor has no fast bfloat16
CPU_PATIENCE_BILLION = 0.5  # beyond, a few hundred steps on a processor take hours


def largest_billion(memory_bytes: int, need: tuple[float, float]) -> float | None:
    """The largest usual size that fits, in billions of parameters; None: not even the smallest."""
    per_parameter, fixed = need
    fitting = [size for size in SIZES_BILLION
               if size * 1e9 * per_parameter + fixed <= memory_bytes]
    return max(fitting, default=None)


def training_verdict(
    gpus: tuple[Gpu, ...], ram_total_bytes: int, *, is_apple_silicon: bool = False
) -> str:
    """What this PC can train, in words a hobbyist understands."""
    best = max(gpus, key=lambda gpu: gpu.total_bytes or 0, default=None)
    if best is None:
        return _without_nvidia(ram_total_bytes, is_apple_silicon)
    if best.total_bytes is None:
        return f"{best.name} is here, but does not tell how much memory it has."
    memory = readable_bytes(best.total_bytes)
    lora = largest_billion(best.total_bytes, LORA_BYTES)
    qlora = largest_billion(best.total_bytes, QLORA_BYTES)
    if qlora is None:
        return (f"{best.name} with {memory} is too small to train on; even the starter model "
                "trains better on the processor.")
    if lora is None:
        return (f"{best.name} with {memory} trains models of up to {_in_words(qlora)} parameters "
                "by QLoRA (4-bit base).")
    if lora == qlora:
        return f"{best.name} with {memory} trains models of up to {_in_words(lora)} parameters."
    return (f"{best.name} with {memory} trains models of up to {_in_words(lora)} parameters by "
            f"LoRA, and up to {_in_words(qlora)} by QLoRA (4-bit base).")


def _without_nvidia(ram_total_bytes: int, is_apple_silicon: bool) -> str:
    where = "on Apple's GPU" if is_apple_silicon else "on the processor"
    memory = readable_bytes(ram_total_bytes)
    fits = largest_billion(ram_total_bytes, CPU_LORA_BYTES)
    if fits is None:
        return (f"No NVIDIA GPU, and {memory} of memory are not enough to train even the starter "
                "model.")
    start = f"No NVIDIA GPU, so training runs {where}: {memory} of memory hold models of up to"
    if is_apple_silicon or fits <= CPU_PATIENCE_BILLION:
        return f"{start} {_in_words(fits)} parameters by LoRA."
    return (f"{start} {_in_words(fits)} parameters by LoRA, but only models of up to "
            f"{_in_words(CPU_PATIENCE_BILLION)} train in minutes rather than hours.")


def _in_words(billion: float) -> str:
    return f"{billion * 1000:.0f} million" if billion < 1 else f"{billion:g} billion"
