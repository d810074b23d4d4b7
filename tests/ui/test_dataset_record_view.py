"""One record as file, text and tokens: colours, the cut, ids, and nothing that a page would run."""

from __future__ import annotations

import re

from studio.data.example import Example
from studio.ui.panels.dataset_record_view import TOKENS_DRAWN, packed_view, raw_view, rendered_view

SPECIAL = frozenset({"<|end|>"})


def example(**values: object) -> Example:
    """"ab <x>" taught behind a control token, the last two tokens learned."""
    usual: dict[str, object] = {
        "text": "<|end|>ab\n<x>", "input_ids": [1, 20, 21, 30], "labels": [-100, -100, 21, 30],
        "truncated": False, "cut_tokens": 0, "ends": [7, 9, 10, 13],
    }
    return Example(**{**usual, **values})  # type: ignore[arg-type]


def test_learned_and_control_tokens_are_marked_and_text_is_escaped() -> None:
    shown = rendered_view([("example", example())], SPECIAL)
    assert "<x>" not in shown and "&lt;x&gt;" in shown
    assert re.findall(r'<span class="token([^"]*)"', shown.split("As tokens")[1]) == [
        " token-special", "", " token-learned", " token-learned"]
    assert '<span class="token-learned">↵\n&lt;x&gt;</span>' in shown.split("As tokens")[0]
    assert "2 learned" in shown and "<b>4</b> tokens" in shown


def test_a_token_tells_its_number_and_id() -> None:
    shown = rendered_view([("example", example())], SPECIAL)
    assert 'title="token 3, id 21, learned"' in shown


def test_a_character_of_several_tokens_keeps_a_box_for_each() -> None:
    shown = rendered_view([("example", example(ends=[7, 7, 10, 13]))], SPECIAL)
    assert "a part of the next character" in shown


def test_the_cut_is_drawn_where_it_falls() -> None:
    short = example(input_ids=[1, 20], labels=[-100, -100], ends=[7, 9], truncated=True,
                    cut_tokens=2)
    shown = rendered_view([("example", short)], SPECIAL)
    assert shown.count("cut here, 2 tokens are never seen") == 2
    assert "2 cut off" in shown
    assert shown.index("ab") < shown.index("cut here") < shown.index("&lt;x&gt;")


def test_a_preference_shows_both_answers() -> None:
    shown = rendered_view([("chosen", example()), ("rejected", example())], SPECIAL)
    assert "As text, chosen" in shown and "As tokens, rejected" in shown


def test_a_record_without_end_does_not_make_a_page_without_end() -> None:
    count = 3 * TOKENS_DRAWN
    long = example(text="a" * count, input_ids=[5] * count, labels=[5] * count,
                   ends=list(range(1, count + 1)))
    shown = rendered_view([("example", long)], SPECIAL)
    assert shown.count('class="token ') == TOKENS_DRAWN
    assert f"<b>{count:,}</b> tokens" in shown
    raw = raw_view({"text": "b" * 1_000_000}, "line 1")
    assert len(raw) < 30_000 and "more characters" in raw


def test_a_record_is_shown_as_it_stands() -> None:
    shown = raw_view({"prompt": "<script>", "meta": {"n": 1}}, "line 3")
    assert "<script>" not in shown and 'data-place="line 3"' in shown
    assert "No record" in raw_view(None)


def test_a_packed_row_has_a_part_for_each_record() -> None:
    shown = packed_view([[(7, 60), (3, 30)]], 100, 3)
    assert re.findall(r'data-row="(\d+)"', shown) == ["7", "3"]
    assert "width:60.00%" in shown and shown.count("packed-here") == 1
    assert "90 % of this row" in shown
