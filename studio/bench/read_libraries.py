"""Reads the libraries' files once, so that the next process finds them in the system's file cache.

`python -m studio.bench.read_libraries`. Without it the start of a training tells how long ago the
one before it began: systems let go of files that nobody has read for a minute.
"""

from __future__ import annotations

import sys

from studio.training.libraries import load_libraries

if __name__ == "__main__":
    load_libraries()
    sys.stderr.write("read\n")
