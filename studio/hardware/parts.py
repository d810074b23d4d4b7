"""The pieces of a memory estimate: bytes with the sentence that explains them."""

from __future__ import annotations

from dataclasses import dataclass

from studio.files import readable_bytes


@dataclass(frozen=True)
class PartBytes:
    """One part of the memory at the peak. `formula` is a sentence with this recipe's figures."""

    name: str
    bytes: int
    formula: str


def part(name: str, size: float, formula: str) -> PartBytes:
    """A part whose formula ends in its size."""
    return PartBytes(name, round(size), f"{formula} = {readable_bytes(size)}.")


def gone(piece: PartBytes, when: str) -> PartBytes:
    """`piece` as nothing, because it is freed or not yet made at the peak."""
    return PartBytes(piece.name, 0, f"Nothing at the peak, which is {when}. {piece.formula}")


def joined(piece: PartBytes, other: PartBytes) -> PartBytes:
    """`piece` with `other` in it; as it was where there is nothing of the other."""
    if not other.bytes:
        return piece
    return PartBytes(piece.name, piece.bytes + other.bytes, f"{piece.formula} And {other.formula}")


def millions(count: float) -> str:
    """1536000 -> '1.5 million', the way parameters are spoken of."""
    if count >= 1e9:
        return f"{count / 1e9:.2f} billion"
    return f"{count / 1e6:.1f} million" if count >= 1e5 else f"{count:,.0f}"
