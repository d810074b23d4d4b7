"""While the program warms up its threads do not see halves of a library."""

from __future__ import annotations

import builtins
import sys
import threading
from pathlib import Path

import pytest

from studio import import_gate

SLOW_TO_IMPORT = """
import time
import gate_log as log
log.told.append("{name} begins")
time.sleep(0.3)
log.told.append("{name} ends")
"""


@pytest.fixture
def told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What two packages tell of their import; they count as large for the test."""
    (tmp_path / "gate_log.py").write_text("told = []\n", encoding="utf-8")
    for name in ("gate_one", "gate_two"):
        (tmp_path / f"{name}.py").write_text(
            SLOW_TO_IMPORT.format(name=name), encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(import_gate, "LARGE", frozenset({"gate_one", "gate_two"}))
    import gate_log  # type: ignore[import-not-found]

    for name in ("gate_log", "gate_one", "gate_two"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    monkeypatch.setitem(sys.modules, "gate_log", gate_log)
    return gate_log.told


def test_large_libraries_are_imported_one_after_the_other(told: list[str]) -> None:
    both_are_here = threading.Barrier(2)

    def bring_in(name: str) -> None:
        both_are_here.wait()
        __import__(name)

    with import_gate.closed_gate():
        threads = [threading.Thread(target=bring_in, args=(name,))
                   for name in ("gate_one", "gate_two")]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    first, second = told[0].split()[0], told[2].split()[0]
    assert told == [f"{first} begins", f"{first} ends", f"{second} begins", f"{second} ends"]


def test_what_is_there_is_not_waited_for(told: list[str]) -> None:
    import gate_one  # type: ignore[import-not-found]

    at_work, go_on = threading.Event(), threading.Event()

    def hold_the_gate() -> None:
        with import_gate._at_the_gate:
            at_work.set()
            go_on.wait()

    holder = threading.Thread(target=hold_the_gate)
    holder.start()
    at_work.wait()
    try:
        with import_gate.closed_gate():
            assert __import__("gate_one") is gate_one
    finally:
        go_on.set()
        holder.join()


def test_the_gate_is_gone_afterwards_also_when_an_import_failed() -> None:
    plain = builtins.__import__
    with pytest.raises(ImportError), import_gate.closed_gate():
        assert builtins.__import__ is not plain
        __import__("tokenizers.there_is_no_such_module")
    assert builtins.__import__ is plain
