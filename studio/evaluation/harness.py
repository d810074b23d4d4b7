"""Asks lm-eval: which tasks there are, and what a model scores on them.

lm-eval is an optional package, imported inside functions. Its own tasks come from the Hub; a
folder of one's own task files works without network. Knows nothing of runs or adapters.
"""

from __future__ import annotations

import difflib
import math
from collections.abc import Iterator
from contextlib import chdir, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from studio.errors import DataError, SetupError
from studio.extras import install_command, is_installed

MODULE, PACKAGE = "lm_eval", "lm_eval"
_BOOTSTRAP_ROUNDS = 1000
"""Resamples for the standard error of metrics that have no formula for it."""


@dataclass(frozen=True)
class Asked:
    """Which tasks, and how. `limit` questions of each, None for all; `shots` examples before each
    question, None for as many as the task says; `folder` holds task files of one's own."""

    tasks: tuple[str, ...]
    limit: int | None = None
    shots: int | None = None
    is_chat: bool = False
    batch_size: int = 8
    folder: Path | None = None


@dataclass(frozen=True)
class Measured:
    """One metric of one model on one task."""

    task: str
    metric: str
    value: float
    error: float | None
    higher_is_better: bool | None
    count: int


def require_harness() -> None:
    """Raises SetupError naming the command that installs lm-eval, where it is missing."""
    if not is_installed(MODULE):
        raise SetupError("Tasks are answered through lm-eval, which is not installed.",
                         f"Install it with: {install_command([PACKAGE])}")


class Harness:
    """Tasks, found and fetched once, for any number of models. Raises DataError on creation for a
    task that there is not, or whose questions cannot be fetched or read."""

    def __init__(self, asked: Asked) -> None:
        self._asked = asked
        folder = asked.folder
        if folder is not None and not folder.is_dir():
            raise DataError(f"There is no folder {folder}.", "Give the folder of your task files.")
        self._manager, self.tasks = _find_tasks(asked)
        with self._reading():
            self._manager.load(list(self.tasks))

    def measure(self, model: Any, tokenizer: Any) -> list[Measured]:
        """The scores of `model`, a Transformers or PEFT model in evaluation mode."""
        from lm_eval import simple_evaluate
        from lm_eval.models.huggingface import HFLM

        asked = self._asked
        wrapped = HFLM(pretrained=model, tokenizer=tokenizer, batch_size=asked.batch_size,
                       device=str(model.device))
        with self._reading():
            found = simple_evaluate(
                model=wrapped, tasks=list(self.tasks), num_fewshot=asked.shots, limit=asked.limit,
                apply_chat_template=asked.is_chat, task_manager=self._manager, log_samples=False,
                bootstrap_iters=_BOOTSTRAP_ROUNDS,
            )
        return list(_measured(found))

    @contextmanager
    def _reading(self) -> Iterator[None]:
        """Task files name their data relative to their own folder; lm-eval reads them from where
        the program stands. Only for a program of its own: all its threads stand there."""
        folder = self._asked.folder
        try:
            with chdir(folder) if folder is not None else nullcontext():
                yield
        except (OSError, ValueError, KeyError, ImportError) as error:
            words = next(iter(str(error).splitlines()), "") or type(error).__name__
            raise DataError(
                f"The tasks {', '.join(self._asked.tasks)} cannot be answered: {words}",
                "Most tasks are fetched from the Hub when they are first used, some need further "
                "packages; a task of your own needs its data file beside its YAML file.",
            ) from error


def _find_tasks(asked: Asked) -> tuple[Any, tuple[str, ...]]:
    """lm-eval's task manager, and the tasks that it knows by the given names or patterns."""
    from lm_eval.tasks import TaskManager

    own = str(asked.folder) if asked.folder else None
    # Reading the thousands of tasks that come with lm-eval takes a while.
    for defaults in (False, True):
        if own is None and not defaults:
            continue
        manager = TaskManager(include_path=own, include_defaults=defaults)
        missing = [name for name in asked.tasks if not manager.match_tasks([name])]
        if not missing:
            return manager, tuple(manager.match_tasks(list(asked.tasks)))
    near = difflib.get_close_matches(missing[0], manager.all_tasks, n=3)
    raise DataError(f"lm-eval knows no task {missing[0]!r}.",
                    f"Did you mean {' or '.join(near)}?" if near else
                    "Its own tasks are listed by: lm-eval ls tasks")


def _measured(found: dict[str, Any]) -> Iterator[Measured]:
    for task, values in found["results"].items():
        better = found.get("higher_is_better", {}).get(task, {})
        count = found.get("n-samples", {}).get(task, {}).get("effective", 0)
        for key, value in values.items():
            metric, comma, filtered = key.partition(",")
            if not comma or metric.endswith("_stderr") or not isinstance(value, int | float):
                continue
            name = metric if filtered == "none" else f"{metric} ({filtered})"
            yield Measured(task, name, float(value), _error(values, metric, filtered),
                           better.get(metric), int(count))


def _error(values: dict[str, Any], metric: str, filtered: str) -> float | None:
    error = values.get(f"{metric}_stderr,{filtered}")
    return float(error) if isinstance(error, int | float) and math.isfinite(error) else None

