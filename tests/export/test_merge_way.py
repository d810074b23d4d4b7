"""How a merge will go is told before it goes, and in the plan of the Export tab."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest

from studio.export.door import Choices
from studio.export.merge import merge
from studio.export.origin import find_origin
from studio.export.plan import look_at, make_plan
from studio.settings import Settings
from studio.ui.panels.export_view import plan_view
from tests.chat.conftest import make_adapter


@pytest.mark.parametrize(("options", "way"), [
    ({}, "plain"), ({"use_dora": True}, "layers"), ({"modules_to_save": ["norm"]}, "layers"),
    ({"init_lora_weights": "orthogonal"}, "whole"),
], ids=str)
def test_what_is_told_of_a_merge_is_what_it_does(
    tiny_model: Path, settings: Settings, tmp_path: Path, options: dict[str, Any], way: str
) -> None:
    adapter = make_adapter(tiny_model, tmp_path / "adapter", seed=5, **options)
    plan = make_plan(look_at(find_origin(adapter), settings), ["merged"])
    assert plan.merge is not None and plan.merge.way == way
    notes = merge(adapter, settings.exports / "merged", settings).notes
    if way == "whole":
        assert notes == (f"The base was loaded into memory as a whole, since "
                         f"{plan.merge.why_whole}.",)
    else:
        assert notes == () and not plan.merge.why_whole


def test_the_plan_says_what_memory_a_merge_takes_and_warns_where_it_is_too_little(
    adapter: Path, settings: Settings
) -> None:
    subject = look_at(find_origin(adapter), settings)
    plan = make_plan(subject, ["gguf:q8_0"])
    told = plan_view(plan, 10 ** 12)
    assert "merged from file to file" in told and "1.0 TB are free" in told
    assert "note-warning" not in told and "note-warning" in plan_view(plan, 10 ** 8)
    rounded = make_plan(dataclasses.replace(subject, choices=Choices(dequantized=True)),
                        ["merged"])
    assert "loaded as a whole to be merged, since it has to be rounded" in plan_view(rounded, 0)
    assert "merged from file" not in plan_view(make_plan(subject, ["adapter"]), 10 ** 12)
