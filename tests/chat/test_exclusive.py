"""Who is at work, who waits for room, and who is told that somebody else is at work."""

from __future__ import annotations

import threading

import pytest

from studio.chat.exclusive import OneAtATime
from studio.errors import BusyError

PATIENCE_SECONDS = 60


@pytest.fixture
def work() -> OneAtATime:
    return OneAtATime("Somebody is at work.", "Wait.")


def test_whoever_comes_second_is_told_so(work: OneAtATime) -> None:
    for makes_room in (False, True):
        with work.held(), pytest.raises(BusyError, match="at work"), work.held(
                makes_room=makes_room):
            pass
    assert not work.is_held


def test_one_that_makes_room_is_waited_for_and_comes_back_last(work: OneAtATime) -> None:
    order: list[str] = []

    def person() -> None:
        with work.held():
            order.append("person")

    asking = threading.Thread(target=person)
    with work.held(makes_room=True):
        asking.start()
        while not work.is_wanted:
            asking.join(0.01)
        order.append("made room")
    asking.join(PATIENCE_SECONDS)
    with work.held(makes_room=True):
        order.append("went on")
    assert order == ["made room", "person", "went on"] and not work.is_held


def test_of_many_who_wait_for_room_one_has_it_and_the_others_are_told(work: OneAtATime) -> None:
    told, done = threading.Semaphore(0), threading.Event()
    had: list[bool] = []

    def person() -> None:
        try:
            with work.held():
                had.append(True)
                done.wait(PATIENCE_SECONDS)
        except BusyError:
            told.release()

    people = [threading.Thread(target=person) for _ in range(6)]
    with work.held(makes_room=True):
        for one in people:
            one.start()
        while work.waiting < len(people):
            people[0].join(0.01)
    for _ in people[1:]:
        assert told.acquire(timeout=PATIENCE_SECONDS)
    done.set()
    for one in people:
        one.join(PATIENCE_SECONDS)
    assert had == [True] and not work.is_held and not work.is_wanted
