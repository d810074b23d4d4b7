"""What is known about the format of a source."""

from __future__ import annotations

from dataclasses import dataclass

from studio.data.records import Problem


@dataclass(frozen=True)
class Detection:
    """`columns`: role -> column. `format` is None where the records are mixed or unknown.

    `chosen` is true where the recipe decided, so that no row is read in another way.
    """

    format: str | None
    why: str
    columns: dict[str, str]
    problems: tuple[Problem, ...] = ()
    chosen: bool = False
