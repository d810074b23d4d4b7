"""Makes the starter task: orders in free text, and the strict JSON that a shop wants from them.

`python assets/starter/make.py [FOLDER]` writes train.jsonl and heldout.jsonl, and of further orders
the sets of `other_methods.py`, byte for byte the same every time. An order is put together from a
main sentence and loose ones for whatever that leaves unsaid, in one of four registers, with
passages that mean nothing, slips of the keyboard, and parts that are missing. The held-out orders
use some wordings, names, cities and goods that no training order has. Words are in `words.py`;
needs only the standard library.
"""

from __future__ import annotations

import json
import random
import re
import sys
from dataclasses import dataclass
from pathlib import Path

import other_methods
import words

SEED = 20_26
TRAIN_EXAMPLES = 720
HELD_OUT_EXAMPLES = 60
FURTHER_EXAMPLES = 900
INSTRUCTION = "Turn this order into JSON with customer, items, city, day."
LONGEST_ORDER_CHARACTERS = 260

_VALUE = re.compile("\x01(.*?)\x02", re.DOTALL)
"""Marks around what must be copied into the answer, so that no slip falls into it."""


@dataclass(frozen=True)
class Order:
    """What the answer says. None: the text does not say it."""

    customer: str | None
    items: tuple[tuple[str, int], ...]
    city: str | None
    day: str | None

    def as_json(self) -> str:
        items = [{"name": name, "quantity": quantity} for name, quantity in self.items]
        return json.dumps({"customer": self.customer, "items": items, "city": self.city,
                           "day": self.day}, ensure_ascii=False)


class Writer:
    """Writes orders. `unseen`: draws some of the words that training orders never use."""

    def __init__(self, rng: random.Random, *, unseen: bool) -> None:
        self.rng = rng
        self.unseen = unseen

    def pick(self, usual: list[str], unseen: list[str], share: float = 0.3) -> str:
        """One of the usual words, or now and then one that is kept for the held-out part."""
        if self.unseen and unseen and self.rng.random() < share:
            return self.rng.choice(unseen)
        return self.rng.choice(usual)

    def order(self) -> Order:
        """A random order; customer, city, and day are missing now and then."""
        chance = self.rng.random
        count = self.rng.choices([1, 2, 3], weights=[48, 40, 12])[0]
        names: dict[str, int] = {}
        while len(names) < count:
            names.setdefault(self._goods(), self._quantity())
        return Order(
            customer=None if chance() < 0.12 else self.pick(words.NAMES, words.UNSEEN_NAMES),
            items=tuple(names.items()),
            city=None if chance() < 0.2 else self.pick(words.CITIES, words.UNSEEN_CITIES),
            day=None if chance() < 0.22 else self._day(),
        )

    def _goods(self) -> str:
        name = self.pick(words.GOODS, words.UNSEEN_GOODS)
        if self.rng.random() < 0.25:
            return f"{self.rng.choice(words.ADJECTIVES)} {name}"
        return name

    def _quantity(self) -> int:
        return self.rng.choices([1, self.rng.randint(2, 6), self.rng.randint(7, 30), 12],
                                weights=[25, 50, 20, 5])[0]

    def _day(self) -> str:
        kind = self.rng.random()
        if kind < 0.72:
            return self.rng.choice(words.WEEKDAYS)
        if kind < 0.84:
            return self.rng.choice(["today", "tomorrow"])
        return f"{self.rng.randint(1, 28)} {self.rng.choice(words.MONTHS)}"

    def text(self, order: Order) -> str:
        """The order as somebody might write it."""
        register = self.rng.choices(["polite", "chat", "note", "form"], weights=[34, 30, 24, 12])[0]
        text = self._form(order) if register == "form" else self._sentences(order, register)
        if register in ("chat", "note"):
            text = self._slips(text)
        return self._cased(_VALUE.sub(r"\1", text), register)

    def _sentences(self, order: Order, register: str) -> str:
        said = self._said(order)
        main = self._main_sentence(register, said)
        open_slots = [slot for slot in said if f"{{{slot}}}" not in main]
        loose = [self.pick(words.LOOSE[register][slot], words.UNSEEN_LOOSE[register].get(slot, []))
                 for slot in open_slots]
        loose += self._urgency(register)
        if self.rng.random() < 0.4:
            loose.append(self.pick(words.ASIDES, words.UNSEEN_ASIDES))
        self.rng.shuffle(loose)
        where = self.rng.randint(0, len(loose)) if self.rng.random() < 0.5 else 0
        parts = [*loose[:where], main, *loose[where:]]
        parts = self._greeted(parts, order, register, already="{customer}" in " ".join(parts))
        return self._joined(parts, register).format(**{
            slot: f"\x01{value}\x02" for slot, value in said.items()})

    def _said(self, order: Order) -> dict[str, str]:
        """slot -> how it is written here, for what the order says at all."""
        said = {"items": self._items(order.items), "customer": order.customer,
                "city": order.city, "day": self._written_day(order.day)}
        return {slot: value for slot, value in said.items() if value is not None}

    def _main_sentence(self, register: str, said: dict[str, str]) -> str:
        usual, unseen = words.MAIN[register], words.UNSEEN_MAIN[register]
        fits = [text for text in usual if set(re.findall(r"{(\w+)}", text)) <= set(said)]
        rare = [text for text in unseen if set(re.findall(r"{(\w+)}", text)) <= set(said)]
        return self.pick(fits, rare, share=0.45)

    def _urgency(self, register: str) -> list[str]:
        """Haste or patience, which the answer does not ask for: to be left out."""
        chance = self.rng.random()
        if chance < 0.2:
            return [self.pick(words.URGENT[register], words.UNSEEN_URGENT)]
        return [self.pick(words.NOT_URGENT, [])] if chance < 0.35 else []

    def _greeted(self, parts: list[str], order: Order, register: str, already: bool) -> list[str]:
        if register == "polite" and self.rng.random() < 0.6:
            parts = [self.rng.choice(words.GREETINGS), *parts]
        if already and self.rng.random() < 0.3 and register == "polite":
            parts = [*parts, self.rng.choice(words.THANKS)]
        return parts

    def _joined(self, parts: list[str], register: str) -> str:
        mark = {"polite": [". "], "chat": [", ", ". ", " "], "note": [". ", "; ", " - "]}[register]
        separator = self.rng.choice(mark)
        text = ""
        for part in parts:
            ended = part.endswith(("?", "!", ".", ","))
            text += part + (" " if ended else separator)
        text = text.strip(" ,;-")
        ended = text.endswith(("?", "!", "."))
        return text if ended or register != "polite" else text + "."

    def _form(self, order: Order) -> str:
        """Labels and values, as somebody fills in a slip; empty ones left out or dashed."""
        labels = {slot: self.pick(words.LABELS[slot], words.UNSEEN_LABELS.get(slot, []))
                  for slot in ("customer", "items", "city", "day")}
        said = self._said(order)
        lines = [f"{label}: \x01{said[slot]}\x02" if slot in said else f"{label}: -"
                 for slot, label in labels.items() if slot in said or self.rng.random() < 0.4]
        self.rng.shuffle(lines)
        if self.rng.random() < 0.2:
            lines.insert(self.rng.randint(0, len(lines)),
                         self.pick(words.URGENT["form"], words.UNSEEN_URGENT))
        return self.rng.choice(["\n", " / ", "; ", " | "]).join(lines)

    def _items(self, items: tuple[tuple[str, int], ...]) -> str:
        style = self.rng.choices(["words", "digits", "mixed", "times", "after"],
                                 weights=[25, 30, 25, 12, 8])[0]
        parts = [self._item(name, quantity, style) for name, quantity in items]
        if style in ("times", "after") or len(parts) == 1:
            return ", ".join(parts)
        last = self.rng.choice([" and ", " and ", ", plus ", " & ", ", and "])
        return ", ".join(parts[:-1]) + last + parts[-1]

    def _item(self, name: str, quantity: int, style: str) -> str:
        plural = name if quantity == 1 else words.plural(name)
        if style == "times":
            return self.rng.choice([f"{quantity}x {name}", f"{quantity} x {name}"])
        if style == "after":
            return self.rng.choice([f"{name} x{quantity}", f"{plural} ({quantity})"])
        if style == "mixed":
            style = self.rng.choice(["words", "digits"])
        if style == "digits" or quantity not in words.NUMBERS:
            return f"{quantity} {plural}"
        return f"{self.rng.choice(words.NUMBERS[quantity](name))} {plural}"

    def _written_day(self, day: str | None) -> str | None:
        if day in words.WEEKDAYS and self.rng.random() < 0.04:
            return day[:3]
        return day

    def _slips(self, text: str) -> str:
        """Now and then two letters swapped or one left out, never inside a value."""
        pieces = re.split("(\x01.*?\x02)", text)
        return "".join(piece if piece.startswith("\x01") else
                       re.sub(r"[a-z]{5,}", self._slip, piece) for piece in pieces)

    def _slip(self, match: re.Match[str]) -> str:
        word = match[0]
        if self.rng.random() > 0.07:
            return word
        at = self.rng.randint(1, len(word) - 2)
        if self.rng.random() < 0.5:
            return word[:at] + word[at + 1:]
        return word[:at] + word[at + 1] + word[at] + word[at + 2:]

    def _cased(self, text: str, register: str) -> str:
        if register == "chat" and self.rng.random() < 0.45:
            return text.lower()
        if register == "note" and self.rng.random() < 0.06:
            return text.upper()
        return re.sub(r"(^|[.?!] )([a-z])", lambda m: m[1] + m[2].upper(), text)


def examples(count: int, seed: int, *, unseen: bool, taken: set[str]) -> list[tuple[str, str]]:
    """`count` pairs of (prompt, answer), none of whose orders is in `taken`."""
    rng = random.Random(seed)
    writer = Writer(rng, unseen=unseen)
    pairs: list[tuple[str, str]] = []
    while len(pairs) < count:
        order = writer.order()
        text = writer.text(order)
        key = " ".join(text.lower().split())
        if key in taken or order.as_json() in taken or len(text) > LONGEST_ORDER_CHARACTERS:
            continue
        taken |= {key, order.as_json()}
        # Some bare orders in training, so that the adapter knows its task without being told.
        bare = not unseen and rng.random() < 0.2
        pairs.append((text if bare else f"{INSTRUCTION}\n\n{text}", order.as_json()))
    return pairs


def lines(pairs: list[tuple[str, str]]) -> str:
    """JSONL, one conversation of two turns a line."""
    return "".join(json.dumps({"messages": [
        {"role": "user", "content": prompt}, {"role": "assistant", "content": answer},
    ]}, ensure_ascii=False) + "\n" for prompt, answer in pairs)


def make(folder: Path) -> None:
    """Write all files; no order of one is in another."""
    taken: set[str] = set()
    held_out = examples(HELD_OUT_EXAMPLES, SEED + 1, unseen=True, taken=taken)
    train = examples(TRAIN_EXAMPLES, SEED, unseen=False, taken=taken)
    for name, pairs in (("train.jsonl", train), ("heldout.jsonl", held_out)):
        (folder / name).write_text(lines(pairs), encoding="utf-8", newline="\n")
    further = examples(FURTHER_EXAMPLES, SEED + 2, unseen=False, taken=taken)
    for name, text in other_methods.files(further, random.Random(SEED + 3)).items():
        (folder / name).write_text(text, encoding="utf-8", newline="\n")


if __name__ == "__main__":
    make(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent)
