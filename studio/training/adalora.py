"""AdaLoRA while it trains: when rank is taken away, where, and what a resume needs for that.

The arithmetic is PEFT's `RankAllocator` (arXiv:2303.10512). Here it is called after each optimizer
step, told how long the run is, and kept in checkpoints. The orthogonality of the singular vectors
is asked for in the gradients alone: the losses that are shown stay those of the model.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from studio.files import write_json_safely

ORTHOGONALITY_WEIGHT = 0.5
"""PEFT's; the paper takes 0.1 to 0.5."""
_STATE, _PATTERN = "adalora.safetensors", "adalora.json"


class RankAllocation:
    """Makes `trainer` an AdaLoRA trainer; to be made anew with each trainer."""

    def __init__(self, trainer: Any) -> None:
        from transformers import TrainerCallback

        self._trainer = trainer
        self._tuner = trainer.model.base_model
        self._config = trainer.model.peft_config["default"]
        # What an earlier try in this process learned of importance is worth nothing now.
        self._config.rank_pattern = None
        self._tuner.rankallocator.reset_ipt()
        self._config.orth_reg_weight = 0.0  # it is in the gradients, below
        callback = TrainerCallback()
        for name in ("on_train_begin", "on_optimizer_step"):
            setattr(callback, name, getattr(self, name))
        trainer.add_callback(callback)
        self._take_step = trainer.training_step
        trainer.training_step = self._training_step

    def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        first, last = phases(state.max_steps)
        self._config.total_step = state.max_steps
        self._config.tinit, self._config.tfinal, self._config.deltaT = first, last, 1

    def on_optimizer_step(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """After the weights changed, while their gradients are still there."""
        adapted = [weight for name, weight in self._tuner.model.named_parameters()
                   if "lora_" in name and weight.requires_grad]
        if all(weight.grad is not None for weight in adapted):  # else the step was refused
            self._tuner.update_and_allocate(state.global_step)

    def _training_step(self, *arguments: Any, **options: Any) -> Any:
        loss = self._take_step(*arguments, **options)
        share = ORTHOGONALITY_WEIGHT / self._trainer.current_gradient_accumulation_steps
        self._trainer.accelerator.backward(share * distance_from_orthogonal(self._trainer.model))
        return loss

    def save(self, folder: Path) -> None:
        """Beside a checkpoint: how important each parameter was so far."""
        from safetensors.torch import save_file

        allocator = self._tuner.rankallocator
        tensors = {f"{kind}:{name}": value.contiguous().cpu()
                   for kind in ("exp_avg_ipt", "exp_avg_unc")
                   for name, value in getattr(allocator, kind).items()}
        save_file(tensors, folder / _STATE)
        write_json_safely(folder / _PATTERN, {"ranks": self._config.rank_pattern})

    def load(self, folder: Path) -> None:
        """What `save` left in the checkpoint `folder`."""
        import json

        from safetensors.torch import load_file

        if not (folder / _STATE).is_file():
            return
        allocator = self._tuner.rankallocator
        allocator.reset_ipt()
        device = str(self._trainer.model.device)
        for key, value in load_file(folder / _STATE, device=device).items():
            kind, _, name = key.partition(":")
            getattr(allocator, kind)[name] = value
            allocator.ipt.setdefault(name, value)  # only its being there is asked for
        found = json.loads((folder / _PATTERN).read_text(encoding="utf-8"))
        self._config.rank_pattern = found["ranks"]

    def whole(self) -> Any:
        """A block in which PEFT saves the matrices in full, as a resume needs them."""
        return _Whole(self._config)


class _Whole:
    """Hides the ranks that PEFT would cut the saved matrices to."""

    def __init__(self, config: Any) -> None:
        self._config = config
        self._ranks = config.rank_pattern

    def __enter__(self) -> None:
        self._config.rank_pattern = None

    def __exit__(self, *error: object) -> None:
        self._config.rank_pattern = self._ranks


def phases(total_steps: int) -> tuple[int, int]:
    """Steps before rank is taken away, and steps after that: a tenth and three tenths.

    At least one step remains at the end, with the ranks as they will be; a run of a single step
    keeps its first rank.
    """
    if total_steps < 2:
        return 0, 0
    return total_steps // 10, max(1, 3 * total_steps // 10)


def distance_from_orthogonal(model: Any) -> Any:
    """Mean over all singular vectors of the Frobenius norm of P Pᵀ - I."""
    import torch

    norms = []
    for name, weight in model.named_parameters():
        if weight.requires_grad and ("lora_A" in name or "lora_B" in name) and weight.numel():
            vectors = (weight if "lora_A" in name else weight.T).float()
            unit = torch.eye(len(vectors), device=vectors.device)
            norms.append(torch.linalg.matrix_norm(vectors @ vectors.T - unit))
    return torch.stack(norms).mean()
