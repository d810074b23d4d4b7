"""The list of well-known models."""

from __future__ import annotations

import pytest

from studio.models.catalogue import CatalogueModel, catalogue, usual_models
from studio.models.hub import is_hub_id
from studio.models.shape import model_shape
from studio.recipe import Model
from studio.settings import Settings


def test_the_catalogue_begins_with_the_starter_and_names_each_model_once() -> None:
    sources = [model.source for model in catalogue()]
    assert sources[0] == "starter"
    assert len(sources) == len(set(sources))
    assert all(is_hub_id(source) and Model(source=source) for source in sources)


@pytest.mark.parametrize("model", catalogue(), ids=lambda model: model.source)
def test_every_models_shape_is_known_offline_and_has_its_parameters(
    model: CatalogueModel, settings: Settings
) -> None:
    shape = model_shape(model.source, settings)
    assert round(shape.parameters / 1e6) == pytest.approx(model.parameters_millions, abs=1)


def test_the_usual_models_grow_from_the_starter_to_seventy_billion() -> None:
    sizes = [model.parameters_millions for model in usual_models()]
    assert sizes == sorted(sizes)
    assert usual_models()[0].source == "starter"
    assert sizes[-1] > 70_000
