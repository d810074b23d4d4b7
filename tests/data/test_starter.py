"""The task that comes with the studio: made by its script, varied, and with no leak."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

from studio.data.reading.sources import starter_file, starter_files
from studio.data.score import Score, score_json
from studio.recipe.taught import JUDGED, PREFERENCES, TEXTS

INSTRUCTION = re.compile(r"^Turn this order into JSON[^\n]*\n\n")


def pairs(path: Path) -> list[tuple[str, str]]:
    rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    for row in rows:
        assert [turn["role"] for turn in row["messages"]] == ["user", "assistant"]
    return [(row["messages"][0]["content"], row["messages"][1]["content"]) for row in rows]


def test_the_script_makes_the_same_bytes_again(tmp_path):
    train, _ = starter_files()
    script = train.parent / "make.py"
    subprocess.run([sys.executable, "-B", str(script), str(tmp_path)], check=True)
    for made in tmp_path.glob("*.jsonl"):
        assert made.read_bytes() == (train.parent / made.name).read_bytes()
    assert {path.name for path in train.parent.glob("*.jsonl")} == {
        path.name for path in tmp_path.glob("*.jsonl")}


def rows_of(spec: str) -> list[dict]:
    lines = starter_file(spec).read_text(encoding="utf-8").splitlines()
    return [json.loads(line) for line in lines]


def test_in_every_preference_the_right_record_is_chosen_over_another():
    rows = rows_of(PREFERENCES)
    assert len(rows) == 300
    right = [row["chosen"][0]["content"] for row in rows]
    spoilt = [row["rejected"][0]["content"] for row in rows]
    score = score_json(spoilt, right)
    assert score.exact == 0  # no spoilt record says the same in other words
    assert 0.4 < score.valid_json / len(rows) < 0.9
    assert score_json(right, right).exact == len(rows)
    for row, answer in zip(rows, right, strict=True):
        for item in json.loads(answer)["items"]:
            assert item["name"] in row["prompt"][0]["content"].lower()


def test_about_half_of_the_judged_records_are_good_and_these_are_whole():
    rows = rows_of(JUDGED)
    good = [json.loads(row["completion"][0]["content"]) for row in rows if row["label"]]
    assert len(rows) == 300 and 120 < len(good) < 180
    assert all(list(record) == ["customer", "items", "city", "day"] for record in good)


def test_no_order_stands_in_two_sets():
    sets = [[prompt for path in starter_files() for prompt, _ in pairs(path)],
            *([row["prompt"][0]["content"] for row in rows_of(spec)]
              for spec in (PREFERENCES, JUDGED))]
    orders = [INSTRUCTION.sub("", prompt).lower() for prompts in sets for prompt in prompts]
    assert len(set(orders)) == len(orders)
    book = "\n".join(row["text"] for row in rows_of(TEXTS)).lower()
    assert not [order for order in orders if order.replace("\n", " / ") + "”" in book]


def test_the_order_book_has_pages_of_different_lengths():
    words = sorted(len(row["text"].split()) for row in rows_of(TEXTS))
    assert len(words) > 30
    assert words[-1] > 4 * words[0]


def test_there_are_enough_examples_and_none_twice():
    train, held_out = (pairs(path) for path in starter_files())
    assert len(train) >= 500 and len(held_out) == 60
    orders = [INSTRUCTION.sub("", prompt).lower() for prompt, _ in train + held_out]
    assert len(set(orders)) == len(orders)
    answers = [answer for _, answer in train + held_out]
    assert len(set(answers)) == len(answers)


def test_every_answer_is_strict_json_with_the_same_keys():
    for _, answer in [pair for path in starter_files() for pair in pairs(path)]:
        value = json.loads(answer)
        assert list(value) == ["customer", "items", "city", "day"]
        assert value["items"]
        for item in value["items"]:
            assert list(item) == ["name", "quantity"]
            assert type(item["quantity"]) is int and item["quantity"] > 0


def test_what_the_answer_holds_stands_in_the_order():
    for prompt, answer in [pair for path in starter_files() for pair in pairs(path)]:
        order, value = prompt.lower(), json.loads(answer)
        for part in (value["customer"], value["city"]):
            assert part is None or part.lower() in order
        assert value["day"] is None or value["day"][:3].lower() in order
        for item in value["items"]:
            assert item["name"] in order


def test_the_orders_are_varied_and_the_held_out_ones_say_new_things():
    train, held_out = (pairs(path) for path in starter_files())

    def pattern(prompt: str) -> str:
        """The wording with numbers and capitalised words taken out."""
        return re.sub(r"\d+|\b[A-Z]\w*", "_", INSTRUCTION.sub("", prompt))

    assert len({pattern(prompt) for prompt, _ in train}) > 0.9 * len(train)
    known = set(re.findall(r"[a-z]+", " ".join(prompt for prompt, _ in train).lower()))
    fresh = [prompt for prompt, _ in held_out
             if set(re.findall(r"[a-z]{4,}", prompt.lower())) - known]
    assert len(fresh) >= 15


def test_the_score_counts_valid_and_exact_answers():
    right = '{"a": 1, "b": [true]}'
    answers = [right, ' {"b":[true],"a":1}\n', '{"a": 1, "b": [1]}', '{"a": 1.0, "b": [true]}',
               "Here: {}", "[1]", "", '{"a": NaN}', f"{right} {right}",
               '{"a": 1, "a": 1, "b": [true]}']
    assert score_json(answers, [right] * 10) == Score(total=10, valid_json=4, exact=2)
    assert score_json([], []).exact_percent == 0
    assert score_json([right], [right]).exact_percent == 100
