"""Columns of the chat in one batch beside the same in turn, and one column beside `generate`.

The base and three LoRA adapters of the starter model, made for the bench, continue the same prompt
greedily. Speed: one process (`chat_process.py`) that asks every way round after round, so that
what else this PC does hits all. Memory: a process for the studio's four columns, and one for plain
Transformers and PEFT (`plain_peft.py`) with the same base and adapters. Figures are of this
machine.
"""

from __future__ import annotations

import json
import statistics
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from studio.bench.chat_process import FOUR, ONE, Round
from studio.bench.folder import passing_folder
from studio.bench.lora_folders import make_lora_folders
from studio.bench.machine import machine_line
from studio.bench.process_watch import watched_process
from studio.device import pick_device, resolve_dtype
from studio.files import write_json_safely
from studio.models.source import find_model
from studio.progress import Progress, ShouldStop, Step, never, silent
from studio.recipe import Recipe
from studio.settings import Settings

ADAPTERS, RANK = 3, 16
PROMPT = ("Tell me a long story about a lighthouse keeper, his cat, and a storm that lasted for "
          "seven days and nights.")
"""Its answers are longer than what is counted of them, and so of the same length."""
_WAYS = {
    "batched": "Four columns in one batch", "in_turn": "The same four in turn",
    "single": "One column alone", "generate": "Plain generate, the same adapter",
}


@dataclass(frozen=True)
class Length:
    """How long the bench takes: rounds, or fewer where their seconds are over; tokens an answer."""

    rounds: int
    seconds: float
    tokens: int


FULL = Length(rounds=8, seconds=200, tokens=48)
QUICK = Length(rounds=2, seconds=30, tokens=24)


@dataclass(frozen=True)
class Way:
    """One way of answering: medians over its answers. `first_token_seconds` runs from the question
    to the first text; for those in turn it is the first one's."""

    name: str
    tokens_per_second: float
    first_token_seconds: float
    answers: tuple[dict[str, float], ...]


@dataclass(frozen=True)
class Memory:
    """The most that was held beyond the libraries, in bytes; in main memory with what was freed and
    the C library keeps."""

    name: str
    libraries_bytes: int
    loading_bytes: int
    answering_bytes: int


@dataclass(frozen=True)
class ChatBench:
    """The table. `batched_over_sequential`: tokens per second of four columns in one batch by
    those of the four in turn; `single_over_generate`: one column streaming by plain `generate`.
    `memory_ratio`: what four columns hold while they answer by one copy of base and adapters."""

    machine: str
    dtype: str
    columns: int
    tokens: int
    batched_over_sequential: float
    single_over_generate: float
    memory_ratio: float
    first_token_seconds: dict[str, float]
    ways: tuple[Way, ...]
    memory: tuple[Memory, ...]

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


def run_chat_bench(
    settings: Settings, *, quick: bool = False, progress: Progress = silent,
    stop: ShouldStop = never,
) -> ChatBench:
    """Answer in all ways, in turn, and compare. Five minutes on two cores, `quick` one."""
    with passing_folder(settings.cache / "bench-chat") as folder:
        model = find_model(Recipe().model.source, settings, progress=progress, stop=stop).path
        return compare(folder, model, QUICK if quick else FULL, progress)


def compare(folder: Path, model: Path, length: Length, progress: Progress = silent) -> ChatBench:
    """Measure on that base; `folder` is for the adapters and whatever else is written."""
    progress(Step("Making adapters", 0, 4, "measurements"))
    device = pick_device()
    dtype = str(resolve_dtype("auto", device)).removeprefix("torch.")
    adapters = make_lora_folders(model, folder / "adapters", ADAPTERS, rank=RANK)
    request = folder / "request.json"
    write_json_safely(request, {
        "home": str(folder / "home"), "model": str(model), "adapters": list(map(str, adapters)),
        "messages": [{"role": "user", "content": PROMPT}], "tokens": length.tokens,
        "rounds": length.rounds, "seconds": length.seconds,
        "loading": {"dtype": dtype, "attention": "sdpa", "device": device.torch_name},
    })

    def said(*words: str) -> Any:
        return json.loads(watched_process(*words, str(request), cwd=folder)[0])

    progress(Step("Memory of one base and its adapters", 1, 4, "measurements"))
    plain = Memory("Plain Transformers and PEFT, one answer", **said("studio.bench.plain_peft"))
    progress(Step("Memory of four columns", 2, 4, "measurements"))
    studio = Memory("Four columns", **said("studio.bench.chat_process", "memory"))
    progress(Step("Answering in all ways, round after round", 3, 4, "measurements"))
    return table(dtype, length.tokens, said("studio.bench.chat_process", "speed"), studio, plain)


def table(dtype: str, tokens: int, rounds: list[Round], studio: Memory,
          plain: Memory) -> ChatBench:
    """From (tokens, seconds, seconds to the first token) of every way in each round."""
    ways = tuple(_medians(title, [answer for one in rounds for answer in one[way]])
                 for way, title in _WAYS.items())
    return ChatBench(
        machine=machine_line(), dtype=dtype, columns=1 + ADAPTERS, tokens=tokens,
        batched_over_sequential=_ratio(rounds, *FOUR),
        single_over_generate=_ratio(rounds, *ONE),
        memory_ratio=studio.answering_bytes / plain.answering_bytes,
        first_token_seconds={key: way.first_token_seconds
                             for key, way in zip(_WAYS, ways, strict=True)},
        ways=ways, memory=(studio, plain))


def _medians(name: str, answers: list[dict[str, float]]) -> Way:
    return Way(name, statistics.median(map(_speed, answers)),
               statistics.median(one["first_token_seconds"] for one in answers), tuple(answers))


def _ratio(rounds: list[Round], way: str, other: str) -> float:
    """Median over all rounds of one way's speed by another's, asked one after the other."""
    return statistics.median(_speed(one) / _speed(two) for now in rounds
                             for one, two in zip(now[way], now[other], strict=True))


def _speed(answered: dict[str, float]) -> float:
    return answered["tokens"] / answered["seconds"]
