"""How much memory a process holds for its models and answers, apart from its libraries."""

from __future__ import annotations

from studio.hardware.resident import forget_peak, peak_resident_bytes, resident_bytes


class Peak:
    """Begins when it is made: imports what answers need, and looks at what is held then.

    In bytes, of a CUDA GPU's memory where there is one, else of main memory.
    """

    def __init__(self) -> None:
        import peft  # noqa: F401
        import torch
        import transformers.models.auto.modeling_auto  # noqa: F401

        self._cuda = torch.cuda if torch.cuda.is_available() else None
        self._libraries_bytes = 0 if self._cuda else resident_bytes()
        self._loading_bytes = 0

    def models_are_loaded(self) -> None:
        """What follows is answering; where the mark cannot start anew, loading counts to it."""
        self._loading_bytes = self._highest()
        if self._cuda is not None:
            self._cuda.reset_peak_memory_stats()
        else:
            forget_peak()

    def told(self) -> dict[str, int]:
        """The most that was held while loading and while answering, without the libraries."""
        return {"libraries_bytes": self._libraries_bytes,
                "loading_bytes": self._loading_bytes - self._libraries_bytes,
                "answering_bytes": self._highest() - self._libraries_bytes}

    def _highest(self) -> int:
        if self._cuda is not None:
            return int(self._cuda.max_memory_allocated())
        return peak_resident_bytes()
