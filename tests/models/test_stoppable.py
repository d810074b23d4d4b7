"""A stop between two weights: on the thread that asked, and on no other."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from studio.device import Device
from studio.errors import Stopped
from studio.models.folder import ModelFolder
from studio.models.loading import load_base
from studio.models.stoppable import stoppable_loading
from studio.recipe import Model

CPU = Device("cpu", "CPU", "float32", 10**10)


def _folder(path: Path) -> ModelFolder:
    return ModelFolder(path, "tiny", str(path))


def test_a_load_ends_at_the_very_weight_after_which_a_stop_was_asked(tiny_model: Path) -> None:
    asked = 0

    def stop() -> bool:
        nonlocal asked
        asked += 1
        return asked == 5

    with pytest.raises(Stopped):
        load_base(Model(dtype="float32"), _folder(tiny_model), CPU, stop=stop)
    assert asked == 5
    whole = load_base(Model(dtype="float32"), _folder(tiny_model), CPU, stop=lambda: False)
    assert len(list(whole.parameters())) > 5


def test_a_load_on_another_thread_is_not_touched_and_the_hook_is_gone_afterwards(
    tiny_model: Path,
) -> None:
    from transformers.utils import logging

    models: list[object] = []
    before = logging._tqdm_hook
    with stoppable_loading(lambda: True):
        chat = threading.Thread(target=lambda: models.append(
            load_base(Model(dtype="float32"), _folder(tiny_model), CPU)))
        chat.start()
        chat.join()
    assert len(models) == 1 and logging._tqdm_hook is before


def test_loads_that_overlap_leave_no_hook_behind_and_keep_a_strangers(tiny_model: Path) -> None:
    from transformers.utils import logging

    seen: list[object] = []

    def strangers(factory, args, kwargs):  # type: ignore[no-untyped-def]
        seen.append(args)
        return factory(*args, **kwargs)

    logging.set_tqdm_hook(strangers)
    first, second = threading.Barrier(2, timeout=60), threading.Barrier(2, timeout=60)

    def overlap() -> None:
        with stoppable_loading(lambda: False):
            first.wait()
            second.wait()

    other = threading.Thread(target=overlap)
    other.start()
    try:
        with stoppable_loading(lambda: False):
            first.wait()
        second.wait()
        other.join()
        assert logging._tqdm_hook is strangers
        load_base(Model(dtype="float32"), _folder(tiny_model), CPU, stop=lambda: False)
        assert len(seen) == 1
    finally:
        logging.set_tqdm_hook(None)
