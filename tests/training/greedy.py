"""A tiny model whose own code asks for more memory than any PC has, going backward.

The allocation and its failure are torch's own. The model's code is trusted by the recipe that asks
for it, so it runs inside whatever process trains it.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path

CODE = '''
import torch
from transformers import LlamaForCausalLM


class GreedyLlama(LlamaForCausalLM):
    def __init__(self, config):
        super().__init__(config)
        self.model.norm.register_full_backward_hook(self.act)

    def act(self, module, gradients_in, gradients_out):
        ACT
'''
ALLOCATES = "torch.empty(2**58)"  # an exabyte: more than a processor can address
BREAKS = "raise LookupError('a screw fell out')"


def make_greedy_model(tiny_model: Path, folder: Path, act: str) -> Path:
    """A copy of `tiny_model` in `folder` that does `act` in its backward pass."""
    shutil.copytree(tiny_model, folder)
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    config["auto_map"] = {"AutoModelForCausalLM": "modeling_greedy.GreedyLlama"}
    (folder / "config.json").write_text(json.dumps(config), encoding="utf-8")
    code = CODE.replace("ACT", act)
    (folder / "modeling_greedy.py").write_text(code, encoding="utf-8")
    return folder
