"""The loss on the held-out part, measured with fewer examples at once where memory runs out.

Changes nothing of what is learned: no gradients, no dropout, no random numbers.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from studio.device import pick_device, release_memory
from studio.training.out_of_memory import memory_lasts
from studio.training.random_states import RandomStates
from studio.training.rows import measuring


def held_out_loss(trainer: Any, stop: Callable[[], bool]) -> float | None:
    """Mean loss per labelled token; None if stopped on the way, or if memory never lasted.

    The run is told when it takes fewer examples at once, and when even one is too many.
    """
    # A data loader draws a seed whenever it is begun, and dropout would draw others than without.
    states = RandomStates.now()
    try:
        return _with_fewer(trainer, stop)
    finally:
        states.restore()


def _with_fewer(trainer: Any, stop: Callable[[], bool]) -> float | None:
    found: list[float | None] = []
    while not memory_lasts(lambda: found.append(_measured(trainer, stop))):
        release_memory(pick_device())
        if not _take_fewer(trainer):
            return None
    return found[0]


def _measured(trainer: Any, stop: Callable[[], bool]) -> float | None:
    total, tokens = 0.0, 0
    with measuring(trainer.model):
        for batch in trainer.get_eval_dataloader():
            if stop():
                return None
            inputs = trainer._prepare_inputs(batch)
            count = int((inputs["labels"][:, 1:] != -100).sum())
            if count == 0:
                continue  # a mean over nothing is no number
            with trainer.compute_loss_context_manager():
                total += float(trainer.compute_loss(trainer.model, inputs)) * count
            tokens += count
    trainer._metrics["eval"].clear()
    return total / max(tokens, 1)


def _take_fewer(trainer: Any) -> bool:
    """Halve the examples measured at once, for good; False if it was one."""
    before = trainer.args.per_device_eval_batch_size
    trainer.args.per_device_eval_batch_size = max(1, before // 2)
    text = (f"Memory ran out while measuring the held-out part; from now on {before // 2} of its "
            "examples are measured at once." if before > 1 else
            "Memory ran out while measuring the held-out part, even one example at a time: this "
            "evaluation is left out. Set data.max_length lower to have it.")
    trainer.reporter.run.append("note", level="warning", text=text)
    return bool(before > 1)
