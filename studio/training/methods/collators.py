"""Micro-batches of pairs and of judged answers, padded on the right, as TRL's trainers read them.

What carries loss comes from our own labels, so that it is what the page shows: of a conversation
with several turns only the assistant's, and nothing behind the end of the last.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch

Row = dict[str, Any]


@dataclass(frozen=True)
class PairCollator:
    """Rows with chosen_ids, chosen_labels, rejected_ids, rejected_labels become one batch.

    The chosen answers come first, then the rejected ones: input_ids, attention_mask and
    completion_mask have shape (2 x rows, tokens).
    """

    pad_token_id: int

    def __call__(self, rows: Sequence[Row]) -> dict[str, torch.Tensor]:
        kinds = ("chosen", "rejected")
        return padded([row[f"{kind}_ids"] for kind in kinds for row in rows],
                      [row[f"{kind}_labels"] for kind in kinds for row in rows],
                      self.pad_token_id)


@dataclass(frozen=True)
class JudgedCollator:
    """Rows with input_ids, labels and is_good become one batch of as many rows.

    With `compares` each prompt comes a second time, with the answer of the row before: what KTO
    (arXiv:2402.01306, section 4.1) measures the distance from the start with. Those are the tensors
    whose names begin with KL_.
    """

    pad_token_id: int
    max_length: int
    compares: bool

    def __call__(self, rows: Sequence[Row]) -> dict[str, torch.Tensor]:
        import torch

        batch = padded([row["input_ids"] for row in rows], [row["labels"] for row in rows],
                       self.pad_token_id)
        batch["label"] = torch.tensor([row["is_good"] for row in rows])
        if self.compares:
            mixed = [self._mixed(row, before)
                     for row, before in zip(rows, [rows[-1], *rows[:-1]], strict=True)]
            others = padded([ids for ids, _ in mixed], [labels for _, labels in mixed],
                            self.pad_token_id)
            batch |= {f"KL_{name}": value for name, value in others.items()}
        return batch

    def _mixed(self, row: Row, before: Row) -> tuple[list[int], list[int]]:
        """The prompt of `row` with the answer of `before`."""
        prompt, answer = row["input_ids"][:_answer_at(row)], _answer_at(before)
        ids = [*prompt, *before["input_ids"][answer:]]
        labels = [*[-100] * len(prompt), *before["labels"][answer:]]
        return ids[:self.max_length], labels[:self.max_length]


def _answer_at(row: Row) -> int:
    """The number of the first token that carries loss."""
    return next(at for at, label in enumerate(row["labels"]) if label != -100)


def padded(
    ids: Sequence[list[int]], labels: Sequence[list[int]], pad_token_id: int
) -> dict[str, torch.Tensor]:
    """input_ids, attention_mask and completion_mask, all (rows, tokens of the longest), int64."""
    import torch
    from torch.nn.utils.rnn import pad_sequence

    def filled(rows: Sequence[Sequence[int]], value: int) -> torch.Tensor:
        tensors = [torch.tensor(row, dtype=torch.long) for row in rows]
        return pad_sequence(tensors, batch_first=True, padding_value=value)

    return {
        "input_ids": filled(ids, pad_token_id),
        "attention_mask": filled([[1] * len(row) for row in ids], 0),
        "completion_mask": filled([[int(label != -100) for label in row] for row in labels], 0),
    }
