"""The command line: one verb per tab of the page, plus serve, doctor, runs, demo.

Every verb calls the engine and prints; none computes. Reports take `--json`: one object on
standard output and nothing else there.
"""

from studio.cli.app import main

__all__ = ["main"]
