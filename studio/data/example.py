"""One example as the trainer gets it: encoded tokens, cut to the maximum length, with labels."""

from __future__ import annotations

from dataclasses import dataclass

from studio.data.encode import NO_LOSS, Encoded


@dataclass(frozen=True)
class Example:
    """`text` is the whole rendering; `input_ids` and `labels` (-100: no loss) are cut to
    max_length, `cut_tokens` were cut off. `ends[i]` is where token i ends in `text`.
    """

    text: str
    input_ids: list[int]
    labels: list[int]
    truncated: bool
    cut_tokens: int
    ends: list[int]

    @property
    def pieces(self) -> list[tuple[str, bool]]:
        """(text of the token, carries loss), one per token; joined they are the kept text.

        A character that takes several tokens is shown at the last of them.
        """
        start = 0
        shown = []
        for end, label in zip(self.ends, self.labels, strict=True):
            shown.append((self.text[start:end], label != NO_LOSS))
            start = max(start, end)
        return shown

    @property
    def cut_text(self) -> str:
        """What the model never sees, because it lies behind max_length."""
        return self.text[max(self.ends, default=0):] if self.truncated else ""

    @property
    def loss_tokens(self) -> int:
        """Tokens that are learned. The first token is never predicted, so it does not count."""
        return sum(label != NO_LOSS for label in self.labels[1:])


def example_of(encoded: Encoded, max_length: int) -> Example:
    """`encoded` cut to `max_length` tokens; it must have been made with offsets."""
    ids = encoded.ids[:max_length].tolist()
    cut = len(encoded.ids) - len(ids)
    return Example(encoded.text, ids, labels_of(ids, encoded.loss), cut > 0, cut,
                   [end for _, end in encoded.offsets[:max_length]])


def part_of(encoded: Encoded, start: int, end: int) -> Example:
    """The tokens `start` to `end` of a divided text, all of them learned, as an example of its own;
    `encoded` must have been made with offsets."""
    ids = encoded.ids[start:end].tolist()
    first = encoded.offsets[start][0]
    ends = [max(0, at - first) for _, at in encoded.offsets[start:end]]
    text = encoded.text[first:max(at for _, at in encoded.offsets[start:end])]
    return Example(text, ids, labels_of(ids, [(0, len(ids))]), False, 0, ends)


def labels_of(ids: list[int], loss: list[tuple[int, int]]) -> list[int]:
    """`ids` where a token is learned, -100 elsewhere."""
    labels = [NO_LOSS] * len(ids)
    for start, end in loss:
        labels[start:end] = ids[start:end]
    return labels
