"""The checks of GPUs: which is used, does its driver fit torch, has torch kernels for it.

Each takes the Facts and gives one Finding, or None where it does not apply. Where torch itself was
asked, its word counts more than any table.
"""

from __future__ import annotations

from studio.bootstrap.torch_check import CUDA_BUILDS
from studio.files import readable_bytes
from studio.hardware.cuda_support import (
    build_for,
    driver_fits,
    has_kernels,
    lowest_capability,
    oldest_driver,
    version_numbers,
    wheel_architectures,
)
from studio.hardware.finding import Facts, Finding
from studio.hardware.gpu import Gpu

LITTLE_GPU_BYTES = 3_500_000_000
_DRIVERS = "https://www.nvidia.com/drivers"


def check_torch_for_gpu(facts: Facts) -> Finding | None:
    """A GPU is of no use to a torch that was built without CUDA."""
    if not facts.hardware.gpus or facts.torch is None or facts.torch.cuda is not None:
        return None
    return Finding(
        "problem",
        f"An NVIDIA GPU is here, but torch {facts.torch.version} is built without CUDA, so "
        "training would run on the processor.",
        "Run python launch.py --torch auto, which installs the CUDA build.",
    )


def check_driver(facts: Facts) -> Finding | None:
    """A driver runs CUDA programs of its own major version and older ones."""
    driver, torch = facts.hardware.driver, facts.torch
    if driver is None or torch is None or torch.cuda is None:
        return None
    runtime = version_numbers(torch.cuda)
    version = driver.version or "of unknown version"
    newest = f", for CUDA up to {'.'.join(map(str, driver.cuda))}" if driver.cuda else ""
    fits = "fits" if driver.version is None else driver_fits(
        driver.version, runtime, on_windows=facts.host.on_windows)
    if driver.cuda is not None and runtime and driver.cuda[0] < runtime[0]:
        fits = "too old"
    if facts.trial.cuda_works:  # NVIDIA's compatibility packages let older drivers do
        return Finding("ok", f"NVIDIA driver {version}{newest}; torch uses it.")
    if fits == "too old":
        oldest = oldest_driver(runtime, on_windows=facts.host.on_windows)
        needs = f"needs {oldest} or newer" if oldest else "needs a newer one"
        return Finding(
            "problem",
            f"The NVIDIA driver {version} is older than torch's CUDA {torch.cuda}, which {needs}"
            f"{newest.replace(', for', '; this one runs')}.", _newer_driver(facts))
    limits = (" It is older than the one that came with this CUDA, which is fine for torch's own "
              "kernels." if fits == "limited" else "")
    return Finding("ok", f"NVIDIA driver {version}{newest}.{limits}")


def _newer_driver(facts: Facts) -> str:
    where = ("Install a newer NVIDIA driver in Windows, not inside WSL" if facts.host.wsl
             else "Install a newer NVIDIA driver")
    older = _older_build(facts)
    return f"{where} ({_DRIVERS}){older}."


def _older_build(facts: Facts) -> str:
    """The words for a build of torch that the present driver and card can run."""
    driver, used = facts.hardware.driver, facts.used.gpu
    if driver is None or driver.version is None or used is None:
        return ""
    first = (version_numbers(driver.version) or (0,))[0]
    for build in CUDA_BUILDS:
        capability = used.compute_capability
        number = None if capability is None else float(f"{capability[0]}.{capability[1]}")
        fits = number is None or build.lowest_capability <= number <= build.highest_capability
        if fits and first >= build.lowest_driver:
            return f", or run python launch.py --torch {build.name}"
    return ""


def check_driver_answers(facts: Facts) -> Finding | None:
    """A driver that is there but fails leaves a note in the probe."""
    if not facts.hardware.notes:
        return None
    text = " ".join(facts.hardware.notes)
    if facts.hardware.gpus:
        return Finding("warning", text, "Restart the PC; look at the card's power cable and seat. "
                       "The other GPUs can be used.")
    hint = ("Update the NVIDIA driver in Windows, then run wsl --shutdown and start again."
            if facts.host.wsl else "Restart the PC after a driver update; if that does not help, "
            "install the NVIDIA driver again.")
    return Finding("warning", text, f"{hint} Until then training runs on the processor.")


def check_lost_gpus(facts: Facts) -> Finding | None:
    """A GPU that disappears while the PC runs: overheated, without power, or a driver's crash."""
    lost = [gpu for gpu in facts.hardware.gpus if gpu.is_lost]
    if not lost:
        return None
    which = " and ".join(f"GPU {gpu.index}" for gpu in lost)
    return Finding("problem", f"{which} disappeared while the PC was running.",
                   "Restart the PC. If it happens again, look at the temperature, the power "
                   "cables and the power supply.")


def check_cuda_works(facts: Facts) -> Finding | None:
    """torch was tried and could not use the GPU, for a reason that no other check explains."""
    if facts.trial.cuda_works is not False or not facts.hardware.gpus:
        return None
    if facts.torch is None or facts.torch.cuda is None or facts.used.gpu is None:
        return None
    why = facts.trial.cuda_error.rstrip(".") or "it gives no reason"
    return Finding("problem", f"torch cannot use the GPU: {why}.",
                   "See the other findings on driver and GPU; if there is none, restart the PC "
                   "and close other programs that use the GPU.")


def check_visible(facts: Facts) -> Finding | None:
    """CUDA_VISIBLE_DEVICES may hide every GPU."""
    if not facts.hardware.gpus or facts.used.gpu is not None or facts.switches.visible is None:
        return None
    return Finding("warning", f"{facts.used.why} Training would run on the processor.",
                   "Remove the variable CUDA_VISIBLE_DEVICES, or set it to a GPU's number.")


def check_gpu(facts: Facts) -> Finding:
    """Whether there is a GPU, which of several is used, and whether it has memory to train in."""
    gpus = facts.hardware.gpus
    if not gpus:
        return Finding("ok", _without_gpu(facts))
    used = facts.used
    if used.gpu is None:
        return Finding("ok", "No GPU is used.")
    names = _described(used.gpu)
    if len(gpus) > 1:
        others = ", ".join(_described(gpu) for gpu in gpus if gpu is not used.gpu)
        names = f"{names} is used: {used.why} Not used: {others}"
    if used.gpu.total_bytes is not None and used.gpu.total_bytes < LITTLE_GPU_BYTES:
        return Finding("warning", f"{names}: little memory to train in.",
                       "Use the low memory preset and models of up to 500 million parameters.")
    return Finding("ok", f"{names}.")


def _without_gpu(facts: Facts) -> str:
    if facts.host.is_apple_silicon:
        return "An Apple GPU: training runs on it, in the PC's own memory."
    return "No NVIDIA GPU: training runs on the processor, for small models."


def _described(gpu: Gpu) -> str:
    size = f" with {readable_bytes(gpu.total_bytes)}" if gpu.total_bytes is not None else ""
    return f"{gpu.name}{size}"


def check_best_gpu(facts: Facts) -> Finding | None:
    """A larger GPU that stays unused while a smaller one trains."""
    used = facts.used.gpu
    if used is None or used.total_bytes is None:
        return None
    larger = [gpu for gpu in facts.hardware.gpus if not gpu.is_lost
              and (gpu.total_bytes or 0) > 1.1 * used.total_bytes]
    if not larger:
        return None
    best = max(larger, key=lambda gpu: gpu.total_bytes or 0)
    return Finding("warning", f"{_described(best)} would hold larger models than {used.name}, "
                   "which is used.",
                   f"Set CUDA_VISIBLE_DEVICES={best.uuid or best.index} before starting the "
                   "studio.")


def check_kernels(facts: Facts) -> Finding | None:
    """torch must hold kernels for the card's generation."""
    used = facts.used.gpu
    if used is None or used.compute_capability is None or facts.torch is None:
        return None
    architectures = facts.trial.architectures or wheel_architectures(facts.torch.cuda)
    if not architectures or has_kernels(used.compute_capability, architectures):
        return None
    capability = ".".join(map(str, used.compute_capability))
    build = build_for(used.compute_capability)
    hint = (f"Run python launch.py --torch {build.name}, which installs a build that has them."
            if build is not None else "Train on the processor (--torch cpu), or use another card.")
    return Finding(
        "problem",
        f"torch {facts.torch.version} has no kernels for {used.name}: its compute capability is "
        f"{capability}, and this build begins with {lowest_capability(architectures)}.", hint)


def check_bfloat16(facts: Facts) -> Finding | None:
    """Cards before Ampere only emulate bfloat16; the studio takes float16 there."""
    used = facts.used.gpu
    if used is None or used.computes_bfloat16 is not False:
        return None
    return Finding(
        "warning",
        f"{used.name} has no bfloat16 arithmetic. The studio computes in float16 there and scales "
        "the loss, so that small gradients do not vanish; this is a little less stable.",
        "Leave model.dtype on auto. If a loss becomes NaN, lower the learning rate.")


def check_mig(facts: Facts) -> Finding | None:
    """A slice of a GPU is all that a program gets of it."""
    used = facts.used.gpu
    if used is None or not used.is_mig:
        return None
    size = readable_bytes(used.total_bytes) if used.total_bytes is not None else "its own"
    return Finding("ok", f"{used.name} is a slice (MIG) of a GPU, with {size} of memory. CUDA uses "
                   "one slice at a time.")


def check_wddm(facts: Facts) -> Finding | None:
    """Windows keeps part of the card's memory, and lends main memory when it is full."""
    used = facts.used.gpu
    if used is None or not facts.host.on_windows or used.driver_model != "WDDM":
        return None
    return Finding(
        "ok",
        "Windows manages the GPU's memory (WDDM): the desktop and other programs take some of it, "
        "and what does not fit goes to main memory, where training crawls instead of stopping.",
        "To get an error instead: NVIDIA Control Panel, Manage 3D settings, CUDA - Sysmem "
        "Fallback Policy, Prefer No Sysmem Fallback.")


GPU_CHECKS = (
    check_torch_for_gpu, check_driver, check_driver_answers, check_lost_gpus, check_cuda_works,
    check_visible, check_gpu, check_best_gpu, check_kernels, check_bfloat16, check_mig, check_wddm,
)
