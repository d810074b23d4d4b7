"""Manners for the libraries underneath: no bars and warnings on the terminal, short messages."""

from __future__ import annotations

import logging
import warnings


def first_line(error: BaseException) -> str:
    """The first line of a library's message, ended like a sentence."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    text = lines[0] if lines else type(error).__name__
    return text if text.endswith((".", "!", "?")) else text + "."


def quieten() -> None:
    """No progress bars from transformers, no notes from bitsandbytes for every layer."""
    from transformers.utils.logging import disable_progress_bar

    disable_progress_bar()
    # peft 0.21 asks transformers 5.23 under a name that is on its way out; nothing to act on.
    warnings.filterwarnings("ignore", "`is_gradient_checkpointing` is deprecated", FutureWarning)
    logging.getLogger("bitsandbytes").setLevel(logging.ERROR)
