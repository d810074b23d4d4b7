"""Libraries are imported once, and the search for garbage is as it was before."""

from __future__ import annotations

import gc
import subprocess
import sys

import pytest

from studio.training.libraries import load_libraries

_SCRIPT = """
import gc, sys
from studio.training.libraries import load_libraries
load_libraries()
assert {"torch", "transformers", "peft", "trl", "datasets"} <= sys.modules.keys()
assert gc.isenabled() and gc.get_freeze_count() > 100_000
before = gc.get_freeze_count()
load_libraries()
assert gc.get_freeze_count() == before
"""


def test_a_new_program_sets_the_libraries_objects_aside() -> None:
    found = subprocess.run([sys.executable, "-c", _SCRIPT], capture_output=True, text=True,
                           encoding="utf-8", check=False)
    assert found.returncode == 0, found.stderr


def test_where_torch_is_there_already_nothing_is_set_aside(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A model could be among what is set aside, and would never be freed."""
    import torch  # noqa: F401

    monkeypatch.setattr("studio.training.libraries._are_loaded", False)
    before = gc.get_freeze_count()
    load_libraries()
    assert gc.isenabled() and gc.get_freeze_count() <= before
