"""The PC stays awake during a run, and may sleep again after it, however the run ends.

wakepy's own switches stand for a system that can be kept awake and for one that cannot.
"""

from __future__ import annotations

import pytest
import wakepy

from studio.runs import Run, create_run
from studio.settings import Settings
from studio.training.awake import CANNOT, kept_awake
from studio.training.loop import train
from tests.training.conftest import MakeRecipe


def _notes(run: Run) -> list[str]:
    return [event["text"] for event in run.events() if event["type"] == "note"]


@pytest.fixture
def run(settings: Settings, make_recipe: MakeRecipe) -> Run:
    return create_run(settings, make_recipe(training__max_steps=1, monitor__forgetting=False), "a")


def test_a_run_holds_the_pc_awake_until_it_ends(
    settings: Settings, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WAKEPY_FAKE_SUCCESS", "1")
    seen = []

    def look() -> bool:
        seen.append([mode.active for mode in wakepy.global_modes()])
        return False

    assert train(run.recipe, run, look, settings=settings) == "done"
    assert [True] in seen and wakepy.modecount() == 0
    assert CANNOT not in _notes(run)


def test_the_pc_is_let_go_after_an_error_which_stays_what_it_was(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WAKEPY_FAKE_SUCCESS", "1")
    for error in (ValueError("mine"), wakepy.ModeExit("mine too")):
        with pytest.raises(type(error), match="mine"), kept_awake(run):
            raise error
        assert wakepy.modecount() == 0


def test_where_it_cannot_the_run_says_so_once(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WAKEPY_FORCE_FAILURE", "1")
    for _ in range(2):
        with kept_awake(run):
            assert not any(mode.active for mode in wakepy.global_modes())
    assert _notes(run) == [CANNOT]


def test_switched_off_the_system_is_not_asked(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WAKEPY_FORCE_FAILURE", "1")
    with kept_awake(run, wanted=False):
        assert wakepy.modecount() == 0
    assert not run.events()
