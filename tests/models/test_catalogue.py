"""The list of well-known models."""

from __future__ import annotations

from studio.models.catalogue import catalogue
from studio.models.hub import is_hub_id
from studio.recipe import Model


def test_the_catalogue_begins_with_the_starter_and_names_each_model_once() -> None:
    sources = [model.source for model in catalogue()]
    assert sources[0] == "starter"
    assert len(sources) == len(set(sources))
    assert all(is_hub_id(source) and Model(source=source) for source in sources)
