"""Merging whole models in a browser: the form is filled, the YAML read; with mergekit it is run."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from studio.extras import is_installed
from tests.browser.conftest import PATIENCE_MILLISECONDS, Program
from tests.browser.pages import ask, show_tab, wait_for_text
from tests.tiny import make_tiny_model

pytestmark = [pytest.mark.browser, pytest.mark.timeout(1800)]


def open_fold(page: Any) -> None:
    show_tab(page, "Export")
    page.locator("#merge-models button").first.click()
    wait_for_text(page, "#merge-models-plan", "Choose two models")


def choose(page: Any, element: str, name: str) -> None:
    """Choose what the list shows under that name."""
    page.locator(f"#merge-models-{element} input").click()
    page.get_by_role("option", name=name, exact=True).click()
    page.locator(f"#merge-models-{element} input").blur()


def shown_yaml(page: Any, pattern: str) -> dict[str, Any]:
    """What the YAML on the page says, once it matches."""
    wait_for_text(page, "#merge-models-yaml", pattern)
    found: dict[str, Any] = yaml.safe_load(
        page.locator("#merge-models-yaml pre").text_content())
    return found


def test_the_yaml_follows_the_form_and_what_cannot_be_is_a_sentence(
    tmp_path: Path, idle_studio: Program, open_page: Callable[[str], Any]
) -> None:
    models = [str(make_tiny_model(tmp_path / name, seed=seed))
              for seed, name in enumerate(("sweet", "sour"))]
    page = open_page(idle_studio.url)
    open_fold(page)
    for model in models:
        typed = page.locator("#merge-models-chosen input")
        typed.fill(model)
        typed.press("Enter")
        typed.blur()
    told = shown_yaml(page, "merge_method: linear.*sweet.*sour")
    assert [one["model"] for one in told["models"]] == models
    page.get_by_label("Weight of sour").fill("0.25")
    assert shown_yaml(page, "weight: 0.25")["models"][0]["parameters"] == {"weight": 0.5}

    choose(page, "method", "TIES")
    wait_for_text(page, "#merge-models-plan", "no base is chosen")
    choose(page, "base", "Starter model")
    wait_for_text(page, "#merge-models-plan", "SmolLM2.*sweet are of different size")
    choose(page, "method", "SLERP")
    page.locator("#merge-models-base").wait_for(state="hidden")
    page.locator("#merge-models-t input[type=number]").wait_for()
    told = shown_yaml(page, "merge_method: slerp")
    assert told["parameters"] == {"t": 0.5} and told["base_model"] == models[0]
    if not is_installed("mergekit"):
        page.locator("#merge-models-make").click()
        page.get_by_text(re.compile("pip install .mergekit")).first.wait_for()


@pytest.mark.slow
def test_two_models_are_merged_listed_and_answer(
    tmp_path: Path, python_with_extras: Path, studio_at: Callable[[Path], Program],
    open_page: Callable[[str], Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    home = tmp_path / "home"
    for seed, name in enumerate(("sweet", "sour")):
        make_tiny_model(home / "exports" / name, seed=seed)
    monkeypatch.setattr(sys, "executable", str(python_with_extras))  # the studio's own from now on
    page = open_page(studio_at(home).url)
    open_fold(page)
    choose(page, "chosen", "sweet (export)")
    choose(page, "chosen", "sour (export)")
    told = shown_yaml(page, "merge_method: linear.*sweet.*sour")
    page.locator("#merge-models-name textarea, #merge-models-name input").fill("supper")
    page.locator("#merge-models-make").click()
    wait_for_text(page, "#merge-models-task", "supper is made.*plain transformers and answers")
    kept = yaml.safe_load((home / "exports" / "supper" / "mergekit_config.yml").read_text(
        encoding="utf-8"))
    assert kept["merge_method"] == told["merge_method"] == "linear"
    assert [one["model"] for one in kept["models"]] == ["sweet", "sour"]
    page.locator(".result[data-name='supper']").wait_for(timeout=PATIENCE_MILLISECONDS)
    wait_for_text(page, "#merge-models-plan", "supper already")

    show_tab(page, "Chat")
    choose_base(page, "supper (export)")
    assert set(ask(page, "Two pizzas.")) == {"base"}


def choose_base(page: Any, name: str) -> None:
    page.locator("#chat-base input").click()
    page.get_by_role("option", name=name, exact=True).click()
