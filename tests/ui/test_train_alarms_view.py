"""The list of alarms with their advice."""

from __future__ import annotations

from studio.story import Alarm
from studio.ui.panels.train_alarms_view import SHOWN, alarms_view
from tests.ui.work import story


def test_the_newest_comes_first_with_its_advice_and_its_level() -> None:
    found = alarms_view(story(9, alarms=(
        Alarm("short_run", "warning", 0, "Few steps.", "More epochs."),
        Alarm("diverging", "bad", 1200, "Coming <apart>.", "Lower the rate."))))
    newest, oldest = "Step 1,200: Coming &lt;apart&gt;.", "At the start: Few steps."
    assert found.index(newest) < found.index(oldest)
    assert 'data-alarm="diverging"><div class="note note-problem" role="alert"' in found
    assert "note-warning" in found and "Lower the rate." in found


def test_a_healthy_run_shows_nothing() -> None:
    assert alarms_view(story(3)) == alarms_view(None) == ""


def test_many_alarms_are_folded() -> None:
    many = tuple(Alarm("spike", "warning", step, f"Jump {step}.") for step in range(1, SHOWN + 3))
    found = alarms_view(story(9, alarms=many))
    assert "2 earlier alarms</summary>" in found
    assert found.index(f"Jump {SHOWN + 2}.") < found.index("<details>") < found.index("Jump 1.")
