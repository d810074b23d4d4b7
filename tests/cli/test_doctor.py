"""What `doctor` prints for a person, on hand-made PCs, in the narrowest of consoles."""

from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from studio.cli import reports, show
from studio.hardware.disk import disk_needs
from studio.hardware.doctor import judge
from studio.hardware.finding import Facts
from studio.hardware.library_trial import Trial
from studio.recipe import Recipe
from studio.settings import Settings
from tests.hardware.fake_nvml import Card
from tests.hardware.pcs import LINUX, MAC, WINDOWS, WSL, pc
from tests.hardware.shapes import shape_of

GB = 10**9


def printed(facts: Facts, monkeypatch: pytest.MonkeyPatch) -> str:
    """What stands on a console of 80 columns in the code page of old Windows consoles.

    Characters that it does not have are an error.
    """
    paper = io.TextIOWrapper(io.BytesIO(), encoding="cp437", errors="strict")
    console = Console(file=paper, width=80, highlight=False)
    monkeypatch.setattr(show, "console", console)
    monkeypatch.setattr(reports, "console", console)
    assert facts.disk is not None
    reports._show_doctor({"hardware": facts.hardware.to_dict(), "disk": facts.disk.to_dict(),
                          "findings": [finding.to_dict() for finding in judge(facts)]})
    paper.flush()
    buffer: Any = paper.buffer
    return buffer.getvalue().decode("cp437")


@pytest.mark.parametrize("host", [LINUX, MAC, WINDOWS, WSL], ids=["linux", "mac", "windows", "wsl"])
def test_what_doctor_prints_fits_every_console(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, host: Any
) -> None:
    recipe = Recipe().with_values({"model.source": "somebody/a-model"})
    needs = disk_needs(recipe, shape_of("meta-llama/Meta-Llama-3-8B"), settings, is_here=False)
    poor = replace(host, swap_bytes=0, machine_bytes=4 * GB, container_limit_bytes=None,
                   long_paths=False)
    facts = replace(
        pc(settings,
           Card(capability=(6, 1), total=2 * GB, driver_model=0, name="NVIDIA " + "X" * 60),
           Card(total=24 * GB, lost=True), host=poor, ram_total_bytes=4 * GB,
           trial=Trial(False, "no kernel image is available for execution on the device",
                       bitsandbytes_error="its native library does not load.")),
        disk=needs, settings=Settings(home=Path("/mnt/c/Users/me/OneDrive - Work/" + "a" * 90)))
    shown = printed(facts, monkeypatch)
    assert max(len(line) for line in shown.splitlines()) <= 80
    assert "| problem |" in shown
    assert "->" in shown
    assert "GGUF" in shown
