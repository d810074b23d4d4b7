"""The configuration that `accelerate launch` runs the script with: one process, as the run was."""

from __future__ import annotations

import yaml

from studio.hardware.precision import Precision

_MIXED = {"bfloat16": "bf16", "float16": "fp16", None: "no"}
_HEAD = """\
# accelerate launch --config_file accelerate.yaml train.py
# Several GPUs: set distributed_type to MULTI_GPU and num_processes to their number, and divide
# gradient_accumulation_steps in train.py by it, so that a step learns from as many examples.
"""


def accelerate_config(precision: Precision) -> str:
    """The file's text."""
    return _HEAD + yaml.safe_dump({
        "compute_environment": "LOCAL_MACHINE", "distributed_type": "NO", "num_machines": 1,
        "machine_rank": 0, "num_processes": 1, "mixed_precision": _MIXED[precision.autocast],
        "main_training_function": "main", "downcast_bf16": "no", "use_cpu": False,
        "debug": False, "rdzv_backend": "static", "same_network": True,
    }, sort_keys=False)
