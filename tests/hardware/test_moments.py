"""What is held at each moment of a step, for every training method."""

from __future__ import annotations

import dataclasses

import pytest

from studio.device import Device
from studio.hardware.memory import estimate_workload
from studio.hardware.moments import (
    EVALUATION,
    FIRST_LAYER,
    LAST_LAYER,
    LOSS,
    REFERENCE,
    UPDATE,
    WRITING,
    Moment,
    moments,
)
from studio.hardware.objectives import OBJECTIVES, Objective
from studio.hardware.workload import Workload, workload_of
from studio.recipe import Recipe
from tests.hardware.shapes import shape_of

SHAPE = shape_of("meta-llama/Meta-Llama-3-8B")
PLAIN = Workload(
    device="cuda", batch=2, length=1024, dtype="bfloat16", weight_bytes=2, activation_bytes=2,
    trainable_bytes=4, trains_base=False, trainable=10_000_000, rank=16,
    targets=frozenset({"q_proj", "v_proj"}), optimizer="adamw_torch", checkpointing=True,
    attention="flash_attention_2", has_triton=True)


def _named(**changes: object) -> dict[str, Moment]:
    work = dataclasses.replace(PLAIN, **changes)  # type: ignore[arg-type]
    return {moment.name: moment for moment in moments(work, SHAPE)}


def _part(moment: Moment, name: str) -> int:
    return next(piece.bytes for piece in moment.parts if piece.name == name)


def test_supervised_tuning_of_an_adapter_has_three_moments() -> None:
    assert set(_named()) == {LOSS, LAST_LAYER, UPDATE}


def test_full_tuning_has_every_gradient_only_from_the_first_layers_backward_on() -> None:
    found = _named(trains_base=True, trainable=SHAPE.parameters, trainable_bytes=2)
    assert _part(found[LOSS], "gradients") == 0
    assert _part(found[FIRST_LAYER], "gradients") == 2 * SHAPE.parameters


def test_gradient_accumulation_keeps_all_gradients_through_the_forward_pass() -> None:
    found = _named(trains_base=True, trainable=SHAPE.parameters, trainable_bytes=2,
                   accumulates=True)
    assert _part(found[LOSS], "gradients") == 2 * SHAPE.parameters


def test_a_pair_of_answers_keeps_twice_the_activations() -> None:
    one, pair = _named()[LOSS], _named(objective="dpo")[LOSS]
    assert _part(pair, "activations") == 2 * _part(one, "activations")


def test_a_reference_comes_on_top_of_what_the_policy_keeps() -> None:
    found = _named(objective="dpo")
    assert found[REFERENCE].bytes > found[LOSS].bytes - _part(found[LOSS], "gradients")
    assert REFERENCE not in _named(objective="orpo")


def test_full_tuning_against_a_reference_holds_a_second_model() -> None:
    full = dataclasses.replace(PLAIN, trains_base=True, trainable=SHAPE.parameters,
                               trainable_bytes=2)
    dpo = dataclasses.replace(full, objective="dpo")
    sizes = [estimate_workload(work, SHAPE).parts[0].bytes for work in (full, dpo)]
    assert sizes[1] == sizes[0] + 2 * SHAPE.parameters


def test_grpo_has_a_reference_only_where_its_loss_asks_for_one() -> None:
    assert REFERENCE not in _named(objective="grpo")
    assert REFERENCE in _named(objective="grpo", has_reference=True)


@pytest.mark.parametrize(("method", "beta", "asks"), [
    ("grpo", None, False), ("grpo", 0.04, True), ("rloo", None, True), ("rloo", 0.0, False),
    ("dpo", None, True), ("orpo", None, False),
])
def test_a_recipe_asks_the_untrained_model_only_where_something_is_held_to_it(
    method: str, beta: float | None, asks: bool
) -> None:
    recipe = Recipe().with_values({"training.method": method, "reinforcement.beta": beta})
    work = workload_of(recipe, SHAPE, Device("cpu", "CPU", "float32", 16 * 10**9),
                       checkpointing=False)
    assert work.compares is asks
    assert (REFERENCE in {moment.name for moment in moments(work, SHAPE)}) is asks


def test_a_start_that_is_compared_with_is_kept_in_memory_a_second_time() -> None:
    def kept(**values: object) -> int:
        recipe = Recipe().with_values({"training.method": "dpo", "adapter.init": "pissa"}
                                      | {key.replace("__", "."): v for key, v in values.items()})
        return workload_of(recipe, SHAPE, Device("cpu", "CPU", "float32", 16 * 10**9),
                           checkpointing=False).kept_beside_adapter

    assert kept() == 41_943_040  # rank 16 on all linear layers
    assert kept(adapter__init="default") == kept(training__method="orpo") == 0


def test_answers_are_written_with_a_cache_of_keys_and_values() -> None:
    [writing] = [m for name, m in _named(objective="grpo").items() if name == WRITING]
    keys_and_values = 32 * 2 * 8 * 128 * 2  # layers x (keys, values) x heads x size x bytes
    assert _part(writing, "activations") == pytest.approx(
        2 * (1024 * keys_and_values + 128256 * 10))


def test_a_reward_model_makes_no_logits() -> None:
    dpo, reward = _named(objective="dpo")[LOSS], _named(objective="reward")[LOSS]
    assert _part(reward, "logits") < _part(dpo, "logits")


def test_evaluation_needs_less_than_training() -> None:
    found = _named(evaluates=True)
    assert 0 < found[EVALUATION].bytes < found[LAST_LAYER].bytes


def test_an_update_inside_the_backward_pass_holds_one_layers_gradients() -> None:
    found = _named(trains_base=True, trainable=SHAPE.parameters, trainable_bytes=2,
                   updates_in_backward=True)
    assert _part(found[UPDATE], "gradients") == pytest.approx(2 * SHAPE.parameters / 32)


@pytest.mark.parametrize("objective", OBJECTIVES)
def test_every_method_has_an_estimate_whose_parts_add_up(objective: Objective) -> None:
    found = estimate_workload(dataclasses.replace(PLAIN, objective=objective), SHAPE)
    assert sum(piece.bytes for piece in found.parts) == found.total_bytes
    assert found.low_bytes < found.total_bytes < found.high_bytes
    assert found.allocated_bytes <= found.reserved_bytes


def test_several_gpus_divide_what_their_scheme_divides() -> None:
    full = dataclasses.replace(PLAIN, trains_base=True, trainable=SHAPE.parameters,
                               trainable_bytes=2, shards=4, sharded="gradients")
    assert [full.shards_of(what) for what in ("optimizer", "gradients", "weights")] == [4, 4, 1]
    parts = {piece.name: piece.bytes for piece in estimate_workload(full, SHAPE).parts}
    assert parts["weights"] == 2 * SHAPE.parameters
    assert parts["optimizer"] == pytest.approx(2 * 2 * SHAPE.parameters / 4, rel=1e-6)


def test_divided_weights_are_whole_in_the_layer_that_computes() -> None:
    work = dataclasses.replace(PLAIN, shards=4, sharded="weights")
    weights = estimate_workload(work, SHAPE).parts[0].bytes
    assert weights == pytest.approx(2 * SHAPE.parameters * (1 / 4 + 1 / 32), rel=1e-6)


def test_master_weights_make_sixteen_bytes_a_parameter() -> None:
    work = dataclasses.replace(PLAIN, trains_base=True, trainable=SHAPE.parameters, length=8,
                               trainable_bytes=2, master_weights=True)
    parts = {piece.name: piece.bytes for piece in estimate_workload(work, SHAPE).parts}
    kept = parts["weights"] + parts["gradients"] + parts["optimizer"]
    assert kept == pytest.approx(16 * SHAPE.parameters, rel=1e-6)


def test_copies_that_autocast_computes_with_are_gone_at_the_update() -> None:
    found = _named(trains_base=True, trainable=SHAPE.parameters, trainable_bytes=4,
                   weight_bytes=4, autocast=True, checkpointing=False)
    copies = 2 * SHAPE.parameters
    for name in (LOSS, LAST_LAYER):
        assert _part(found[name], "activations") > copies
    assert _part(found[UPDATE], "activations") == 0
    assert estimate_workload(PLAIN, SHAPE).parts[0].bytes == copies


def test_paged_states_are_not_in_torchs_own_count() -> None:
    plain = dataclasses.replace(PLAIN, optimizer="adamw_8bit")
    paged = dataclasses.replace(PLAIN, optimizer="paged_adamw_8bit")
    states = estimate_workload(paged, SHAPE).paged_bytes
    assert states == pytest.approx(2 * (1 + 4 / 256) * PLAIN.trainable, rel=1e-3)
    one, other = estimate_workload(plain, SHAPE), estimate_workload(paged, SHAPE)
    assert one.total_bytes == other.total_bytes
    assert one.allocated_bytes - other.allocated_bytes == states
    assert one.reserved_bytes - other.reserved_bytes == states


def test_answers_of_its_own_are_shown_to_the_reference_before_anything_is_kept() -> None:
    found = _named(objective="rloo", has_reference=True)
    assert found[REFERENCE].bytes < _named(objective="kto")[REFERENCE].bytes
