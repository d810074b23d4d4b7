"""The data lab beside plain `datasets.map`, its first page, and its memory on large files.

Every measurement is a process of its own (`data_process.py`), taken in turn with its peer, on
files of made conversations. Sizes and figures are of this machine.
"""

from __future__ import annotations

import json
import random
import statistics
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from studio.bench.folder import passing_folder
from studio.bench.machine import machine_line
from studio.bench.process_watch import Measured, measured_process
from studio.files import require_free_bytes
from studio.models.source import find_model
from studio.progress import Progress, ShouldStop, Step, never, silent
from studio.recipe import Recipe
from studio.settings import Settings

ROUNDS = 3
SPEED_ROWS = 100_000
SMALL_ROWS, LARGE_ROWS = 10_000, 1_000_000
QUICK_ROWS = (4_000, 2_000, 20_000)
_BYTES_PER_WIDE_ROW = 4_000
_WORDS = 4_000
_SHORT, _USUAL, _LONG = (5, 40), (10, 120), (150, 500)
"""Words of an answer: of the million rows that are read whole, of those for speed, and of those
that only the first page is taken from."""
_DIFFERENT_WIDE_ROWS = 1_000


@dataclass(frozen=True)
class Speed:
    """Seconds of one way over the same rows, each round; `rows_per_second` is of the median."""

    way: str
    seconds: tuple[float, ...]
    rows_per_second: float


@dataclass(frozen=True)
class DataBench:
    """The whole table. Ratios: above 1, the lab is quicker; memory of the large file by that of
    the small one, all processes together."""

    machine: str
    rows: int
    bytes: int
    speeds: tuple[Speed, ...]
    rows_per_second_ratio: float
    rows_per_second_ratio_one_process: float
    small_rows: int
    large_rows: int
    large_bytes: int
    first_page_seconds: float
    first_page_file_bytes: int
    small_peak_bytes: int
    large_peak_bytes: int
    memory_ratio: float
    large_seconds: float

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


def run_data_bench(
    settings: Settings, *, quick: bool = False, progress: Progress = silent,
    stop: ShouldStop = never,
) -> DataBench:
    """Make the files, measure, and delete them. Takes about twenty minutes, `quick` one."""
    speed_rows, small, large = QUICK_ROWS if quick else (SPEED_ROWS, SMALL_ROWS, LARGE_ROWS)
    require_free_bytes(settings.cache, 2 * _BYTES_PER_WIDE_ROW * large, "The files of the bench")
    with passing_folder(settings.cache / "bench-data") as folder:
        model = find_model(Recipe().model.source, settings, progress=progress, stop=stop).path
        bench = _Bench(folder, model, progress)
        return bench.all(speed_rows, small, large, 1 if quick else ROUNDS)


@dataclass
class _Bench:
    folder: Path
    model: Path
    progress: Progress

    def all(self, speed_rows: int, small: int, large: int, rounds: int) -> DataBench:
        file = self._file("speed", speed_rows, _USUAL)
        speeds = self._speeds(file, speed_rows, rounds)
        by_way = {speed.way: speed.rows_per_second for speed in speeds}
        lab = by_way["data lab"]
        wide_file = self._wide_file(large)
        page = self._measure("page", wide_file)
        wide_bytes = wide_file.stat().st_size
        wide_file.unlink()
        small_file, large_file = self._file("small", small, _SHORT), \
            self._file("large", large, _SHORT)
        first, second = self._measure("lab", small_file), self._measure("lab", large_file)
        return DataBench(
            machine=machine_line(), rows=speed_rows, bytes=file.stat().st_size, speeds=speeds,
            rows_per_second_ratio=lab / by_way["datasets.map, all cores"],
            rows_per_second_ratio_one_process=lab / by_way["datasets.map, one process"],
            small_rows=small, large_rows=large, large_bytes=large_file.stat().st_size,
            first_page_seconds=page.seconds, first_page_file_bytes=wide_bytes,
            small_peak_bytes=first.peak_bytes, large_peak_bytes=second.peak_bytes,
            memory_ratio=second.peak_bytes / first.peak_bytes, large_seconds=second.seconds)

    def _speeds(self, file: Path, rows: int, rounds: int) -> tuple[Speed, ...]:
        ways = {"data lab": "lab", "datasets.map, all cores": "map",
                "datasets.map, one process": "map-one"}
        seconds: dict[str, list[float]] = {way: [] for way in ways}
        for number in range(rounds):
            for done, (way, verb) in enumerate(ways.items()):
                self.progress(Step(f"Round {number + 1}: {way}", number * len(ways) + done,
                                   rounds * len(ways), "runs"))
                seconds[way].append(self._measure(verb, file).seconds)
        return tuple(Speed(way, tuple(taken), rows / statistics.median(taken))
                     for way, taken in seconds.items())

    def _measure(self, verb: str, file: Path) -> Measured:
        self.progress(Step(f"Measuring {verb} on {file.name}"))
        with passing_folder(self.folder / f"home-{verb}") as home:
            return measured_process(
                "studio.bench.data_process", verb, str(file), str(self.model), str(home),
                cwd=self.folder)

    def _file(self, name: str, rows: int, words_per_answer: tuple[int, int]) -> Path:
        self.progress(Step(f"Writing {rows:,} rows"))
        path = self.folder / f"{name}.jsonl"
        write_conversations(path, rows, words_per_answer=words_per_answer)
        return path

    def _wide_file(self, rows: int) -> Path:
        """A few long rows again and again: gigabytes in seconds."""
        some = self._file("some", _DIFFERENT_WIDE_ROWS, _LONG).read_bytes()
        path = self.folder / "wide.jsonl"
        with path.open("wb") as file:
            for _ in range(rows // _DIFFERENT_WIDE_ROWS):
                file.write(some)
        return path


def write_conversations(
    path: Path, rows: int, *, words_per_answer: tuple[int, int], most_turns: int = 3
) -> None:
    """`rows` made conversations of one to `most_turns` questions, one JSON object a line."""
    random_ = random.Random(7)
    words = _vocabulary(random_)
    with path.open("w", encoding="utf-8", newline="\n") as file:
        for _ in range(rows):
            turns = []
            for _ in range(min(most_turns, random_.choice((1, 1, 1, 2, 3)))):
                turns.append({"role": "user", "content": _sentence(random_, words, 5, 40)})
                turns.append({"role": "assistant",
                              "content": _sentence(random_, words, *words_per_answer)})
            file.write(json.dumps({"messages": turns}) + "\n")


def _vocabulary(random_: random.Random) -> list[str]:
    """Words like English ones: short ones are common, and all are made of usual syllables."""
    syllables = ("the", "in", "er", "an", "re", "on", "at", "ing", "ed", "st", "con", "ment", "a",
                 "pro", "tion", "al", "ver", "ter", "com", "per", "ex", "men", "tri", "de", "s")
    return ["".join(random_.choices(syllables, k=random_.choice((1, 1, 2, 2, 3))))
            for _ in range(_WORDS)]


def _sentence(random_: random.Random, words: Sequence[str], least: int, most: int) -> str:
    return " ".join(random_.choices(words, k=random_.randint(least, most))).capitalize() + "."
