"""The simulated way for published runs: one step of each on the meta device."""

from __future__ import annotations

from studio.bench.rows import PublishedRun


def simulated_bytes(run: PublishedRun) -> int:
    """Live bytes at the peak of the run's step. Raises ModelError where it cannot be simulated."""
    from studio.hardware.simulate.simulation import config_of, simulate

    return simulate(run.work, config_of(run.shape), shape=run.shape,
                    reentrant=run.is_reentrant).peak_bytes
