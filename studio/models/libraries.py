"""Manners for the libraries underneath: quiet on the terminal, short messages, one at a time."""

from __future__ import annotations

import logging
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

_making_a_model = threading.RLock()


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


@contextmanager
def made_in_turn() -> Iterator[None]:
    """Inside the block no other thread makes a model's modules or puts an adapter's on one.

    Libraries change torch for all threads meanwhile: its default number format, how it begins
    parameters.
    """
    with _making_a_model:
        yield


def make_models_in_turn() -> None:
    """From now on threads wait for each other where transformers makes a model's modules.

    Meanwhile it sets torch's default number format, which all threads share: a model that loads
    while the page counts another one's parameters would get weights of both formats. Making the
    modules takes a moment; reading the weights is not waited for.
    """
    from transformers import modeling_utils

    with _making_a_model:
        inner = modeling_utils.local_torch_dtype
        if getattr(inner, "takes_turns", False):
            return

        @contextmanager
        def in_turn(*args: Any, **kwargs: Any) -> Iterator[None]:
            with _making_a_model, inner(*args, **kwargs):
                yield

        in_turn.takes_turns = True  # type: ignore[attr-defined]
        modeling_utils.local_torch_dtype = in_turn
