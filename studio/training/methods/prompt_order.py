"""In which order prompts are answered: each several times in a row, a new order in every epoch.

Stands in for TRL's RepeatSampler, which begins with the first epoch's order again after a resume,
and never shows the prompts that do not fill a last step.
"""

from __future__ import annotations

from collections.abc import Iterator


class PromptOrder:
    """Rows to answer, as torch's data loader takes them.

    A step has `prompts_per_step` different prompts, each `answers` times in a row; the step comes
    `repeats` times before the next, since so many micro-batches are made of it. The last step is
    filled up with the first prompts of the epoch.
    """

    def __init__(
        self, rows: int, *, answers: int, prompts_per_step: int, repeats: int, seed: int
    ) -> None:
        self._rows, self._answers = rows, answers
        self._per_step, self._repeats, self._seed = prompts_per_step, repeats, seed
        self._epoch = 0

    def set_epoch(self, epoch: int) -> None:
        """Called before each epoch, also after a resume."""
        self._epoch = epoch

    def __iter__(self) -> Iterator[int]:
        import torch

        generator = torch.Generator().manual_seed(self._seed + self._epoch)
        order = torch.randperm(self._rows, generator=generator).tolist()
        for first in range(0, self._rows, self._per_step):
            step = [order[(first + at) % self._rows] for at in range(self._per_step)]
            for _ in range(self._repeats):
                for row in step:
                    yield from [row] * self._answers

    def __len__(self) -> int:
        steps = -(-self._rows // self._per_step)
        return steps * self._per_step * self._answers * self._repeats
