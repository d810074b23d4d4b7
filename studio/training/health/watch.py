"""The detectors in a run: feeds them, tells the run what they find, and ends what is broken."""

from __future__ import annotations

from typing import Any

from studio.hardware.telemetry import read_telemetry
from studio.story import Alarm, point_of
from studio.training.guard import weights_are_finite
from studio.training.health.beginning import before_the_first_step, standing_still
from studio.training.health.curve import Facts, lower_rate
from studio.training.health.detectors import Health
from studio.training.health.speed import seen_on_this_pc
from studio.training.observer import Live, Observer

_LOOKED_AT = 256
"""Numbers of each tensor, evenly spread, that are compared to see whether weights move."""


class HealthWatch(Observer):
    """Appends an `alarm` event for each thing that is wrong."""

    def __init__(self) -> None:
        self._live: Live | None = None
        self._health: Health | None = None
        self._weights: list[Any] = []
        self._look_at_step = 0

    def begin(self, live: Live) -> None:
        self._live = live
        facts = Facts(live.recipe, live.total_steps, _vocabulary(live.model))
        story = live.run.story()
        self._health = Health(facts, story)
        told = {alarm.kind for alarm in story.alarms}
        self._tell([alarm for alarm in before_the_first_step(facts) if alarm.kind not in told])
        self._weights = [part.clone() for part in _looked_at(live.model)]
        self._look_at_step = max(live.step + 4, facts.warmup_steps + 3)

    def logged(self, event: dict[str, Any]) -> None:
        assert self._health is not None
        self._tell(self._health.logged(point_of(event)))

    def evaluated(self, step: int, loss: float) -> None:
        assert self._health is not None
        self._tell(self._health.evaluated(step, loss))

    def step_ended(self, step: int) -> None:
        if step != self._look_at_step or self._live is None or self._live.refused_step:
            return
        pairs = list(zip(_looked_at(self._live.model), self._weights, strict=True))
        self._weights = []
        assert self._health is not None
        points = self._health.curve.points
        if points and all(point.grad_norm == 0 for point in points):
            return  # without a gradient nothing could move; that is told by itself
        moved = sum(int((now != then).sum()) for now, then in pairs)
        share = moved / max(1, sum(now.numel() for now, _ in pairs))
        if found := standing_still(share, step, in_16_bits=any(
                now.element_size() == 2 for now, _ in pairs)):
            self._tell([found])

    def refused(self, step: int, what: str) -> None:
        assert self._live is not None
        live = self._live
        live.is_spoilt = step == 1 or not weights_are_finite(live.model)
        text = f"The {what} of step {step} is not a number (NaN or infinite)."
        self._tell([Alarm("not_finite", "bad", step, text, _not_finite_hint(live, step))])
        kept = (f"the weights of step {step - 1} are kept" if not live.is_spoilt else
                "the last checkpoint is kept" if live.run.checkpoints() else "nothing was learned")
        live.finish(f"Stopped: {text[0].lower()}{text[1:-1]}. The step was not applied; {kept}.",
                    fault=True)

    def _tell(self, alarms: list[Alarm]) -> None:
        assert self._live is not None
        for alarm in alarms:
            hint = alarm.hint
            if alarm.kind == "slow":
                samples = read_telemetry(self._live.run.path).read()
                hint = f"{seen_on_this_pc(samples[-1] if samples else None)} {hint}".strip()
            self._live.run.append("alarm", kind=alarm.kind, level=alarm.level, step=alarm.step,
                                  text=alarm.text, hint=hint)
            if alarm.kind == "diverging" and self._live.recipe.monitor.stop_on_divergence:
                self._live.finish(f"Stopped after step {alarm.step}: {alarm.text}", fault=True)


def _not_finite_hint(live: Live, step: int) -> str:
    if step <= 2:
        return ("It was so from the start: the model's files may be damaged, or its numbers do not "
                "fit the format: try another model.dtype, such as float32, and another "
                "model.attention.")
    small = (" float16 overflows easily: bfloat16 does not." if
             live.precision.autocast == "float16" or live.precision.base_dtype == "float16" else "")
    return (f"{lower_rate(live.recipe)}{small} Resume leaves this step's examples out and goes on "
            "from the last good weights.")


def _vocabulary(model: Any) -> int:
    return int(model.get_input_embeddings().weight.shape[0])


def _looked_at(model: Any) -> list[Any]:
    """A few numbers of up to sixteen trained tensors, the first and the last ones."""
    trained = [p.detach() for p in model.parameters() if p.requires_grad]
    some = trained if len(trained) <= 16 else trained[:8] + trained[-8:]
    return [p.flatten()[::max(1, p.numel() // _LOOKED_AT)] for p in some]
