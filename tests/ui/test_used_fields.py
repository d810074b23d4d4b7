"""The form shows what the method and the adapter use; an untyped learning rate follows them."""

from __future__ import annotations

import pytest

from studio.presets import starter_recipe
from studio.recipe import form_fields, form_from_recipe
from studio.recipe.method_words import METHODS
from studio.settings import Settings
from studio.ui import used_fields
from studio.ui.app import build_app
from studio.ui.shared import Shared
from studio.ui.studio import Studio
from studio.ui.widgets import elem_id


@pytest.fixture
def shared() -> Shared:
    """All fields by key; none is drawn."""
    keys = [field.key for field in form_fields()]
    found = Shared(None, None, fields=dict.fromkeys(keys))  # type: ignore[arg-type]
    found.boxes["train-preference"] = tuple(key for key in keys if key.startswith("preference."))
    return found


def hidden(shared: Shared, **form: str) -> set[str]:
    """The element ids that are hidden for these values of a form."""
    values = {key.replace("__", "."): value for key, value in form.items()}
    sheet = used_fields.style(shared, {**form_from_recipe(starter_recipe()), **values})
    return {name.strip(" #") for name in
            sheet.removeprefix("<style>").partition("{")[0].split(",")}


def test_a_method_brings_its_own_fields(shared: Shared) -> None:
    beta, rewards = elem_id("preference.beta"), elem_id("reinforcement.rewards")
    assert {beta, rewards, "train-preference"} <= hidden(shared)
    dpo = hidden(shared, training__method="dpo")
    assert rewards in dpo and not {beta, "train-preference"} & dpo
    assert elem_id("data.packing") in dpo
    grpo = hidden(shared, training__method="grpo")
    assert beta in grpo and rewards not in grpo


def test_an_adapter_brings_its_own_fields(shared: Shared) -> None:
    assert elem_id("adapter.block_size") in hidden(shared)
    oft = hidden(shared, adapter__method="oft")
    assert elem_id("adapter.block_size") not in oft
    assert {elem_id("adapter.rank"), elem_id("adapter.alpha")} <= oft


def test_fields_follow_also_while_something_else_is_not_allowed(shared: Shared) -> None:
    wrong = hidden(shared, training__method="dpo", adapter__rank="many", training__epochs="")
    assert elem_id("preference.beta") not in wrong


def test_a_learning_rate_that_nobody_typed_goes_back_to_what_is_usual() -> None:
    form = {**form_from_recipe(starter_recipe()), "training.method": "dpo",
            "training.learning_rate": "0.001"}
    program_rate, rate, *_ = used_fields.usual_updates(form, program_rate="0.001")
    assert (rate["value"], rate["placeholder"], program_rate) == ("", "usual: 5e-06", "")
    _, rate, *_ = used_fields.usual_updates(form, program_rate="")
    assert "value" not in rate and rate["placeholder"] == "usual: 5e-06"


@pytest.mark.parametrize("method", METHODS)
def test_every_method_and_its_data_is_a_card(method: str, settings: Settings) -> None:
    from studio.ui.panels.train_method import choices

    (title, _, words), = [text.partition("\n") for text, name in choices() if name == method]
    assert title == METHODS[method].label  # type: ignore[index]
    assert "Needs " in words


def test_the_page_opens_with_the_fields_of_the_starter(settings: Settings) -> None:
    page = build_app(Studio(settings))
    sheet = next(item["props"]["value"] for item in page.config["components"]
                 if item["props"].get("elem_id") == "used-fields")
    assert "#train-reinforcement," in sheet and "#field-adapter-rank," not in sheet
