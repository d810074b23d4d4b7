"""The base and what a run made of it answer the same tasks, with the same prompts.

The base is loaded as the run trained it, quantised or not, and the adapter put onto it; of a run
that trained every weight the second model is loaded after the first has gone.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

from studio.adapters.folder import is_full_model, is_judge
from studio.chat.weights import AdapterUse, Weights
from studio.device import Device, pick_device
from studio.errors import RunError
from studio.evaluation.harness import PACKAGE, Asked, Harness, Measured, require_harness
from studio.evaluation.record import Evaluation, Score, keep_evaluation
from studio.models.folder import ModelFolder
from studio.progress import Progress, Step, silent
from studio.runs import Run
from studio.settings import Settings
from studio.training.environment import library_versions

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

_LIBRARIES = (PACKAGE, "torch", "transformers", "peft", "datasets")


def evaluate_run(
    run: Run, asked: Asked, settings: Settings, *, progress: Progress = silent
) -> Evaluation:
    """Measure the base and the run, keep the result in the run's folder, and give it.

    Raises SetupError without lm-eval, RunError for a run without a result, DataError for tasks
    that cannot be answered, ModelError where a model cannot be loaded.
    """
    require_harness()
    if not run.has_adapter:
        raise RunError(f"The run {run.name} has no finished adapter to measure.",
                       "Train it to its end, or stop it: that saves one.")
    if is_judge(run.adapter_path):
        raise RunError(f"The run {run.name} made a reward model, which answers no tasks.",
                       "Its own measure is in the run: how often the better answer won on the "
                       "held-out part.")
    started = time.monotonic()
    progress(Step("Finding the tasks"))
    harness = Harness(asked)
    before, after = _both(run, harness, settings, progress)
    evaluation = Evaluation(
        time=time.time(), seconds=time.monotonic() - started, tasks=asked.tasks,
        limit=asked.limit, shots=asked.shots, is_chat=asked.is_chat,
        scores=_scores(before, after),
        versions=library_versions(_LIBRARIES),
    )
    keep_evaluation(run, evaluation)
    return evaluation


def _both(run: Run, harness: Harness, settings: Settings, progress: Progress
          ) -> tuple[list[Measured], list[Measured]]:
    """What the base scores, and what the run scores."""
    from studio.models.source import find_model

    wanted = run.recipe.model
    base = find_model(wanted.source, settings, revision=wanted.revision,
                      trust_remote_code=wanted.trust_remote_code, progress=progress)
    device = pick_device()
    tokenizer = _tokenizer(run, base)
    weights = _load(run, base, device, progress)
    try:
        progress(Step("Answering with the base"))
        before = harness.measure(weights.model, tokenizer)
        if is_full_model(run.adapter_path):
            weights.close()
            trained = ModelFolder(run.adapter_path, run.name, str(run.adapter_path))
            weights = _load(run, trained, device, progress)
        else:
            weights.hold({AdapterUse(run.adapter_path)})
        progress(Step("Answering with what was trained"))
        return before, harness.measure(weights.model, tokenizer)
    finally:
        weights.close()


def _load(run: Run, folder: ModelFolder, device: Device, progress: Progress) -> Weights:
    from studio.models.loading import load_base

    progress(Step(f"Loading {folder.name}"))
    return Weights(load_base(run.recipe.model, folder, device), folder.name, device)


def _tokenizer(run: Run, base: ModelFolder) -> PreTrainedTokenizerBase:
    """The run's own, whose chat template is what was taught; both models get the same prompts."""
    from studio.models.loading import load_tokenizer

    own = (run.adapter_path / "tokenizer_config.json").is_file()
    folder = ModelFolder(run.adapter_path, run.name, str(run.adapter_path)) if own else base
    return load_tokenizer(folder, trust_remote_code=run.recipe.model.trust_remote_code)


def _scores(before: Sequence[Measured], after: Sequence[Measured]) -> tuple[Score, ...]:
    """The same metric of both models side by side, in the order of `before`."""
    known = {(one.task, one.metric): one for one in after}
    pairs = [(base, known[base.task, base.metric]) for base in before
             if (base.task, base.metric) in known]
    return tuple(Score(
        task=base.task, metric=base.metric, base=base.value, tuned=tuned.value,
        base_error=base.error, tuned_error=tuned.error, higher_is_better=base.higher_is_better,
        count=base.count) for base, tuned in pairs)
