"""Near duplicates: small edits are found, rows of one template are not."""

from __future__ import annotations

import random

import numpy
import pytest

from studio.data.checks.duplicates import (
    candidate_pairs,
    duplicate_groups,
    first_of_equal,
    joined,
)
from studio.data.checks.rows import SIGNATURE_BYTES
from studio.recipe import Data
from tests.data.whole import chat, pair, whole_of

TEXT = """
river stone market window garden letter winter summer teacher doctor engine bridge silver copper
simple narrow gentle bright hollow careful travel answer gather measure repair between beyond
against during without under over into from with about after before the a of to in is was that it
for on as at by his her their this which when while morning evening harbour forest village kitchen
ladder basket candle button pocket blanket mirror hammer ribbon saddle compass lantern orchard
meadow canyon glacier
"""
WORDS = TEXT.split()
NAMES = ["Olga", "Peter", "Marta", "Ivan", "Sofia", "Kira", "Felix", "Rosa", "Ben", "Lucy"]
CITIES = ["Paris", "Oslo", "Rome", "Cairo", "Lima", "Bern", "Kyiv", "Riga", "Delhi", "Tokyo"]


def sentence(draw: random.Random, words: int) -> list[str]:
    return [draw.choice(WORDS) for _ in range(words)]


def in_capitals(words, draw):
    return [word.upper() for word in words]


def with_other_punctuation(words, draw):
    return [word + draw.choice(["", "", ",", ";"]) for word in words[:-1]] + [words[-1] + "!"]


def with_one_other_word(words, draw):
    at = draw.randrange(len(words))
    return [*words[:at], "otherwise", *words[at + 1:]]


def without_the_first_word(words, draw):
    return words[1:]


@pytest.mark.parametrize("edit, least", [
    (in_capitals, 60), (with_other_punctuation, 60), (with_one_other_word, 54),
    (without_the_first_word, 57)])
def test_of_sixty_edited_copies_nearly_all_are_found_and_nothing_else(edit, least, settings):
    """40 words in a row, 20 of them the prompt."""
    draw = random.Random(1)
    texts = [(sentence(draw, 20), sentence(draw, 20)) for _ in range(240)]
    rows = [pair(" ".join(prompt), " ".join(answer)) for prompt, answer in texts]
    rows += [pair(" ".join(edit(prompt, draw)), " ".join(answer)) for prompt, answer in texts[:60]]
    groups = duplicate_groups(whole_of(rows, settings))
    assert (groups[240:] == numpy.arange(60)).sum() >= least
    assert (groups[:240] == numpy.arange(240)).all()
    assert set(groups[240:]) <= {*range(60), *range(240, 300)}


def long_instruction(draw):
    fixed = " ".join(sentence(random.Random(9), 150))
    name, city, item = draw.choice(NAMES), draw.choice(CITIES), draw.choice(WORDS)
    return pair(f"{fixed} {name} from {city} wants a {item}",
                f"name {name} city {city} item {item}")


def sums(draw):
    one, other = draw.randint(1, 999), draw.randint(1, 999)
    return pair(f"What is {one} plus {other}? Think step by step and give only the number.",
                str(one + other))


def labels(draw):
    return pair("Is this review positive or negative? " + " ".join(sentence(draw, 15)),
                draw.choice(["positive", "negative"]))


def one_question(draw):
    return pair("Write a short story about a dragon and a knight.", " ".join(sentence(draw, 40)))


def one_text_and_two_tasks(draw):
    text = " ".join(sentence(random.Random(draw.randint(0, 150)), 60))
    task, answer = draw.choice([("Summarise", "short"), ("Translate", "foreign")])
    return pair(f"{task}: {text}", f"{answer} {' '.join(sentence(draw, 20))}")


@pytest.mark.parametrize("template", [
    long_instruction, sums, labels, one_question, one_text_and_two_tasks])
def test_rows_of_one_template_with_other_names_numbers_or_answers_are_no_duplicates(
    template, settings
):
    draw = random.Random(2)
    rows = list({str(row): row for row in (template(draw) for _ in range(300))}.values())
    groups = duplicate_groups(whole_of(rows, settings))
    assert (groups != numpy.arange(len(rows))).sum() == 0


def test_the_starter_data_are_all_of_one_template_and_hold_no_duplicates(settings):
    from studio.data.lab.look import open_whole

    groups = duplicate_groups(open_whole(Data(), settings))
    assert len(groups) == 720 and (groups == numpy.arange(720)).all()


def test_a_copy_inside_a_family_of_one_template_is_found(settings):
    draw = random.Random(3)
    rows = [long_instruction(draw) for _ in range(200)]
    rows.append({key: text.upper() for key, text in rows[17].items()})
    groups = duplicate_groups(whole_of(rows, settings))
    assert groups[200] == groups[17]


def test_another_number_or_label_makes_another_row(settings):
    text = " ".join(sentence(random.Random(4), 40))
    rows = [pair(text, "It weighs 200 grams in all."), pair(text, "It weighs 250 grams in all.")]
    assert list(duplicate_groups(whole_of(rows, settings))) == [0, 1]
    judged = [pair(text, "Yes, it does.", label=label) for label in (True, False)]
    assert list(duplicate_groups(whole_of(judged, settings, name="kto.jsonl"))) == [0, 1]


def test_turns_are_compared_and_the_system_turn_is_not(settings):
    draw = random.Random(5)
    system, asked, answered = (" ".join(sentence(draw, 20)) for _ in range(3))
    other = " ".join(sentence(draw, 20))
    roles = ("system", "user", "assistant")
    rows = [chat(system, asked, answered, roles=roles), chat(other, asked, answered, roles=roles),
            chat(system, other, answered, roles=roles)]
    assert list(duplicate_groups(whole_of(rows, settings))) == [0, 0, 2]


def test_scripts_without_spaces_are_compared_by_character(settings):
    text = "昔々あるところにおじいさんとおばあさんが住んでいました。二人は山へ行きました。"
    rows = [pair(text, "はい。"), pair(text.replace("。", "！"), "はい"),
            pair("今日は天気がとても良いので散歩に行きます。", "いいえ。")]
    assert list(duplicate_groups(whole_of(rows, settings))) == [0, 0, 2]


def test_first_of_equal_names_the_first_place_of_each_value():
    values = numpy.array([7, 3, 7, 3, 9, 7], dtype=numpy.uint64)
    assert list(first_of_equal(values)) == [0, 1, 0, 1, 4, 0]
    assert len(first_of_equal(values[:0])) == 0


def test_pairs_join_groups_through_a_third_row():
    groups = numpy.arange(6, dtype=numpy.uint32)
    pairs = numpy.array([[2, 5], [1, 2], [3, 4]], dtype=numpy.uint32)
    assert list(joined(groups, pairs)) == [0, 1, 1, 3, 3, 1]


def test_candidates_are_pairs_of_alike_signatures_each_once():
    draw = numpy.random.default_rng(0)
    signatures = draw.integers(0, 256, (500, SIGNATURE_BYTES), dtype=numpy.uint8)
    signatures[400] = signatures[30]
    signatures[450] = signatures[7]
    signatures[450, :6] += 1
    pairs = candidate_pairs(signatures, numpy.arange(500, dtype=numpy.uint32))
    assert pairs.tolist() == [[30, 400], [7, 450]]
