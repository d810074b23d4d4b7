"""The states of all random generators that a training draws from, to be put back later.

Dropout draws from torch's, on the device that trains; Python's and numpy's belong to whatever a
library may shuffle.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class RandomStates:
    """Of Python, numpy, torch on the CPU, and torch on the GPU where it is used."""

    python: Any
    numpy: Any
    cpu: Any
    cuda: Any

    @classmethod
    def now(cls) -> RandomStates:
        """As they are at this moment."""
        import numpy
        import torch

        # Asking for the state of a GPU that nothing has used yet would wake it up.
        cuda = torch.cuda.get_rng_state() if torch.cuda.is_initialized() else None
        return cls(random.getstate(), numpy.random.get_state(), torch.get_rng_state(), cuda)

    def restore(self) -> None:
        """Make the next random numbers those that would have come at that moment."""
        import numpy
        import torch

        random.setstate(self.python)
        numpy.random.set_state(self.numpy)
        torch.set_rng_state(self.cpu)
        if self.cuda is not None:
            torch.cuda.set_rng_state(self.cuda)
