"""Merging through the studio beside PEFT's `merge_and_unload`: time, equality, and memory.

Time: the starter model with a LoRA made for the bench, each merge a process of its own from start
to end, imports included; both ways in turn, every other round in the opposite order. Equality: of
all tensors of those merges. Memory: a model of 3 GB in several files, made of random weights on
the spot, with a LoRA and with a DoRA, which PEFT's own layers merge. The studio's merge also
copies the tokenizer and waits until the disk has everything. Figures are of this machine.
"""

from __future__ import annotations

import json
import statistics
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from studio.adapters.folder import WEIGHTS_FILE
from studio.bench.folder import passing_folder
from studio.bench.lora_folders import make_lora_folders
from studio.bench.machine import machine_line
from studio.bench.process_watch import watched_process
from studio.bench.random_model import make_random_model
from studio.child import Child, studio_module
from studio.errors import SetupError
from studio.export.output import end_if_stopped
from studio.export.stream import stored_by_name
from studio.export.stream_files import read_tensor
from studio.files import require_free_bytes, write_json_safely
from studio.models.source import find_model
from studio.models.tokenizer_files import copy_tokenizer
from studio.progress import Progress, ShouldStop, Step, never, silent
from studio.recipe import Recipe
from studio.settings import Settings

RANK = 16
_STUDIO, _PLAIN = "studio.bench.merge_process", "studio.bench.plain_merge"


@dataclass(frozen=True)
class Size:
    """How many rounds are measured after one that is not, and of what the large model is made."""

    rounds: int
    layers: int
    hidden: int
    shard_bytes: int


FULL = Size(rounds=5, layers=28, hidden=2048, shard_bytes=500_000_000)
"""1.5 billion parameters: 3 GB in seven files."""
QUICK = Size(rounds=2, layers=7, hidden=2048, shard_bytes=250_000_000)


@dataclass(frozen=True)
class Peak:
    """By how much the memory of the process grew at most, and what it is measured against."""

    name: str
    growth_bytes: int
    largest_shard_bytes: int
    adapter_bytes: int

    @property
    def over_largest_shard(self) -> float:
        return self.growth_bytes / (self.largest_shard_bytes + self.adapter_bytes)


@dataclass(frozen=True)
class MergeBench:
    """The table. `equal`: every tensor, to the bit. `time_ratio`: the median over the rounds of
    the studio's seconds by PEFT's. `peak_over_largest_shard`: the highest growth of memory by the
    largest file of the base and the adapter."""

    machine: str
    equal: bool
    time_ratio: float
    peak_over_largest_shard: float
    model_bytes: int
    studio_seconds: tuple[float, ...]
    plain_seconds: tuple[float, ...]
    peaks: tuple[Peak, ...]

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


def run_merge_bench(
    settings: Settings, *, quick: bool = False, progress: Progress = silent,
    stop: ShouldStop = never,
) -> MergeBench:
    """Merge in both ways and compare. Three minutes and 7 GB of disk, `quick` one and 2 GB."""
    with passing_folder(settings.cache / "bench-merge") as folder:
        model = find_model(Recipe().model.source, settings, progress=progress, stop=stop).path
        return compare(folder, model, QUICK if quick else FULL, progress, stop)


def compare(folder: Path, model: Path, size: Size, progress: Progress = silent,
            stop: ShouldStop = never) -> MergeBench:
    """Measure with that base; all that is written goes to `folder`."""
    [adapter] = make_lora_folders(model, folder / "small", 1, rank=RANK)
    request = _request(folder / "small", model, adapter)
    rounds: list[dict[str, float]] = []
    for number in range(size.rounds + 1):
        progress(Step("Merging the starter in both ways", number, size.rounds + 1, "rounds"))
        end_if_stopped(stop)
        order = [(_STUDIO, "time"), (_PLAIN,)][::1 if number % 2 else -1]
        rounds.append({words[0]: _seconds(*words, request) for words in order})
    equal = are_equal(folder / "small" / "merged", folder / "small" / "merged-by-peft")
    progress(Step("Making a large model of random weights"))
    large, peaks = _large(folder / "large", model, size, progress, stop)
    return table(rounds[1:], equal, large, peaks)


def table(rounds: list[dict[str, float]], equal: bool, model_bytes: int,
          peaks: list[Peak]) -> MergeBench:
    """From the seconds of both ways in each round."""
    return MergeBench(
        machine=machine_line(), equal=equal, model_bytes=model_bytes, peaks=tuple(peaks),
        time_ratio=statistics.median(one[_STUDIO] / one[_PLAIN] for one in rounds),
        peak_over_largest_shard=max(peak.over_largest_shard for peak in peaks),
        studio_seconds=tuple(one[_STUDIO] for one in rounds),
        plain_seconds=tuple(one[_PLAIN] for one in rounds))


def are_equal(merged: Path, other: Path) -> bool:
    """Whether both folders hold the same tensors, bit for bit, in whatever files."""
    import torch

    ours, theirs = stored_by_name(merged), stored_by_name(other)
    return ours.keys() == theirs.keys() and all(
        ours[name].dtype == theirs[name].dtype
        and torch.equal(read_tensor(ours[name]), read_tensor(theirs[name])) for name in ours)


def _large(folder: Path, like: Path, size: Size, progress: Progress,
           stop: ShouldStop) -> tuple[int, list[Peak]]:
    from transformers import LlamaConfig

    config = LlamaConfig(vocab_size=32_000, hidden_size=size.hidden, num_attention_heads=32,
                         intermediate_size=3 * size.hidden, num_key_value_heads=8,
                         num_hidden_layers=size.layers, tie_word_embeddings=False)
    require_free_bytes(folder.parent, 5 * size.layers * size.hidden ** 2 * 12,
                       "The large model of the bench")
    files = make_random_model(folder / "model", config, size.shard_bytes)
    copy_tokenizer(like, folder / "model")
    sizes = [file.stat().st_size for file in files]
    peaks = []
    for number, (name, use_dora) in enumerate({"LoRA": False, "DoRA": True}.items()):
        progress(Step("Merging the large model", number, 2, "adapters"))
        end_if_stopped(stop)
        [adapter] = make_lora_folders(folder / "model", folder / name, 1, rank=RANK,
                                      use_dora=use_dora)
        request = _request(folder, folder / "model", adapter)
        said, _ = watched_process(_STUDIO, "peak", request, cwd=folder)
        peaks.append(Peak(name, json.loads(said), max(sizes),
                          (adapter / WEIGHTS_FILE).stat().st_size))
    return sum(sizes), peaks


def _request(folder: Path, base: Path, adapter: Path) -> str:
    file = folder / "request.json"
    write_json_safely(file, {
        "home": str(folder / "home"), "adapter": str(adapter), "output": str(folder / "merged"),
        "model": str(base), "plain_output": str(folder / "merged-by-peft")})
    return str(file)


def _seconds(module: str, *words: str) -> float:
    """From the start of its process to its end."""
    began = time.perf_counter()
    with Child(studio_module(module, *words), cwd=Path(words[-1]).parent) as child:
        while not child.has_ended():
            pass
    if not child.has_succeeded:
        raise SetupError(f"A measurement ended early: {child.last_words}", child.said)
    return time.perf_counter() - began
