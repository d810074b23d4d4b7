"""What the page shows of a record is what the trainer gets, token by token and label by label.

The trainer here is the studio's own, built as for a run; its first batches are taken from its own
data loader. The preview is what the Dataset tab draws.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import pytest

from studio.data.columns import longest
from studio.data.lab.look import open_whole
from studio.data.lab.record import record_of_whole
from studio.data.prepare import prepare
from studio.recipe import parse_recipe

TURNS = [
    {"role": "system", "content": "Be brief."},
    {"role": "user", "content": "What is the capital of France?"},
    {"role": "assistant", "content": "Paris 🎉"},
    {"role": "user", "content": "And of Italy?"},
    {"role": "assistant", "content": "Rome, of course"},
]
TOOLS = [{"type": "function", "function": {"name": "weather", "parameters": {
    "type": "object", "properties": {"city": {"type": "string"}}}}}]
CALL = [
    {"role": "user", "content": "Weather in Rome?"},
    {"role": "assistant", "content": "Let me look.", "tool_calls": [
        {"type": "function", "function": {"name": "weather", "arguments": {"city": "Rome"}}}]},
    {"role": "tool", "name": "weather", "content": "sunny"},
    {"role": "assistant", "content": "It is sunny."},
]


def rows_of(make: Any) -> list[dict[str, Any]]:
    return [make(n) for n in range(9)]


FORMATS = {
    "alpaca": rows_of(lambda n: {"instruction": f"Add {n} to", "input": f"{n * n}",
                                 "output": f"{n + n * n}"}),
    "prompt_completion": rows_of(lambda n: {"prompt": f"question {n}", "completion": "a " * n
                                            + "b"}),
    "question_answer": rows_of(lambda n: {"question": f"Why {n}?", "answer": f"Because {n}."}),
    "messages": rows_of(lambda n: {"messages": [*TURNS[:-1], {"role": "assistant",
                                                             "content": f"Rome {n}"}]}),
    "tools": rows_of(lambda n: {"messages": [*CALL, {"role": "user", "content": f"{n}?"},
                                             {"role": "assistant", "content": f"{n}!"}],
                                "tools": TOOLS}),
    "sharegpt": rows_of(lambda n: {"conversations": [
        {"from": "human", "value": f"Count to {n}"},
        {"from": "gpt", "value": " ".join(map(str, range(n + 1)))}]}),
    "dialogue": rows_of(lambda n: {"text": f"### Human: What is {n}?\n### Assistant: A number."}),
    "text": rows_of(lambda n: {"text": f"Once upon a time there were {n} bears. " * (n + 1)}),
}
TEMPLATES = ["auto", "chatml", "alpaca", "llama2", "llama3", "mistral", "zephyr", "gemma", "phi",
             "vicuna", "human_assistant", "custom"]
CUSTOM = ("{% for m in messages %}<{{ m.role }}>{{ m.content }}{% if m.role == 'assistant' %}"
          "{{ eos_token }}{% endif %}\n{% endfor %}{% if add_generation_prompt %}<assistant>"
          "{% endif %}")


@dataclass
class Shown:
    """One record of the preview: its ids and labels."""

    ids: list[int]
    labels: list[int]

    @property
    def key(self) -> tuple[tuple[int, ...], tuple[int, ...]]:
        return tuple(self.ids), tuple(self.labels)


def preview(recipe: Any, settings: Any, tokenizer: Any) -> list[Shown]:
    whole = open_whole(recipe.taught_data, settings, tokenizer)
    shown = []
    for number in range(1, len(whole.store) + 1):
        record = record_of_whole(whole, number)
        assert record is not None
        shown += [Shown(one.input_ids, one.labels) for _, one in record.examples
                  if one.loss_tokens]
    return shown


def trained(recipe: Any, settings: Any, tokenizer: Any, model: Any) -> list[Shown]:
    """Every example in every batch of the first epoch, as the trainer's loader gives it."""
    from studio.device import pick_device
    from studio.hardware.precision import choose_precision
    from studio.runs import create_run
    from studio.training.reporter import StateReporter, TrainReporter
    from studio.training.rows import pack
    from studio.training.setup import Setup
    from studio.training.trainers import make_trainer

    data = prepare(recipe, tokenizer, settings)
    train = pack(data.train, recipe.data.max_length) if recipe.data.packing else data.train
    assert longest(train) <= recipe.data.max_length
    device = pick_device()
    run = create_run(settings, recipe)
    setup = Setup(model, tokenizer, train, data.eval, device, choose_precision(recipe, device),
                  False, recipe.data.packing)
    reporter = TrainReporter(run, StateReporter(run), lambda: False, plan={},
                             keep_checkpoint=lambda step: None)
    trainer = make_trainer(recipe, run, setup, reporter)
    return [one for batch in trainer.get_train_dataloader() for one in _examples_in(batch)]


def _examples_in(batch: Any) -> list[Shown]:
    """The examples of a padded batch, or of joined rows where position ids begin anew."""
    ids = batch["input_ids"].tolist()
    if "completion_mask" in batch:
        labels = batch["input_ids"].masked_fill(batch["completion_mask"] == 0, -100).tolist()
    else:
        labels = batch["labels"].tolist()
    if "position_ids" in batch and "attention_mask" not in batch:
        positions = batch["position_ids"].tolist()
        cut = [_cut(*row) for row in zip(ids, labels, positions, strict=True)]
        return [one for row in cut for one in row]
    sizes = [sum(row) for row in batch["attention_mask"].tolist()]
    for row, size in zip(labels, sizes, strict=True):
        assert set(row[size:]) <= {-100}, "padding must carry no loss"
    return [Shown(row[:size], label[:size])
            for row, label, size in zip(ids, labels, sizes, strict=True)]


def _cut(ids: list[int], labels: list[int], positions: list[int]) -> list[Shown]:
    starts = [at for at, position in enumerate(positions) if position == 0] + [len(ids)]
    return [Shown(ids[a:b], labels[a:b]) for a, b in pairwise(starts)]


def without_first(shown: list[Shown], first_label_dropped: bool) -> Counter[Any]:
    """Where rows are joined, TRL takes the label off the first token of each example, which no
    token of its own predicts."""
    if not first_label_dropped:
        return Counter(one.key for one in shown)
    return Counter((tuple(one.ids), (-100, *one.labels[1:])) for one in shown)


@pytest.fixture(scope="module")
def model(tiny_model):
    from transformers import AutoModelForCausalLM

    return AutoModelForCausalLM.from_pretrained(tiny_model)


def check(write, settings, tokenizer, model, rows, **data):
    path = write("a.jsonl", rows)
    recipe = parse_recipe({
        "data": {"source": path, "eval_fraction": 0, "max_length": 512, **data},
        "training": {"batch_size": 4, "gradient_accumulation": 1}})
    seen = preview(recipe, settings, tokenizer)
    assert len(seen) == len(rows)
    batches = trained(recipe, settings, tokenizer, model)
    packed = recipe.data.packing
    assert without_first(batches, packed) == without_first(seen, packed)


@pytest.mark.parametrize("packing", [False, True], ids=["padded", "packed"])
@pytest.mark.parametrize("name", FORMATS)
def test_every_format(write, settings, tokenizer, model, name, packing):
    check(write, settings, tokenizer, model, FORMATS[name], packing=packing)


@pytest.mark.parametrize("loss_on", ["responses", "last_response", "all"])
@pytest.mark.parametrize("template", TEMPLATES)
def test_every_template_and_loss_choice(write, settings, tokenizer, model, template, loss_on):
    rows = [{"messages": [*TURNS[1:-1], {"role": "assistant", "content": f"Rome {n}"}]}
            for n in range(5)]
    check(write, settings, tokenizer, model, rows, template=template, loss_on=loss_on,
          custom_template=CUSTOM, packing=loss_on == "last_response")


def test_what_is_cut_is_cut_in_both(write, settings, tokenizer, model):
    check(write, settings, tokenizer, model, FORMATS["text"], max_length=64)


PAIRS = {
    "text": {"prompt": "q", "chosen": "good answer", "rejected": "bad"},
    "turns": {"prompt": TURNS[:2], "chosen": [{"role": "assistant", "content": "Paris"}],
              "rejected": [{"role": "assistant", "content": "London, I think"}]},
    "whole": {"chosen": TURNS, "rejected": [*TURNS[:-1], {"role": "assistant", "content": "?"}]},
}


@pytest.mark.parametrize("method", ["dpo", "orpo", "kto"])
def test_preferences_are_trained_on_as_they_are_shown(
    write, settings, tokenizer, model, method
):
    """Also of answers with several turns, of long ones that are cut, and whatever data.loss_on."""
    rows = [{"prompt": TURNS[1:2], "chosen": [*TURNS[2:4], {"role": "assistant",
                                                          "content": f"Rome {n}"}],
             "rejected": [{"role": "assistant", "content": "no " * 9 * n}]} for n in range(1, 7)]
    recipe = parse_recipe({
        "data": {"source": write("a.jsonl", rows), "eval_fraction": 0, "max_length": 80,
                 "loss_on": "last_response"},
        "training": {"method": method, "batch_size": 4, "gradient_accumulation": 1}})
    seen = preview(recipe, settings, tokenizer)
    assert len(seen) == 2 * len(rows) and max(len(one.ids) for one in seen) == 80
    assert Counter(one.key for one in trained(recipe, settings, tokenizer, model)) == Counter(
        one.key for one in seen)


@pytest.mark.parametrize("name", PAIRS)
def test_a_preference_is_shown_as_trls_dpo_trainer_tokenises_it(
    write, settings, tokenizer, model, tmp_path, name
):
    """Ids and where the answers begin."""
    import datasets
    from trl import DPOConfig, DPOTrainer

    recipe = parse_recipe({"data": {"source": write("a.jsonl", [PAIRS[name]])}})
    record = record_of_whole(open_whole(recipe.data, settings, tokenizer), 1)
    sample = record.sample
    rows = datasets.Dataset.from_list([{"prompt": sample.prompt, "chosen": sample.chosen,
                                        "rejected": sample.rejected}])
    trainer = DPOTrainer(model=model, processing_class=tokenizer, train_dataset=rows,
                         args=DPOConfig(output_dir=str(tmp_path), use_cpu=True, bf16=False,
                                        report_to="none"))
    [made] = trainer.train_dataset
    for title, example in record.examples:
        assert made["prompt_ids"] + made[f"{title}_ids"] == example.input_ids
        first = next(at for at, label in enumerate(example.labels) if label != -100)
        assert first == len(made["prompt_ids"])


def test_a_judged_answer_and_a_lone_prompt_are_shown(write, settings, tokenizer):
    rows = [{"prompt": "q", "completion": "a", "label": False}]
    judged = parse_recipe({"data": {"source": write("a.jsonl", rows)}})
    record = record_of_whole(open_whole(judged.data, settings, tokenizer), 1)
    [(title, example)] = record.examples
    assert title == "bad answer" and example.loss_tokens == 2  # "a" and the end of the turn
    alone = parse_recipe({"data": {"source": write("b.jsonl", [{"prompt": "q"}])}})
    record = record_of_whole(open_whole(alone.data, settings, tokenizer), 1)
    [(title, example)] = record.examples
    assert title == "prompt" and not example.loss_tokens
    asked = tokenizer.apply_chat_template([{"role": "user", "content": "q"}], tokenize=False,
                                          add_generation_prompt=True)
    assert example.text == asked
