"""Adapters: which modules they sit on, PEFT's configuration for them, and their exact size.

Importing this package is cheap; peft is imported by `peft_config` alone.
"""

from studio.adapters.count import TrainableCount, count_trainable
from studio.adapters.methods import peft_config, target_module_names

__all__ = ["TrainableCount", "count_trainable", "peft_config", "target_module_names"]
