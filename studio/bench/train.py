"""Training through the studio beside a plain TRL script: the same model, data and recipe.

Every run is a process of its own, the two in turn, so that what else this PC does hits both. The
starter model on made chats of 40 to 300 tokens. Sizes and figures are of this machine.
"""

from __future__ import annotations

import json
import shutil
import statistics
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from studio.bench.data import write_conversations
from studio.bench.data_watch import watched_process
from studio.bench.machine import machine_line
from studio.files import write_json_safely
from studio.models.source import find_model
from studio.progress import Progress, ShouldStop, Step, never, silent
from studio.recipe import Recipe
from studio.settings import Settings

ROUNDS = 3
STEPS, QUICK_STEPS = 14, 5
WARM_STEPS = 2
"""The first steps are left out of the speed: libraries prepare themselves in them."""
BATCH = 4
_WORDS_PER_ANSWER = (10, 100)
WAYS = {"studio": "studio.bench.train_process", "plain TRL": "studio.bench.plain_trl"}


@dataclass(frozen=True)
class Trained:
    """One training. Seconds from the start of its process to the end of its first step."""

    tokens_per_second: float
    seconds_per_step: float
    peak_bytes: int
    start_seconds: float
    first_loss: float
    last_loss: float


@dataclass(frozen=True)
class Way:
    """All rounds of one way, and the medians of them."""

    name: str
    rounds: tuple[Trained, ...]
    tokens_per_second: float
    seconds_per_step: float
    peak_bytes: int
    start_seconds: float


@dataclass(frozen=True)
class TrainBench:
    """The table. Ratios are the studio's by plain TRL's: speed above 1 and memory and start below
    1 are the studio's advantage."""

    machine: str
    steps: int
    ways: tuple[Way, ...]
    choices: tuple[str, ...]
    tokens_per_second_ratio: float
    peak_memory_ratio: float
    startup_ratio: float

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


def run_train_bench(
    settings: Settings, *, quick: bool = False, progress: Progress = silent,
    stop: ShouldStop = never,
) -> TrainBench:
    """Train, alternating, and compare. Takes about six minutes on two cores, `quick` one."""
    steps, rounds = (QUICK_STEPS, 1) if quick else (STEPS, ROUNDS)
    folder = settings.cache / "bench-train"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    try:
        model = find_model(Recipe().model.source, settings, progress=progress, stop=stop).path
        data = folder / "chats.jsonl"
        write_conversations(data, steps * BATCH, words_per_answer=_WORDS_PER_ANSWER, most_turns=1)
        bench = _Bench(folder, model, data, steps, progress)
        return bench.compare(rounds)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@dataclass
class _Bench:
    folder: Path
    model: Path
    data: Path
    steps: int
    progress: Progress

    def compare(self, rounds: int) -> TrainBench:
        found: dict[str, list[Trained]] = {way: [] for way in WAYS}
        choices: list[str] = []
        for number in range(rounds):
            for done, way in enumerate(WAYS):
                self.progress(Step(f"Round {number + 1}: {way}", number * len(WAYS) + done,
                                   rounds * len(WAYS), "trainings"))
                trained, said = self._train(way)
                found[way].append(trained)
                choices = said.get("choices", choices)
        studio, peer = (_medians(way, trained) for way, trained in found.items())
        return TrainBench(
            machine=machine_line(), steps=self.steps, ways=(studio, peer),
            choices=tuple(choices),
            tokens_per_second_ratio=studio.tokens_per_second / peer.tokens_per_second,
            peak_memory_ratio=studio.peak_bytes / peer.peak_bytes,
            startup_ratio=studio.start_seconds / peer.start_seconds)

    def _train(self, way: str) -> tuple[Trained, dict[str, Any]]:
        output = self.folder / "output"
        shutil.rmtree(output, ignore_errors=True)
        output.mkdir()
        request = self.folder / "request.json"
        write_json_safely(request, {
            "model": str(self.model), "data": str(self.data), "output": str(output),
            "steps": self.steps, "batch_size": BATCH, "max_length": 1024, "learning_rate": 2e-4,
            "rank": 16, "alpha": 32, "seed": 42})
        began = time.time()
        last_words, peak_bytes = watched_process(WAYS[way], str(request), cwd=self.folder)
        said = json.loads(last_words)
        return _trained(said["steps"], began, peak_bytes), said


def _trained(steps: list[tuple[float, float, float]], began: float, peak_bytes: int) -> Trained:
    """From (time in Unix seconds, tokens so far, loss) at the end of each step."""
    warm, last = steps[WARM_STEPS - 1], steps[-1]
    seconds = last[0] - warm[0]
    return Trained(
        tokens_per_second=(last[1] - warm[1]) / seconds,
        seconds_per_step=seconds / (len(steps) - WARM_STEPS), peak_bytes=peak_bytes,
        start_seconds=steps[0][0] - began, first_loss=steps[0][2], last_loss=last[2])


def _medians(name: str, rounds: list[Trained]) -> Way:
    def median(field: str) -> float:
        return statistics.median(getattr(one, field) for one in rounds)

    return Way(name, tuple(rounds), median("tokens_per_second"), median("seconds_per_step"),
               int(median("peak_bytes")), median("start_seconds"))
