"""The device has one owner, and the second one learns who that is."""

from __future__ import annotations

import pytest

from studio.arbiter import Arbiter, Holder
from studio.errors import BusyError


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
