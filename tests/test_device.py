"""Which numbers a processor is fast at."""

from __future__ import annotations

from typing import Any

import pytest

from studio.device import fast_in_bfloat16


@pytest.mark.parametrize(("capabilities", "is_fast"), [
    ({}, False),
    ({"cpu_name": "Intel(R) Xeon(R)", "avx512_bf16": True}, False),
    ({"cpu_name": "Intel(R) Xeon(R)", "amx_tile": True, "amx_bf16": False}, False),
    ({"cpu_name": "Intel(R) Xeon(R)", "amx_tile": True, "amx_bf16": True}, True),
    ({"cpu_name": "AMD EPYC", "avx512_bf16": True}, True),
    ({"cpu_name": "AMD Ryzen 5 5600X", "avx512_bf16": False}, False)])
def test_only_what_multiplies_faster_in_bfloat16_computes_in_it(
    capabilities: dict[str, Any], is_fast: bool
) -> None:
    assert fast_in_bfloat16(capabilities) is is_fast
