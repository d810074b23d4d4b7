"""The phases of a dry run: what each held at its end, its peak, and how long it took.

Told to the run as `phase` events, so that whoever waits knows how far it is and, if the process
dies, where. Watches a trainer from outside; changes nothing of what it computes.
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from studio.hardware.meter import Meter
from studio.runs import Run

PHASE = "phase"
"""The type of the event."""


@dataclass(frozen=True)
class Phase:
    """One phase that ended. Bytes and seconds; `reserved_bytes` is None outside CUDA."""

    name: str
    seconds: float
    held_bytes: int
    peak_bytes: int
    reserved_bytes: int | None


class Phases:
    """One phase after the other; beginning one ends the one before."""

    def __init__(self, run: Run, meter: Meter) -> None:
        self._run = run
        self._meter = meter
        self._began = 0.0
        self.now = ""
        self.done: list[Phase] = []

    def begin(self, name: str) -> None:
        """The process is in phase `name` from now on."""
        held = self._meter.read()
        if self.now:
            seconds = time.monotonic() - self._began
            self.done.append(Phase(self.now, seconds, held.now, held.peak, held.reserved))
        self.now = name
        self._run.append(PHASE, name=name)
        self._began = time.monotonic()

    def end(self) -> None:
        """The last phase is over."""
        self.begin("")


class Watch:
    """Splits a trainer's steps into forward, backward and optimizer step.

    `gradient_bytes` and `optimizer_bytes` are what their tensors take, after the first step.
    """

    def __init__(self, phases: Phases) -> None:
        self._phases = phases
        self.gradient_bytes = 0
        self.optimizer_bytes = 0

    def follow(self, trainer: Any) -> None:
        """Watch `trainer` from its first step on; nothing of it is saved."""
        from transformers import TrainerCallback

        take_step, compute_loss = trainer.training_step, trainer.compute_loss

        def training_step(*arguments: Any, **options: Any) -> Any:
            self._enter("forward pass", trainer.state)
            return take_step(*arguments, **options)

        def loss(*arguments: Any, **options: Any) -> Any:
            found = compute_loss(*arguments, **options)
            self._enter("backward pass", trainer.state)
            return found

        trainer.training_step, trainer.compute_loss = training_step, loss
        callback = TrainerCallback()
        for name in ("on_pre_optimizer_step", "on_step_end", "on_epoch_end"):
            setattr(callback, name, getattr(self, name))
        trainer.add_callback(callback)

    def on_pre_optimizer_step(
        self, args: Any, state: Any, control: Any, *, model: Any, **_: Any
    ) -> None:
        gradients = [weight.grad for weight in model.parameters() if weight.grad is not None]
        self.gradient_bytes = distinct_bytes(gradients)
        self._enter("optimizer step", state)

    def on_step_end(self, args: Any, state: Any, control: Any, *, optimizer: Any, **_: Any) -> None:
        self._phases.begin(f"after step {state.global_step}")
        self.optimizer_bytes = distinct_bytes(
            value for of_weight in optimizer.state.values() for value in of_weight.values())
        control.should_save = False

    def on_epoch_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        control.should_save = False

    def _enter(self, what: str, state: Any) -> None:
        self._phases.begin(f"{what} of step {state.global_step + 1}")


def frozen_tensors(model: Any) -> list[Any]:
    """All of a model that is not trained beside it: weights, buffers, scales of quantised ones.

    Without an adapter these are all weights.
    """
    has_adapter = hasattr(model, "peft_config")
    weights = [weight for weight in model.parameters()
               if not (has_adapter and weight.requires_grad)]
    scales = [tensor for weight in weights for tensor in _scales(weight)]
    return [*weights, *model.buffers(), *scales]


def _scales(weight: Any) -> list[Any]:
    """What bitsandbytes keeps beside a weight: 4-bit scales, scales of scales; 8-bit scales."""
    state = getattr(weight, "quant_state", None)
    inner = getattr(state, "state2", None)
    owners = [(state, ("absmax", "code", "offset")), (inner, ("absmax", "code")),
              (weight, ("CB", "SCB"))]
    return [getattr(owner, name, None) for owner, names in owners for name in names]


def distinct_bytes(tensors: Iterable[Any]) -> int:
    """Bytes that `tensors` hold, each storage once; what is no tensor counts nothing."""
    import torch

    storages = {tensor.untyped_storage().data_ptr(): tensor.untyped_storage().nbytes()
                for tensor in tensors if isinstance(tensor, torch.Tensor)}
    return sum(storages.values())
