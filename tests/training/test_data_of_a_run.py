"""What the data lab decides goes into the run: templates, mixed sources, held-out files."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from studio.errors import DataError
from studio.runs import create_run
from studio.settings import Settings
from studio.training.loop import train
from tests.training.conftest import MakeRecipe

CUSTOM = ("{% for m in messages %}<{{ m.role }}>{{ m.content }}{% if m.role == 'assistant' %}"
          "{{ eos_token }}{% endif %}{% endfor %}{% if add_generation_prompt %}<assistant>"
          "{% endif %}")


@pytest.fixture
def base_model(tiny_model: Path, tmp_path: Path) -> Path:
    """A base without a chat template."""
    folder = shutil.copytree(tiny_model, tmp_path / "base")
    (folder / "chat_template.jinja").unlink(missing_ok=True)
    config = folder / "tokenizer_config.json"
    known = json.loads(config.read_text(encoding="utf-8"))
    known.pop("chat_template", None)
    config.write_text(json.dumps(known), encoding="utf-8")
    return folder


@pytest.mark.parametrize(("changes", "said"), [
    ({}, "<|im_start|>user\nhello<|im_end|>\n<|im_start|>assistant\n"),
    ({"data__template": "vicuna"}, "USER: hello ASSISTANT:"),
    ({"data__template": "custom", "data__custom_template": CUSTOM}, "<user>hello<assistant>"),
])
def test_a_base_without_a_template_gets_one_that_is_saved_with_the_adapter(
    settings: Settings, make_recipe: MakeRecipe, base_model: Path, changes: dict[str, str],
    said: str,
) -> None:
    from transformers import AutoTokenizer

    assert AutoTokenizer.from_pretrained(base_model).chat_template is None
    recipe = make_recipe(model__source=str(base_model), training__max_steps=1, **changes)
    run = create_run(settings, recipe)
    assert train(recipe, run, lambda: False, settings=settings) == "done"
    saved = AutoTokenizer.from_pretrained(run.adapter_path)
    asked = saved.apply_chat_template([{"role": "user", "content": "hello"}], tokenize=False,
                                      add_generation_prompt=True)
    assert asked.endswith(said)


def test_mixed_sources_and_a_held_out_file_are_what_the_run_counts(
    settings: Settings, make_recipe: MakeRecipe, orders: Path, tmp_path: Path
) -> None:
    more, aside = tmp_path / "more.jsonl", tmp_path / "aside.jsonl"
    more.write_text("".join(json.dumps({"prompt": f"p{n}", "completion": "c"}) + "\n"
                            for n in range(10)), encoding="utf-8")
    aside.write_text("".join(json.dumps({"text": f"text {n}"}) + "\n" for n in range(3)),
                     encoding="utf-8")
    recipe = make_recipe(data__mix={str(more): 0.5}, data__held_out="file",
                         data__eval_source=str(aside), training__max_steps=1)
    run = create_run(settings, recipe)
    assert train(recipe, run, lambda: False, settings=settings) == "done"
    [plan] = [event for event in run.events() if event["type"] == "plan"]
    assert (plan["train_examples"], plan["eval_examples"]) == (24 + 5, 3)
    assert [event for event in run.events() if event["type"] == "eval"]


def test_a_mistake_in_the_data_is_told_before_the_model_is_loaded(
    settings: Settings, make_recipe: MakeRecipe
) -> None:
    recipe = make_recipe(data__template="custom", data__custom_template="{% for m in %}")
    run = create_run(settings, recipe)
    with pytest.raises(DataError, match="not valid Jinja"):
        train(recipe, run, lambda: False, settings=settings)
    states = [event["state"] for event in run.events() if event["type"] == "state"]
    assert "loading" not in states and states[-1] == "failed"
