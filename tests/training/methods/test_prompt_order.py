"""The order in which prompts are answered."""

from __future__ import annotations

from studio.training.methods.prompt_order import PromptOrder


def order(rows: int, per_step: int, repeats: int = 1) -> PromptOrder:
    return PromptOrder(rows, answers=2, prompts_per_step=per_step, repeats=repeats, seed=7)


def test_every_prompt_comes_in_groups_and_a_last_step_is_filled_up() -> None:
    found = list(order(5, 2))
    assert len(found) == len(order(5, 2)) == 12
    assert found[::2] == found[1::2]
    assert sorted(found[:10:2]) == [0, 1, 2, 3, 4]
    assert found[10] == found[0]


def test_a_step_comes_as_often_as_micro_batches_are_made_of_it() -> None:
    found = list(order(4, 2, repeats=3))
    assert found[:4] == found[4:8] == found[8:12] != found[12:16]
    assert len(found) == len(order(4, 2, repeats=3))


def test_fewer_prompts_than_a_step_needs_are_asked_more_than_once() -> None:
    found = list(order(3, 8))
    assert len(found) == 16 and set(found) == {0, 1, 2}


def test_each_epoch_has_its_own_order_also_when_a_resume_begins_with_it() -> None:
    whole, resumed = order(20, 4), order(20, 4)
    first = list(whole)
    whole.set_epoch(1)
    resumed.set_epoch(1)
    assert list(whole) == list(resumed) != first
