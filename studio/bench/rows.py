"""Published memory measurements as the estimator's own words.

Reads a table of runs (`assets/memory/measured.csv`: one run a row, with its source) and the models'
configurations beside it. What a run's software did differently from the studio is told by
`software.py`.
"""

from __future__ import annotations

import csv
import functools
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from studio.bench.software import Counter, counter_of, is_reentrant, workload_of_row
from studio.errors import DataError
from studio.hardware.workload import Workload

if TYPE_CHECKING:
    from studio.models.shape import ModelShape

ASSETS = Path(__file__).parent.parent.parent / "assets" / "memory"
ROWS_FILE, CONFIGS_FILE = ASSETS / "measured.csv", ASSETS / "configs.json"
GIB = 2**30
COLUMNS = ("id", "source", "config_key", "method", "rank", "targets", "micro_batch", "seq_actual",
           "grad_ckpt", "optimizer", "base_dtype", "metric", "value_gib")
"""Without these a row says too little. Others may be left out or empty."""


@dataclass(frozen=True)
class PublishedRun:
    """One measured run. `config` is the model's, as `AutoConfig.for_model` takes it."""

    name: str
    source: str
    work: Workload
    config_key: str
    config: Mapping[str, Any]
    counter: Counter
    measured_bytes: int
    is_reentrant: bool = False

    @property
    def shape(self) -> ModelShape:
        """The model's shape; made once per configuration."""
        return _shape(json.dumps(self.config, sort_keys=True), self.config_key)


def read_runs(rows: Path = ROWS_FILE, configs: Path = CONFIGS_FILE) -> list[PublishedRun]:
    """Every run of the file, in its order. Raises DataError naming the row that cannot be read."""
    known = _read_configs(configs)
    try:
        with rows.open(encoding="utf-8-sig", newline="") as file:
            table = list(csv.DictReader(file))
    except OSError as error:
        raise DataError(f"{rows} cannot be read: {error.strerror}.",
                        "Give the path of a CSV file with --rows.") from None
    found = []
    for number, row in enumerate(table, start=2):
        values = {key: (value or "").strip() for key, value in row.items() if key}
        missing = [name for name in COLUMNS if name not in values]
        if missing:
            raise DataError(f"{rows.name} has no column {', '.join(missing)}.",
                            f"A table of measurements has the columns {', '.join(COLUMNS)}.")
        try:
            found.append(_run(values, known))
        except (ValueError, KeyError) as error:
            raise DataError(f"Line {number} of {rows.name} cannot be read: {error}.",
                            "Numbers are plain, and config_key names an entry of the configs."
                            ) from None
    return found


def _read_configs(file: Path) -> dict[str, dict[str, Any]]:
    try:
        entries = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise DataError(f"{file} cannot be read: {error}.",
                        "Give the path of a JSON file with --configs.") from None
    return {name: entry.get("config", entry) for name, entry in entries.items()}


@functools.lru_cache(maxsize=64)
def _shape(text: str, name: str) -> ModelShape:
    from transformers import AutoConfig

    from studio.models.shape import shape_of_config

    return shape_of_config(AutoConfig.for_model(**json.loads(text)), name)


def _run(row: dict[str, str], configs: Mapping[str, dict[str, Any]]) -> PublishedRun:
    config = configs[row["config_key"]]
    shape = _shape(json.dumps(config, sort_keys=True), row["config_key"])
    return PublishedRun(
        row["id"], row["source"], workload_of_row(row, shape), row["config_key"], config,
        counter_of(row["metric"]), round(float(row["value_gib"]) * GIB), is_reentrant(row))


