"""Blends on disk: `blend.json` beside a plain PEFT adapter, one folder each under the home.

Says where a blend comes from, and deletes one; makes none.
"""

from __future__ import annotations

import dataclasses
import difflib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from studio.adapters.folder import CONFIG_FILE
from studio.errors import BusyError, ModelError
from studio.files import PARTIAL, delete_folder
from studio.recipe import Model
from studio.settings import Settings

BLEND_FILE = "blend.json"


@dataclass(frozen=True)
class Parent:
    """An adapter that a blend was made of: how much of it, where it was, and the SHA-256 of its
    weights."""

    name: str
    path: Path
    weight: float
    sha256: str


@dataclass(frozen=True)
class Blend:
    """A saved blend. `model` is its base, `made_seconds` when it was made, in Unix time.

    One whose `blend.json` is damaged says so in `trouble` and knows no parents.
    """

    name: str
    path: Path
    method: str = ""
    density: float | None = None
    rank: int = 0
    seed: int = 0
    parents: tuple[Parent, ...] = ()
    model: Model | None = None
    made_seconds: float = 0.0
    notes: tuple[str, ...] = ()
    trouble: str = ""

    @property
    def words(self) -> str:
        """How it is made: "0.7 first + 0.3 second by ties"."""
        if not self.parents:
            return self.trouble
        return blend_words([(one.weight, one.name) for one in self.parents], self.method)

    def to_dict(self) -> dict[str, Any]:
        """As plain data; `blend.json` holds the same but for name, path and trouble."""
        return {
            "name": self.name, "path": str(self.path), "method": self.method,
            "density": self.density, "rank": self.rank, "seed": self.seed,
            "parents": [dataclasses.asdict(parent) | {"path": str(parent.path)}
                        for parent in self.parents],
            "model": self.model.model_dump(mode="json") if self.model else None,
            "made_seconds": self.made_seconds, "notes": list(self.notes),
            "trouble": self.trouble,
        }


def blend_words(parts: list[tuple[float, str]], method: str) -> str:
    """[(1, "a"), (-0.5, "b")], "cat" -> "1 a - 0.5 b by cat"."""
    words = " ".join(f"{'-' if weight < 0 else '+'} {abs(weight):g} {name}"
                     for weight, name in parts)
    return f"{words.removeprefix('+ ')} by {method}"


def read_blend(folder: Path) -> Blend | None:
    """The blend in `folder`, damaged or not; None where there is none."""
    file = folder / BLEND_FILE
    if not file.is_file():
        return None
    try:
        told = json.loads(file.read_text(encoding="utf-8"))
        parents = tuple(Parent(**one | {"path": Path(one["path"])}) for one in told["parents"])
        return Blend(
            folder.name, folder, told["method"], told["density"], told["rank"], told["seed"],
            parents, _base(told["model"]), told["made_seconds"], tuple(told["notes"]))
    except (OSError, ValueError, KeyError, TypeError) as error:
        return Blend(folder.name, folder, trouble=f"{file} is damaged: {error!r}")


def _base(told: dict[str, Any] | None) -> Model | None:
    """Its base; that a model may run code of its own is never taken from a file that may come
    from somebody else."""
    return Model(**told | {"trust_remote_code": False}) if told else None


def list_blends(settings: Settings) -> list[Blend]:
    """Every blend under the home, newest first. A damaged one is listed too and hides no other."""
    if not settings.adapters.is_dir():
        return []
    folders = [path for path in settings.adapters.iterdir()
               if not path.name.startswith(PARTIAL) and (path / CONFIG_FILE).is_file()]
    found = [blend for path in folders if (blend := read_blend(path)) is not None]
    return sorted(found, key=lambda blend: (-blend.made_seconds, blend.name))


def open_blend(settings: Settings, name: str) -> Blend:
    """The blend of that name. Raises ModelError naming the nearest one if there is none.

    The name is looked up among the folders that exist, so it can never lead out of the home.
    """
    blends = {blend.name: blend for blend in list_blends(settings)}
    if name in blends:
        return blends[name]
    near = difflib.get_close_matches(name, blends, n=1, cutoff=0.4)
    raise ModelError(f"There is no blend named {name!r} in {settings.adapters}.",
                     f"Did you mean {near[0]}?" if near else "Mix two adapters first.")


def delete_blend(settings: Settings, name: str) -> None:
    """Delete the blend of that name, and not what it was made of.

    Raises ModelError if there is none, and BusyError if another program holds its files; then
    nothing of it is deleted.
    """
    folder = open_blend(settings, name).path
    try:
        delete_folder(folder)
    except OSError as error:
        raise BusyError(f"The blend {name} cannot be deleted: {error.strerror or error}.",
                        "A file in it may be open: unload the model on the Chat tab.") from error
