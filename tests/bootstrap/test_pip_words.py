"""pip's output: its progress in one line, and its failures in one sentence."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from studio.bootstrap.pip_failures import as_error, classify
from studio.bootstrap.pip_progress import PipProgress
from tests.bootstrap.tiny_checkout import make_wheel


def _pip(*arguments: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "pip", "install", "--no-input", "--dry-run",
         "--ignore-installed", "--progress-bar", "off", *arguments],
        capture_output=True, encoding="utf-8", check=False,
        env={name: value for name, value in os.environ.items() if not name.startswith("PIP_")}
        | {"PIP_CONFIG_FILE": os.devnull},
    )
    assert done.returncode
    return done.stdout + done.stderr


def test_an_unreachable_index_is_known_from_what_pip_really_says() -> None:
    output = _pip("--index-url", "http://127.0.0.1:9/", "--retries", "1", "no-such-package")
    failure = classify(output)
    assert failure is not None and failure.kind == "no network"


def test_a_retry_that_helped_is_not_taken_for_the_failure() -> None:
    failure = classify(
        "WARNING: Retrying (Retry(total=4)) after connection broken by 'ReadTimeoutError(...)'\n"
        "ERROR: Could not install packages due to an OSError: [Errno 28] No space left on device\n"
    )
    assert failure is not None and failure.kind == "no space"


def test_a_package_without_a_build_is_known_and_named(tmp_path: Path) -> None:
    output = _pip("--no-index", "--find-links", str(tmp_path), "torch==2.13.0")
    error = as_error(output, "install.log")
    assert "(torch==2.13.0)" in error.message and "3.11 to 3.14" in error.hint


def test_a_locked_version_that_is_not_to_be_had_is_named(tmp_path: Path) -> None:
    make_wheel(tmp_path, "torch", "2.9.0", {"torch.py": ""})
    (tmp_path / "lock").write_text("torch==2.13.0\n")
    error = as_error(_pip("--no-index", "--find-links", str(tmp_path), "--constraint",
                          str(tmp_path / "lock"), "torch>=2"), "install.log")
    assert "(torch==2.13.0)" in error.message


def test_a_damaged_wheel_is_known(tmp_path: Path) -> None:
    make_wheel(tmp_path, "whole", "1.0", {"whole.py": ""})
    wheel = next(tmp_path.glob("*.whl"))
    wheel.write_bytes(wheel.read_bytes()[:100])
    failure = classify(_pip("--no-index", str(wheel)))
    assert failure is not None and failure.kind == "damaged download"


@pytest.mark.parametrize(
    ("kind", "line"),
    [
        ("no space", "ERROR: Could not install packages due to an OSError: [Errno 28] No space "
                     "left on device"),
        ("managed by the system", "error: externally-managed-environment"),
        ("certificate", "SSLError(SSLCertVerificationError(1, '[SSL: CERTIFICATE_VERIFY_FAILED] "
                        "certificate verify failed'))': /simple/gradio/"),
        ("proxy", "ProxyError('Cannot connect to proxy.', NewConnectionError('refused'))"),
        ("interrupted", "pip._vendor.urllib3.exceptions.ReadTimeoutError: HTTPSConnectionPool("
                        "host='files', port=443): Read timed out."),
        ("no network", "NewConnectionError: Temporary failure in name resolution\nERROR: No "
                       "matching distribution found for gradio"),
        ("path too long", "HINT: This error might have occurred since this system does not have "
                          "Windows Long Path support enabled."),
        ("no permission", "ERROR: Could not install packages due to an OSError: [WinError 5] "
                          "Access is denied: 'torch.dll'"),
        ("conflict", "ERROR: ResolutionImpossible: for help visit"),
        ("no build for this PC", "ERROR: Failed building wheel for sentencepiece"),
    ],
)
def test_each_kind_of_failure_is_known_by_its_words(kind: str, line: str) -> None:
    failure = classify(line)
    assert failure is not None and failure.kind == kind


def test_an_unknown_failure_keeps_pips_own_last_error() -> None:
    error = as_error("fine\nERROR: the moon is full\n", "install.log")
    assert "the moon is full" in error.message and "install.log" in error.hint


def test_progress_names_the_package_its_size_and_how_far_it_is(tmp_path: Path) -> None:
    progress = PipProgress(80, tmp_path, tmp_path)
    progress.feed("Collecting torch>=2.13 (from adapter-studio==0.1.0)")
    progress.feed("  Downloading torch-2.13.0-cp311-cp311-win_amd64.whl (200.0 MB)")
    (tmp_path / "pip-unpack-x").mkdir()
    (tmp_path / "pip-unpack-x" / "torch-2.13.0-cp311-cp311-win_amd64.whl").write_bytes(
        b"\0" * 50_000_000)
    assert progress.describe() == (
        "Package 1 of about 80: torch 2.13.0, 200.0 MB, 25 % (50.0 MB downloaded so far)")
    progress.feed("Collecting rich")
    progress.feed("  Using cached rich-15.0.0-py3-none-any.whl (310 kB)")
    assert progress.describe() == (
        "Package 2 of about 80: rich 15.0.0 (downloaded before) (200.0 MB downloaded so far)")


def test_unpacking_is_counted_by_what_lies_there(tmp_path: Path) -> None:
    (tmp_path / "pip-23.dist-info").mkdir()
    progress = PipProgress(80, tmp_path, tmp_path)
    progress.feed("Installing collected packages: idna, rich, torch")
    assert progress.describe() == "Unpacking package 1 of 3: idna"
    (tmp_path / "idna-3.dist-info").mkdir()
    assert progress.describe() == "Unpacking package 2 of 3: rich"


def test_a_wheel_from_a_folder_is_counted_too(tmp_path: Path) -> None:
    progress = PipProgress(80, tmp_path, tmp_path)
    progress.feed("Processing /opt/wheels/torch-2.13.0+cpu-cp311-cp311-linux_x86_64.whl (from x)")
    assert progress.describe().startswith("Package 1 of about 80: torch 2.13.0+cpu (0 B")
