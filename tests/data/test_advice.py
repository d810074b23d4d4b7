"""Advice rests on numbers, says them, and proposes fields that a recipe takes."""

from __future__ import annotations

import random

import numpy
import pytest

from studio.data.advice import CHECKLIST, padding_share
from studio.data.lab.look import report_of
from studio.recipe import Recipe, Training
from tests.data.whole import pair, whole_of


def rows(count, words=12):
    draw = random.Random(0)
    return [pair(f"Question number {n}?", " ".join(str(draw.random()) for _ in range(words)))
            for n in range(count)]


def advice_of(found, settings, tokenizer=None, training=None, **data):
    report = report_of(whole_of(found, settings, tokenizer, **data), training or Training(epochs=3))
    for one in report.advice:
        assert one.what and one.why
        Recipe().with_values(one.changes)
    return {one.about: one for one in report.advice}


def test_a_set_of_good_size_and_settings_gets_none(settings, tokenizer):
    assert advice_of(rows(300, 2), settings, tokenizer, max_length=128) == {}


def test_few_examples_are_told_and_counted(settings):
    assert "40" in advice_of(rows(40), settings)["few_examples"].what
    assert "few_examples" not in advice_of(rows(150), settings)


def test_nothing_held_out_is_mended_by_one_field(settings):
    found = advice_of(rows(150), settings, eval_fraction=0.0)["nothing_held_out"]
    assert found.changes["data.eval_fraction"] == 0.1


def test_a_maximum_length_far_below_the_data_is_raised_so_that_little_is_cut(settings, tokenizer):
    found = advice_of(rows(150, 40), settings, tokenizer, max_length=64)["max_length_low"]
    assert found.changes["data.max_length"] > 64
    assert "150 of 150" in found.why


def test_a_maximum_length_far_above_the_data_is_lowered(settings, tokenizer):
    found = advice_of(rows(150), settings, tokenizer, max_length=4096)["max_length_high"]
    longest = found.changes["data.max_length"]
    assert longest % 64 == 0 and longest < 2048


def test_packing_is_advised_where_padding_is_much_and_steps_are_many(settings, tokenizer):
    uneven = [pair(f"Question {n}?", "word " * (200 if n % 8 == 0 else 3) + "end")
              for n in range(400)]
    many = Training(epochs=5, batch_size=4, gradient_accumulation=1)
    found = advice_of(uneven, settings, tokenizer, many, max_length=256)["packing_on"]
    assert found.changes == {"data.packing": True} and "padding" in found.why
    few = Training(epochs=5, batch_size=16, gradient_accumulation=16)
    assert "packing_on" not in advice_of(uneven, settings, tokenizer, few, max_length=256)
    assert "packing_off" in advice_of(uneven, settings, tokenizer, few, max_length=256,
                                      packing=True)


@pytest.mark.parametrize("count, epochs, about, wanted", [
    (300, 1, "epochs_few", 2), (300, 20, "epochs_many", 5), (60, 1, "epochs_few", 3)])
def test_epochs_fit_the_size_of_the_set(count, epochs, about, wanted, settings):
    found = advice_of(rows(count), settings, training=Training(epochs=epochs))
    assert found[about].changes == {"training.epochs": wanted}


def test_a_limit_of_steps_says_how_long_so_nothing_is_said_of_epochs(settings):
    found = advice_of(rows(300), settings, training=Training(epochs=1, max_steps=100))
    assert not {"epochs_few", "epochs_many"} & set(found)


def test_one_label_in_nearly_every_row_is_told(settings):
    reviews = [pair(f"Review {n}: it was fine, was it not?", "bad" if n % 10 == 0 else "good")
               for n in range(200)]
    found = advice_of(reviews, settings)["one_answer"]
    assert "90%" in found.why and "'good'" in found.why


def test_padding_is_none_for_equal_lengths_and_much_for_one_long_row_in_each_batch():
    assert padding_share(numpy.full(100, 30), 4) == 0
    assert padding_share(numpy.array([100, 1, 1, 1]), 4) == pytest.approx(1 - 103 / 400)
    assert padding_share(numpy.array([5]), 4) == 0


def test_the_checklist_asks_about_prompting_retrieval_and_fine_tuning():
    questions = " ".join(question + why for question, why in CHECKLIST)
    assert all(word in questions for word in ("prompt", "retrieval", "fine-tune"))
