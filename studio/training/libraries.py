"""Imports the libraries that training needs, as quickly as Python can.

Nearly a million objects are made meanwhile, none of which is ever garbage; looking through them
again and again takes a fifth of the time, and would take a part of every later training.
"""

from __future__ import annotations

import gc
import sys
import threading

from studio.import_gate import closed_gate

_lock = threading.Lock()
_are_loaded = False


def load_libraries() -> None:
    """Import them; returns at once when that is done. Whoever imports one of them by itself
    meanwhile waits for its turn."""
    global _are_loaded
    with _lock:
        if not _are_loaded:
            was_looking, is_first = gc.isenabled(), "torch" not in sys.modules
            gc.disable()
            try:
                with closed_gate():
                    import datasets  # noqa: F401
                    import peft  # noqa: F401
                    import torch  # noqa: F401
                    import transformers  # noqa: F401
                    from trl import SFTTrainer  # noqa: F401
            finally:
                if is_first:  # else a model may be among the objects already
                    gc.freeze()
                if was_looking:
                    gc.enable()
            _are_loaded = True
