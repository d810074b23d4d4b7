"""The starter task for methods that learn from something else than answers to imitate.

preferences.jsonl: an order with a right and a spoilt record (dpo, orpo, reward). judged.jsonl: an
order with one record, and whether it is right (kto). texts.jsonl: pages of the shop's order book
as plain text (pretrain). Called by `make.py`; rewarded answers (grpo, rloo) take train.jsonl.
"""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from typing import Any

PREFERENCES, JUDGED = 300, 300
"""Orders of either set; the others fill the order book."""
LONGEST_PAGE_ORDERS = 12

Pair = tuple[str, str]
"""(prompt, right answer)"""


def files(pairs: list[Pair], rng: random.Random) -> dict[str, str]:
    """Name -> content of each file."""
    judged = pairs[PREFERENCES:PREFERENCES + JUDGED]
    return {
        "preferences.jsonl": _lines([_preference(pair, rng) for pair in pairs[:PREFERENCES]]),
        "judged.jsonl": _lines([_judged(pair, rng) for pair in judged]),
        "texts.jsonl": _lines(_pages(pairs[PREFERENCES + JUDGED:], rng)),
    }


def spoilt(answer: str, rng: random.Random) -> str:
    """A record as a model without training might write it: readable, but not what was asked."""
    return rng.choice(_MISTAKES)(json.loads(answer), rng)


def _preference(pair: Pair, rng: random.Random) -> dict[str, Any]:
    prompt, answer = pair
    return {"prompt": _turn("user", prompt), "chosen": _turn("assistant", answer),
            "rejected": _turn("assistant", spoilt(answer, rng))}


def _judged(pair: Pair, rng: random.Random) -> dict[str, Any]:
    prompt, answer = pair
    is_right = rng.random() < 0.5
    given = answer if is_right else spoilt(answer, rng)
    return {"prompt": _turn("user", prompt), "completion": _turn("assistant", given),
            "label": is_right}


def _pages(pairs: list[Pair], rng: random.Random) -> list[dict[str, str]]:
    """A few orders a page, or many."""
    pages = []
    while pairs:
        count = rng.randint(2, LONGEST_PAGE_ORDERS)
        pages.append({"text": f"Order book, page {len(pages) + 1}\n\n"
                      + "\n\n".join(_entry(pair) for pair in pairs[:count])})
        pairs = pairs[count:]
    return pages


def _entry(pair: Pair) -> str:
    prompt, answer = pair
    order = prompt.split("\n\n", 1)[-1].replace("\n", " / ")
    record = json.loads(answer)
    items = ", ".join(f"{one['quantity']} x {one['name']}" for one in record["items"])
    return (f"“{order}”\nEntered as {items}. Customer: {record['customer'] or 'not said'}. "
            f"City: {record['city'] or 'not said'}. Day: {record['day'] or 'not said'}.")


def _turn(role: str, content: str) -> list[dict[str, str]]:
    return [{"role": role, "content": content}]


def _lines(rows: list[dict[str, Any]]) -> str:
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)


def _with_words(record: dict[str, Any], rng: random.Random) -> str:
    opening = rng.choice(["Sure! Here is the order:", "Here is the JSON you asked for:",
                          "The order in JSON:"])
    return f"{opening}\n{json.dumps(record, ensure_ascii=False)}"


def _as_prose(record: dict[str, Any], rng: random.Random) -> str:
    items = ", ".join(f"{one['quantity']} {one['name']}" for one in record["items"])
    return f"{record['customer'] or 'The customer'} wants {items}."


def _miscounted(record: dict[str, Any], rng: random.Random) -> str:
    one = rng.choice(record["items"])
    one["quantity"] += rng.choice([1, 2, 10])
    return json.dumps(record, ensure_ascii=False)


def _key_missing(record: dict[str, Any], rng: random.Random) -> str:
    del record[rng.choice(["customer", "city", "day"])]
    return json.dumps(record, ensure_ascii=False)


def _key_too_many(record: dict[str, Any], rng: random.Random) -> str:
    return json.dumps({**record, "urgent": rng.random() < 0.5}, ensure_ascii=False)


def _made_up(record: dict[str, Any], rng: random.Random) -> str:
    """Empty fields filled in; where there is none, the number as a text."""
    if None in record.values():
        record = {key: "unknown" if value is None else value for key, value in record.items()}
    else:
        record["items"] = [{**one, "quantity": str(one["quantity"])} for one in record["items"]]
    return json.dumps(record, ensure_ascii=False)


_MISTAKES: tuple[Callable[[dict[str, Any], random.Random], str], ...] = (
    _with_words, _as_prose, _miscounted, _key_missing, _key_too_many, _made_up)
