"""Training through the studio beside a plain TRL script: the same model, data and recipe.

Every training is a process of its own, the ways in turn, every other round in the opposite order,
so that what else this PC does hits all.
The starter model on made chats of 40 to 300 tokens; `train_page.py` then measures the page beside
a training. Sizes and figures are of this machine, and how long it takes is bounded.

Both train the same tokens, but the losses differ by about a hundredth: TRL counts whatever stands
behind the prompt, so also the line break that the chat template writes after the end of the
answer's turn; the studio counts the answer and the end of its turn, which is where a model stops.
"""

from __future__ import annotations

import compileall
import json
import statistics
import time
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import studio
from studio.bench.data import write_conversations
from studio.bench.folder import passing_folder
from studio.bench.machine import machine_line
from studio.bench.process_watch import watched_process
from studio.bench.train_page import PageBench, measure_page
from studio.files import write_json_safely
from studio.models.source import find_model
from studio.progress import Progress, ShouldStop, Step, never, silent
from studio.recipe import Recipe
from studio.settings import Settings

WARM_STEPS = 2
"""The first steps are left out of the speed: libraries prepare themselves in them."""
LEAST_STEPS = 5
BATCH = 4
_WORDS_PER_ANSWER = (10, 100)
_STUDIO, _PLAIN = "studio.bench.train_process", "studio.bench.plain_trl"
_READ_LIBRARIES = "studio.bench.read_libraries"


@dataclass(frozen=True)
class Length:
    """How long the bench takes: so many steps and rounds, or fewer where their seconds are over.

    `seconds` is of all rounds together, `training_seconds` of the steps of one training.
    """

    steps: int
    rounds: int
    seconds: float
    training_seconds: float
    with_float32: bool


FULL = Length(steps=12, rounds=3, seconds=450, training_seconds=45, with_float32=True)
QUICK = Length(steps=6, rounds=1, seconds=90, training_seconds=40, with_float32=False)


@dataclass(frozen=True)
class Trained:
    """One training. `start_seconds`: from the start of its process, with the libraries' files in
    the system's file cache, to the beginning of its first step; `first_step_seconds`: to the end
    of it."""

    tokens_per_second: float
    seconds_per_step: float
    peak_bytes: int
    start_seconds: float
    first_step_seconds: float
    losses: tuple[float, ...]


@dataclass(frozen=True)
class Way:
    """All rounds of one way, and the medians of them."""

    name: str
    rounds: tuple[Trained, ...]
    tokens_per_second: float
    seconds_per_step: float
    peak_bytes: int
    start_seconds: float
    first_step_seconds: float


@dataclass(frozen=True)
class TrainBench:
    """The table. Ratios are the studio's by plain TRL's at its defaults: speed above 1, memory and
    start below 1 are the studio's advantage. The two of a page that stands open (pressing Start
    with the libraries loaded, and once more with the model kept) are by the same start of plain
    TRL, whose script begins from nothing each time; None where no page was measured."""

    machine: str
    steps: int
    ways: tuple[Way, ...]
    choices: tuple[str, ...]
    tokens_per_second_ratio: float
    peak_memory_ratio: float
    startup_ratio: float
    pressing_start_ratio: float | None
    pressing_start_again_ratio: float | None
    page: PageBench

    def as_json(self) -> dict[str, Any]:
        page = {key: value for key, value in asdict(self.page).items() if key != "why_not"}
        return {**asdict(self), **page}


def run_train_bench(
    settings: Settings, *, quick: bool = False, progress: Progress = silent,
    stop: ShouldStop = never,
) -> TrainBench:
    """Train, in turn, and compare. About ten minutes on two cores, `quick` four."""
    length = QUICK if quick else FULL
    # As other packages are from their installation on, and the studio from its second start.
    compileall.compile_dir(Path(studio.__file__).parent, quiet=2)
    with passing_folder(settings.cache / "bench-train") as folder:
        model = find_model(Recipe().model.source, settings, progress=progress, stop=stop).path
        data = folder / "chats.jsonl"
        write_conversations(data, length.steps * BATCH, words_per_answer=_WORDS_PER_ANSWER,
                            most_turns=1)
        bench = _Bench(folder, {
            "model": str(model), "data": str(data), "steps": length.steps, "batch_size": BATCH,
            "max_length": 1024, "learning_rate": 2e-4, "rank": 16, "alpha": 32, "seed": 42,
            "limit_seconds": length.training_seconds, "least_steps": LEAST_STEPS,
        }, progress)
        ways, choices = bench.in_turn(length)
        with bench.output() as home:
            page = measure_page(bench.request, home, quick=quick, progress=progress)
        return _table(length, ways, choices, page)


@dataclass
class _Bench:
    folder: Path
    request: dict[str, Any]
    progress: Progress

    def in_turn(self, length: Length) -> tuple[list[Way], list[str]]:
        """The studio and plain TRL, as many rounds as there is time for; then TRL in 32 bits."""
        studio: list[Trained] = []
        plain: list[Trained] = []
        choices: list[str] = []
        began, longest = time.monotonic(), 0.0
        for number in range(length.rounds):
            round_began = time.monotonic()
            if number and round_began - began + longest > length.seconds:
                break
            for module in (_STUDIO, _PLAIN)[::-1 if number % 2 else 1]:
                self.progress(Step(f"Round {number + 1}", len(studio) + len(plain),
                                   2 * length.rounds, "trainings"))
                trained, said = self._train(module, {})
                (studio if module == _STUDIO else plain).append(trained)
                choices = said.get("choices", choices)
            longest = max(longest, time.monotonic() - round_began)
        ways = [_medians("studio", studio), _medians("plain TRL at its defaults", plain)]
        if length.with_float32:
            self.progress(Step("Plain TRL in 32 bits"))
            options = {"bf16": False, "gradient_checkpointing": False}
            ways.append(_medians("plain TRL, float32, no checkpointing",
                                 [self._train(_PLAIN, options)[0]]))
        return ways, choices

    def output(self) -> AbstractContextManager[Path]:
        """An empty folder for one training, deleted afterwards."""
        return passing_folder(self.folder / "output")

    def _train(self, module: str, options: dict[str, Any]) -> tuple[Trained, dict[str, Any]]:
        with self.output() as output:
            request = self.folder / "request.json"
            write_json_safely(request, {**self.request, "output": str(output),
                                        "options": options})
            watched_process(_READ_LIBRARIES, cwd=self.folder)
            began = time.time()
            last_words, peak_bytes = watched_process(module, str(request), cwd=self.folder)
            said = json.loads(last_words)
            return _trained(said, began, peak_bytes), said


def _trained(said: dict[str, Any], began: float, peak_bytes: int) -> Trained:
    """From (time in Unix seconds, tokens so far, loss) at the end of each step."""
    steps = said["steps"]
    warm, last = steps[WARM_STEPS - 1], steps[-1]
    seconds = last[0] - warm[0]
    return Trained(
        tokens_per_second=(last[1] - warm[1]) / seconds,
        seconds_per_step=seconds / (len(steps) - WARM_STEPS), peak_bytes=peak_bytes,
        start_seconds=said["began"] - began, first_step_seconds=steps[0][0] - began,
        losses=tuple(round(loss, 4) for _, _, loss in steps))


def _medians(name: str, rounds: list[Trained]) -> Way:
    def median(field: str) -> float:
        return statistics.median(getattr(one, field) for one in rounds)

    return Way(name, tuple(rounds), median("tokens_per_second"), median("seconds_per_step"),
               int(median("peak_bytes")), median("start_seconds"), median("first_step_seconds"))


def _table(length: Length, ways: list[Way], choices: list[str], page: PageBench) -> TrainBench:
    studio, plain = ways[0], ways[1]

    def by_plain(seconds: float | None) -> float | None:
        return None if seconds is None else seconds / plain.start_seconds

    return TrainBench(
        machine=machine_line(), steps=length.steps, ways=tuple(ways), choices=tuple(choices),
        tokens_per_second_ratio=_ratio(studio, plain, "tokens_per_second"),
        peak_memory_ratio=_ratio(studio, plain, "peak_bytes"),
        startup_ratio=_ratio(studio, plain, "start_seconds"),
        pressing_start_ratio=by_plain(page.pressing_start_seconds),
        pressing_start_again_ratio=by_plain(page.pressing_start_again_seconds), page=page)


def _ratio(studio: Way, plain: Way, field: str) -> float:
    """Median over the rounds of the studio's by plain TRL's of the same round."""
    return statistics.median(
        getattr(one, field) / getattr(other, field)
        for one, other in zip(studio.rounds, plain.rounds, strict=True))
