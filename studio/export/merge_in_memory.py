"""Merges an adapter into a base that is loaded as a whole, through PEFT and Transformers.

For what cannot be merged from file to file (`stream`): a base that is rounded first, weights that
Transformers puts together when loading, and kinds of adapters that are merged as a whole.
"""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

from studio.adapters.folder import AdapterFolder, require_fit
from studio.device import release_memory
from studio.export.output import end_if_stopped, growth_reported
from studio.export.rewriting import MAIN_MEMORY, save_weights
from studio.export.stored import StoredWeights
from studio.export.vocabulary import resize_like
from studio.models.folder import ModelFolder
from studio.progress import Progress, ShouldStop, Step
from studio.recipe import Model


def merge_in_memory(
    folder: Path, model: Model, base: ModelFolder, adapter: AdapterFolder, stored: StoredWeights,
    *, progress: Progress, stop: ShouldStop,
) -> None:
    """Write config.json and weights to `folder`.

    A base that `model.quantization` rounds is written in full precision again. Raises ModelError
    where the adapter does not fit, SetupError where the rounding cannot be had, Stopped.
    """
    merged = _merged_model(model, base, adapter, stored.dtype_name, progress, stop)
    with growth_reported(folder, stored.bytes, "Writing the merged model", progress):
        save_weights(merged, folder)
    del merged
    release_memory(MAIN_MEMORY)


def _merged_model(model: Model, base: ModelFolder, adapter: AdapterFolder, dtype_name: str,
                  progress: Progress, stop: ShouldStop) -> Any:
    from peft import PeftModel

    from studio.models.loading import load_base

    progress(Step(f"Loading {base.name} in {dtype_name}"))
    as_stored = model.model_copy(update={"dtype": dtype_name, "attention": "auto"})
    loaded: Any = load_base(as_stored, base, MAIN_MEMORY, stop=stop)
    if model.quantization != "none":
        import torch

        loaded = loaded.dequantize(getattr(torch, dtype_name))
    resize_like(loaded, adapter)
    require_fit(adapter, loaded, base.name)
    end_if_stopped(stop)
    peft_model = PeftModel.from_pretrained(loaded, str(adapter.path), torch_device="cpu")
    _merge_layers(peft_model, progress, stop)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="All adapters are already merged")
        return peft_model.merge_and_unload()


def _merge_layers(peft_model: Any, progress: Progress, stop: ShouldStop) -> None:
    """PEFT merges all layers in one call, but skips merged ones: so this can count and stop."""
    from peft.tuners.tuners_utils import BaseTunerLayer

    layers = [module for module in peft_model.modules() if isinstance(module, BaseTunerLayer)
              and not hasattr(module, "unload_and_optionally_merge_module")]
    for number, layer in enumerate(layers):
        end_if_stopped(stop)
        progress(Step("Merging layers", number, len(layers), "layers"))
        layer.merge()
