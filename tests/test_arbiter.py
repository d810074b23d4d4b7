"""The device has one owner, or two that fit side by side; a third party learns who they are."""

from __future__ import annotations

import pytest

from studio.arbiter import Arbiter, Holder, Together
from studio.errors import BusyError

GB = 1_000_000_000


def needing(what: str, size: int | None, *, leaves: bool | None = None) -> Holder:
    return Holder(what, f"Stop {what}.", None if leaves is None else lambda: bool(leaves),
                  need=lambda: size, how_to_need_less="Or take less.")


def test_the_second_is_told_who_holds_the_device_and_how_to_free_it() -> None:
    arbiter = Arbiter()
    training = Holder("The training run apples", "Stop it in the Train tab.")
    with arbiter.held(training):
        with pytest.raises(BusyError, match=r"run apples is using .* Stop it in the Train tab"):
            arbiter.acquire(Holder("chat", ""))
        assert arbiter.holder is training
    assert arbiter.holder is None


def test_an_idle_holder_leaves_and_a_busy_one_stays() -> None:
    arbiter = Arbiter()
    answering = [True]
    chat = Holder("chat", "Wait for the answer.", release_when_idle=lambda: not answering[0])
    arbiter.acquire(chat)
    with pytest.raises(BusyError):
        arbiter.acquire(Holder("training", ""))
    answering[0] = False
    training = Holder("training", "")
    arbiter.acquire(training)
    arbiter.release(chat)
    assert arbiter.holder is training


def test_two_that_fit_hold_the_device_side_by_side() -> None:
    arbiter = Arbiter(lambda: 10 * GB)
    training, chat = needing("training", 6 * GB), needing("chat", 3 * GB, leaves=True)
    arbiter.acquire(training)
    arbiter.acquire(chat)
    assert arbiter.holds(training) and arbiter.holds(chat)
    assert arbiter.holder is training and arbiter.others(chat) == (training,)
    arbiter.release(training)
    assert arbiter.holder is chat


def test_what_does_not_fit_is_told_in_numbers_with_what_to_do() -> None:
    arbiter = Arbiter(lambda: 10 * GB)
    arbiter.acquire(needing("The training run a", 6 * GB))
    with pytest.raises(BusyError) as caught:
        arbiter.acquire(needing("The chat", 4 * GB))
    assert caught.value.message == (
        "The training run a is using this PC right now, and both do not fit into its memory. The "
        "training run a takes up to 6.0 GB and the chat takes up to 4.0 GB of memory; 9.0 GB are "
        "there for both.")
    assert caught.value.hint == "Stop The training run a. Or take less."


def test_an_idle_chat_stays_beside_a_training_that_fits_and_leaves_one_that_does_not() -> None:
    room = [10 * GB]
    arbiter = Arbiter(lambda: room[0])
    training, chat = needing("training", 6 * GB), needing("chat", 3 * GB, leaves=True)
    arbiter.acquire(chat)
    arbiter.acquire(training)
    assert arbiter.others(training) == (chat,)
    arbiter.release(training)
    room[0] = 9 * GB
    arbiter.acquire(training)
    assert arbiter.holder is training and arbiter.others(training) == ()


@pytest.mark.parametrize("size", [None, 6 * GB])
def test_who_cannot_tell_what_it_needs_shares_with_nobody(size: int | None) -> None:
    arbiter = Arbiter(lambda: 100 * GB)
    arbiter.acquire(needing("training", size))
    with pytest.raises(BusyError, match=r"^training is using this PC right now\. "):
        arbiter.acquire(needing("chat", None if size else GB))
    assert arbiter.together([needing("chat", GB), Holder("a merge", "Wait.")]) is None


def test_who_comes_again_with_a_greater_need_is_asked_anew_and_stays_as_it_was() -> None:
    arbiter = Arbiter(lambda: 10 * GB)
    training, chat = needing("training", 6 * GB), needing("chat", 1 * GB)
    arbiter.acquire(training)
    arbiter.acquire(chat)
    chat.need = lambda: 5 * GB
    with pytest.raises(BusyError, match="do not fit"):
        arbiter.acquire(chat)
    assert arbiter.holds(chat) and arbiter.holds(training)


def test_nobody_leaves_for_one_that_is_refused_all_the_same() -> None:
    arbiter, left = Arbiter(lambda: 10 * GB), []
    chat = Holder("chat", "", lambda: not left.append("chat"), need=lambda: GB)
    arbiter.acquire(chat)
    arbiter.acquire(needing("training", 2 * GB))
    with pytest.raises(BusyError, match="training is using"):
        arbiter.acquire(Holder("a merge", ""))
    assert left == [] and arbiter.holds(chat)


def test_others_are_asked_to_leave_and_may_be_at_work() -> None:
    arbiter, idle = Arbiter(lambda: 10 * GB), [False]
    training = needing("training", 2 * GB)
    arbiter.acquire(training)
    assert arbiter.clear(training)
    arbiter.acquire(Holder("chat", "", lambda: idle[0], need=lambda: GB))
    assert not arbiter.clear(training) and len(arbiter.others(training)) == 1
    idle[0] = True
    assert arbiter.clear(training) and arbiter.others(training) == ()


def test_a_tenth_of_the_room_is_left_alone() -> None:
    found = Arbiter(lambda: 10 * GB).together([needing("a", 5 * GB), needing("b", 4 * GB)])
    assert found == Together((("a", 5 * GB), ("b", 4 * GB)), 9 * GB) and found.fits
    assert not Together((("a", 5 * GB), ("b", 4 * GB + 1)), 9 * GB).fits
