"""A stop text ends an answer and is never shown, however its tokens fall."""

from __future__ import annotations

import itertools

from studio.chat.stop_texts import StopTexts


def _shown(pieces: list[str], *stops: str) -> tuple[str, list[str]]:
    texts = StopTexts(stops)
    shown = []
    for piece in pieces:
        texts.add(piece)
        shown.append(texts.release(is_over=False))
    shown.append(texts.release(is_over=True))
    return "".join(shown), shown


def test_every_way_to_cut_an_answer_into_tokens_shows_the_same() -> None:
    answer = "one END two"
    for cuts in itertools.combinations(range(1, len(answer)), 3):
        edges = [0, *cuts, len(answer)]
        pieces = [answer[a:b] for a, b in itertools.pairwise(edges)]
        assert _shown(pieces, "END")[0] == "one "


def test_what_may_begin_a_stop_waits_and_comes_when_it_does_not() -> None:
    whole, shown = _shown(["a", "E", "N", "x", "E"], "END")
    assert whole == "aENxE" and shown == ["a", "", "", "ENx", "", "E"]


def test_the_earliest_of_several_stops_counts() -> None:
    assert _shown(["one two three"], "three", "two")[0] == "one "
    assert _shown(["one"], )[0] == "one"
