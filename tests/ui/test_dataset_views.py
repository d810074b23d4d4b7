"""What the Dataset tab shows of a report: findings, lengths, languages, split, advice."""

from __future__ import annotations

import re

import pytest

from studio.data.detection import Detection
from studio.data.findings import Remedy
from studio.ui.charts_data import language_bar, lengths_figure, percent, share_behind
from studio.ui.data_look import with_choice
from studio.ui.panels.dataset_advice_view import advice_view, checklist_view
from studio.ui.panels.dataset_findings_view import chosen_view, findings_view
from studio.ui.panels.dataset_found_view import found_view, length_tiles, split_view
from tests.ui.reports import finding, report, source, statistics


def test_the_whole_is_told_with_its_reason_and_counts() -> None:
    shown = found_view(report(), has_tokenizer=True)
    for part in ('data-format="messages"', 'data-rows="100"', "Chat: messages with roles",
                 "Messages holds turns with roles.", "line 7", "is no JSON", "cannot be read"):
        assert part in shown


def test_what_is_not_recognised_and_has_no_tokenizer_says_so() -> None:
    unknown = report(format=None, why="No column <looks> like text.", has_tokens=False)
    shown = found_view(unknown, has_tokenizer=False)
    assert "Which column is what" in shown
    assert "Not recognised" in shown
    assert "No column &lt;looks&gt; like text." in shown
    assert "Hardware tab" in shown


def test_mixed_formats_are_counted_for_each_source() -> None:
    mixed = source("b.jsonl", formats={"messages": 60, "alpaca": 39}, weight=0.5,
                   detection=Detection(None, "Rows differ.", {}))
    shown = found_view(report(sources=(source(), mixed)), has_tokenizer=True)
    assert "b.jsonl mixes formats: 60 Chat, 39 Alpaca." in shown
    assert shown.count("<tr data-source=") == 2
    assert "× 0.5" in shown


def test_findings_stand_worst_first_with_counts_samples_and_remedies() -> None:
    found = [finding("languages", 2, level="info"), finding("exact_duplicates", 3),
             finding("empty_answer", 1, level="problem", remedies=("drop", "fix"))]
    shown = findings_view(found, {"empty_answer": "fix"})
    assert re.findall(r'data-finding="(\w+)"', shown) == ["empty_answer", "exact_duplicates",
                                                          "languages"]
    assert "Fix 1 row<" in shown and "Drop 3 rows" in shown
    assert shown.count('aria-pressed="true"') == 1
    assert 'data-row="2"' in shown and 'data-row="5"' in shown
    assert "<b>hi" not in shown


def test_no_findings_is_good_news() -> None:
    assert "note-good" in findings_view([], {})


def test_a_remedy_is_chosen_changed_and_taken_back() -> None:
    found = [finding("a", remedies=("drop", "fix")), finding("b", remedies=("mask",))]
    choices = with_choice({}, "a", "drop", found)
    assert choices == {"a": "drop"}
    choices = with_choice(choices, "a", "fix", found)
    choices = with_choice(choices, "b", "mask", found)
    assert choices == {"a": "fix", "b": "mask"}
    assert "Chosen: fix 3 rows" in chosen_view(found, choices)
    assert with_choice(choices, "a", "fix", found) == {"b": "mask"}


def test_a_choice_that_is_not_offered_any_more_goes_away() -> None:
    gone: dict[str, Remedy] = {"gone": "drop", "a": "mask"}
    assert with_choice(gone, "a", "burn", [finding("a")]) == {}


def test_bars_behind_the_maximum_length_are_drawn_apart() -> None:
    figure = lengths_figure(statistics(), 256, "mine")
    assert figure is not None
    whole, cut = figure.data
    assert (list(whole.y), list(cut.y)) == ([20, 40, 25], [25, 15])
    assert whole.x[-1] + whole.width[-1] / 2 == cut.x[0] - cut.width[0] / 2 == 256
    assert figure.layout.shapes[0].x0 == 256
    assert "256: 30 % cut" in figure.layout.annotations[0].text.replace("30.0", "30")


def test_a_maximum_length_far_away_does_not_press_the_bars_together() -> None:
    figure = lengths_figure(statistics(truncated=0), 8192)
    assert figure is not None
    assert figure.layout.xaxis.range[1] < 500
    assert len(figure.data) == 1 and not figure.layout.shapes
    assert "nothing is cut" in figure.layout.annotations[0].text


def test_without_lengths_there_is_no_histogram() -> None:
    assert lengths_figure(statistics(length_counts=(), length_edges=()), 256) is None
    assert length_tiles(statistics(tokens_total=None)) == ""


@pytest.mark.parametrize(("share", "words"), [
    (0, "0 %"), (0.0001, "under 0.1 %"), (0.034, "3.4 %"), (0.05, "5 %"), (0.5, "50 %"),
    (1, "100 %"),
])
def test_shares_are_told_as_a_person_would(share: float, words: str) -> None:
    assert percent(share) == words


def test_a_few_cut_examples_of_many_are_counted() -> None:
    assert share_behind(statistics(examples=100_000, truncated=3), 256) == "3 cut"


def test_languages_are_named_and_the_rest_is_summed() -> None:
    shown = language_bar({"en": 0.5, "de": 0.2, "fr": 0.1, "xx": 0.1, "it": 0.05, "es": 0.03,
                          "pl": 0.02})
    for part in ("English 50 %", "German 20 %", "xx 10 %", "others 5 %"):
        assert part in shown
    assert language_bar({}) == language_bar({"und": 1.0}) == ""


def test_the_split_shows_both_counts() -> None:
    shown = split_view(95, 5, "A random part.")
    assert 'data-train="95" data-eval="5"' in shown and "5 %" in shown
    assert split_view(0, 0, "") == ""


def test_advice_that_the_form_can_follow_has_a_button_that_says_what_it_sets() -> None:
    shown = advice_view(report().advice)
    assert 'data-about="max_length"' in shown
    assert "Set maximum length to 512" in shown
    assert "30 of 100" in shown


def test_the_checklist_gives_each_question_its_reason() -> None:
    assert checklist_view([("Try a <prompt>", "It is free.")]).count("<li>") == 1
