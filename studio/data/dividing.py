"""A text that is longer than a row, divided into rows so that nothing is lost.

Each row begins with the last token of the one before, because the first token of a row is never
predicted: so every token of the text but the first is predicted once, and no row is without one.
"""

from __future__ import annotations

import numpy

from studio.data.answer_spans import Span


def divided(tokens: int, max_length: int) -> list[Span]:
    """(first, behind the last) token of each row of a text of so many tokens."""
    return [(start, min(start + max_length, tokens))
            for start in range(0, max(tokens - 1, 1), max_length - 1)]


def divided_rows(tokens: numpy.ndarray, max_length: int) -> numpy.ndarray:
    """How many rows each text of so many tokens becomes, int64."""
    return numpy.maximum(1, -(-(tokens.astype(numpy.int64) - 1) // (max_length - 1)))


def divided_lengths(tokens: numpy.ndarray, max_length: int) -> numpy.ndarray:
    """Tokens of every row of the texts, in order, int64."""
    rows = divided_rows(tokens, max_length)
    ends = numpy.cumsum(rows)
    lengths = numpy.full(int(ends[-1]) if len(ends) else 0, max_length, dtype=numpy.int64)
    lengths[ends - 1] = tokens - (rows - 1) * (max_length - 1)
    return lengths
