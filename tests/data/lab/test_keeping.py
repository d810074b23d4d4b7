"""The cache of sets does not grow without end."""

from __future__ import annotations

import os
import time

from studio.data.lab.keeping import KEPT_SETS
from studio.data.lab.look import inspect
from studio.recipe import Data


def test_sets_that_were_not_used_for_longest_are_forgotten(write, settings):
    first = Data(source=write("0.jsonl", [{"text": "number 0"}]))
    inspect(first, settings)
    [oldest] = (settings.cache / "data").iterdir()
    for number in range(1, KEPT_SETS + 1):
        os.utime(oldest, (time.time() - 1000,) * 2)
        inspect(Data(source=write(f"{number}.jsonl", [{"text": f"number {number}"}])), settings)
    assert not oldest.exists()
    assert len(list((settings.cache / "data").iterdir())) == KEPT_SETS
    assert inspect(first, settings).rows == 1


def test_a_set_in_use_stays(write, settings):
    data = Data(source=write("0.jsonl", [{"text": "number 0"}]))
    inspect(data, settings)
    [kept] = (settings.cache / "data").iterdir()
    for number in range(1, KEPT_SETS + 3):
        inspect(Data(source=write(f"{number}.jsonl", [{"text": f"number {number}"}])), settings)
        os.utime(kept, (time.time() - 1000,) * 2)
        inspect(data, settings)
    assert kept.exists()
