"""The health of a run: what its curves say is wrong, told once, with advice.

`curve.py` is what is known of a run; `beginning`, `losses`, `held_out`, `gradients` and `speed`
hold the detectors, pure functions of a `Curve`; `watch.py` feeds them in a run and tells the run.
"""

from studio.training.health.curve import Curve, Facts
from studio.training.health.detectors import Health

__all__ = ["Curve", "Facts", "Health"]
