"""Curves go to real TensorBoard files and Weights & Biases, without network, without secrets.

Weights & Biases runs its own program here; offline it writes what it would send into a file,
which is read back in its wire format.
"""

from __future__ import annotations

import getpass
import os
import re
import shutil
import socket
import struct
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from studio.errors import RunError
from studio.runs import Run, create_run
from studio.settings import Settings
from studio.training import tracker_kinds
from studio.training.loop import train
from studio.training.trackers import require_trackers, tracker_id
from tests.training.conftest import MakeRecipe, losses_of

SECRET = "local-" + "5ecre7c0de" * 4
_WANDB_BLOCK, _WANDB_HEAD = 32768, 7


@pytest.fixture
def make_recipe(make_recipe: MakeRecipe) -> MakeRecipe:
    """A recipe whose run does nothing else beside the training."""
    return lambda **values: make_recipe(**{"monitor__forgetting": False, **values})


@pytest.fixture
def wandb_login(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A login in the environment, the only place where this test writes it."""
    import wandb

    monkeypatch.setenv("WANDB_API_KEY", SECRET)
    monkeypatch.setenv("NETRC", str(tmp_path / "no-netrc"))
    monkeypatch.setenv("WANDB_CONFIG_DIR", str(tmp_path / "wandb-config"))
    monkeypatch.setenv("WANDB_CACHE_DIR", str(tmp_path / "home" / "wandb-cache"))
    wandb.teardown()  # another test may have read another login


def _warnings(run: Run) -> list[str]:
    return [event["text"] for event in run.events()
            if event["type"] == "note" and event["level"] == "warning"]


def _records(path: Path) -> Iterator[bytes]:
    """The records of a TFRecord file: a length, its checksum, the record, its checksum."""
    data = path.read_bytes()
    at = 0
    while at < len(data):
        [length] = struct.unpack_from("<Q", data, at)
        yield data[at + 12: at + 12 + length]
        at += 16 + length


def _tensorboard(run: Run) -> dict[str, list[tuple[int, float]]]:
    """Curve name to (step, value) of every event in the run's TensorBoard folder."""
    from tensorboardX.proto.event_pb2 import Event

    found: dict[str, list[tuple[int, float]]] = {}
    for path in sorted((run.path / "tensorboard").iterdir()):
        for record in _records(path):
            event = Event.FromString(record)
            for value in event.summary.value:
                found.setdefault(value.tag, []).append((event.step, value.simple_value))
    return found


def _wandb_records(path: Path) -> list[Any]:
    """What Weights & Biases would send: a log of blocks of 32 KiB with pieces of records."""
    from wandb.proto.wandb_internal_pb2 import Record

    data, at, pieces, found = path.read_bytes(), _WANDB_HEAD, b"", []
    while at < len(data):
        if _WANDB_BLOCK - at % _WANDB_BLOCK < 7:
            at += _WANDB_BLOCK - at % _WANDB_BLOCK
            continue
        length, kind = struct.unpack_from("<HB", data, at + 4)
        pieces += data[at + 7: at + 7 + length]
        at += 7 + length
        if kind in (1, 4):  # whole, or the last piece
            found.append(Record.FromString(pieces))
            pieces = b""
    return found


def _wandb(run: Run) -> tuple[list[tuple[int, float]], bytes]:
    """(step, loss) of every row in the run's offline files, and all their bytes."""
    found, everything = [], b""
    for path in sorted((run.path / "wandb").glob("offline-run-*/*.wandb")):
        everything += path.read_bytes()
        for record in _wandb_records(path):
            values = {item.key or ".".join(item.nested_key): float(item.value_json)
                      for item in record.history.item if not item.value_json.startswith("{")}
            if "train/loss" in values:
                found.append((int(record.history.step.num), values["train/loss"]))
    return found, everything


def test_a_resumed_run_goes_on_with_the_same_curves_and_no_secret_is_left_anywhere(
    settings: Settings, make_recipe: MakeRecipe, wandb_login: None, tmp_path: Path
) -> None:
    recipe = make_recipe(monitor__tensorboard=True, monitor__wandb=True,
                         training__save_steps=2, training__max_steps=6, data__eval_fraction=0.2,
                         training__eval_steps=3)
    run = create_run(settings, recipe, "tracked")
    before = dict(os.environ)
    assert train(recipe, run, lambda: run.story().step >= 4, settings=settings) == "stopped"
    # As after a crash: two steps were told that the checkpoint does not know.
    for path in run.checkpoints():
        if path.name != "checkpoint-2":
            shutil.rmtree(path)
    assert train(recipe, run, lambda: False, settings=settings, resume=True) == "done"
    # The one variable is tensorboardX's own, set when it is imported.
    assert {**os.environ, "CRC32C_SW_MODE": ""} == {**before, "CRC32C_SW_MODE": ""}
    assert not [text for text in _warnings(run) if "left out" in text]

    losses = list(losses_of(run).items())
    files = _tensorboard(run)
    assert files["train/loss"] == [(step, pytest.approx(loss, rel=1e-6)) for step, loss in losses]
    assert [step for step, _ in files["eval/loss"]] == [3, 6]
    assert {"train/learning_rate", "train/grad_norm", "eval/perplexity"} <= set(files)

    told, sent = _wandb(run)
    assert told == losses
    # Neither the login nor anything of this PC stands in what is sent.
    private = {str(tmp_path), str(settings.home), socket.gethostname(), sys.executable}
    assert not [text for text in private if text.encode() in sent]
    assert f'"{getpass.getuser()}"'.encode() not in sent
    assert b"orders.jsonl" in sent  # the recipe, as the name of a file alone
    for file in settings.home.rglob("*"):
        assert not file.is_file() or SECRET.encode() not in file.read_bytes(), file


def test_trackers_change_nothing_that_is_learned(
    settings: Settings, make_recipe: MakeRecipe
) -> None:
    losses = []
    for is_on in (False, True):
        recipe = make_recipe(monitor__tensorboard=is_on, training__max_steps=4)
        run = create_run(settings, recipe, f"tracked-{is_on}")
        train(recipe, run, lambda: False, settings=settings)
        losses.append(losses_of(run))
    assert losses[0] == losses[1] and len(losses[0]) == 4


def test_a_tracker_whose_server_is_out_of_reach_is_left_out_with_one_warning(
    settings: Settings, make_recipe: MakeRecipe, wandb_login: None,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("WANDB_BASE_URL", "http://127.0.0.1:9")
    monkeypatch.setattr(tracker_kinds, "START_SECONDS", 1.0)
    online = Settings(home=settings.home, offline=False)
    recipe = make_recipe(monitor__wandb=True, training__max_steps=3)
    run = create_run(online, recipe, "alone")
    assert train(recipe, run, lambda: False, settings=online) == "done"
    [warning] = [text for text in _warnings(run) if "Weights & Biases" in text]
    assert "the run goes on" in warning and len(losses_of(run)) == 3
    for file in settings.home.rglob("*"):
        assert not file.is_file() or SECRET.encode() not in file.read_bytes(), file


def test_a_tracker_that_breaks_during_the_run_is_left_out_with_one_warning(
    settings: Settings, make_recipe: MakeRecipe
) -> None:
    recipe = make_recipe(monitor__wandb=True, monitor__tensorboard=True, training__max_steps=6)
    run = create_run(settings, recipe, "broken")
    mine = psutil.Process()

    def lose_its_program() -> bool:
        if run.story().step >= 2:
            for child in mine.children(recursive=True):
                if child.name().startswith("wandb-core"):
                    child.kill()
        return False

    assert train(recipe, run, lose_its_program, settings=settings) == "done"
    [warning] = [text for text in _warnings(run) if "left out" in text]
    assert warning.startswith("Weights & Biases does not work")
    assert [step for step, _ in _tensorboard(run)["train/loss"]] == [1, 2, 3, 4, 5, 6]


def test_a_tracker_that_cannot_write_its_files_does_not_end_the_run(
    settings: Settings, make_recipe: MakeRecipe
) -> None:
    recipe = make_recipe(monitor__tensorboard=True, training__max_steps=2)
    run = create_run(settings, recipe, "blocked")
    (run.path / "tensorboard").write_text("a file where the folder belongs")
    assert train(recipe, run, lambda: False, settings=settings) == "done"
    assert len([text for text in _warnings(run) if "TensorBoard" in text]) == 1


def test_a_missing_package_is_told_with_its_command_before_anything_is_loaded(
    settings: Settings, make_recipe: MakeRecipe, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "trackio", None)
    monkeypatch.setitem(sys.modules, "tensorboardX", None)
    recipe = make_recipe(monitor__trackio=True, monitor__tensorboard=True)
    run = create_run(settings, recipe, "lacking")
    with pytest.raises(RunError, match="TensorBoard and Trackio") as raised:
        train(recipe, run, lambda: False, settings=settings)
    assert re.search(r'-m pip install "tensorboardX[^"]*" "trackio[^"]*"', raised.value.hint)
    states = [event["state"] for event in run.events() if event["type"] == "state"]
    assert states == ["preparing", "failed"]


def test_weights_and_biases_without_a_login_is_told_and_never_asks(
    make_recipe: MakeRecipe, wandb_login: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv("WANDB_API_KEY")
    recipe = make_recipe(monitor__wandb=True)
    with pytest.raises(RunError, match="nobody is logged in") as raised:
        require_trackers(recipe, Settings(home=tmp_path))
    assert "wandb login" in raised.value.hint
    require_trackers(recipe, Settings(home=tmp_path, offline=True))
    require_trackers(make_recipe(), Settings(home=tmp_path))


def test_a_run_keeps_its_name_in_the_trackers(settings: Settings, make_recipe: MakeRecipe) -> None:
    run = create_run(settings, make_recipe(), "named")
    assert tracker_id(run) == tracker_id(Run(run.path))
    (run.path / "trackers.json").write_text("torn {")
    assert len(tracker_id(run)) == 16
