"""A start that was taken out of the base's weights (pissa, olora), for a script: the run's own file
of it lies beside, so that the script begins at the very numbers.
"""

from __future__ import annotations

import inspect
import shutil
from pathlib import Path

from studio.adapters import start
from studio.export.script.facts import Facts
from studio.training.start_values import START_FILE

START_IMPORTS = ["from safetensors.torch import load_file, save_file"]
_BEGIN = '''\
def take_apart(model: Any, begun: dict[str, torch.Tensor]) -> None:
    """Begin the adapter at `begun` and take that out of the base, so that both are the base."""
    with torch.no_grad():
        for name, layer in model.named_modules():
            if f"{name}.lora_A.weight" in begun:
                a, b = begun[f"{name}.lora_A.weight"], begun[f"{name}.lora_B.weight"]
                _start_at(layer, a, b)
                _take_out(layer, a, b)
'''
_END = '''\
def as_plain_lora(folder: Path, begun: dict[str, torch.Tensor]) -> None:
    """Make the adapter in `folder` one for the base as it was: what was learned less the start is
    a LoRA of twice the rank."""
    trained = load_file(folder / "adapter_model.safetensors")
    for key, value in begun.items():
        axis = 0 if ".lora_A." in key else 1
        trained[key] = torch.cat([trained[key], value if axis == 0 else -value], dim=axis)
    save_file(trained, folder / "adapter_model.safetensors", metadata={"format": "pt"})
    file = folder / "adapter_config.json"
    config = json.loads(file.read_text(encoding="utf-8"))
    factor = 2 ** 0.5 if config.get("use_rslora") else 2  # the scale stays while the rank doubles
    config["r"] *= 2
    config["lora_alpha"] *= factor
    config["rank_pattern"] = {name: 2 * rank for name, rank in config["rank_pattern"].items()}
    config["alpha_pattern"] = {
        name: factor * alpha for name, alpha in config["alpha_pattern"].items()}
    file.write_text(json.dumps(config, indent=2), encoding="utf-8")
'''


def carried_start() -> list[str]:
    """The functions, as source."""
    sources = [inspect.getsource(one) for one in (start._weight, start._start_at, start._take_out)]
    return [*sources, _BEGIN, _END]


def begin_lines() -> list[str]:
    """In `main`, once the adapter is there."""
    return [f'begun = load_file(HERE / "{START_FILE}")', "take_apart(model, begun)"]


def copy_start(folder: Path, run_path: Path, facts: Facts) -> None:
    """Put the run's start beside the script, where it has one."""
    if facts.takes_apart:
        shutil.copyfile(run_path / START_FILE, folder / START_FILE)
