"""The process of an isolated training: `python -m studio.training.isolated_process RUN_FOLDER`.

Trains as any other program does and inherits nothing but the request in the run folder. When the
studio that asked is gone it stops and keeps what it has.
"""

from __future__ import annotations

import json
import signal
import sys
from pathlib import Path

from studio.child import orphaned
from studio.errors import StudioError
from studio.runs import Run
from studio.settings import load_settings, prepare_environment
from studio.training.control import Control
from studio.training.priority import step_back


def main(folder: Path) -> None:
    """Train the run of `folder` as its request says; how it ended is in the run's events."""
    # Ctrl+C in a terminal reaches every process of it; whoever asked passes it on as a stop.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    request = json.loads((folder / "process.json").read_text(encoding="utf-8"))
    settings = load_settings(request["home"], offline=request["offline"])
    prepare_environment(settings)
    step_back()
    from studio.training.loop import train

    run = Run(folder)
    try:
        train(run.recipe, run, Control(orphaned(request["parent"])), settings=settings,
              resume=request["resume"])
    except StudioError:
        if run.story().error is None:
            raise


if __name__ == "__main__":
    main(Path(sys.argv[1]))
