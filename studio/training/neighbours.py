"""Who shares the device with a training leaves before the training gives anything up.

Says it in the run; who they are, and how they are asked, is known to whoever starts a training.
"""

from __future__ import annotations

from collections.abc import Callable

from studio.runs import Run
from studio.training.out_of_memory import is_out_of_memory

MakeRoom = Callable[[], str]
"""Asks them to leave, and waits a while for one that is at work: their names, empty where nobody
was there or somebody stayed."""


def nobody_leaves() -> str:
    """For a training that has its device to itself."""
    return ""


def others_left(run: Run, when: str, make_room: MakeRoom) -> bool:
    """Whether memory that ran out is free by now, so that the run goes on unchanged.

    `when` is the end of a sentence, such as "in step 3".
    """
    who = make_room()
    if who:
        run.append("note", level="warning", text=(
            f"Memory ran out {when}. {who} shared it and was unloaded, so the run goes on as it "
            "was. It shares with nobody any more."))
    return bool(who)


def others_left_for(error: Exception, run: Run, when: str, make_room: MakeRoom) -> bool:
    """The same where `error`, or what it was raised from, says that memory ran out."""
    causes = [one for one in (error, error.__cause__) if one is not None]
    return any(map(is_out_of_memory, causes)) and others_left(run, when, make_room)
