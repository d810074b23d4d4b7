"""A person's own title and note for a run, kept in its folder."""

from __future__ import annotations

import pytest

from studio.about import FILE_NAME, About
from studio.errors import RunError
from studio.recipe import Recipe
from studio.runs import create_run, open_run
from studio.settings import Settings


def test_a_title_and_a_note_are_kept_and_changed_one_by_one(settings: Settings) -> None:
    run = create_run(settings, Recipe(), "orders")
    assert run.about == About()
    run.set_about(title="  Small \n and fast ")
    run.set_about(note="Forgets postcodes.\nÄ ✓")
    assert open_run(settings, "orders").about == About("Small and fast", "Forgets postcodes.\nÄ ✓")
    run.set_about(title="")
    assert run.about == About("", "Forgets postcodes.\nÄ ✓")


@pytest.mark.parametrize("text", ["", "{", "[1]", '{"title": null, "note": 3}', "\x00"])
def test_a_damaged_file_is_no_title(settings: Settings, text: str) -> None:
    run = create_run(settings, Recipe(), "orders")
    (run.path / FILE_NAME).write_text(text, encoding="utf-8")
    assert run.about.title == ""


def test_too_long_a_title_is_refused_and_the_old_one_stays(settings: Settings) -> None:
    run = create_run(settings, Recipe(), "orders")
    run.set_about(title="short")
    with pytest.raises(RunError, match="title has 121 characters"):
        run.set_about(title="x" * 121)
    assert run.about.title == "short"


def test_a_run_that_is_gone_is_not_made_again(settings: Settings) -> None:
    run = create_run(settings, Recipe(), "orders")
    (run.path / "recipe.yaml").unlink()
    run.path.rmdir()
    with pytest.raises(RunError, match="no longer there"):
        run.set_about(title="x")
    assert not run.path.exists()
