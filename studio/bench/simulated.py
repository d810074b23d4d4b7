"""The simulated way for published runs: one step of each on the meta device."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from studio.bench.rows import PublishedRun

if TYPE_CHECKING:
    from transformers import PretrainedConfig


def simulated_bytes(run: PublishedRun) -> int:
    """Live bytes at the peak of the run's step."""
    from studio.hardware.simulate.simulation import simulate

    return simulate(run.work, _config(run), shape=run.shape,
                    reentrant=run.is_reentrant).peak_bytes


def _config(run: PublishedRun) -> PretrainedConfig:
    from transformers import AutoConfig

    config: PretrainedConfig = AutoConfig.for_model(**json.loads(json.dumps(dict(run.config))))
    return config
