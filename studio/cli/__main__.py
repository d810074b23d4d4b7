"""`python -m studio.cli VERB ...`, which is what launch.py calls."""

import sys

from studio.cli.app import main

if __name__ == "__main__":
    sys.exit(main())
