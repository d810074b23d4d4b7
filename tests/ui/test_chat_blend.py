"""The Blend part of the Chat tab: what would come out is told, made, added to the line-up."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gradio as gr
import pytest

from studio.errors import ModelError
from studio.settings import Settings
from studio.ui.panels import chat_blend_page as page
from studio.ui.panels.chat_blend_view import list_view
from studio.ui.panels.chat_columns import BASE_VALUE, blend_value
from studio.ui.panels.chat_lineup_page import offers_now
from studio.ui.studio import Studio
from tests.browser.chat_runs import home_with_runs


@pytest.fixture(scope="module")
def studio(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Studio]:
    home = tmp_path_factory.mktemp("blending") / "home"
    home_with_runs(home, tiny_model, ["sweet", "sour"], {"sour": [20]})
    studio = Studio(Settings(home=home, offline=True))
    yield studio
    studio.close()


def values(*adapters: str, **more: Any) -> dict[str, Any]:
    """What the components send."""
    return {"adapters": list(adapters), "weights": {"rows": [], "chosen": {}}, "method": "svd",
            "density": 0.5, "rank": 0, "seed": 0, **more}


def offered(studio: Studio) -> list[str]:
    return [one.value for one in offers_now(studio)]


def test_runs_and_checkpoints_of_the_base_can_be_mixed(studio: Studio, tiny_model: Path) -> None:
    names = [one.name for one in page.mixable(offers_now(studio), str(tiny_model))]
    assert {"sweet", "sour", "sour, step 20"} <= set(names)
    assert page.mixable(offers_now(studio), "starter") == []


def test_what_would_come_out_is_told_before_anything_is_done(
    studio: Studio, tiny_model: Path
) -> None:
    base = str(tiny_model)
    told = page.plan_view(studio, base, values(
        "sweet", "sour", weights={"chosen": {"sweet": 0.75}}))
    assert "0.75 sweet + 0.5 sour by svd" in told and "rank 4" in told
    assert "rank 6" in page.plan_view(studio, base, values("sweet", "sour", rank=6))
    assert "Choose two" in page.plan_view(studio, base, values())
    assert "fewer than two" in page.plan_view(studio, "starter", values())
    assert "another strength" in page.plan_view(studio, base, values("sweet"))


def test_what_cannot_be_mixed_is_a_sentence(studio: Studio, tiny_model: Path) -> None:
    base = str(tiny_model)
    assert "any more" in page.plan_view(studio, base, values("sweet", "gone"))
    nothing = {"chosen": {"sweet": 0, "sour": 0}}
    assert "nothing to mix" in page.plan_view(studio, base, values("sweet", "sour",
                                                                   weights=nothing))
    with pytest.raises(ModelError, match="nothing to mix"):
        page.start_blend(studio, "x", values("sweet", "sour", weights=nothing))
    assert studio.blending.snapshot().state == "idle"


@pytest.mark.parametrize(("method", "used"), [
    ("svd", {"rank": 3}), ("cat", {}), ("ties", {"density": 0.25}),
    ("dare_ties_svd", {"density": 0.25, "rank": 3, "seed": 7})])
def test_only_what_the_method_uses_counts_and_is_shown(method: str, used: dict[str, Any]) -> None:
    mix = page.wish_of(values("sweet", method=method, density=0.25, rank=3, seed=7)).mix
    assert {"density": mix.density, "rank": mix.rank, "seed": mix.seed} == {
        "density": None, "rank": None, "seed": 0} | used
    words, density, rank, seed = page.method_updates(method)
    assert "Good for" in words
    shown = {name for name, one in (("density", density), ("rank", rank), ("seed", seed))
             if one.visible}
    assert shown == set(used)


def test_a_blend_is_made_listed_added_to_the_line_up_and_deleted(
    studio: Studio, tiny_model: Path
) -> None:
    base = str(tiny_model)
    first = page.page(studio, base, ["sweet", "gone"], {})
    assert first[0].value == ["sweet"], "what is no more is not chosen"
    page.start_blend(studio, "sweet and sour", values("sweet", "sour"))
    assert studio.blending.wait(60).state == "done"
    assert blend_value("sweet-and-sour") in offered(studio)
    after = dict(zip(page.PARTS, page.page(studio, base, ["sweet"], first[-1]), strict=False))
    assert "sweet-and-sour is made" in after["task"] and "0.5 sweet + 0.5 sour" in after["list"]
    again = page.page(studio, base, ["sweet"], page.page(studio, base, ["sweet"], {})[-1])
    assert again == [gr.skip()] * (len(page.PARTS) + 1)

    page.start_blend(studio, "", values("sweet", blend_value("sweet-and-sour"), method="cat"))
    done = studio.blending.wait(60)
    assert done.result.name == "blend", "a name of its own where none is given"
    with pytest.raises(ModelError, match="full"):
        page.with_blend("blend", [BASE_VALUE, "a", "b", "c", "d", "e"])
    line = page.with_blend("blend", [BASE_VALUE])
    assert line == [BASE_VALUE, "blend:blend"] == page.with_blend("blend", line)


def test_a_taken_name_is_told(studio: Studio) -> None:
    page.start_blend(studio, "sour", values("sweet", "sour"))
    task = studio.blending.wait(60)
    assert task.state == "failed" and task.error and "run named sour" in task.error[0]


def test_names_are_shown_as_text_and_blends_of_another_base_cannot_be_added() -> None:
    from studio.ui.panels.chat_blend_view import BlendRow

    shown = list_view([BlendRow("<b>", "1 <i> by cat", 4, 1000, "/models/other")], "starter")
    assert "<b>" not in shown and "<i>" not in shown
    assert "of other" in shown and 'data-what="add"' not in shown
