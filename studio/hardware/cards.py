"""Where a recipe may be planned for: this PC, or a card from a list that nobody needs to own.

The list is assets/cards.json. A chosen card's free memory is what its driver reports less what a
desktop keeps; this PC's is read at the moment. Knows no recipe.
"""

from __future__ import annotations

import difflib
import functools
import json
import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from studio.device import Device
from studio.errors import StudioError
from studio.files import readable_bytes
from studio.hardware.calibration import calibrated
from studio.settings import gpu_blocks_stretch

if TYPE_CHECKING:
    from collections.abc import Iterable

    from studio.settings import Settings

CARDS_FILE = Path(__file__).parent.parent.parent / "assets" / "cards.json"
DESKTOP_BYTES = 800_000_000
"""What a desktop with a browser and an editor keeps of the card that drives the screen."""
THIS_PC = "This PC"
LIKE = 0.7
"""Cards as similar as this to an unknown name are suggested; 1 is the same."""

Kind = Literal["GeForce", "laptop", "workstation", "data centre"]


@dataclass(frozen=True)
class Card:
    """A graphics card on paper. `total_bytes` is what its driver reports, below the box's figure.

    `compute_capability` as NVIDIA counts: bfloat16 arithmetic came with 8.0.
    """

    name: str
    kind: Kind
    total_bytes: int
    compute_capability: tuple[int, int]

    @property
    def has_bfloat16(self) -> bool:
        """Whether it computes in bfloat16; older ones train in float16."""
        return self.compute_capability >= (8, 0)

    @property
    def free_bytes(self) -> int:
        """Left for training while the rest of the PC is used as usual."""
        return self.total_bytes - (0 if self.kind == "data centre" else DESKTOP_BYTES)

    @property
    def device(self) -> Device:
        """The card as the estimate takes it, in a PC with this PC's system."""
        return Device("cuda", self.name, "bfloat16" if self.has_bfloat16 else "float16",
                      self.total_bytes, blocks_stretch=gpu_blocks_stretch())


@dataclass(frozen=True)
class Place:
    """A device with the memory that training may take there. `note` says how that was counted."""

    name: str
    device: Device
    free_bytes: int
    is_this_pc: bool
    note: str

    @property
    def of_what(self) -> str:
        """Where a number of bytes is, to follow it: "8.0 GB" + "on the GPU"."""
        if not self.is_this_pc:
            return f"on {self.name}"
        return "on the GPU" if self.device.kind == "cuda" else "of memory"


@functools.cache
def cards() -> tuple[Card, ...]:
    """All of the list, the smallest memory first, and GeForce cards first among equals."""
    found = json.loads(CARDS_FILE.read_text(encoding="utf-8"))["cards"]
    return tuple(Card(entry["name"], entry["kind"], round(entry["usable_gib"] * 2**30),
                      tuple(entry["compute_capability"])) for entry in found)


def find_card(text: str) -> Card:
    """The card that `text` means: "RTX 4090 24 GB", "4090", "nvidia a100-80gb".

    A laptop's card wants the word laptop. Raises StudioError where none or several are meant.
    """
    words = set(_words(text)) - _MAKERS
    matching = [card for card in cards()
                if words <= set(_words(card.name))
                and ("laptop" in words or card.kind != "laptop")]
    fewest = min((len(_words(card.name)) for card in matching), default=0)
    nearest = [card for card in matching if len(_words(card.name)) == fewest]
    if words and len(nearest) == 1:
        return nearest[0]
    if words and nearest:
        raise StudioError(f"There are several cards called {text}.",
                          f"Say which: {_names(nearest)}.")
    raise StudioError(f"There is no card {text!r} in the list.", _suggestion(text))


_MAKERS = {"nvidia", "geforce", "quadro", "tesla"}


def _words(text: str) -> list[str]:
    """'RTX4060Ti' -> rtx, 4060, ti: spelling and order do not matter."""
    return re.findall(r"[a-z]+|\d+", text.casefold())


def _suggestion(text: str) -> str:
    """The cards whose words are most like those of `text`: 4061 -> 4060."""
    wanted = _words(text)
    scored = [(sum(_likeness(word, card) for word in wanted) / max(1, len(wanted)), card)
              for card in cards()]
    best = sorted(scored, key=lambda pair: -pair[0])[:3]
    near = [card for score, card in best if score >= LIKE]
    like = f"Nearest: {_names(near)}. Or take" if near else "Take"
    return f"{like} a card of the list, such as RTX 4090, and say how much memory yours has."


def _likeness(word: str, card: Card) -> float:
    return max(difflib.SequenceMatcher(None, word, other).ratio() for other in _words(card.name))


def _names(found: Iterable[Card]) -> str:
    return ", ".join(card.name for card in found)


def place_on(card: Card) -> Place:
    """A card of the list with nothing else on it but a desktop."""
    note = f"{readable_bytes(card.total_bytes)} as its driver reports"
    if card.free_bytes < card.total_bytes:
        note += f", less {readable_bytes(DESKTOP_BYTES)} that a desktop keeps"
    return Place(card.name, card.device, card.free_bytes, False, f"{note}.")


def this_pc(settings: Settings) -> Place:
    """What trains here, with the memory that is free right now and what dry runs taught. Imports
    torch."""
    from studio.device import free_device_bytes, pick_device

    device = calibrated(pick_device(), settings)
    name = "This PC's processor" if device.kind == "cpu" else f"This PC, {device.name}"
    return Place(name, device, free_device_bytes(device), True, "What is free right now.")


def find_place(
    settings: Settings, card: str | None = None, memory_gb: float | None = None
) -> Place:
    """This PC, or the card that is named, with `memory_gb` of free memory where given.

    Raises StudioError for a card that is not in the list and for memory that is none.
    """
    here = card is None or card in ("", THIS_PC)
    place = this_pc(settings) if here else place_on(find_card(str(card)))
    if memory_gb is None:
        return place
    if memory_gb <= 0:
        raise StudioError(f"{memory_gb:g} GB of memory is nothing to train in.",
                          "Give the free memory in GB, such as 7.5.")
    free = round(memory_gb * 1e9)
    device = replace(place.device, total_bytes=max(free, place.device.total_bytes))
    return replace(place, device=device, free_bytes=free,
                   note=f"{readable_bytes(free)}, as asked.")
