"""What the trainer gets is what the preview showed, and nothing is lost without a word."""

from __future__ import annotations

import pytest

from studio.data.prepare import prepare
from studio.errors import DataError, Stopped
from studio.recipe import parse_recipe

ROWS = [{"prompt": f"question {n}", "completion": f"answer {n}"} for n in range(20)]


def recipe(source, **data):
    return parse_recipe({"data": {"source": source, **data}})


def test_trls_trainer_takes_the_dataset_as_it_is(write, settings, tokenizer, tiny_model, tmp_path):
    from transformers import AutoModelForCausalLM
    from trl import SFTConfig, SFTTrainer

    prepared = prepare(recipe(write("a.jsonl", ROWS), eval_fraction=0.2), tokenizer, settings)
    trainer = SFTTrainer(
        model=AutoModelForCausalLM.from_pretrained(tiny_model), processing_class=tokenizer,
        args=SFTConfig(output_dir=str(tmp_path / "out"), max_length=1024, bf16=False, use_cpu=True,
                       report_to="none"),
        train_dataset=prepared.train, eval_dataset=prepared.eval,
    )
    assert list(trainer.train_dataset["input_ids"]) == list(prepared.train["input_ids"])
    assert list(trainer.train_dataset["labels"]) == list(prepared.train["labels"])
    assert list(trainer.eval_dataset["labels"]) == list(prepared.eval["labels"])


def test_the_split_is_seeded_and_shares_no_example(write, settings, tokenizer):
    path = write("a.jsonl", ROWS)
    one, two, other = (prepare(recipe(path, eval_fraction=0.25, seed=seed), tokenizer, settings)
                       for seed in (1, 1, 2))
    assert len(one.eval) == 5 and len(one.train) == 15
    assert one.eval[:] == two.eval[:] and one.train[:] == two.train[:]
    assert one.eval[:] != other.eval[:]
    held_out = {tuple(ids) for ids in one.eval["input_ids"]}
    assert not held_out & {tuple(ids) for ids in one.train["input_ids"]}


def test_one_example_is_trained_on_and_none_held_out(write, settings, tokenizer):
    prepared = prepare(recipe(write("a.jsonl", ROWS[:1]), eval_fraction=0.5), tokenizer, settings)
    assert len(prepared.train) == 1
    assert prepared.eval is None


def test_every_record_is_taught_or_named(write, settings, tokenizer):
    rows = [*ROWS[:3], {"prompt": "q", "completion": " "}, {"prompt": "long " * 200,
                                                            "completion": "a"}]
    path = write("a.jsonl", rows)
    prepared = prepare(recipe(path, max_length=64, eval_fraction=0), tokenizer, settings)
    assert len(prepared.train) == 3
    assert [problem.where for problem in prepared.skipped] == ["line 4", "line 5"]
    assert "the answer begins after token 64" in prepared.skipped[1].what
    assert prepared.statistics.without_answer == 2


def test_nothing_to_teach_names_the_first_problems(write, settings, tokenizer):
    path = write("a.jsonl", [{"prompt": "q", "completion": ""}] * 5)
    with pytest.raises(DataError, match=r"None of the 5 records.*line 1.*and 2 more"):
        prepare(recipe(path), tokenizer, settings)


@pytest.mark.parametrize(("row", "name"), [
    ({"prompt": "q", "chosen": "a", "rejected": "b"}, "preference"),
    ({"prompt": "q", "completion": "a", "label": False}, "kto"),
    ({"prompt": "q"}, "prompts"),
])
def test_formats_that_sft_cannot_learn_from_are_refused(write, settings, tokenizer, row, name):
    with pytest.raises(DataError, match=f"format {name}, which training.method sft"):
        prepare(recipe(write("a.jsonl", [row])), tokenizer, settings)


def test_mixed_data_is_refused_with_the_counts(write, settings, tokenizer):
    path = write("a.jsonl", [ROWS[0], {"text": "words"}])
    with pytest.raises(DataError, match=r"mixes formats: 1 prompt_completion.*1 text"):
        prepare(recipe(path), tokenizer, settings)


def test_progress_is_told_and_a_stop_is_honoured(write, settings, tokenizer):
    steps = []
    path = write("a.jsonl", ROWS)
    prepare(recipe(path), tokenizer, settings, progress=steps.append)
    assert any(step.what == "Tokenising" and step.fraction == 1 for step in steps)
    with pytest.raises(Stopped):
        prepare(recipe(path), tokenizer, settings, stop=lambda: True)


def test_the_chat_template_that_was_used_is_handed_on(write, settings, tokenizer):
    prepared = prepare(recipe(write("a.jsonl", ROWS), template="alpaca"), tokenizer, settings)
    tokenizer.chat_template = prepared.chat_template
    asked = tokenizer.apply_chat_template(
        [{"role": "user", "content": "question 1"}], tokenize=False, add_generation_prompt=True)
    assert asked.endswith("### Instruction:\nquestion 1\n\n### Response:\n")


def test_a_note_on_a_record_that_is_taught_is_no_record_left_out(write, settings, tokenizer):
    path = write("a.jsonl", '{"prompt": "q", "completion": "a", "score": NaN}\n')
    prepared = prepare(recipe(path), tokenizer, settings)
    assert (len(prepared.train), prepared.skipped, prepared.skipped_count) == (1, [], 0)


def for_rewards(path, **values):
    return recipe(path, **values).with_values({"training.method": "grpo"})


def test_a_rewarded_method_gets_prompts_and_the_answer_that_the_record_expects(
    write, settings, tokenizer
):
    talk = [{"role": "user", "content": "one"}, {"role": "assistant", "content": "1"},
            {"role": "user", "content": "two"}, {"role": "assistant", "content": "2"}]
    path = write("a.jsonl", [{"messages": talk}, {"messages": talk[:2]}])
    prepared = prepare(for_rewards(path, eval_fraction=0, loss_on="all"), tokenizer, settings)
    rows = {row["expected"]: row for row in prepared.train}
    for turns, row in ((talk, rows["2"]), (talk[:2], rows["1"])):
        assert row["prompt_ids"] == tokenizer.apply_chat_template(
            turns[:-1], add_generation_prompt=True, return_dict=False)
    assert rows["1"]["shown"] == "one"
    assert rows["2"]["shown"] == "user: one\nassistant: 1\nuser: two"


def test_a_rewarded_method_takes_prompts_without_answers_that_leave_room_for_one(
    write, settings, tokenizer
):
    path = write("a.jsonl", [{"prompt": "q"}, {"prompt": "a long one " * 40}])
    prepared = prepare(for_rewards(path, eval_fraction=0, max_length=64), tokenizer, settings)
    [row] = prepared.train
    assert row["expected"] == ""
    assert row["prompt_ids"] == tokenizer.apply_chat_template(
        [{"role": "user", "content": "q"}], add_generation_prompt=True, return_dict=False)
    assert prepared.skipped_count == 1
