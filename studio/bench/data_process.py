"""One measurement of the data bench: `python -m studio.bench.data_process VERB FILE MODEL HOME`.

lab: read, check, render and tokenise with the data lab. map, map-one: `datasets.map` with the same
tokenizer, on all cores or in one process. page: the first rows. Prints the seconds of the work,
without imports and loading the tokenizer, as one line of JSON on standard error.
"""

from __future__ import annotations

import functools
import json
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from studio.recipe import Data
from studio.settings import Settings, load_settings, prepare_environment

_MAX_LENGTH = 1_048_576


def main(verb: str, file: str, model: str, home: str) -> None:
    settings = load_settings(home, offline=True)
    prepare_environment(settings)
    work = _WAYS[verb](file, Path(model), settings)
    began = time.perf_counter()
    rows = work()
    line = json.dumps({"seconds": time.perf_counter() - began, "rows": rows})
    sys.stderr.write(line + "\n")


def _lab(file: str, model: Path, settings: Settings) -> Callable[[], int]:
    import datasets  # noqa: F401  the peer has it loaded as well
    from transformers import AutoTokenizer

    from studio.data.lab.look import open_whole, report_of

    tokenizer = AutoTokenizer.from_pretrained(model)
    data = Data(source=file, max_length=_MAX_LENGTH)

    def work() -> int:
        return report_of(open_whole(data, settings, tokenizer)).readable

    return work


def _map(processes: int | None, file: str, model: Path, settings: Settings) -> Callable[[], int]:
    import datasets
    from transformers import AutoTokenizer

    datasets.disable_progress_bars()
    tokenizer = AutoTokenizer.from_pretrained(model)

    def encode(row: dict[str, Any]) -> dict[str, Any]:
        return dict(tokenizer.apply_chat_template(row["messages"], tokenize=True,
                                                  return_dict=True))

    def work() -> int:
        rows = datasets.load_dataset("json", data_files=file, split="train",
                                     cache_dir=str(settings.cache))
        return len(rows.map(encode, num_proc=processes, remove_columns=rows.column_names))

    return work


def _page(file: str, model: Path, settings: Settings) -> Callable[[], int]:
    from transformers import AutoTokenizer

    from studio.data.encoder import encoder_for
    from studio.data.lab.first_page import first_page
    from studio.data.lab.record import record_of_page

    tokenizer = AutoTokenizer.from_pretrained(model)
    data = Data(source=file)

    def work() -> int:
        page = first_page(data, settings)
        record_of_page(page, 1, encoder_for(tokenizer, data), data)
        return len(page.rows)

    return work


_WAYS: dict[str, Callable[[str, Path, Settings], Callable[[], int]]] = {
    "lab": _lab, "map": functools.partial(_map, os.cpu_count()),
    "map-one": functools.partial(_map, None), "page": _page,
}

if __name__ == "__main__":
    main(*sys.argv[1:])
