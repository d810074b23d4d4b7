"""The process of a dry run: `python -m studio.training.dry_run_process REQUEST.json`.

Goes the same way as training, through `loop.Stages`, `make_setup` and `make_trainer`, and takes two
optimizer steps on the longest micro-batch. Leaves what it measured as one JSON file and saves
nothing else. Memory that runs out is a result here, not an error.
"""

from __future__ import annotations

import dataclasses
import json
import math
import random
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from studio.child import orphaned
from studio.data.columns import labelled_share, row_lengths
from studio.device import pick_device
from studio.errors import StudioError
from studio.files import write_json_safely
from studio.hardware.calibration import calibrated
from studio.hardware.meter import meter_for, read_gpus
from studio.hardware.objectives import OBJECTIVES
from studio.recipe import Recipe
from studio.runs import Run
from studio.settings import load_settings, prepare_environment
from studio.training.failure import RecordedFailures
from studio.training.libraries import load_libraries
from studio.training.out_of_memory import is_out_of_memory
from studio.training.phases import Phases, Watch, distinct_bytes, frozen_tensors
from studio.training.reporter import StateReporter, TrainReporter
from studio.training.stages import Stages
from studio.training.steps import answers_per_row, total_steps
from studio.training.stretch import memory_held

if TYPE_CHECKING:
    import datasets

    from studio.data.prepare import Prepared
    from studio.device import Device
    from studio.training.setup import Base, Found, Setup

STEPS = 2
"""The optimizer's state is there from the second one on."""
MOST_MICRO_BATCHES = 2
"""Of one step: gradients wait for the second one, and further ones need no more memory."""


def main(request_file: Path) -> None:
    """Measure what the file asks for and write the outcome that it names."""
    request = json.loads(request_file.read_text(encoding="utf-8"))
    settings = load_settings(request["home"], offline=request["offline"])
    prepare_environment(settings)
    load_libraries()  # so that it is not booked on the first phase that needs them
    gpus_before = read_gpus()
    device = calibrated(pick_device(), settings)
    run = Run(Path(request["run"]))
    meter = meter_for(device, gpus_before)
    phases = Phases(run, meter)
    states = StateReporter(run)
    stages = DryStages(run.recipe, run, orphaned(request["parent"]), settings, states,
                       phases=phases)
    outcome: dict[str, Any] = {"ran_out": None, "error": None}
    try:
        with RecordedFailures(run, states):
            phases.begin("preparing the data")
            stages.measure(device)
            phases.end()
    except StudioError as error:
        if error.__cause__ is not None and is_out_of_memory(error.__cause__):
            outcome["ran_out"] = phases.now
        else:
            outcome["error"] = [error.message, error.hint]
    outcome |= {"facts": stages.facts, "outside_bytes": meter.outside_bytes(),
                "phases": [dataclasses.asdict(phase) for phase in phases.done]}
    write_json_safely(Path(request["outcome"]), outcome)


@dataclass
class DryStages(Stages):
    """The stages of a training with a phase begun at each; `facts` collects what they tell."""

    phases: Phases = field(kw_only=True)
    facts: dict[str, Any] = field(default_factory=dict, kw_only=True)

    def measure(self, device: Device) -> None:
        """Prepare, load, and take the steps."""
        self.states.enter("preparing")
        found = self.find(device)
        data = self.tokenise(found, device)
        self.phases.begin("loading the base model")
        base = self.load(found, device)
        self.facts["free_bytes"] = base.free_bytes
        self._take_steps(base, data, device)

    def with_adapter(self, model: Any, found: Found) -> Any:
        self.phases.begin("adding the adapter")
        return super().with_adapter(model, found)

    def _take_steps(self, base: Base, data: Prepared, device: Device) -> None:
        from studio.training.setup import make_setup
        from studio.training.trainers import make_trainer

        setup, choices = make_setup(self.recipe, base, data, device, self.settings)
        lengths = example_lengths(self.recipe, setup.train)
        rows, micro_batches = self._longest(setup.train, lengths)
        self.facts |= _facts(self.recipe, setup, lengths, rows) | {"choices": choices}
        dry = dataclasses.replace(setup, train=rows, held_out=None)
        recipe = self.recipe.with_values({
            "training.max_steps": STEPS, "training.gradient_accumulation": micro_batches,
            "training.eval_steps": 0,
            "reinforcement.generations": _group_of(self.recipe.training.batch_size * micro_batches),
        })
        reporter = TrainReporter(self.run, self.states, self.stop, plan={},
                                 keep_checkpoint=lambda step: None)
        trainer = make_trainer(recipe, self.run, dry, reporter)
        # The micro-batches as they were chosen, not shuffled.
        trainer.args.train_sampling_strategy = "sequential"
        frozen = distinct_bytes(frozen_tensors(setup.model))
        trained = [weight for weight in setup.model.parameters() if weight.requires_grad]
        has_adapter = not self.recipe.adapter.trains_base
        watch = Watch(self.phases)
        watch.follow(trainer)
        with memory_held(setup.model, setup):
            trainer.train()
        self.facts |= {
            "micro_batches": micro_batches, "weight_bytes": frozen,
            "adapter_bytes": distinct_bytes(trained) if has_adapter else 0,
            "gradient_bytes": watch.gradient_bytes, "optimizer_bytes": watch.optimizer_bytes,
        }

    def _longest(
        self, train: datasets.Dataset, lengths: Sequence[int]
    ) -> tuple[datasets.Dataset, int]:
        """The longest rows, once for each micro-batch of a step, and how many those are."""
        batch, wanted = self.recipe.training.batch_size, self.recipe.training.gradient_accumulation
        order = sorted(range(len(lengths)), key=lambda row: -lengths[row])[:batch]
        available = math.ceil(len(lengths) * answers_per_row(self.recipe) / batch)
        micro_batches = min(MOST_MICRO_BATCHES, wanted, available)
        return train.select(order * micro_batches), micro_batches


def _facts(
    recipe: Recipe, setup: Setup, lengths: Sequence[int], rows: datasets.Dataset
) -> dict[str, Any]:
    batch = min(recipe.training.batch_size, len(lengths))
    chosen = example_lengths(recipe, rows)[:batch]
    return {
        "batch": batch, "longest_tokens": max(chosen),
        "tokens": tokens_of(chosen, joined=setup.joined_rows),
        "mean_tokens": _mean_tokens(lengths, recipe, joined=setup.joined_rows,
                                    grouped=setup.lengths is not None),
        "rows": len(lengths), "total_steps": total_steps(recipe, len(lengths)),
        "checkpointing": setup.checkpointing,
        "labelled_share": labelled_share(rows.select(range(batch))),
    }


def example_lengths(recipe: Recipe, rows: datasets.Dataset) -> list[int]:
    """Tokens of each row's longest text; a prompt with the longest answer that may be written."""
    answer = recipe.reinforcement.answer_tokens if OBJECTIVES[recipe.training.method].writes else 0
    return [length + answer for length in row_lengths(rows)]


def _group_of(answers: int) -> int:
    """Into groups of so many answers a step of `answers` can be divided; no other number needs
    other memory."""
    return next((size for size in range(2, answers + 1) if answers % size == 0), 2)


def tokens_of(lengths: Sequence[int], *, joined: bool) -> int:
    """Tokens that a micro-batch computes, padding included."""
    return sum(lengths) if joined else max(lengths) * len(lengths)


def _mean_tokens(
    lengths: Sequence[int], recipe: Recipe, *, joined: bool, grouped: bool
) -> float:
    """Tokens of a micro-batch on average, the rows shuffled or grouped as a run would."""
    order = sorted(lengths)
    if not grouped:
        random.Random(recipe.data.seed).shuffle(order)
    batch = recipe.training.batch_size
    batches = [order[start:start + batch] for start in range(0, len(order), batch)]
    return sum(tokens_of(each, joined=joined) for each in batches) / len(batches)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
