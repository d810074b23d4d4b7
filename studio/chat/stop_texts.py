"""Texts that end an answer: found across tokens, and never shown, not even their beginning."""

from __future__ import annotations


class StopTexts:
    """Takes an answer as it grows and gives out what may be shown of it."""

    def __init__(self, stops: tuple[str, ...]) -> None:
        self._stops = stops
        self._waiting = ""
        self.released = 0
        """Characters given out so far."""
        self.is_met = False
        """Whether one of the texts came; what stands from there on is dropped."""

    @property
    def seen(self) -> int:
        """Characters taken so far, those that wait included."""
        return self.released + len(self._waiting)

    def add(self, text: str) -> None:
        """More of the answer; after a stop text nothing counts."""
        if self.is_met:
            return
        self._waiting += text
        places = [place for stop in self._stops if (place := self._waiting.find(stop)) >= 0]
        if places:
            self.is_met = True
            self._waiting = self._waiting[:min(places)]

    def release(self, *, is_over: bool) -> str:
        """What can be shown now: all but what may be the beginning of a stop text."""
        kept = 0 if is_over or self.is_met else self._possible_beginning()
        shown = self._waiting[:len(self._waiting) - kept]
        self._waiting = self._waiting[len(shown):]
        self.released += len(shown)
        return shown

    def _possible_beginning(self) -> int:
        """Length of the longest end of the text that a stop text begins with."""
        longest = max((len(stop) for stop in self._stops), default=1) - 1
        for length in range(min(longest, len(self._waiting)), 0, -1):
            if any(stop.startswith(self._waiting[-length:]) for stop in self._stops):
                return length
        return 0
