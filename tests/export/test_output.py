"""What lies in the way of an export is named in a sentence, and kept unless the studio made it."""

from __future__ import annotations

import os
import re
from dataclasses import replace
from pathlib import Path

import pytest

from studio.errors import DiskError, ExportError
from studio.export.chain import Way, run_plan
from studio.export.doors import SERVING
from studio.export.origin import find_origin
from studio.export.output import (
    file_to_write,
    folder_to_write,
    read_report,
    report_bar,
    reported,
)
from studio.export.plan import Plan, look_at, make_plan
from studio.progress import Step
from studio.runs import Run
from studio.settings import Settings


@pytest.fixture
def plan(trained_run: Run, settings: Settings) -> Plan:
    """The cheapest way out, into an empty home."""
    return make_plan(look_at(find_origin(trained_run.path), settings), [SERVING.key])


def _write(plan: Plan, *, overwrite: bool = False) -> tuple[str, str] | None:
    (made,) = run_plan(plan, Way(check=False, overwrite=overwrite))
    return made.problem


def test_only_what_the_studio_exported_is_replaced(plan: Plan) -> None:
    output = plan.stages[0].output
    assert _write(plan) is None and read_report(output)["kind"] == "serving recipes"
    taken = replace(plan, stages=tuple(replace(one, is_taken=True) for one in plan.stages))
    with pytest.raises(ExportError, match="exports of this name already"):
        _write(taken)
    assert _write(taken, overwrite=True) is None
    (output / "export.json").unlink()
    problem = _write(taken, overwrite=True)
    assert problem is not None and "nothing that the studio exported" in problem[0]
    assert (output / "README.md").is_file()


def test_a_file_where_a_folder_goes_and_a_folder_where_a_file_goes_stay(tmp_path: Path) -> None:
    (tmp_path / "model").write_text("mine", encoding="utf-8")
    (tmp_path / "model.gguf").mkdir()
    for overwrite in (False, True):
        with pytest.raises(ExportError, match=r"exists already|nothing that the studio exported"):
            folder_to_write(tmp_path / "model", overwrite)
        with pytest.raises(ExportError, match=r"exists already|is a folder"):
            file_to_write(tmp_path / "model.gguf", overwrite)
    assert folder_to_write(tmp_path / "model.gguf", overwrite=False)  # it is empty


def test_the_name_of_a_run_may_be_as_long_as_names_are(tmp_path: Path) -> None:
    assert folder_to_write(tmp_path / f"{'r' * 80}-merged", overwrite=False)
    with pytest.raises(ExportError, match="not a name that works on every PC"):
        folder_to_write(tmp_path / "aux.gguf", overwrite=False)


def test_an_exports_folder_that_cannot_be_made_or_written_to_is_a_sentence(
    plan: Plan, settings: Settings
) -> None:
    settings.home.mkdir(parents=True, exist_ok=True)
    settings.exports.write_text("mine", encoding="utf-8")
    with pytest.raises(DiskError, match="cannot be made"):
        _write(plan)
    settings.exports.unlink()
    settings.exports.mkdir()
    if os.name == "nt" or os.geteuid() == 0:
        return  # who may do everything is forbidden nothing
    settings.exports.chmod(0o500)
    problem = _write(plan)
    assert problem is not None and "cannot be written to" in problem[0]


def test_a_report_counts_itself_and_a_damaged_one_tells_nothing(tmp_path: Path) -> None:
    (tmp_path / "weights").write_bytes(b"12345")
    made = reported(tmp_path / "final", tmp_path, 0.0, ["a note"], {"kind": "test"})
    assert made.bytes == sum(path.stat().st_size for path in tmp_path.iterdir())
    assert made.path == tmp_path / "final" and made.notes == ("a note",)
    assert read_report(tmp_path)["kind"] == "test"
    for damaged in ("{", "[]"):
        (tmp_path / "export.json").write_text(damaged, encoding="utf-8")
        assert read_report(tmp_path) == {}


def test_the_last_bar_of_another_program_is_reported_and_other_lines_are_not() -> None:
    bar = re.compile(r"^Executing graph: .*?(\d+)/(\d+) \[")
    steps: list[Step] = []
    report_bar("", bar, "Merging", "steps", steps.append)
    report_bar("Loading 9/9 [00:01]", bar, "Merging", "steps", steps.append)
    assert steps == []
    report_bar("Executing graph:  10%|#  | 3/30 [00:01<00:09]\nExecuting graph:  20%|## | 6/30 "
               "[00:02<00:08]\na warning", bar, "Merging", "steps", steps.append)
    assert steps == [Step("Merging", 6, 30, "steps")]
