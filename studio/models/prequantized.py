"""Model folders whose weights are stored in 4 bits, as GPTQ or AWQ: what reads them here.

transformers reads them through gptqmodel, which needs CUDA, or through AutoRound, which also has
kernels for processors. Both are optional. NF4 folders need nothing of this.
"""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

from studio.device import Device
from studio.errors import SetupError
from studio.extras import install_command, is_installed
from studio.models.folder import read_config

METHODS = ("gptq", "awq")
_PACKAGE, _KERNELS = "auto-round", "auto-round-lib"


def stored_method(folder: Path) -> str | None:
    """How the weights in `folder` are quantised (gptq, awq, bitsandbytes, ...); None if they are
    not."""
    config = read_config(folder / "config.json").get("quantization_config") or {}
    return str(config.get("quant_method")) if config else None


def reading_config(folder: Path, device: Device) -> Any:
    """What transformers must be told to read `folder`; None where it knows by itself.

    Raises SetupError naming the command that installs what is missing.
    """
    method = stored_method(folder)
    if method not in METHODS or _gptqmodel_reads(method):
        return None
    # AWQ on a processor is read by AutoRound's kernels alone; GPTQ by plain torch as well.
    needed = {"auto_round": _PACKAGE}
    if method == "awq" and device.kind != "cuda":
        needed["auto_round_kernel"] = _KERNELS
    missing = [package for module, package in needed.items() if not is_installed(module)]
    if missing:
        raise SetupError(
            f"{folder.name} is stored as {method.upper()}, which is read through "
            f"{' and '.join(missing)}, not installed here.",
            f"Install it with: {install_command(missing)}")
    from transformers import AutoRoundConfig

    warnings.filterwarnings("ignore", message="You passed `quantization_config`")
    return AutoRoundConfig()


def _gptqmodel_reads(method: str) -> bool:
    return is_installed("gptqmodel") and (method == "awq" or is_installed("optimum"))
