"""Adapter Studio: `python launch.py` opens the studio, `python launch.py --help` names the rest.

Standard library only, and written so that any Python, however old, reads it far enough to say
that it is too old. The work is done in studio/bootstrap.
"""

import sys

OLDEST_PYTHON = (3, 11)


def python_too_old(version, executable):
    """The sentence for a Python that is too old; an empty string for a good one."""
    if tuple(version[:2]) >= OLDEST_PYTHON:
        return ""
    # Percent signs, since a Python without f-strings must read this too.
    return (
        "Adapter Studio needs Python %d.%d or newer, and this is Python %d.%d (%s). "  # noqa: UP031
        "Install a newer Python from https://www.python.org/downloads/ and run launch.py with it."
        % (OLDEST_PYTHON + tuple(version[:2]) + (executable,))
    )


if __name__ == "__main__":
    SENTENCE = python_too_old(sys.version_info, sys.executable)
    if SENTENCE:
        sys.stderr.write(SENTENCE + "\n")
        sys.exit(1)
    from pathlib import Path

    sys.path.insert(0, str(Path(__file__).resolve().parent))
    from studio.bootstrap.main import main

    sys.exit(main(sys.argv[1:]))
