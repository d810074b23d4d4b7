"""Examples of similar length side by side, so that less of a micro-batch is padding.

transformers' own sampler, whose order is drawn from the data's seed and the epoch alone: its own
draws from torch's generator, where a run that goes on from a checkpoint would find other numbers.
Whether to: `choices.py`.
"""

from __future__ import annotations

import functools
import random
from collections.abc import Sequence
from typing import Any

STRATEGY = "group_by_length"
"""transformers' name for it, in the arguments' `train_sampling_strategy`."""


def padding_share(lengths: Sequence[int], batch_size: int, seed: int) -> float:
    """Share of the computed tokens that would be padding, the rows shuffled; 0 to 1.

    `lengths` are the tokens of each row, which micro-batches of `batch_size` pad to their longest.
    """
    order = list(lengths)
    random.Random(seed).shuffle(order)
    batches = [order[start:start + batch_size] for start in range(0, len(order), batch_size)]
    computed = sum(max(batch) * len(batch) for batch in batches)
    return 1 - sum(order) / computed if computed else 0.0


def grouped_sampler(lengths: list[int], examples_per_step: int, seed: int) -> Any:
    """A sampler of row numbers; `lengths` are the tokens of each row."""
    import torch

    sampler = _sampler_class()(examples_per_step, lengths=lengths, generator=torch.Generator())
    sampler.seed = seed
    sampler.set_epoch(0)
    return sampler


@functools.cache
def _sampler_class() -> Any:
    from transformers.trainer_pt_utils import LengthGroupedSampler

    class EpochGroupedSampler(LengthGroupedSampler):
        """Told the epoch by the data loader, also when a run goes on in the midst of one."""

        def set_epoch(self, epoch: int) -> None:
            self.generator.manual_seed(self.seed + epoch)

    return EpochGroupedSampler
