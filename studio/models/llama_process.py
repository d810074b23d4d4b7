"""Run as a process of its own: llama.cpp's server over a GGUF file, until its parent is gone.

Takes the name of a JSON file. A native crash, its logs, and its memory stay in this process.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

from studio.child import orphaned

LOOK_SECONDS = 0.5
BATCH_TOKENS = 512
"""Who gives up while a prompt is read is heeded so often."""


def main() -> None:
    """{"gguf", "adapters", "name", "port", "key", "context_tokens", "rows_at_once", "threads",
    "parent"}."""
    request = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    import xllamacpp

    options = xllamacpp.CommonParams()
    options.model.path = request["gguf"]
    options.lora_adapters = [xllamacpp.CommonAdapterLoraInfo(path, 0.0)
                             for path in request["adapters"]]
    options.model_alias = {request["name"]}
    options.port = request["port"]
    options.api_keys = [request["key"]]
    options.n_ctx = request["context_tokens"]
    options.n_batch = BATCH_TOKENS
    options.n_parallel = request["rows_at_once"]
    options.kv_unified = True  # the rows share the context instead of a part for each
    options.cache_ram_mib = 0  # or earlier prompts would be kept in up to 8 GB more
    options.warmup = options.ui = False
    options.cpuparams.n_threads = request["threads"]
    server = xllamacpp.Server(options)
    is_orphaned = orphaned(request["parent"])
    while not is_orphaned():
        time.sleep(LOOK_SECONDS)
    del server


if __name__ == "__main__":
    main()
