"""What the line-up says above itself while something else is at work on this PC. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from studio.arbiter import Holder, Together
from studio.chat.out_of_memory import HOW_TO_NEED_LESS
from studio.ui import markup


@dataclass(frozen=True)
class Sharing:
    """`other` is at work, if anyone; `together` is whether the chosen columns fit beside it, None
    where it shares with nobody."""

    other: Holder | None = None
    together: Together | None = None

    @property
    def key(self) -> tuple[str, bool | None]:
        """Another one where there is something new to say: not for every byte that comes and goes.
        """
        if self.other is None:
            return "", None
        return self.other.what, None if self.together is None else self.together.fits


def sharing_view(now: Sharing) -> str:
    """Nothing while the chat is alone."""
    if now.other is None:
        return ""
    what, free = now.other.what, now.other.how_to_free
    if now.together is None:
        return markup.note(f"{what} is using this PC right now, so nobody can be asked.", free,
                           "warning")
    if now.together.fits:
        return markup.note(f"{what} is at work, and this chat fits beside it. {now.together.text}",
                           "Both take longer while they work at the same time.")
    return markup.note(f"{what} is at work, and this chat does not fit beside it. "
                       f"{now.together.text}", f"{free} {HOW_TO_NEED_LESS}", "warning")
