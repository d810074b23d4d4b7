"""Merging whole models, as far as it goes without mergekit: what fits, the YAML, the sentences."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from studio.errors import ExportError, ModelError, SetupError, StudioError
from studio.export.model_merge import MergePlan, Part, Wish, merge_models, plan_merge, yaml_text
from studio.export.model_merge.configuration import configuration
from studio.export.model_merge.from_yaml import read_wish
from studio.export.model_merge.methods import METHODS, Mix
from studio.recipe import Recipe
from studio.runs import create_run
from studio.settings import Settings
from tests.chat.conftest import make_adapter
from tests.tiny import make_tiny_model


@pytest.fixture(scope="module")
def three(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Models of one make, read only."""
    folder = tmp_path_factory.mktemp("alike")
    return [make_tiny_model(folder / name, seed=seed)
            for seed, name in enumerate(("base", "sweet", "sour"))]


@pytest.fixture
def plan(settings: Settings) -> Callable[..., MergePlan]:
    def planned(parts: list[Any], *, name: str = "", **mix: Any) -> MergePlan:
        found = [one if isinstance(one, Part) else Part(str(one)) for one in parts]
        return plan_merge(Wish(found, Mix(**mix), name), settings)

    return planned


def copied(model: Path, folder: Path, **config: Any) -> Path:
    """A copy with other settings."""
    shutil.copytree(model, folder)
    file = folder / "config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | config))
    return folder


def test_the_yaml_of_an_average_is_what_was_chosen(
    three: list[Path], plan: Callable[..., MergePlan], settings: Settings
) -> None:
    found = plan([Part(str(three[1]), 0.7), Part(str(three[2]), 0.3)], name="my model")
    assert yaml.safe_load(yaml_text(found)) == {
        "merge_method": "linear", "base_model": str(three[1]),
        "models": [{"model": str(three[1]), "parameters": {"weight": 0.7}},
                   {"model": str(three[2]), "parameters": {"weight": 0.3}}],
        "parameters": {"normalize": True}, "dtype": "float32", "out_dtype": "float32"}
    assert found.output == settings.exports / "my-model"
    assert found.words == "0.7 sweet + 0.3 sour by linear"
    weights = (three[1] / "model.safetensors").stat().st_size
    assert weights <= found.bytes < weights + 20_000 and found.fits and not found.is_taken
    assert found.memory_bytes > found.bytes and found.fetched_bytes == 0
    assert "close other programs" in replace(found, memory_bytes=10**15).memory_warning
    assert str(three[1]) not in yaml_text(found, shared=True)


@pytest.mark.parametrize("name", METHODS)
def test_each_method_is_given_what_it_uses_and_nothing_else(
    name: str, three: list[Path], plan: Callable[..., MergePlan]
) -> None:
    method = METHODS[name]
    base = str(three[0]) if method.needs_base else ""
    told = configuration(plan(three[1:], method=name, base=base, t=0.25, dtype="bfloat16"))
    assert told["base_model"] == str(three[0] if method.needs_base else three[1])
    used = set(told["models"][0].get("parameters", {}))
    assert used == {key for key, is_used in (("weight", method.weighs),
                                             ("density", method.prunes)) if is_used}
    assert ("t" in told.get("parameters", {})) == method.turns
    assert told["out_dtype"] == "bfloat16" and told["dtype"] == "float32"
    assert ("--random-seed" in yaml_text(plan(three[1:], method=name, base=base))) == method.draws


def test_a_name_with_a_sign_of_mergekits_is_written_in_its_long_form(
    three: list[Path], tmp_path: Path, plan: Callable[..., MergePlan]
) -> None:
    odd = copied(three[1], tmp_path / "mine+yours@home")
    told = configuration(plan([odd, three[2]]))
    assert told["models"][0]["model"] == {"model": {"path": str(odd)}}


@pytest.mark.parametrize(("mix", "count", "sentence"), [
    ({"method": "slurp"}, 2, "Did you mean slerp?"),
    ({"method": "slerp"}, 3, "exactly two, and 3 are named"),
    ({"method": "slerp", "t": 1.5}, 2, "t is 1.5"),
    ({"method": "ties"}, 2, "no base is chosen"),
    ({"method": "linear", "base": "starter"}, 2, "a base means nothing"),
    ({"method": "linear"}, 1, "needs two models"),
    ({"method": "linear", "dtype": "float8"}, 2, "no number format 'float8'"),
    ({"method": "linear", "tokens": "mine"}, 2, "whose tokens"),
])
def test_a_choice_that_cannot_be_is_a_sentence(
    mix: dict[str, Any], count: int, sentence: str, three: list[Path],
    plan: Callable[..., MergePlan]
) -> None:
    with pytest.raises(ModelError) as raised:
        plan(three[:count], **mix)
    assert sentence in str(raised.value)


@pytest.mark.parametrize(("weights", "method", "sentence"), [
    ((0, 0), "linear", "nothing to merge"), ((1, -1), "linear", "add up to 0"),
    ((float("nan"), 1), "linear", "nothing to merge"), ((0.5, 0.5), "slerp", "takes no weights")])
def test_weights_that_mean_nothing_are_refused(
    weights: tuple[float, float], method: str, sentence: str, three: list[Path],
    plan: Callable[..., MergePlan]
) -> None:
    parts = [Part(str(path), weight) for path, weight in zip(three[1:], weights, strict=True)]
    with pytest.raises(ModelError, match=sentence):
        plan(parts, method=method)


def test_densities_are_for_methods_that_leave_something_out(
    three: list[Path], plan: Callable[..., MergePlan]
) -> None:
    with pytest.raises(ModelError, match="leaves nothing out"):
        plan([Part(str(three[1]), 1, 0.5), three[2]])
    with pytest.raises(ModelError, match="The density is 0"):
        plan([Part(str(three[1]), 1, 0.0), three[2]], method="ties", base=str(three[0]))
    found = plan([Part(str(three[1]), 1, 0.2), three[2]], method="ties", base=str(three[0]))
    assert [one.density for one in found.parts] == [0.2, 0.5], "half where nobody says otherwise"


def test_models_of_another_make_or_size_are_refused_by_name(
    three: list[Path], tmp_path: Path, plan: Callable[..., MergePlan]
) -> None:
    deep = make_tiny_model(tmp_path / "deep", layers=3)
    wide = make_tiny_model(tmp_path / "wide", hidden=32)
    with pytest.raises(ModelError, match="layers are 2 in one and 3 in the other"):
        plan([three[1], deep])
    with pytest.raises(ModelError, match="sweet and wide are of different size"):
        plan([three[1], wide])
    other = copied(three[2], tmp_path / "other", model_type="mistral",
                   architectures=["MistralForCausalLM"])
    with pytest.raises(ModelError, match="LlamaForCausalLM and other a MistralForCausalLM"):
        plan([three[1], other])
    untied = copied(three[2], tmp_path / "untied", tie_word_embeddings=False)
    with pytest.raises(ModelError, match="only one uses the same table"):
        plan([three[1], untied])


def test_what_is_no_whole_model_is_refused_with_a_way_out(
    three: list[Path], tmp_path: Path, settings: Settings, plan: Callable[..., MergePlan]
) -> None:
    adapter = make_adapter(three[0], tmp_path / "adapter", seed=1)
    run = create_run(settings, Recipe().with_values({"model.source": str(three[0])}), "orders")
    shutil.copytree(adapter, run.adapter_path)
    for given in (adapter, "orders", run.path):
        with pytest.raises(ModelError) as raised:
            plan([three[1], Part(str(given))])
        assert "is an adapter, not a whole model" in raised.value.message
        assert "launch.py merge" in raised.value.hint and "Blend" in raised.value.hint
    judge = copied(three[2], tmp_path / "judge", architectures=["LlamaForSequenceClassification"])
    with pytest.raises(ExportError, match="judge is a reward model"):
        plan([three[1], judge])
    rounded = copied(three[2], tmp_path / "rounded", quantization_config={"bits": 4})
    with pytest.raises(ExportError, match="stored quantised"):
        plan([three[1], rounded])
    with pytest.raises(ModelError, match="There is no model folder"):
        plan([three[1], tmp_path / "nowhere"])
    with pytest.raises(ModelError, match="offline"):
        plan([three[1], Part("somebody/unknown")])
    with pytest.raises(ModelError, match="No model is named"):
        plan([three[1], Part(" ")])


def test_pickles_and_code_never_reach_mergekit(
    three: list[Path], tmp_path: Path, plan: Callable[..., MergePlan]
) -> None:
    """mergekit itself would read pytorch_model.bin where model.safetensors is missing."""
    named_otherwise = copied(three[2], tmp_path / "named")
    (named_otherwise / "model.safetensors").rename(named_otherwise / "weights.safetensors")
    (named_otherwise / "pytorch_model.bin").write_bytes(b"a pickle")
    with pytest.raises(ExportError, match="mergekit does not find them"):
        plan([three[1], named_otherwise])
    pickled = copied(three[2], tmp_path / "pickled")
    (pickled / "model.safetensors").unlink()
    (pickled / "pytorch_model.bin").write_bytes(b"a pickle")
    with pytest.raises(ModelError, match="only as pickles"):
        plan([three[1], pickled])
    elsewhere = copied(three[2], tmp_path / "elsewhere")
    (elsewhere / "model.safetensors.index.json").write_text(json.dumps(
        {"weight_map": {"model.norm.weight": "../named/model.safetensors"}}))
    with pytest.raises(ExportError, match="no safetensors file beside it"):
        plan([three[1], elsewhere])
    coded = copied(three[2], tmp_path / "coded", auto_map={"AutoModelForCausalLM": "code.Model"})
    with pytest.raises(ExportError, match="Python code of its own"):
        plan([three[1], coded])


def test_the_same_model_twice_and_the_base_as_a_model_are_refused(
    three: list[Path], plan: Callable[..., MergePlan]
) -> None:
    with pytest.raises(ModelError, match="sweet is named twice"):
        plan([three[1], three[1]])
    with pytest.raises(ModelError, match="base is the base, and one of the models"):
        plan(three[:2], method="ties", base=str(three[0]))


def test_models_with_other_tokens_need_the_tokenizer_rebuilt_and_losses_are_told(
    three: list[Path], tmp_path: Path, plan: Callable[..., MergePlan]
) -> None:
    assert "tokenizer" not in configuration(plan(three[1:], tokens="union"))
    other = copied(three[2], tmp_path / "other")
    told = json.loads((other / "tokenizer.json").read_text(encoding="utf-8"))
    vocabulary = told["model"]["vocab"]
    last = max(vocabulary, key=vocabulary.__getitem__)
    vocabulary["<mine>"] = vocabulary.pop(last)
    (other / "tokenizer.json").write_text(json.dumps(told), encoding="utf-8")
    lossy = plan([three[1], other])
    assert configuration(lossy)["tokenizer"] == {"source": "base"}
    assert any("other knows 1 tokens that sweet does not" in note for note in lossy.notes)
    kept = plan([three[1], other], tokens="union")
    assert configuration(kept)["tokenizer"] == {"source": "union"}
    (other / "chat_template.jinja").write_text("{{ messages }}", encoding="utf-8")
    assert any("chat templates differ" in note for note in plan([three[1], other]).notes)


def test_exports_and_runs_that_trained_every_weight_go_by_their_names(
    three: list[Path], settings: Settings, plan: Callable[..., MergePlan]
) -> None:
    shutil.copytree(three[1], settings.exports / "merged")
    recipe = Recipe().with_values({"model.source": str(three[0]), "adapter.method": "none"})
    run = create_run(settings, recipe, "whole")
    shutil.copytree(three[2], run.adapter_path)
    found = plan(["merged", "whole"], name="merged")
    assert [one.name for one in found.parts] == ["merged", "whole"]
    assert found.is_taken
    assert plan(["merged", "whole"]).name == "merged-models"


def test_the_yaml_can_be_read_back_and_what_is_more_than_that_is_refused(
    three: list[Path], tmp_path: Path, plan: Callable[..., MergePlan]
) -> None:
    file = tmp_path / "config.yml"
    for name, method in METHODS.items():
        base = str(three[0]) if method.needs_base else ""
        before = plan(three[1:], method=name, base=base, t=0.25, dtype="bfloat16")
        file.write_text(yaml_text(before), encoding="utf-8")
        wish = read_wish(file)
        after = plan(list(wish.parts), **vars(wish.mix))
        assert yaml_text(after) == yaml_text(before)
    for text, sentence in (
        ("models: [{model: a+lora}]\nmerge_method: linear", "more than the name"),
        ("models: [{model: a}]\nmerge_metod: linear", "Did you mean merge_method?"),
        ("slices: []\nmerge_method: linear", "no list of models"),
        ("models: [{model: a, parameters: {weight: [0, 1]}}]", "must be one number"),
        ("models: [", "cannot be read as YAML"),
    ):
        file.write_text(text, encoding="utf-8")
        with pytest.raises(ModelError) as raised:
            read_wish(file)
        assert sentence in str(raised.value)


def test_without_mergekit_the_command_that_installs_it_is_told_and_nothing_is_written(
    three: list[Path], settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "mergekit", None)
    wish = Wish([Part(str(path)) for path in three[1:]], Mix())
    with pytest.raises(SetupError, match="not installed") as raised:
        merge_models(wish, settings)
    assert isinstance(raised.value, StudioError) and 'pip install "mergekit' in raised.value.hint
    assert not settings.exports.exists()
