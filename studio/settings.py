"""Where the studio lives on this PC and how it may talk to the world.

The only reader of the environment: home folder, offline mode, and the Hub token come from here
and nowhere else. Does not create the model, run, or export folders' contents; it only names
them.
"""

from __future__ import annotations

import os
import platform
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from studio.files import typed_path

HOME_VARIABLE = "ADAPTER_STUDIO_HOME"
OFFLINE_VARIABLE = "ADAPTER_STUDIO_OFFLINE"
DATA_FOLDERS_VARIABLE = "ADAPTER_STUDIO_DATA_FOLDERS"
DEFAULT_PORT = 7861
DEFAULT_API_PORT = 8000


@dataclass(frozen=True)
class Settings:
    """The folders and switches of one studio. Every path lies under `home` but `data_folders`,
    the only ones that data are read from; where it is empty, any folder of this PC is."""

    home: Path
    offline: bool = False
    hub_token: str | None = None
    data_folders: tuple[Path, ...] = ()

    @property
    def models(self) -> Path:
        """Models prepared by the studio, one folder each."""
        return self.home / "models"

    @property
    def runs(self) -> Path:
        """Training runs, one folder each."""
        return self.home / "runs"

    @property
    def adapters(self) -> Path:
        """Adapters that were made of others, one folder each."""
        return self.home / "adapters"

    @property
    def exports(self) -> Path:
        """Merged models and GGUF files."""
        return self.home / "exports"

    @property
    def uploads(self) -> Path:
        """Data files that came in through the page."""
        return self.home / "uploads"

    @property
    def conversations(self) -> Path:
        """Saved conversations of the chat, one JSON file each."""
        return self.home / "conversations"

    @property
    def votes(self) -> Path:
        """Verdicts of blind tests."""
        return self.home / "votes"

    @property
    def prompt_sets(self) -> Path:
        """Prompts that were answered in one go, one folder each."""
        return self.home / "prompt_sets"

    @property
    def cache(self) -> Path:
        """What can be deleted at any time without losing work."""
        return self.home / "cache"

    def __repr__(self) -> str:
        token = "set" if self.hub_token else "none"
        return f"Settings(home={str(self.home)!r}, offline={self.offline}, hub_token={token})"


def default_home() -> Path:
    """`AdapterStudio` in the person's own folder, where a file manager finds it."""
    return Path.home() / "AdapterStudio"


def load_settings(
    home: str | Path | None = None,
    *,
    offline: bool | None = None,
    environment: Mapping[str, str] | None = None,
) -> Settings:
    """Settings from arguments first, then the environment, then defaults."""
    env = os.environ if environment is None else environment
    chosen = typed_path(home or env.get(HOME_VARIABLE) or default_home()).absolute()
    if offline is None:
        offline = _is_on(env.get(OFFLINE_VARIABLE)) or _is_on(env.get("HF_HUB_OFFLINE"))
    token = env.get("HF_TOKEN") or env.get("HUGGING_FACE_HUB_TOKEN") or None
    return Settings(home=chosen, offline=offline, hub_token=token,
                    data_folders=_folders(env.get(DATA_FOLDERS_VARIABLE)))


@dataclass(frozen=True)
class GpuSwitches:
    """What the environment tells CUDA. `visible` is None where every GPU may be used;
    `is_bus_order`: GPUs are counted as they sit in the PC, not the fastest first."""

    visible: str | None = None
    is_bus_order: bool = False


def gpu_switches(environment: Mapping[str, str] | None = None) -> GpuSwitches:
    """CUDA_VISIBLE_DEVICES and CUDA_DEVICE_ORDER, which torch obeys."""
    env = os.environ if environment is None else environment
    return GpuSwitches(env.get("CUDA_VISIBLE_DEVICES"),
                       env.get("CUDA_DEVICE_ORDER") == "PCI_BUS_ID")


_ALLOCATOR_VARIABLES = ("PYTORCH_ALLOC_CONF", "PYTORCH_CUDA_ALLOC_CONF")
"""What torch's CUDA allocator reads; the second is the older name."""
_STRETCH = "expandable_segments:True"


def _gpu_blocks_can_stretch() -> bool:
    """The driver can enlarge a block on Linux; not under Windows, and WSL 2 crashes at it."""
    return sys.platform == "linux" and "microsoft" not in platform.release().lower()


def gpu_blocks_stretch(environment: Mapping[str, str] | None = None) -> bool:
    """Whether torch's CUDA allocator enlarges its blocks, so that steps of different length leave
    no gaps."""
    env = os.environ if environment is None else environment
    return any(_STRETCH in env.get(name, "") for name in _ALLOCATOR_VARIABLES)


def prepare_environment(settings: Settings) -> None:
    """Set the switches that libraries read once, at import. Call before any of them is imported.

    Telemetry is off, the page's temporary files and the Hub's cache lie where they are expected,
    OpenMP threads sleep instead of spinning, since the page shares the cores with training, and
    torch's CUDA allocator enlarges blocks where the system can, since freed ones of another length
    would lie idle. No proxy stands between this PC and itself.
    """
    os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
    os.environ["WANDB_ERROR_REPORTING"] = "False"
    os.environ["HF_HUB_DISABLE_TELEMETRY"] = "1"
    os.environ["GRADIO_TEMP_DIR"] = str(settings.cache / "page")
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    # The studio draws its own progress; libraries' bars would write across it.
    os.environ.setdefault("TQDM_DISABLE", "1")
    if _gpu_blocks_can_stretch() and not any(name in os.environ for name in _ALLOCATOR_VARIABLES):
        os.environ[_ALLOCATOR_VARIABLES[0]] = _STRETCH
    for name in ("NO_PROXY", "no_proxy"):
        os.environ[name] = _with_this_pc(os.environ.get(name, ""))
    if settings.offline:
        os.environ["HF_HUB_OFFLINE"] = "1"
        os.environ["HF_DATASETS_OFFLINE"] = "1"


def _with_this_pc(hosts: str) -> str:
    """The hosts that are reached without a proxy, and this PC."""
    known = [host.strip() for host in hosts.split(",") if host.strip()]
    return ",".join([*known, *(host for host in ("127.0.0.1", "localhost") if host not in known)])


def _folders(value: str | None) -> tuple[Path, ...]:
    """Folders in one variable, separated as the system separates PATH."""
    names = [name.strip() for name in (value or "").split(os.pathsep)]
    return tuple(typed_path(name).absolute() for name in names if name)


def _is_on(value: str | None) -> bool:
    return (value or "").strip().lower() in {"1", "true", "yes", "on"}
