"""Run as a process of its own: AutoRound rounds a model folder to 4 bits.

`python -m studio.export.quantize_process REQUEST.json`. Imported nowhere: what AutoRound changes in
torch and transformers, logs, and holds in memory ends with the process. Its progress bar on the
error output is what the studio reads. Ends when the process that asked for it is gone.
"""

from __future__ import annotations

import functools
import json
import sys
from pathlib import Path
from typing import Any

from studio.child import end_with
from studio.device import pick_device
from studio.export.rewriting import MAIN_MEMORY
from studio.models.folder import ModelFolder
from studio.models.loading import load_base, load_tokenizer
from studio.recipe.model import Model
from studio.settings import load_settings, prepare_environment

_BATCH_ROWS = 8


def main(request_file: Path) -> None:
    """{"home", "offline", "parent", "model", "dtype", "format", "group_size", "tuning_steps",
    "rows", "output"}: token ids in, a folder out, which lies somewhere below "output"."""
    request = json.loads(request_file.read_text(encoding="utf-8"))
    end_with(request["parent"])
    prepare_environment(load_settings(request["home"], offline=request["offline"]))
    import torch
    from auto_round import AutoRound
    from auto_round.compressors import orchestrator
    from transformers import GenerationConfig

    # Bars are switched off for the studio; this one is read.
    orchestrator.tqdm = functools.partial(orchestrator.tqdm, disable=False)
    source = ModelFolder(Path(request["model"]), Path(request["model"]).name, request["model"])
    model: Any = load_base(Model.model_validate(
        {"source": request["model"], "dtype": request["dtype"]}), source, MAIN_MEMORY)
    model.generation_config = GenerationConfig()  # its file is copied afterwards
    rows = [torch.tensor(row) for row in request["rows"]]
    batches = [torch.stack(rows[start:start + _BATCH_ROWS])
               for start in range(0, len(rows), _BATCH_ROWS)]
    device = pick_device()
    rounder = AutoRound(
        model, load_tokenizer(source), scheme=_scheme(request), alg_configs=_algorithm(request),
        # With a mask of its own AutoRound takes no token for padding.
        dataset=[{"input_ids": batch, "attention_mask": torch.ones_like(batch)}
                 for batch in batches],
        nsamples=len(rows), seqlen=len(request["rows"][0]), batch_size=min(_BATCH_ROWS, len(rows)),
        device_map=device.torch_name if device.kind == "cuda" else "cpu",
        # Computes in 16 bits even where 32 are faster: what is not rounded is written as it is
        # held, and AutoRound 0.16 writes tied embeddings twice where it narrows them.
        amp=True,
        enable_torch_compile=False, trust_remote_code=False, seed=0,
    )
    rounder.quantize_and_save(request["output"], format=f"auto_{request['format']}")


def _scheme(request: dict[str, Any]) -> Any:
    """AWQ's own form has zero points; the kernels for GPTQ are best without."""
    from auto_round.schemes import QuantizationScheme

    return QuantizationScheme(bits=4, group_size=request["group_size"], data_type="int",
                              sym=request["format"] == "gptq", act_bits=16)


def _algorithm(request: dict[str, Any]) -> Any:
    """AWQ scales weights by what the data send through them (arXiv:2306.00978); then both round,
    to the nearest weighted by the data, or tuned by gradients (SignRound, arXiv:2309.05516)."""
    from auto_round.algorithms.quantization.rtn.config import RTNConfig
    from auto_round.algorithms.quantization.sign_round.config import SignRoundConfig
    from auto_round.algorithms.transforms.awq.config import AWQConfig

    steps = request["tuning_steps"]
    rounding = SignRoundConfig(iters=steps) if steps else RTNConfig(enable_opt_rtn=True)
    return [AWQConfig(), rounding] if request["format"] == "awq" else [rounding]


if __name__ == "__main__":
    main(Path(sys.argv[1]))
