"""Long texts divided into rows: nothing is lost, and nothing is learned twice."""

from __future__ import annotations

import numpy
import pytest

from studio.data.dividing import divided, divided_lengths, divided_rows


@pytest.mark.parametrize("max_length", [8, 9, 64])
@pytest.mark.parametrize("tokens", [1, 2, 7, 8, 9, 15, 16, 57, 64, 65, 500])
def test_every_token_but_the_first_is_predicted_once(tokens: int, max_length: int) -> None:
    rows = divided(tokens, max_length)
    predicted = [at for start, end in rows for at in range(start + 1, end)]
    assert predicted == list(range(1, tokens))
    assert all(end - start <= max_length for start, end in rows)
    if tokens > 1:
        assert all(end - start > 1 for start, end in rows)


def test_the_numbers_of_a_whole_set_are_those_of_each_text() -> None:
    tokens = numpy.array([1, 8, 9, 500, 64, 2], dtype=numpy.uint32)
    rows = [divided(int(one), 8) for one in tokens]
    assert divided_rows(tokens, 8).tolist() == [len(one) for one in rows]
    assert divided_lengths(tokens, 8).tolist() == [
        end - start for one in rows for start, end in one]
    assert divided_lengths(tokens[:0], 8).tolist() == []
