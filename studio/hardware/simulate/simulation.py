"""The simulated memory estimate: one real training step on the meta device, counted.

The way in. Nothing of the process is changed: modes are of the calling thread, no random numbers
are drawn, and torch's default number format stays. So it may run beside a training, and be stopped.
"""

from __future__ import annotations

import json
import threading
import time
from collections import Counter
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from studio.adapters.kinds import kind_of
from studio.adapters.methods import peft_config
from studio.errors import ModelError
from studio.hardware.memory import estimate
from studio.hardware.simulate.counting import BLOCK_BYTES, LiveBytes, Phase
from studio.hardware.simulate.layers import pattern_of, whole
from studio.hardware.simulate.model import build
from studio.hardware.simulate.result import COUNTED, Simulated
from studio.hardware.simulate.step import StepPeaks, run_step
from studio.hardware.workload import UNKNOWN, Examples, Workload, workload_of
from studio.models.libraries import first_line
from studio.models.shape import model_shape, shape_of_config
from studio.progress import ShouldStop, never

if TYPE_CHECKING:
    from peft import LoraConfig
    from transformers import PretrainedConfig

    from studio.device import Device
    from studio.models.shape import ModelShape
    from studio.recipe import Recipe
    from studio.settings import Settings

WORKSPACE_BYTES = (2 * 4096 + 8 * 16) * 1024
"""What torch lends cuBLAS by default (`:4096:2:16:8`); 32 MiB on Hopper cards."""
MOST_REMEMBERED = 512
_OF_FOREIGN_CODE = (AttributeError, IndexError, KeyError, RuntimeError, TypeError, ValueError)
"""What transformers' code for some architecture may raise where a tensor has no values."""
_MOMENTS = {
    "forward from the start": "the forward pass", "forward from the end": "the forward pass",
    "inputs": "the forward pass", "before": "the forward pass", "loss": "the loss",
    "loss backward": "the loss",
    "norm": "the loss's backward pass", "backward from the end": "the backward pass of the last "
    "layers", "backward from the start": "the backward pass of the first layers",
    "step": "the optimizer's step",
}
_known: dict[tuple[Any, ...], Simulated] = {}
_lock = threading.Lock()


def simulate_recipe(
    recipe: Recipe, settings: Settings, device: Device, *, free_bytes: int | None = None,
    examples: Examples = UNKNOWN, stop: ShouldStop = never,
) -> Simulated:
    """Simulate a step of `recipe`; checkpointing on auto is decided as the estimate decides it.

    Takes seconds, whatever the model's size. Raises ModelError as `model_shape` does, Stopped.
    """
    model = recipe.model
    shape = model_shape(model.source, settings, revision=model.revision,
                        trust_remote_code=model.trust_remote_code)
    guess = estimate(recipe, shape, device, free_bytes=free_bytes, examples=examples)
    work = workload_of(recipe, shape, device, checkpointing=guess.checkpointing,
                       examples=examples)
    kind = kind_of(recipe.adapter.method)
    if not work.trains_base and not kind.sits_inside:
        raise ModelError(f"{kind.label} cannot be simulated: only adapters inside the model can.",
                         "The estimate by formulas still stands.")
    adapter = None if work.trains_base else peft_config(recipe.adapter, shape)
    return simulate(work, config_of(shape), shape=shape, adapter=adapter, stop=stop)


def config_of(shape: ModelShape) -> PretrainedConfig:
    """What `shape` was made from. Raises ModelError for a kind that transformers does not know."""
    from transformers import AutoConfig

    try:
        return AutoConfig.for_model(**json.loads(shape.config_text))
    except (ValueError, KeyError) as error:
        raise ModelError(
            f"{shape.name} cannot be simulated: transformers does not know its kind "
            f"({first_line(error)}).",
            "The estimate by formulas still stands.",
        ) from error


def simulate(
    work: Workload, config: PretrainedConfig, *, shape: ModelShape | None = None,
    adapter: LoraConfig | None = None, reentrant: bool = False, all_layers: bool = False,
    stop: ShouldStop = never,
) -> Simulated:
    """Simulate a step of `work` on the model of `config`. Remembers what it found.

    It is the training step alone: a reference model's pass, the making of answers, and evaluation
    are not in it. `adapter` is PEFT's own configuration, else one is made of `work`. `reentrant`:
    checkpointing as transformers 4 did it by default. `all_layers` runs every layer instead of a
    few that stand for all. Raises Stopped when `stop` says so, and ModelError for a model whose
    code does not run on tensors without memory.
    """
    key = (work, json.dumps(config.to_dict(), sort_keys=True, default=str),
           json.dumps(adapter.to_dict(), sort_keys=True, default=sorted) if adapter else None,
           reentrant, all_layers)
    with _lock:
        found = _known.get(key)
    if found is None:
        try:
            found = _simulated(work, config, shape, adapter,
                               reentrant=reentrant, all_layers=all_layers, stop=stop)
        except _OF_FOREIGN_CODE as error:
            raise ModelError(
                f"A step of {config.model_type} cannot be simulated: its code does not run on "
                f"tensors without memory ({first_line(error)}).",
                "The estimate by formulas still stands.",
            ) from error
        with _lock:
            if len(_known) >= MOST_REMEMBERED:
                _known.clear()
            _known[key] = found
    return found


def _simulated(
    work: Workload, config: PretrainedConfig, shape: ModelShape | None,
    adapter: LoraConfig | None, *, reentrant: bool, all_layers: bool, stop: ShouldStop,
) -> Simulated:
    began = time.monotonic()
    pattern = pattern_of(shape or shape_of_config(config), config)
    runs = None if all_layers else pattern.short_runs()

    def run(layers: int) -> StepPeaks:
        live = LiveBytes(block=BLOCK_BYTES if work.on_gpu else 1, stop=stop)
        built = build(work, config, layers, adapter, reentrant=reentrant)
        return run_step(work, built, live)

    if runs is None:
        phases: Mapping[Phase, Counter[str]] = run(pattern.layers).phases
    else:
        phases = whole(run(runs[0]), run(runs[1]), pattern)
    if work.shards > 1:
        phases = {phase: _divided(kinds, work, pattern.layers) for phase, kinds in phases.items()}
    phase, kinds = max(phases.items(), key=lambda item: item[1].total())
    if work.on_gpu:
        kinds["workspace"] = WORKSPACE_BYTES
    return Simulated(
        kinds.total(), {name: kinds.get(name, 0) for name in COUNTED}, _moment(phase),
        time.monotonic() - began, sum(runs) if runs else pattern.layers, pattern.layers)


def _divided(kinds: Counter[str], work: Workload, layers: int) -> Counter[str]:
    """One GPU's share of what several divide. Of divided weights one layer at a time is whole."""
    mine = Counter(kinds)
    mine["optimizer"] = kinds["optimizer"] // work.shards_of("optimizer")
    mine["gradients"] = kinds["gradients"] // work.shards_of("gradients")
    mine["weights"] = kinds["weights"] // work.shards_of("weights")
    if work.shards_of("weights") > 1:
        mine["weights"] += kinds["weights"] // layers
    return mine


def _moment(phase: Phase) -> str:
    return _MOMENTS.get(phase[0], f"the {phase[0]} pass")
