"""Well-known models to choose from, out of assets/models.json. Nothing is looked up."""

from __future__ import annotations

import functools
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

CATALOGUE_FILE = Path(__file__).parent.parent.parent / "assets" / "models.json"


@dataclass(frozen=True)
class CatalogueModel:
    """One choice: `source` is what the recipe takes, `gated` asks for the author's terms.

    `usual` ones are the rows of tables over model sizes. `config` holds what decides the shape, as
    the model's own config.json has it; None for the starter, whose config the studio carries.
    """

    source: str
    name: str
    parameters_millions: int
    license: str
    gated: bool
    usual: bool = False
    config: dict[str, Any] | None = None


@functools.cache
def catalogue() -> tuple[CatalogueModel, ...]:
    """All of them, the starter first."""
    models = json.loads(CATALOGUE_FILE.read_text(encoding="utf-8"))["models"]
    return tuple(CatalogueModel(**model) for model in models)


def usual_models() -> tuple[CatalogueModel, ...]:
    """The usual sizes, smallest first."""
    usual = (model for model in catalogue() if model.usual)
    return tuple(sorted(usual, key=lambda model: model.parameters_millions))


def known_config(source: str) -> dict[str, Any] | None:
    """What the catalogue knows of a model's config.json, or None."""
    return next((model.config for model in catalogue() if model.source == source), None)
