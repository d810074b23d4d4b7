"""grpo and rloo train the tiny model for real: rewards rise, results reload, resumes are exact."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from studio.device import pick_device
from studio.errors import DataError, ModelError, RecipeError, RunError
from studio.recipe import Recipe
from studio.runs import Run, create_run, open_run
from studio.settings import Settings
from studio.training.judge import load_judge
from studio.training.kept_answers import read_rewarded
from studio.training.loop import train
from studio.training.recovery import next_change
from tests.training.conftest import MakeRecipe, tiny_recipe, write_orders
from tests.training.methods.conftest import trained

LETTERS = ('def letters(answer, expected, prompt):\n'
           '    """The share of small letters."""\n'
           '    return sum(c.isascii() and c.islower() for c in answer) / max(1, len(answer))\n')
Make = Callable[..., Recipe]


@pytest.fixture(scope="session")
def sharp_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny model with larger embeddings, so that an adapter can make it sure of a token."""
    from safetensors.torch import load_file, save_file

    from tests.tiny import make_tiny_model

    folder = make_tiny_model(tmp_path_factory.mktemp("models") / "sharp")
    weights = load_file(folder / "model.safetensors")
    weights["model.embed_tokens.weight"] *= 8
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    return folder


@pytest.fixture
def make(sharp_model: Path, tmp_path: Path) -> Make:
    """A recipe that rewards small letters; 16 answers of 8 tokens a step, in groups of 8."""
    rewards = tmp_path / "mine.py"
    rewards.write_text(LETTERS, encoding="utf-8")

    def made(**values: Any) -> Recipe:
        return tiny_recipe(sharp_model, write_orders(tmp_path / "orders.jsonl"), **{
            "training__method": "grpo", "training__batch_size": 16,
            "reinforcement__generations": 8, "reinforcement__answer_tokens": 8,
            "reinforcement__rewards": {f"python={rewards}:letters": 1.0},
            "monitor__stop_on_divergence": False, **values})

    return made


def rewards_of(run: Run) -> list[float]:
    """Of each step that wrote answers."""
    return [point.measures["reward"] for point in run.story().points if "reward" in point.measures]


def greedy_letters(model: Any, run: Run) -> float:
    """The mean reward of a plain Transformers model's greedy answers to a few prompts."""
    import torch
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(run.adapter_path)
    shares = []
    for text in ("1 tea", "2 pizza, please", "4 soup"):
        ids = tokenizer.apply_chat_template(
            [{"role": "user", "content": text}], add_generation_prompt=True, return_tensors="pt",
            return_dict=True)
        with torch.no_grad():
            found = model.generate(**ids, max_new_tokens=8, do_sample=False)
        answer = tokenizer.decode(found[0, ids["input_ids"].shape[1]:], skip_special_tokens=True)
        shares.append(sum(c.isascii() and c.islower() for c in answer) / max(1, len(answer)))
    return sum(shares) / len(shares)


@pytest.mark.parametrize("method", ["grpo", "rloo"])
def test_the_reward_rises_and_plain_peft_answers_as_it_was_rewarded(
    settings: Settings, make: Make, sharp_model: Path, method: str
) -> None:
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    run = trained(settings, make(training__method=method, training__max_steps=14,
                                 reinforcement__beta=0.0), "a")
    found = rewards_of(run)
    assert found[0] < 0.3 and sum(found[-3:]) / 3 > 0.7
    base = AutoModelForCausalLM.from_pretrained(sharp_model)
    before = greedy_letters(base, run)
    after = greedy_letters(PeftModel.from_pretrained(base, run.adapter_path), run)
    assert before < 0.4 and after > 0.7
    assert not (run.adapter_path / "ref").exists()


def test_all_weights_learn_from_rewards_beside_a_second_copy_that_stays(
    settings: Settings, make: Make
) -> None:
    run = trained(settings, make(
        adapter__method="none", training__learning_rate=3e-3, training__max_steps=6,
        reinforcement__beta=0.01), "a")
    points = run.story().points
    assert points[0].measures["kl"] == pytest.approx(0, abs=1e-4)
    assert points[-1].measures["kl"] > 0.05
    assert points[-1].measures["reward"] > points[0].measures["reward"] + 0.2


@pytest.mark.parametrize("changes", [
    {"reinforcement__iterations": 2, "training__batch_size": 8,
     "training__gradient_accumulation": 2},
    {"training__method": "rloo", "reinforcement__temperature": 0.7},
], ids=str)
def test_a_run_that_was_stopped_while_it_wrote_goes_on_to_the_same_answers_and_losses(
    settings: Settings, make: Make, tmp_path: Path, changes: dict[str, Any]
) -> None:
    file = write_orders(tmp_path / "all.jsonl")
    few = file.with_name("few.jsonl")
    few.write_text("".join(file.read_text(encoding="utf-8").splitlines(keepends=True)[:6]),
                   encoding="utf-8")
    # 2 of 6 prompts a step: an epoch has 3 steps, or 6 where each answer is passed over twice.
    recipe = make(**{"training__max_steps": 8, "data__source": str(few), **changes})
    whole = trained(settings, recipe, "whole")
    parts = create_run(settings, recipe, "parts")
    assert train(recipe, parts, lambda: parts.story().step >= 3, settings=settings) == "stopped"
    assert parts.story().step == 3
    assert max(one.step for one in read_rewarded(parts)) <= 4
    assert train(recipe, parts, lambda: False, settings=settings, resume=True) == "done"
    assert losses(parts) == losses(whole)
    assert rewards_of(parts) == rewards_of(whole)
    assert read_rewarded(parts) == read_rewarded(whole)
    tokens = [point.tokens for point in parts.story().points]
    assert tokens == [point.tokens for point in whole.story().points] == sorted(tokens)


def losses(run: Run) -> list[tuple[int, float, float | None]]:
    return [(point.step, point.loss, point.grad_norm) for point in run.story().points]


def test_the_held_out_prompts_are_answered_and_the_best_evaluation_is_the_highest_reward(
    settings: Settings, make: Make
) -> None:
    run = trained(settings, make(training__max_steps=6, data__eval_fraction=0.2,
                                 training__eval_steps=2, training__keep="best"), "a")
    evals = [event for event in run.events() if event["type"] == "eval"]
    assert [event["step"] for event in evals] == [2, 4, 6]
    for event in evals:
        assert event["loss"] == -event["measures"]["reward"]
        assert event["measures"]["answer_tokens"] <= 8
    best = max(evals, key=lambda event: event["measures"]["reward"])
    assert run.story().best == (best["step"], best["loss"])
    assert run.story().result_step == best["step"]
    [told] = [event["text"] for event in run.events() if event["type"] == "result"]
    assert told in ("", f"The result is of step {best['step']}, which has the best held-out "
                        f"reward ({-best['loss']:.4f}).")


def test_a_few_answers_of_each_step_are_kept_with_what_they_got(
    settings: Settings, make: Make
) -> None:
    recipe = make(training__max_steps=2, reinforcement__rewards={"length=4": 0.5, "json_valid": 1})
    kept = read_rewarded(trained(settings, recipe, "a"))
    assert [(one.step, one.number) for one in kept] == [
        (step, number) for step in (1, 2) for number in range(4)]
    assert len({one.prompt for one in kept if one.step == 1}) == 1
    for one in kept:
        assert json.loads(one.expected or "")["item"] in one.prompt
        assert one.rewards["length=4"] == max(0, 1 - abs(one.tokens - 4) / 4)
        assert one.score == pytest.approx(
            0.5 * one.rewards["length=4"] + one.rewards["json_valid"])
        assert one.cut == (one.tokens == 8)


def test_prompts_without_answers_are_enough_unless_a_reward_compares_with_them(
    settings: Settings, make: Make, tmp_path: Path
) -> None:
    file = tmp_path / "prompts.jsonl"
    file.write_text("".join(f'{{"prompt": "order {number}"}}\n' for number in range(4)),
                    encoding="utf-8")
    run = trained(settings, make(training__max_steps=1, data__source=str(file)), "a")
    assert read_rewarded(run)[0].expected is None
    comparing = make(data__source=str(file), reinforcement__rewards={"exact_match": 1})
    with pytest.raises(DataError, match="exact_match compares with the record's own answer"):
        train(comparing, create_run(settings, comparing, "b"), lambda: False, settings=settings)


@pytest.mark.parametrize(("values", "kind", "said"), [
    ({"reinforcement__rewards": {"exact": 1}}, RecipeError, "no reward 'exact'"),
    ({"training__batch_size": 12}, RecipeError, "Make it 8 or 16"),
    ({"reinforcement__rewards": {"model=nobody": 1}}, RunError, "no run named 'nobody'"),
    ({"adapter__targets": ["lm_head"]}, RecipeError, "lm_head"),
])
def test_mistakes_are_told_before_anything_is_loaded(
    settings: Settings, make: Make, values: dict[str, Any], kind: type[Exception], said: str
) -> None:
    recipe = make(model__source="/nowhere", **values)
    with pytest.raises(kind, match=said):
        train(recipe, create_run(settings, recipe, "a"), lambda: False, settings=settings)


def test_a_trained_reward_model_gives_the_rewards(
    settings: Settings, make: Make, pair_recipe: MakeRecipe
) -> None:
    judge_recipe = pair_recipe(training__method="reward", training__max_steps=4)
    trained(settings, judge_recipe, "judge")
    run = trained(settings, make(training__max_steps=2,
                                 reinforcement__rewards={"model=judge": 2.0}), "a")
    kept = read_rewarded(run)
    judge = load_judge(open_run(settings, "judge"), settings, pick_device())
    expected = judge.of_turns([[{"role": "user", "content": one.prompt},
                                {"role": "assistant", "content": one.answer}] for one in kept])
    assert [one.rewards["model=judge"] for one in kept] == pytest.approx(expected, abs=1e-4)
    assert [one.score for one in kept] == pytest.approx([2 * value for value in expected], abs=1e-4)


def test_a_run_that_is_no_reward_model_is_no_judge(settings: Settings, make: Make) -> None:
    trained(settings, make(training__max_steps=1), "writer")
    recipe = make(reinforcement__rewards={"model=writer": 1}, model__source="/nowhere")
    with pytest.raises(ModelError, match="writer holds no reward model"):
        train(recipe, create_run(settings, recipe, "b"), lambda: False, settings=settings)


@pytest.mark.parametrize("method", ["grpo", "rloo"])
def test_a_quantised_base_learns_from_rewards_and_goes_on_after_a_stop(
    settings: Settings, make: Make, method: str
) -> None:
    recipe = make(training__method=method, training__max_steps=10, model__quantization="4bit",
                  reinforcement__beta=0.0)
    whole = trained(settings, recipe, "whole")
    found = rewards_of(whole)
    assert found[0] < 0.3 and sum(found[-3:]) / 3 > found[0] + 0.3
    parts = create_run(settings, recipe, "parts")
    train(recipe, parts, lambda: parts.story().step >= 2, settings=settings)
    train(recipe, parts, lambda: False, settings=settings, resume=True)
    assert losses(parts) == losses(whole)


def test_memory_that_runs_out_in_learning_or_in_writing_is_met_with_a_smaller_micro_batch(
    settings: Settings, make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    import torch
    from transformers import LlamaModel

    recipe = make(training__max_steps=2)
    whole = trained(settings, recipe, "whole")
    real = LlamaModel.forward

    def limited(model: Any, *args: Any, input_ids: Any = None, **options: Any) -> Any:
        rows = 0 if input_ids is None else len(input_ids)
        if rows > (8 if model.training else 16):
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")
        return real(model, *args, input_ids=input_ids, **options)

    monkeypatch.setattr(LlamaModel, "forward", limited)
    run = trained(settings, recipe, "a")
    assert run.story().adapted == {"training.batch_size": 8, "training.gradient_accumulation": 2}
    assert read_rewarded(run)[:4] == read_rewarded(whole)[:4]
    assert rewards_of(run)[0] == rewards_of(whole)[0]


def test_where_nothing_else_is_left_answers_may_become_shorter() -> None:
    recipe = Recipe().with_values({
        "training.method": "grpo", "training.batch_size": 1, "training.out_of_memory": "shorten",
        "reinforcement.answer_tokens": 200})
    change = next_change(recipe, is_checkpointing=True, longest_tokens=900)
    assert change is not None and change.values == {"reinforcement.answer_tokens": 100}
    assert next_change(recipe.with_values({"reinforcement.answer_tokens": 64}),
                       is_checkpointing=True, longest_tokens=900) is None
