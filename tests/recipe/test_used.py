"""Which fields a recipe's choices make use of."""

from __future__ import annotations

from typing import Any

import pytest

from studio.recipe import Recipe
from studio.recipe.used import is_used


@pytest.mark.parametrize(("values", "is_kept"), [
    ({}, True), ({"adapter.use_dora": True}, True), ({"adapter.init": "gaussian"}, True),
    ({"adapter.modules_to_save": ["lm_head"]}, True),
    # These adapters train no biases, whatever the field says.
    ({"adapter.method": "ia3", "adapter.bias": "all"}, True),
    ({"adapter.method": "vera", "adapter.init": "pissa"}, True),
    ({"adapter.init": "pissa"}, False), ({"adapter.init": "olora"}, False),
    ({"adapter.bias": "all"}, False), ({"adapter.method": "none"}, False),
    ({"model.quantization": "4bit"}, False), ({"training.method": "reward"}, False),
    ({"training.method": "grpo"}, True),
])
def test_a_base_is_kept_between_runs_only_where_a_run_leaves_it_as_it_was(
    values: dict[str, Any], is_kept: bool
) -> None:
    assert is_used("speed.reuse", Recipe().with_values(values)) is is_kept
