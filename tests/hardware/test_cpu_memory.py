"""What a processor's training holds beyond tensors."""

from __future__ import annotations

import dataclasses

import pytest

from studio.device import Device
from studio.hardware import cpu_memory
from studio.hardware.cpu_memory import END_BYTES, RETURNED_BYTES
from studio.hardware.workload import Workload, workload_of
from studio.recipe import Recipe
from tests.hardware.shapes import shape_of

CPU = Device("cpu", "CPU", "float32", 32_000_000_000)
STARTER = shape_of("starter")


def step(**changes: object) -> Workload:
    recipe = Recipe().with_values({"training.batch_size": 1, "data.max_length": 256, **changes})
    return workload_of(recipe, STARTER, CPU, checkpointing=False)


def holes(work: Workload, *, updates: bool = False) -> int:
    return cpu_memory.slack(work, STARTER, updates=updates).bytes


def test_adapted_layers_leave_holes_for_each_of_their_outputs() -> None:
    attention = step(**{"adapter.targets": ["q_proj"], "speed.fused_layers": False})
    more = dataclasses.replace(attention, targets=frozenset({"q_proj", "up_proj"}))
    outputs = 4 * 256 * STARTER.layers * STARTER.intermediate
    kept_input = cpu_memory.KEPT_HOLES_SHARE * 4 * 256 * STARTER.layers * (
        STARTER.hidden + attention.rank)
    assert holes(more) - holes(attention) == pytest.approx(outputs + kept_input, abs=1)


def test_fused_adapters_leave_none_for_their_outputs() -> None:
    queries = step(**{"adapter.targets": ["q_proj"]})
    more = dataclasses.replace(queries, targets=frozenset({"q_proj", "up_proj"}))
    # Both read what a norm made, which is not kept: only the product with A is.
    low = 4 * 256 * STARTER.layers * queries.rank
    assert holes(more) - holes(queries) == pytest.approx(cpu_memory.FUSED_HOLES_SHARE * low, abs=1)
    assert "adapted" not in cpu_memory.slack(queries, STARTER, updates=False).formula


def test_full_tuning_has_no_adapted_outputs_but_copies_for_the_update() -> None:
    full = step(**{"adapter.method": "none"})
    assert "adapted" not in cpu_memory.slack(full, STARTER, updates=False).formula
    embedding = STARTER.vocabulary * STARTER.hidden
    assert holes(full, updates=True) - holes(full) == 2 * 4 * embedding
    assert holes(step(), updates=True) == holes(step())


def test_tensors_from_the_threshold_on_leave_no_holes() -> None:
    tokens = RETURNED_BYTES // (4 * STARTER.hidden) + 1
    queries = step(**{"adapter.targets": ["q_proj"]})
    assert holes(dataclasses.replace(queries, length=tokens)) == 0
    between = RETURNED_BYTES // (4 * STARTER.intermediate) + 1
    assert holes(dataclasses.replace(queries, length=between)) > END_BYTES


def test_a_short_step_leaves_less_than_the_heaps_end() -> None:
    assert 0 < holes(step(**{"data.max_length": 16})) < END_BYTES


def test_the_quantiser_takes_its_place() -> None:
    plain, packed = step(), step(**{"model.quantization": "4bit"})
    more = cpu_memory.overhead(packed).bytes - cpu_memory.overhead(plain).bytes
    assert more == cpu_memory.QUANTIZER_BYTES
