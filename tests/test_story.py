"""Events in, story out: pure, so each case is written down as plain events."""

from __future__ import annotations

import math
from typing import Any

from studio.story import tell


def _state(name: str, **more: Any) -> dict[str, Any]:
    return {"type": "state", "state": name, **more}


def _log(step: int, loss: float, **more: Any) -> dict[str, Any]:
    return {"type": "log", "step": step, "epoch": step / 10, "loss": loss, "learning_rate": 1e-3,
            "grad_norm": 0.5, "tokens": step * 100, "tokens_per_second": 50.0,
            "elapsed_seconds": step * 2.0, "seconds_left": 20.0 - 2 * step, **more}


_STARTED = [_state("preparing"), {"type": "plan", "total_steps": 10, "choices": ["On the CPU."]},
            _state("training")]


def test_a_run_without_events_is_queued() -> None:
    story = tell("a", [], owner_alive=False)
    assert story.state == "queued" and story.points == () and not story.is_active


def test_the_curve_and_the_progress_come_from_the_logged_steps() -> None:
    story = tell("a", [*_STARTED, _log(1, 4.0), _log(2, 3.5)], owner_alive=True)
    assert story.is_active and story.state == "training"
    assert [(point.step, point.loss) for point in story.points] == [(1, 4.0), (2, 3.5)]
    assert (story.step, story.total_steps, story.elapsed_seconds) == (2, 10, 4.0)
    assert story.seconds_left == 16.0 and story.tokens_per_second == 50.0
    assert "On the CPU." in story.log_tail
    assert story.log_tail[-1].startswith("Step 2 of 10: loss 3.5000")


def test_an_owner_that_died_while_working_leaves_an_interrupted_run() -> None:
    events = [*_STARTED, _log(1, 4.0)]
    alive, dead = tell("a", events, owner_alive=True), tell("a", events, owner_alive=False)
    assert dead.state == "interrupted" and not dead.is_active and dead.seconds_left is None
    assert "step 2" in dead.detail
    assert alive.version != dead.version


def test_a_finished_run_stays_finished_when_its_program_has_gone() -> None:
    story = tell("a", [*_STARTED, _log(10, 1.0), _state("saving"), _state("done")], False)
    assert story.state == "done" and story.seconds_left is None


def test_a_resumed_run_tells_one_curve_and_forgets_the_steps_that_it_repeats() -> None:
    first = [*_STARTED, *(_log(step, 5.0 - step / 10) for step in range(1, 8)),
             {"type": "eval", "step": 6, "epoch": 0.6, "loss": 4.0}]
    again = [_state("preparing"), {"type": "plan", "total_steps": 10, "start_step": 5},
             _state("training")]
    halfway = tell("a", first + again, owner_alive=True)
    assert [point.step for point in halfway.points] == [1, 2, 3, 4, 5]
    assert halfway.step == 5 and halfway.evals == ()
    whole = tell("a", [*first, *again, *(_log(step, 1.0) for step in range(6, 11))], True)
    assert [point.step for point in whole.points] == list(range(1, 11))
    assert whole.points[5].loss == 1.0


def test_the_progress_of_one_state_is_one_line_of_the_log() -> None:
    loading = [_state("loading", detail=f"Fetching: {share}%") for share in (1, 50, 99)]
    story = tell("a", [_state("preparing"), *loading], owner_alive=True)
    assert story.log_tail == ("Preparing the model and the data.", "Fetching: 99%")


def test_an_error_is_told_until_the_run_is_started_again() -> None:
    failed = [*_STARTED, {"type": "error", "message": "No memory.", "hint": "Lower the batch."},
              _state("failed")]
    story = tell("a", failed, owner_alive=False)
    assert story.state == "failed" and story.error == ("No memory.", "Lower the batch.")
    assert story.log_tail[-1] == "Error: No memory. Lower the batch."
    assert tell("a", [*failed, _state("preparing")], owner_alive=True).error is None


def test_a_loss_that_is_not_a_number_is_a_point_without_a_number() -> None:
    story = tell("a", [*_STARTED, _log(1, math.nan)], owner_alive=True)
    assert math.isnan(story.points[0].loss)


def test_events_of_a_later_version_are_counted_but_do_no_harm() -> None:
    assert tell("a", [{"type": "something_new"}], False).version != tell("a", [], False).version
