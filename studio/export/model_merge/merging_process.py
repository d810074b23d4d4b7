"""Run as a process of its own: mergekit merges models that lie on this PC.

`python -m studio.export.model_merge.merging_process REQUEST.json`. Imported nowhere: what mergekit
imports, logs, and holds in memory ends with the process. Never asks the network, trusts no code of
a model. Its progress bar on the error output is what the studio reads.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import yaml

from studio.child import end_with
from studio.settings import load_settings, prepare_environment


def main(request_file: Path) -> None:
    """{"home", "parent", "config", "output", "seed", "shard_bytes"}: the YAML's path in, a folder
    with config.json and weights out; the tokenizer only where the YAML asks for one."""
    request = json.loads(request_file.read_text(encoding="utf-8"))
    end_with(request["parent"])
    prepare_environment(load_settings(request["home"], offline=True))
    from mergekit.config import MergeConfiguration
    from mergekit.merge import run_merge
    from mergekit.options import MergeOptions

    told = yaml.safe_load(Path(request["config"]).read_text(encoding="utf-8"))
    options = MergeOptions(
        random_seed=request["seed"], out_shard_size=request["shard_bytes"], copy_tokenizer=False,
        write_model_card=False, trust_remote_code=False, allow_crimes=False,
        safe_serialization=True)
    run_merge(MergeConfiguration.model_validate(told), request["output"], options)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
