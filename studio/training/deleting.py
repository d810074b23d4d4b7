"""Deletes a run with everything in it. Refused while anybody needs it: there is no way back."""

from __future__ import annotations

from studio.errors import BusyError, RunError
from studio.files import delete_folder, remove_leftovers
from studio.runs import open_run
from studio.settings import Settings
from studio.training.queue import Queue


def delete_run(settings: Settings, name: str) -> None:
    """Delete the folder of a run: recipe, curve, checkpoints, and what it learned.

    Raises RunError for a run that is missing, BusyError for one that trains, waits in the queue,
    or has files that another program holds open; then nothing of it is deleted.
    """
    run = open_run(settings, name)
    if any(entry.name == name for entry in Queue(settings).entries()):
        raise BusyError(f"The run {name} waits in the queue.",
                        "Take it out of the queue first; then it can be deleted.")
    try:
        run.lock()
    except RunError:
        raise BusyError(f"The run {name} is being trained right now.",
                        "Stop or cancel it first; then it can be deleted.") from None
    try:
        delete_folder(run.path)
    except OSError as error:
        run.unlock()
        raise BusyError(f"The run {name} cannot be deleted: {error.strerror or error}.",
                        "A file in it may be open: unload the model in the Chat tab, or close "
                        "what shows the folder.") from error
    remove_leftovers(settings.runs)
