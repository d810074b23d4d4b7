"""The fixtures of the command line and of training, here too."""

from tests.cli.conftest import call
from tests.training.conftest import make_recipe, orders

__all__ = ["call", "make_recipe", "orders"]
