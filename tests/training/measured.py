"""A dry run of an 8B model as a GPU's counters would tell it: made by hand, no GPU is needed."""

from __future__ import annotations

from typing import Any

from studio.device import Device
from studio.recipe import Recipe
from studio.training.dry_run_result import DryRun, dry_run_of
from tests.hardware.shapes import shape_of

GB = 10**9
GPU = Device("cuda", "NVIDIA RTX 4090", "bfloat16", 24 * GB)


def on_gpu(outside: int | None = 0, ran_out: str | None = None) -> DryRun:
    """`outside` is what NVML saw beside torch's own memory; `ran_out` ends it before its steps."""
    def phase(name: str, held: float, peak: float, reserved: float) -> dict[str, Any]:
        return {"name": name, "seconds": 1.0, "held_bytes": round(held * GB),
                "peak_bytes": round(peak * GB), "reserved_bytes": round(reserved * GB)}

    facts = {"free_bytes": 23 * GB, "batch": 1, "tokens": 1024, "longest_tokens": 1024,
             "mean_tokens": 512.0, "rows": 100, "total_steps": 100, "checkpointing": True,
             "micro_batches": 1, "weight_bytes": 0, "adapter_bytes": 170_000_000,
             "gradient_bytes": 170_000_000, "optimizer_bytes": 340_000_000}
    phases = [phase("preparing the data", 0.0, 0.0, 0.0),
              phase("loading the base model", 16.0, 16.0, 16.2),
              phase("adding the adapter", 16.2, 16.2, 16.4)]
    for step in (1, 2):
        phases += [phase(f"forward pass of step {step}", 18.0, 18.5, 19.0),
                   phase(f"backward pass of step {step}", 16.9, 19.0, 20.0),
                   phase(f"optimizer step of step {step}", 16.7, 17.0, 20.0)]
    outcome = {"ran_out": ran_out, "error": None, "facts": facts, "phases": phases,
               "outside_bytes": outside}
    recipe = Recipe().with_values({"model.source": "8b", "training.batch_size": 1,
                                   "training.gradient_accumulation": 1})
    return dry_run_of(outcome, recipe, shape_of("meta-llama/Meta-Llama-3-8B"), GPU)
