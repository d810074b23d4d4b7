"""A blend is what PEFT makes with the base loaded, and what the formulas say."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from studio.adapters.blend import Mix, Part, blend, plan
from studio.adapters.blend.methods import METHODS
from studio.errors import Stopped
from studio.settings import Settings
from tests.adapters.blend.conftest import Changes

Of = Callable[[Path], Changes]
PAIRS = [("first", "second"), ("first", "wide"), ("stable", "steady"), ("uneven", "first"),
         ("words", "other words")]


def mixed(names: dict[str, float], mix: Mix, parents: dict[str, Path], settings: Settings,
          name: str = "mixed") -> Path:
    parts = [Part(parents[parent], weight) for parent, weight in names.items()]
    return blend(name, parts, mix, settings).path


def same(found: Changes, wanted: Changes) -> None:
    import torch

    assert found.keys() == wanted.keys()
    for name, change in wanted.items():
        torch.testing.assert_close(found[name], change, rtol=1e-4, atol=1e-4, msg=lambda text,
                                   name=name: f"{name}: {text}")


def added(one: Changes, other: Changes, weights: tuple[float, float]) -> Changes:
    return {name: sum((weight * side[name] for weight, side in zip(weights, (one, other),
                                                                   strict=True) if name in side))
            for name in one | other}


@pytest.mark.parametrize("pair", PAIRS, ids=" and ".join)
def test_cat_adds_what_each_does_exactly_and_svd_at_full_rank(
    pair: tuple[str, str], parents: dict[str, Path], changes_of: Of, settings: Settings,
) -> None:
    weights = {pair[0]: 0.7, pair[1]: -0.4}
    wanted = added(*(changes_of(parents[name]) for name in pair), (0.7, -0.4))
    exact = mixed(weights, Mix("cat"), parents, settings, "exact")
    full = mixed(weights, Mix("svd", rank=99), parents, settings, "full")
    same(changes_of(exact), wanted)
    same(changes_of(full), wanted)


@pytest.mark.parametrize("name", ["first", "stable", "uneven"])
def test_linear_of_a_single_adapter_is_that_adapter(
    name: str, parents: dict[str, Path], changes_of: Of, settings: Settings,
) -> None:
    same(changes_of(mixed({name: 1.0}, Mix("linear"), parents, settings)),
         changes_of(parents[name]))


@pytest.mark.parametrize("weights", [(0.7, 0.3), (1.0, -0.5)])
@pytest.mark.parametrize("method", [name for name, one in METHODS.items() if not one.draws])
def test_every_method_is_what_peft_makes_with_the_base_in_memory(
    method: str, weights: tuple[float, float], parents: dict[str, Path], tiny_model: Path,
    changes_of: Of, settings: Settings,
) -> None:
    same(changes_of(mixed(dict(zip(("first", "second"), weights, strict=True)),
                          Mix(method, density=0.4 if METHODS[method].prunes else None),
                          parents, settings)),
         by_peft(tiny_model, [parents["first"], parents["second"]], list(weights), method))


def by_peft(base: Path, folders: list[Path], weights: list[float], method: str) -> Changes:
    """PEFT's own blend on the whole model."""
    from peft import PeftModel
    from peft.tuners.lora import LoraLayer
    from transformers import AutoModelForCausalLM

    model = PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(base), folders[0],
                                      adapter_name="0")
    model.load_adapter(folders[1], adapter_name="1")
    model.add_weighted_adapter(["0", "1"], weights, "both", method, density=0.4)
    return {name: layer.get_delta_weight("both").detach()
            for name, layer in model.named_modules() if isinstance(layer, LoraLayer)}


def test_linear_adds_a_and_b_apart_so_the_adapters_act_on_one_another_and_this_is_said(
    parents: dict[str, Path], changes_of: Of, settings: Settings,
) -> None:
    import torch

    made = blend("rough", [Part(parents["first"]), Part(parents["second"])], Mix("linear"),
                 settings)
    found = changes_of(made.path)
    wanted = added(changes_of(parents["first"]), changes_of(parents["second"]), (1, 1))
    assert not any(torch.allclose(found[name], wanted[name], atol=1e-2) for name in wanted)
    assert any("act on one another" in note for note in made.notes)


@pytest.mark.parametrize("method", ["dare_linear", "dare_ties", "dare_linear_svd",
                                    "dare_ties_svd"])
def test_what_is_drawn_repeats_with_the_seed_and_leaves_other_threads_numbers_alone(
    method: str, parents: dict[str, Path], settings: Settings,
) -> None:
    import torch

    def weights(name: str, seed: int) -> bytes:
        folder = mixed({"first": 0.5, "second": 0.5}, Mix(method, seed=seed), parents, settings,
                       name)
        return (folder / "adapter_model.safetensors").read_bytes()

    before = torch.get_rng_state()
    one, again, other = weights("one", 1), weights("again", 1), weights("other", 2)
    assert torch.equal(torch.get_rng_state(), before)
    assert one == again != other


def test_dare_keeps_the_share_it_was_told_and_enlarges_it(
    parents: dict[str, Path], settings: Settings,
) -> None:
    """One adapter of weight 1, so that each number of A is dropped, or a quarter of its share."""
    from safetensors.torch import load_file

    file = "adapter_model.safetensors"
    plain = mixed({"second": 1.0}, Mix("linear"), parents, settings, "plain")
    drawn = mixed({"second": 1.0}, Mix("dare_linear", density=0.25), parents, settings, "drawn")
    whole, found = load_file(plain / file), load_file(drawn / file)
    kept = {name: (numbers / whole[name]).round(decimals=3) for name, numbers in found.items()}
    assert {value for part in kept.values() for value in part.unique().tolist()} == {0.0, 4.0}
    share = sum(int((part > 0).sum()) for part in kept.values()) / sum(
        part.numel() for part in kept.values())
    assert 0.2 < share < 0.3


def test_the_rank_can_be_chosen_and_then_the_strongest_directions_stay(
    parents: dict[str, Path], changes_of: Of, settings: Settings,
) -> None:
    import torch

    full = changes_of(mixed({"first": 1, "wide": 1}, Mix("cat"), parents, settings, "full"))
    folder = mixed({"first": 1, "wide": 1}, Mix("svd", rank=3), parents, settings, "narrow")
    assert json.loads((folder / "adapter_config.json").read_text("utf-8"))["r"] == 3
    for name, change in changes_of(folder).items():
        strengths = torch.linalg.svdvals(full[name])
        lost = torch.linalg.matrix_norm(full[name] - change)
        torch.testing.assert_close(lost, strengths[3:].norm(), rtol=1e-3, atol=1e-3)


def test_only_layers_that_a_parent_sits_on_are_adapted(
    tiny_model: Path, parents: dict[str, Path], changes_of: Of, settings: Settings,
    tmp_path: Path,
) -> None:
    from tests.chat.conftest import make_adapter

    low = make_adapter(tiny_model, tmp_path / "low", seed=9, target_modules=["q_proj"],
                       layers_to_transform=[0])
    folder = blend("both", [Part(low), Part(parents["wide"])], Mix("cat"), settings).path
    same(changes_of(folder), added(changes_of(low), changes_of(parents["wide"]), (1, 1)))
    config = json.loads((folder / "adapter_config.json").read_text("utf-8"))
    assert config["layers_to_transform"] is None and len(config["target_modules"]) == 4


def test_the_plan_says_rank_and_size_and_loads_no_weights(
    parents: dict[str, Path], settings: Settings,
) -> None:
    parts = [Part(parents["first"], 0.7), Part(parents["wide"], 0.3)]
    planned = plan(parts, Mix("cat"))
    made = blend("planned", parts, Mix("cat"), settings)
    assert planned.words == made.words == "0.7 first + 0.3 wide by cat"
    assert set(planned.ranks.values()) == {4, 12} and planned.rank == made.rank == 4
    size = (made.path / "adapter_model.safetensors").stat().st_size
    assert planned.bytes < size < planned.bytes + 5000


def test_progress_counts_layers_and_a_stop_leaves_nothing(
    parents: dict[str, Path], settings: Settings,
) -> None:
    seen: list[tuple[float, Any]] = []
    parts = [Part(parents["wide"]), Part(parents["stable"])]
    blend("told", parts, Mix(), settings, progress=lambda step: seen.append((step.done,
                                                                            step.total)))
    assert seen == [(n, 4) for n in range(5)]
    with pytest.raises(Stopped):
        blend("stopped", parts, Mix(), settings, stop=lambda: True)
    assert [path.name for path in settings.adapters.iterdir()] == ["told"]
