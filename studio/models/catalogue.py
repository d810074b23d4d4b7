"""Well-known models to choose from, out of assets/models.json. Nothing is looked up."""

from __future__ import annotations

import functools
import json
from dataclasses import dataclass
from pathlib import Path

CATALOGUE_FILE = Path(__file__).parent.parent.parent / "assets" / "models.json"


@dataclass(frozen=True)
class CatalogueModel:
    """One choice: `source` is what the recipe takes, `gated` asks for the author's terms."""

    source: str
    name: str
    parameters_millions: int
    license: str
    gated: bool


@functools.cache
def catalogue() -> tuple[CatalogueModel, ...]:
    """All of them, the starter first."""
    models = json.loads(CATALOGUE_FILE.read_text(encoding="utf-8"))["models"]
    return tuple(CatalogueModel(**model) for model in models)
