"""The adapters that are to be mixed: read without a base, and refused where mixing has no meaning.

Only configurations and the headers of weight files are read here.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from studio.adapters.folder import (
    PREFIX,
    AdapterFolder,
    read_adapter_folder,
    require_made_for_plain_base,
)
from studio.adapters.kinds import kind_of_peft
from studio.errors import ModelError
from studio.files import typed_path
from studio.recipe import Model, load_recipe
from studio.runs import RECIPE_FILE, checkpoint_step, run_folder_around

BASE_COPY = ".base_layer.weight"
"""Ends the name of the base's own words, which PEFT writes beside a LoRA on them."""
_A = (".lora_A.weight", ".lora_embedding_A")
_B = (".lora_B.weight", ".lora_embedding_B")
_NO_SUM: tuple[tuple[str, str], ...] = (
    ("use_dora", "is a DoRA: its learned sizes belong to the sum of its own change and the base, "
                 "so they cannot be added to those of another"),
    ("alora_invocation_tokens", "wakes up at certain tokens only (aLoRA)"),
    ("trainable_token_indices", "also holds single tokens that were trained"),
    ("target_parameters", "sits on stacked weights (target_parameters), which PEFT cannot mix"),
    ("layer_replication", "doubles layers of the base"),
    ("lora_bias", "also holds bias terms"),
    ("use_qalora", "is a QA-LoRA, which groups its inputs"),
    ("use_bdlora", "is a block-diagonal LoRA"),
    ("arrow_config", "chooses among others (Arrow)"),
    ("kasa_config", "also changes singular values (KaSA)"),
    ("monteclora_config", "draws its matrices anew each time (MonteCLoRA)"),
)
"""What a LoRA may be beside plain, and why no plain LoRA does the same as a sum of such."""


@dataclass(frozen=True)
class Part:
    """What a person asks for: an adapter's or a run's folder and how much of it, negative to take
    away.

    Without a `name` it is called after its run or its folder.
    """

    path: Path
    weight: float = 1.0
    name: str = ""


@dataclass(frozen=True)
class Layer:
    """Where an adapter sits in one place: names of its tensors, and its sizes."""

    a: str
    b: str
    rank: int
    inputs: int
    outputs: int
    is_embedding: bool


@dataclass(frozen=True)
class Given:
    """A part whose folder was read and can be mixed. `model`: its base, if a run tells it."""

    name: str
    weight: float
    adapter: AdapterFolder
    model: Model | None

    @property
    def config(self) -> dict[str, Any]:
        """PEFT's configuration of it."""
        return self.adapter.config

    @cached_property
    def layers(self) -> dict[str, Layer]:
        """Where it sits, by the layer's path in the base."""
        shapes, found = self.adapter.shapes, {}
        for a, shape in shapes.items():
            number = next((n for n, end in enumerate(_A) if a.endswith(end)), None)
            if number is not None:
                stem = a.removesuffix(_A[number])
                b = stem + _B[number]
                if b in shapes:
                    found[stem.removeprefix(PREFIX)] = Layer(
                        a, b, shape[0], shape[1], shapes[b][0], number == 1)
        return found

    @property
    def base_copies(self) -> list[str]:
        """Names of tensors that are the base's own."""
        return [name for name in self.adapter.shapes if name.endswith(BASE_COPY)]

    @property
    def base_names(self) -> set[str]:
        """What its base is called: by itself, and by its run."""
        names = {self.adapter.base_name, self.model.source if self.model else ""}
        return names - {""}


def read_parts(parts: Sequence[Part]) -> list[Given]:
    """The parts, read and fit to be mixed with one another. Raises ModelError where they are not.
    """
    paths = [typed_path(part.path).absolute() for part in parts]
    if not parts:
        raise ModelError("A blend needs an adapter to be made of.", "Name two or more.")
    twice = next((path for path in paths if paths.count(path) > 1), None)
    if twice is not None:
        raise ModelError(f"{twice} is named twice.", "Name it once, with the sum of its weights.")
    if not all(math.isfinite(part.weight) for part in parts) or not any(
            part.weight for part in parts):
        given = ", ".join(f"{part.weight:g}" for part in parts)
        raise ModelError(f"The weights are {given}, which leaves nothing to mix.",
                         "Give each adapter a number, such as 0.7 and 0.3; 0 leaves one out.")
    found = [_read(part, path) for part, path in zip(parts, paths, strict=True)]
    for other in found[1:]:
        _require_same_base(found[0], other)
    return found


def _read(part: Part, path: Path) -> Given:
    run = run_folder_around(path)
    if run == path:
        path = path / "adapter"
    adapter = read_adapter_folder(path)
    recipe = load_recipe(run / RECIPE_FILE) if run is not None else None
    name = part.name or _called(path, run)
    given = Given(name, part.weight, adapter, recipe.model if recipe else None)
    if recipe is not None and recipe.adapter.init == "loftq":
        raise _refused(name, "began at what rounding the base to 4 bits took (LoftQ) and gives it "
                             "back, which a share of it would do by halves")
    _require_plain_lora(given)
    require_made_for_plain_base(adapter, adapter.base_name or "the base")
    return given


def _called(path: Path, run: Path | None) -> str:
    if run is None:
        return path.name
    return run.name if checkpoint_step(path) < 0 else f"{run.name}/{path.name}"


def _require_plain_lora(given: Given) -> None:
    adapter = given.adapter
    if adapter.judges:
        raise _refused(given.name, "makes the base a reward model, which writes no answers")
    if adapter.method != "LORA":
        kind = kind_of_peft(adapter.method)
        raise _refused(given.name, f"is of the kind {kind.label if kind else adapter.method}, "
                                   "which has no two matrices that could be mixed")
    for key, reason in _NO_SUM:
        if given.config.get(key):
            raise _refused(given.name, reason)
    if given.config.get("modules_to_save"):
        names = ", ".join(given.config["modules_to_save"])
        raise _refused(given.name, f"also holds whole modules that were trained ({names})")
    if adapter.changed_biases:
        raise _refused(given.name, "also changes bias terms of the base")
    known = {name for layer in given.layers.values() for name in (layer.a, layer.b)}
    odd = sorted(adapter.shapes.keys() - known - set(given.base_copies))
    odd += [name for name in known if len(adapter.shapes[name]) != 2]
    if odd or not given.layers:
        what = odd[0] if odd else "no matrices at all"
        raise _refused(given.name, f"holds {what}, which is no part of a plain LoRA")


def _refused(name: str, reason: str) -> ModelError:
    return ModelError(f"{name} cannot be mixed: it {reason}. Plain LoRA and rsLoRA can.",
                      "Choose other adapters, or merge this one on the Export tab.")


def _require_same_base(first: Given, other: Given) -> None:
    if first.base_names and other.base_names and not first.base_names & other.base_names:
        raise ModelError(
            f"{first.name} was trained on {min(first.base_names)}, and {other.name} on "
            f"{min(other.base_names)}.", "Only adapters of one base can be mixed.")
    for path, layer in other.layers.items():
        here = first.layers.get(path)
        if here and (here.inputs, here.outputs) != (layer.inputs, layer.outputs):
            raise ModelError(
                f"{first.name} and {other.name} are for bases of different size: {path} has "
                f"{here.inputs} inputs and {here.outputs} outputs for one, {layer.inputs} and "
                f"{layer.outputs} for the other.", "Only adapters of one base can be mixed.")


def require_same_ranks(parents: Sequence[Given], how: str, instead: str) -> None:
    """Raise ModelError naming the first layer on which two of `parents` differ in rank."""
    for path in layer_paths(parents):
        ranks = {given.name: given.layers[path].rank for given in parents if path in given.layers}
        if len(set(ranks.values())) > 1:
            listed = ", ".join(f"{name} has {rank}" for name, rank in ranks.items())
            raise ModelError(f"{how} mixes only adapters of the same rank, but on {path} {listed}.",
                             f"Take {instead}, which mixes any ranks.")


def layer_paths(parents: Sequence[Given]) -> list[str]:
    """Every layer that one of them sits on, in the order of their files."""
    return list(dict.fromkeys(path for given in parents for path in given.layers))
