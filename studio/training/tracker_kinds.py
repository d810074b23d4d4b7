"""The trackers that a run's curves can go to: TensorBoard files, Weights & Biases, Trackio.

Each is opened with everything that is known so far and then told row by row. A resumed run tells
its curve anew where that can be done, so that no step stands in it twice. When to tell, and what
to do when one fails, is the business of `trackers.py`.
"""

from __future__ import annotations

import shutil
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, ClassVar

from studio.errors import RunError
from studio.runs import Run
from studio.settings import Settings
from studio.training.curves import Row

START_SECONDS = 30.0
"""How long Weights & Biases may take to answer before the run goes on without it."""
FINISH_SECONDS = 120.0
"""How long a run waits at its end for curves that are still on their way."""


@dataclass(frozen=True)
class Tracked:
    """What a tracker knows of a run: `id` is the same after a resume and used by no other run."""

    run: Run
    id: str
    project: str
    recipe: dict[str, Any]
    settings: Settings


class Tracker(ABC):
    """One place that curves go to. `name` for the person, `package` for pip."""

    name: ClassVar[str]
    package: ClassVar[str]
    module: ClassVar[str]

    def fault(self, settings: Settings) -> RunError | None:
        """Why it cannot be used although it is installed; None where it can."""
        return None

    @abstractmethod
    def failures(self) -> tuple[type[Exception], ...]:
        """What its methods raise when it does not work."""

    @abstractmethod
    def open(self, tracked: Tracked, so_far: Sequence[Row]) -> None:
        """Begin, or go on with, the curve of this run, whose rows are `so_far`."""

    @abstractmethod
    def tell(self, row: Row) -> None:
        """Add one row; its step is never lower than that of the row before."""

    @abstractmethod
    def close(self) -> None:
        """Finish what is on its way and let go; also after a failure, even of `open`."""


class TensorBoardFiles(Tracker):
    """Event files in the run's `tensorboard` folder, flushed after every row.

    Written with the package's plain writer: its usual one writes on a thread that dies of a full
    disk, and whoever tells it more then waits for ever.
    """

    name, package, module = "TensorBoard", "tensorboardX", "tensorboardX"
    FOLDER = "tensorboard"
    _writer: Any = None

    def failures(self) -> tuple[type[Exception], ...]:
        return (OSError,)

    def open(self, tracked: Tracked, so_far: Sequence[Row]) -> None:
        from tensorboardX.event_file_writer import EventsWriter

        folder = tracked.run.path / self.FOLDER
        if folder.is_dir():
            shutil.rmtree(folder)
        folder.mkdir()
        self._writer = EventsWriter(str(folder / "events"))
        for row in so_far:
            self._write(row)
        self._writer.flush()

    def tell(self, row: Row) -> None:
        self._write(row)
        self._writer.flush()

    def close(self) -> None:
        if self._writer is not None:
            self._writer.close()

    def _write(self, row: Row) -> None:
        from tensorboardX.proto.event_pb2 import Event
        from tensorboardX.proto.summary_pb2 import Summary

        values = [Summary.Value(tag=name, simple_value=value)
                  for name, value in row.values.items()]
        self._writer.write_event(
            Event(step=row.step, wall_time=row.time, summary=Summary(value=values)))


class WeightsAndBiases(Tracker):
    """A run of Weights & Biases, by its own program; offline its files wait for `wandb sync`.

    Told nothing of this PC: no host, user, code, console, command line, or installed packages.
    """

    name, package, module = "Weights & Biases", "wandb", "wandb"
    FOLDER = "wandb"
    _run: Any = None

    def fault(self, settings: Settings) -> RunError | None:
        """Where nobody is logged in; never asks in the terminal."""
        if settings.offline:
            return None
        import wandb
        from wandb.sdk.lib import wbauth

        known = wandb.setup(wandb.Settings(silent=True)).settings
        if known.mode != "online":
            return None
        try:
            login = wbauth.authenticate_session(host=known.base_url, source="wandb.init()",
                                                prompt=False)
        except wandb.errors.AuthenticationError as error:
            return RunError(f"Weights & Biases does not take the login of this PC: {error}.",
                            "Log in again with: wandb login --relogin")
        if login is not None:
            return None
        return RunError("Weights & Biases is switched on, but nobody is logged in on this PC.",
                        "Run 'wandb login' once in a terminal, or switch Weights & Biases off.")

    def failures(self) -> tuple[type[Exception], ...]:
        import wandb
        from wandb.sdk.mailbox import MailboxClosedError
        from wandb.sdk.mailbox.mailbox_handle import ServerResponseError

        return wandb.Error, MailboxClosedError, ServerResponseError, OSError, RuntimeError

    def open(self, tracked: Tracked, so_far: Sequence[Row]) -> None:
        import wandb

        offline = tracked.settings.offline
        if offline:
            self._drop_unsent(tracked)
        self._run = wandb.init(
            project=tracked.project, id=tracked.id, name=tracked.run.name, config=tracked.recipe,
            dir=tracked.run.path, mode="offline" if offline else None, resume="allow",
            reinit="create_new", settings=self._private_settings(),
        )
        for row in so_far:
            self.tell(row)

    def tell(self, row: Row) -> None:
        # A step that the server has already keeps its first values.
        if row.step >= self._run.starting_step:
            self._run.log(row.values, step=row.step)

    def close(self) -> None:
        import wandb

        try:
            if self._run is not None:
                self._run.finish()
        finally:
            # Its program ends too, with the variable that names it in the environment; one that
            # broke would be broken for every later run of this studio.
            wandb.teardown()

    @staticmethod
    def _private_settings() -> Any:
        import wandb

        return wandb.Settings(
            silent=True, console="off", init_timeout=START_SECONDS, finish_timeout=FINISH_SECONDS,
            host="", username="", email="", program="", disable_code=True, disable_git=True,
            disable_job_creation=True, save_code=False, label_disable=True, symlink=False,
            x_disable_meta=True, x_disable_stats=True, x_disable_machine_info=True,
            x_save_requirements=False,
        )

    def _drop_unsent(self, tracked: Tracked) -> None:
        """The curve is written anew, so what an earlier part left and nobody sent is in the way."""
        for folder in (tracked.run.path / self.FOLDER).glob(f"offline-run-*-{tracked.id}"):
            if not any(folder.glob("*.synced")):
                shutil.rmtree(folder)


class TrackioDatabase(Tracker):
    """Trackio's database on this PC, which `trackio show` opens. Nothing is sent anywhere.

    Written directly: Trackio's own run object asks the Hub who is logged in, and prints.
    """

    name, package, module = "Trackio", "trackio", "trackio"

    def failures(self) -> tuple[type[Exception], ...]:
        import sqlite3

        return sqlite3.Error, OSError, ValueError

    def open(self, tracked: Tracked, so_far: Sequence[Row]) -> None:
        from trackio.sqlite_storage import SQLiteStorage

        SQLiteStorage.validate_project_name(tracked.project)
        self._tracked = tracked
        self._config: dict[str, Any] | None = tracked.recipe
        SQLiteStorage.delete_run(tracked.project, tracked.run.name, run_id=tracked.id)
        self._write(so_far)

    def tell(self, row: Row) -> None:
        self._write([row])

    def close(self) -> None:
        """Every row is in the database already."""

    def _write(self, rows: Sequence[Row]) -> None:
        from trackio.sqlite_storage import SQLiteStorage

        if not rows:
            return
        tracked = self._tracked
        SQLiteStorage.bulk_log(
            tracked.project, tracked.run.name, [row.values for row in rows],
            steps=[row.step for row in rows], timestamps=[_iso(row.time) for row in rows],
            config=self._config, run_id=tracked.id,
            log_ids=[f"{tracked.id}-{row.kind}-{row.step}" for row in rows],
        )
        self._config = None


def _iso(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat()
