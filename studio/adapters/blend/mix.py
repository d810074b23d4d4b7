"""Mixes LoRA adapters of one base and saves the result as an adapter of its own.

The folder is plain PEFT with tokenizer and chat template and `blend.json`; it appears whole under
its name and never in the place of another. Neither the base nor its configuration is needed:
layers are mixed one at a time (`layer.py`).
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from studio.adapters.blend.layer import Side, blended_rank, mixed_layer
from studio.adapters.blend.methods import METHODS, Mix, require_possible
from studio.adapters.blend.parents import (
    Given,
    Part,
    layer_paths,
    read_parts,
    require_same_ranks,
)
from studio.adapters.blend.saved import BLEND_FILE, Blend, Parent, blend_words
from studio.adapters.folder import CONFIG_FILE, WEIGHTS_FILE, write_weights
from studio.errors import ModelError, Stopped
from studio.files import (
    disk_errors_told,
    file_sha256,
    folder_written_whole,
    free_path,
    require_free_bytes,
    safe_name,
    write_json_safely,
)
from studio.models.tokenizer_files import TEMPLATE_FILE, copy_tokenizer
from studio.progress import Progress, ShouldStop, Step, never, silent
from studio.settings import Settings

if TYPE_CHECKING:
    import torch

_PLACES = ("target_modules", "exclude_modules", "layers_to_transform", "layers_pattern")
_NUMBER_BYTES = 4


@dataclass(frozen=True)
class BlendPlan:
    """What would come out: `ranks` by layer, the size of the weights, and what to know."""

    mix: Mix
    words: str
    ranks: dict[str, int]
    bytes: int
    notes: tuple[str, ...]

    @property
    def rank(self) -> int:
        """That of most layers."""
        return Counter(self.ranks.values()).most_common(1)[0][0]


def plan(parts: Sequence[Part], mix: Mix) -> BlendPlan:
    """What `blend` would make of `parts`; reads small files only, so a page can ask it anew with
    every change. Raises ModelError where they cannot be mixed so."""
    return _planned(read_parts(parts), mix)


def blend(name: str, parts: Sequence[Part], mix: Mix, settings: Settings, *,
          progress: Progress = silent, stop: ShouldStop = never) -> Blend:
    """Mix `parts` and save them under `name`, which is turned into a valid file name first.

    The same parts, mix and seed give the same numbers. Raises ModelError (cannot be mixed, name
    taken), DiskError, Stopped; nothing is left behind then.
    """
    final = _free_folder(name, settings)
    parents = read_parts(parts)
    planned = _planned(parents, mix)
    require_free_bytes(settings.adapters, planned.bytes, f"The blend {final.name}")
    with (disk_errors_told(final, f"The blend {final.name}"),
          folder_written_whole(final, first_wins=True) as folder):
        write_weights(_mixed(parents, planned, progress, stop), folder / WEIGHTS_FILE)
        write_json_safely(folder / CONFIG_FILE, _config(parents, planned))
        copy_tokenizer(parents[0].adapter.path, folder)
        made = _described(final, parents, planned)
        told = {key: value for key, value in made.to_dict().items()
                if key not in ("name", "path", "trouble")}
        write_json_safely(folder / BLEND_FILE, told | {"versions": _versions()})
        _require_free(final)
    return made


def _planned(parents: list[Given], mix: Mix) -> BlendPlan:
    method = require_possible(mix)
    if method.same_rank:
        other = f"{method.name}_svd" if f"{method.name}_svd" in METHODS else "svd or cat"
        require_same_ranks(parents, method.name, other)
    ranks, numbers = {}, 0
    for path in layer_paths(parents):
        layers = [given.layers[path] for given in parents if path in given.layers]
        ranks[path] = blended_rank([layer.rank for layer in layers], mix,
                                   layers[0].inputs, layers[0].outputs)
        numbers += ranks[path] * (layers[0].inputs + layers[0].outputs)
    copies = {name: given.adapter.shapes[name] for given in parents for name in given.base_copies}
    numbers += sum(rows * columns for rows, columns in copies.values())
    words = blend_words([(given.weight, given.name) for given in parents], mix.method)
    return BlendPlan(mix, words, ranks, numbers * _NUMBER_BYTES, tuple(_notes(parents, mix)))


def _notes(parents: list[Given], mix: Mix) -> list[str]:
    notes = []
    first = parents[0]
    if mix.method == "linear" and len(parents) > 1:
        notes.append("linear adds the A matrices and the B matrices apart, so the adapters also "
                     "act on one another. To get the sum of what they do, take svd or cat.")
    templates = {given.name: _template(given) for given in parents}
    other = [name for name, text in templates.items() if text != templates[first.name]]
    if other:
        notes.append(f"Tokenizer and chat template are those of {first.name}; "
                     f"{', '.join(other)} learned with another.")
    bits = {given.model.quantization for given in parents if given.model}
    if len(bits) > 1:
        notes.append("The adapters were trained over the base in different precision "
                     f"({', '.join(sorted(bits))}), which changes answers a little.")
    return notes


def _template(given: Given) -> str | None:
    file = given.adapter.path / TEMPLATE_FILE
    return file.read_text(encoding="utf-8") if file.is_file() else None


def _free_folder(name: str, settings: Settings) -> Path:
    folder = settings.adapters / safe_name(name, "blend")
    _require_free(folder)
    if (settings.runs / folder.name).exists():
        raise ModelError(f"There is a run named {folder.name}.",
                         "Choose another name, so that the two can be told apart.")
    return folder


def _require_free(folder: Path) -> None:
    if folder.exists():
        free = free_path(folder.parent, folder.name, "")
        raise ModelError(f"There is already an adapter named {folder.name}.",
                         f"Choose another name, such as {free.name}.")


def _mixed(parents: list[Given], planned: BlendPlan, progress: Progress,
           stop: ShouldStop) -> dict[str, torch.Tensor]:
    """Every tensor of the blend, by the names that PEFT gives them."""
    import torch

    generator = torch.Generator().manual_seed(planned.mix.seed)
    tensors: dict[str, torch.Tensor] = {}
    with _opened(parents) as files:
        for number, (path, rank) in enumerate(planned.ranks.items()):
            if stop():
                raise Stopped("The blend was stopped.", "Nothing was left behind.")
            progress(Step("Mixing adapters", number, len(planned.ranks), "layers"))
            sides = [_side(given, path, file) for given, file in zip(parents, files, strict=True)
                     if path in given.layers]
            layer = next(given.layers[path] for given in parents if path in given.layers)
            tensors[layer.a], tensors[layer.b] = mixed_layer(
                sides, planned.mix, rank, generator, is_embedding=layer.is_embedding)
        tensors |= _base_copies(parents, files)
    progress(Step("Mixing adapters", len(planned.ranks), len(planned.ranks), "layers"))
    return tensors


@contextmanager
def _opened(parents: list[Given]) -> Iterator[list[Any]]:
    """Their weight files, read a tensor at a time."""
    from safetensors import SafetensorError, safe_open

    try:
        with ExitStack() as open_files:
            yield [open_files.enter_context(safe_open(given.adapter.path / WEIGHTS_FILE, "pt"))
                   for given in parents]
    except (FileNotFoundError, SafetensorError) as error:
        raise ModelError(f"An adapter could no longer be read: {error}.",
                         "Do not move or change adapters while they are mixed.") from error


def _side(given: Given, path: str, file: Any) -> Side:
    layer = given.layers[path]
    return Side(file.get_tensor(layer.a), file.get_tensor(layer.b), given.adapter.alpha_at(path),
                given.weight, bool(given.config.get("use_rslora")))


def _base_copies(parents: list[Given], files: list[Any]) -> dict[str, torch.Tensor]:
    """The base's own words as its parents hold them; they must be the same ones."""
    import torch

    found: dict[str, torch.Tensor] = {}
    for given, file in zip(parents, files, strict=True):
        for name in given.base_copies:
            words = file.get_tensor(name)
            if not torch.equal(found.setdefault(name, words), words):
                raise ModelError(f"{given.name} holds other words of the base than "
                                 f"{parents[0].name}, so one cannot stand for both.",
                                 "Choose adapters of the same base and the same tokens.")
    return found


def _config(parents: list[Given], planned: BlendPlan) -> dict[str, Any]:
    """PEFT's configuration: the scale is 1 on every layer, since it is in the matrices."""
    import peft

    odd = {path: rank for path, rank in planned.ranks.items() if rank != planned.rank}
    places = [{key: _comparable(given.config.get(key)) for key in _PLACES} for given in parents]
    changes: dict[str, Any] = {
        "r": planned.rank, "lora_alpha": planned.rank, "rank_pattern": odd, "alpha_pattern": odd,
        "use_rslora": False, "init_lora_weights": True, "inference_mode": True,
        "peft_version": peft.__version__,
    }
    if any(place != places[0] for place in places):
        # Whole paths, so that no layer is adapted that no parent sits on.
        changes |= dict.fromkeys(_PLACES) | {"target_modules": list(planned.ranks)}
    return parents[0].config | changes


def _comparable(value: Any) -> Any:
    return sorted(value) if isinstance(value, list) else value


def _described(final: Path, parents: list[Given], planned: BlendPlan) -> Blend:
    mix = planned.mix
    return Blend(
        final.name, final, mix.method, mix.kept_share, planned.rank, mix.seed,
        tuple(Parent(given.name, given.adapter.path, given.weight,
                     file_sha256(given.adapter.path / WEIGHTS_FILE)) for given in parents),
        next((given.model for given in parents if given.model), None), time.time(), planned.notes)


def _versions() -> dict[str, str]:
    import peft
    import torch

    from studio import __version__

    return {"adapter-studio": __version__, "peft": peft.__version__, "torch": torch.__version__}
