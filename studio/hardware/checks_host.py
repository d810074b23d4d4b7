"""The checks of everything around the GPU: Python, libraries, memory, WSL, Windows, folders.

Each takes the Facts and gives one Finding, or None where it does not apply.
"""

from __future__ import annotations

import tempfile

from studio.files import nearest_existing, readable_bytes
from studio.hardware.finding import Facts, Finding
from studio.hardware.host import windows_drive

OLDEST_PYTHON = (3, 11)
LITTLE_RAM_BYTES = 6_000_000_000
"""Below, the libraries (about 1 GB) and the starter model in training leave no room."""
ENOUGH_RAM_BYTES = 32_000_000_000
"""From here on small jobs do not need swap."""
LITTLE_SWAP_BYTES = 2_000_000_000
LONG_HOME_CHARACTERS = 100
"""Names inside a run or a model cache take up to about 150 of Windows' 260 characters."""


def check_python(facts: Facts) -> Finding:
    """Old Pythons lack what the studio needs."""
    version = ".".join(map(str, facts.python))
    if facts.python < OLDEST_PYTHON:
        return Finding("problem", f"Python {version} is too old.",
                       "Install Python 3.11 or newer and start launch.py with it.")
    return Finding("ok", f"Python {version}.")


def check_torch(facts: Facts) -> Finding:
    """torch is there. Whether it serves the GPU is `check_torch_for_gpu`."""
    if facts.torch is None:
        return Finding("problem", "torch is not installed.",
                       "Run python launch.py, which installs it.")
    built = f"for CUDA {facts.torch.cuda}" if facts.torch.cuda else "for the processor"
    return Finding("ok", f"torch {facts.torch.version}, built {built}.")


def check_bitsandbytes(facts: Facts) -> Finding:
    """4-bit, 8-bit and 8-bit optimizers need bitsandbytes."""
    version = facts.hardware.libraries.get("bitsandbytes")
    hint = ("Install bitsandbytes, or leave model.quantization on none and training.optimizer on "
            "adamw_torch.")
    if facts.host.is_apple_silicon:
        return Finding("ok", "4-bit and 8-bit models are not for Apple GPUs: 16-bit models are "
                       "trained there.", "Leave model.quantization on none.")
    if version is None:
        return Finding("warning", "bitsandbytes is not installed: no 4-bit or 8-bit models.", hint)
    if facts.trial.bitsandbytes_error is not None:
        return Finding("warning", f"bitsandbytes {version} does not load: "
                       f"{facts.trial.bitsandbytes_error}", hint)
    return Finding("ok", f"bitsandbytes {version} loads: 4-bit and 8-bit models work.")


def check_ram(facts: Facts) -> Finding:
    """Enough main memory for the libraries and a small model."""
    total, free = facts.hardware.ram_total_bytes, facts.hardware.ram_available_bytes
    words = f"{readable_bytes(total)} of memory, {readable_bytes(free)} free"
    if total < LITTLE_RAM_BYTES:
        return Finding("warning", f"Only {words}.",
                       "Train the starter model with the low memory preset.")
    if free < LITTLE_RAM_BYTES / 2:
        return Finding("warning", f"{words}.", "Close other programs before training.")
    return Finding("ok", f"{words}.")


def check_container_limit(facts: Facts) -> Finding | None:
    """A container's limit ends the program, whatever the machine has."""
    limit = facts.host.container_limit_bytes
    if limit is None:
        return None
    words = (f"A container's limit gives this program {readable_bytes(limit)} of the machine's "
             f"{readable_bytes(facts.host.machine_bytes)}. All estimates here go by the limit.")
    if limit < LITTLE_RAM_BYTES:
        return Finding("warning", words, "Start the container with more memory (--memory).")
    return Finding("ok", words)


def check_swap(facts: Facts) -> Finding | None:
    """Without swap a short peak ends the program instead of slowing it."""
    host = facts.host
    if host.system == "Darwin" or host.in_container or host.container_limit_bytes is not None:
        return None  # macOS makes swap when it needs some; a container has its host's
    if host.swap_bytes >= LITTLE_SWAP_BYTES or host.machine_bytes >= ENOUGH_RAM_BYTES:
        return None
    if host.on_windows:
        name = "page file"
        hint = ("Let Windows manage its size: System, Advanced system settings, Performance, "
                "Advanced, Virtual memory.")
    else:
        name, hint = "swap", "Make a swap file of 8 GB, or keep to recipes that fit comfortably."
        if host.wsl:
            hint = "Set swap=8GB under [wsl2] in .wslconfig in your Windows user folder."
    size = f"only {readable_bytes(host.swap_bytes)} of {name}" if host.swap_bytes else f"no {name}"
    return Finding("warning", f"This PC has {size}: where memory runs out, the system ends the "
                   "training without a word.", hint)


def check_wsl(facts: Facts) -> Finding | None:
    """What is different about Linux inside Windows."""
    if facts.host.wsl is None:
        return None
    if facts.host.wsl == 1:
        return Finding("warning", "This is WSL 1, where Linux programs cannot use the GPU.",
                       "In Windows run: wsl --set-version <distribution> 2")
    total = readable_bytes(facts.host.machine_bytes)
    words = f"WSL 2: Windows lends this Linux {total} of memory, half of the PC's unless told."
    hint = ("For more, set memory= under [wsl2] in .wslconfig in your Windows user folder, and run "
            "wsl --shutdown.")
    if not facts.hardware.gpus:
        return Finding("ok", f"{words} No NVIDIA GPU is seen.", f"{hint} For an NVIDIA GPU install "
                       "the driver in Windows; inside WSL none must be installed.")
    small = facts.host.machine_bytes < 2 * LITTLE_RAM_BYTES
    return Finding("warning" if small else "ok", words, hint)


def check_windows_drive(facts: Facts) -> Finding | None:
    """WSL reaches Windows' drives through a slow protocol."""
    home = facts.settings.home
    drive = windows_drive(home) if facts.host.wsl else None
    if drive is None:
        return None
    return Finding("warning", f"The studio's home {home} lies on Windows' drive {drive}:, which "
                   "Linux programs read and write many times slower.",
                   "Start it with --home and a folder inside Linux, such as ~/AdapterStudio.")


def check_long_paths(facts: Facts) -> Finding | None:
    """Windows cuts paths at 260 characters unless told otherwise."""
    if facts.host.long_paths is not False:
        return None
    is_long = len(str(facts.settings.home)) > LONG_HOME_CHARACTERS
    return Finding(
        "warning" if is_long else "ok",
        "Windows allows paths of up to 260 characters only; model caches come close to that.",
        "Switch long paths on (as administrator): reg add HKLM\\SYSTEM\\CurrentControlSet\\"
        "Control\\FileSystem /v LongPathsEnabled /t REG_DWORD /d 1 /f, or use a short --home.")


def check_synchronised_home(facts: Facts) -> Finding | None:
    """OneDrive would upload gigabytes of checkpoints, and lock files while they are written."""
    home = facts.settings.home
    names = ("onedrive", "dropbox", "icloud drive", "com~apple~clouddocs")
    found = [part for part in home.parts if part.lower().startswith(names)]
    if not found:
        return None
    return Finding("warning", f"The studio's home lies in {found[0]}, which would upload every "
                   "checkpoint and may lock files while they are written.",
                   "Start it with --home and a folder outside of it.")


def check_home(facts: Facts) -> Finding:
    """The studio's home, or the nearest folder above it that exists, can be written to."""
    home = facts.settings.home
    try:
        with tempfile.TemporaryFile(dir=nearest_existing(home)):
            pass
    except OSError as error:
        return Finding("problem", f"The studio cannot write into {home}: {error.strerror}.",
                       "Start it with --home and a folder of your own.")
    return Finding("ok", f"The studio's home {home} can be written to.")


def check_network(facts: Facts) -> Finding | None:
    """Offline mode is said, so that a missing model does not surprise."""
    if not facts.settings.offline:
        return None
    return Finding("ok", "Offline: only models and data that are already on this PC.")


HOST_CHECKS = (
    check_python, check_torch, check_bitsandbytes, check_ram, check_container_limit, check_swap,
    check_wsl, check_windows_drive, check_long_paths, check_synchronised_home, check_home,
    check_network,
)
