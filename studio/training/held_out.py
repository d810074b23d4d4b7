"""The loss on the held-out part, measured with fewer examples at once where memory runs out.

What a method measures beside the loss (margins, rewards) is averaged along. Changes nothing of what
is learned: no gradients, no dropout, no random numbers.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from studio.device import pick_device, release_memory
from studio.training.out_of_memory import memory_lasts
from studio.training.random_states import RandomStates
from studio.training.rows import measuring


@dataclass
class HeldOut:
    """`loss` is the mean per unit that the method weighs by: per labelled token, or per pair.

    `logs` are the means of what TRL's trainer measures beside it, under TRL's names.
    """

    loss: float = 0.0
    logs: dict[str, float] = field(default_factory=dict)


def held_out_loss(trainer: Any, stop: Callable[[], bool]) -> HeldOut | None:
    """The mean over the held-out part; None if stopped on the way, or if memory never lasted.

    The run is told when it takes fewer examples at once, and when even one is too many.
    """
    # A data loader draws a seed whenever it is begun, and dropout would draw others than without.
    states = RandomStates.now()
    try:
        return _with_fewer(trainer, stop)
    finally:
        states.restore()


def _with_fewer(trainer: Any, stop: Callable[[], bool]) -> HeldOut | None:
    found: list[HeldOut | None] = []
    while not memory_lasts(lambda: found.append(_measured(trainer, stop))):
        release_memory(pick_device())
        if not _take_fewer(trainer):
            return None
    return found[0]


@dataclass
class _Mean:
    total: float = 0.0
    weight: int = 0

    def add(self, value: float, weight: int) -> None:
        self.total += value * weight
        self.weight += weight

    @property
    def value(self) -> float:
        return self.total / max(self.weight, 1)


def _measured(trainer: Any, stop: Callable[[], bool]) -> HeldOut | None:
    loss, means = _Mean(), dict[str, _Mean]()
    gathered = trainer._metrics["eval"]
    gathered.clear()
    with measuring(trainer.model):
        for batch in trainer.get_eval_dataloader():
            if stop():
                return None
            inputs = trainer._prepare_inputs(batch)
            count = trainer.weight_of(inputs, "loss")
            if count == 0:
                continue  # a mean over nothing is no number
            with trainer.compute_loss_context_manager():
                loss.add(float(trainer.compute_loss(trainer.model, inputs)), count)
            for name, values in gathered.items():
                means.setdefault(name, _Mean()).add(values[-1], trainer.weight_of(inputs, name))
            gathered.clear()
    return HeldOut(loss.value, {name: mean.value for name, mean in means.items() if mean.weight})


def _take_fewer(trainer: Any) -> bool:
    """Halve the examples measured at once, for good; False if it was one."""
    before, least = trainer.args.per_device_eval_batch_size, trainer.least_rows
    trainer.args.per_device_eval_batch_size = max(least, before // 2)
    fewest = "one example" if least == 1 else f"{least} examples"
    now = trainer.args.per_device_eval_batch_size
    text = (f"Memory ran out while measuring the held-out part; from now on {now} of its "
            "examples are measured at once." if before > least else
            f"Memory ran out while measuring the held-out part, even {fewest} at a time: this "
            "evaluation is left out. Set data.max_length lower to have it.")
    trainer.reporter.run.append("note", level="warning", text=text)
    return bool(before > least)
