"""The loss mask, token by token: what is learned is the answers and their ends, nothing else."""

from __future__ import annotations

import numpy
import pytest

from studio.data.encode import NO_LOSS, encode, ranges_by_length, token_ranges
from studio.data.encoder import encoder_for
from studio.data.samples import Conversation, PlainText
from studio.data.templates import stop_token_ids, template_for
from studio.errors import DataError
from studio.recipe import Data
from tests.data.rendered import render

TURNS = [
    {"role": "system", "content": "Be brief."},
    {"role": "user", "content": "What is the capital of France?"},
    {"role": "assistant", "content": "Paris 🎉 of course"},
    {"role": "user", "content": "And of Italy?"},
    {"role": "assistant", "content": "\nRome"},
]
DEFAULT_SYSTEM = (
    "{% for message in messages %}{% if loop.first and messages[0]['role'] != 'system' %}"
    "{{ '<|im_start|>system\nYou are a helpful assistant<|im_end|>\n' }}{% endif %}"
    "{{'<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>' + '\n'}}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
INST = (
    "{{ bos_token }}{% for message in messages %}{% if message['role'] == 'user' %}"
    "[INST] {{ message['content'] }} [/INST]{% elif message['role'] == 'assistant' %}"
    " {{ message['content'] | trim }}{{ eos_token }}{% endif %}{% endfor %}"
)
THINKING = (
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n"
    "{% if message['role'] == 'assistant' and loop.last %}"
    "{{ '<think>\n\n</think>\n\n' }}{% endif %}"
    "{{ message['content'] | trim }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
OPENS_THINKING = THINKING.replace("<|im_start|>assistant\n{% endif %}",
                                  "<|im_start|>assistant\n{{ '<think>\n' }}{% endif %}").replace(
    "{{ '<think>\n\n</think>\n\n' }}", "")
ENDS_TWICE = (
    "{% for message in messages %}<|{{ message['role'] }}|>\n{{ message['content'] }}<|im_end|>\n"
    "{% endfor %}{% if add_generation_prompt %}<|assistant|>\n{% else %}{{ eos_token }}"
    "{% endif %}"
)
NUMBERED = (
    "{% for message in messages %}{{ loop.revindex }}:{{ message['content'] }}\n{% endfor %}"
)


def learned(example):
    """The texts of the runs of tokens that carry loss."""
    runs, open_run = [], False
    for text, carries_loss in example.pieces:
        if carries_loss and open_run:
            runs[-1] += text
        elif carries_loss:
            runs.append(text)
        open_run = carries_loss
    return runs


def test_every_answer_and_its_end_of_turn_is_learned_and_nothing_else(tokenizer):
    example = render(TURNS, tokenizer, Data())
    assert learned(example) == ["Paris 🎉 of course<|im_end|>", "\nRome<|im_end|>"]
    assert "".join(text for text, _ in example.pieces) == example.text
    for token, label in zip(example.input_ids, example.labels, strict=True):
        assert label in (token, NO_LOSS)


def test_the_ids_are_those_of_the_tokenizers_own_chat_template(tokenizer):
    own = tokenizer.apply_chat_template(TURNS, tokenize=True, return_dict=True)["input_ids"]
    assert render(TURNS, tokenizer, Data()).input_ids == own


def test_the_prompt_is_what_the_model_is_given_when_it_answers(tokenizer):
    example = render(TURNS, tokenizer, Data())
    asked = tokenizer.apply_chat_template(
        TURNS[:2], tokenize=True, add_generation_prompt=True, return_dict=True)["input_ids"]
    assert example.input_ids[: len(asked)] == asked
    assert all(label == NO_LOSS for label in example.labels[: len(asked)])
    assert example.labels[len(asked)] != NO_LOSS


@pytest.mark.parametrize(("template", "answers"), [
    (DEFAULT_SYSTEM, ["Paris 🎉 of course<|im_end|>", "\nRome<|im_end|>"]),
    (INST, [" Paris 🎉 of course<|im_end|>", " Rome<|im_end|>"]),
    (THINKING, ["Paris 🎉 of course<|im_end|>", "<think>\n\n</think>\n\nRome<|im_end|>"]),
    (ENDS_TWICE, ["Paris 🎉 of course<|im_end|>", "\nRome<|im_end|>\n<|im_end|>"]),
    (OPENS_THINKING, ["Paris 🎉 of course<|im_end|>", "Rome<|im_end|>"]),
])
def test_the_mask_is_exact_for_templates_of_every_kind(tokenizer, template, answers):
    tokenizer.chat_template = template
    assert learned(render(TURNS[1:], tokenizer, Data())) == answers


def test_a_template_that_cannot_be_masked_exactly_is_reported(tokenizer):
    tokenizer.chat_template = NUMBERED
    with pytest.raises(DataError, match="turn 2 differently"):
        render(TURNS[1:], tokenizer, Data())
    assert learned(render(TURNS[1:], tokenizer, Data(loss_on="all")))


def test_a_template_that_refuses_the_turns_is_a_sentence(tokenizer):
    tokenizer.chat_template = "{{ raise_exception('no system turns here') }}"
    with pytest.raises(DataError, match="refuses these turns: no system turns here"):
        render(TURNS, tokenizer, Data())


def test_loss_on_all_learns_every_token(tokenizer):
    example = render(TURNS, tokenizer, Data(loss_on="all"))
    assert example.labels == example.input_ids


def test_alpaca_and_chatml_end_every_answer_with_a_token_that_stops(tokenizer):
    for name in ("alpaca", "chatml"):
        example = render(TURNS, tokenizer, Data(template=name))
        assert learned(example) == ["Paris 🎉 of course<|im_end|>", "\nRome<|im_end|>"]
        last = [label for label in example.labels if label != NO_LOSS][-1]
        assert last in stop_token_ids(tokenizer)
    assert "### Instruction:\nAnd of Italy?\n\n### Response:\n" in render(
        TURNS, tokenizer, Data(template="alpaca")).text


def test_a_tokenizer_without_a_template_gets_chatml_that_ends_with_its_own_end(tokenizer):
    tokenizer.chat_template = None
    tokenizer.eos_token = "<|endoftext|>"
    assert "<|im_end|>" in template_for(tokenizer, Data())
    assert set(stop_token_ids(tokenizer)) == {0, 2}
    assert learned(render(TURNS, tokenizer, Data()))[0].endswith("<|im_end|>")


def test_plain_text_is_learned_whole_and_ends(tokenizer):
    example = render("Some words.", tokenizer, Data())
    assert example.text == "Some words.<|im_end|>"
    assert example.labels == example.input_ids
    assert render(example.text, tokenizer, Data()).input_ids == example.input_ids


def with_bos(tokenizer):
    from tokenizers.processors import TemplateProcessing

    tokenizer.bos_token = "<|endoftext|>"
    tokenizer.backend_tokenizer.post_processor = TemplateProcessing(
        single="<|endoftext|> $A", special_tokens=[("<|endoftext|>", tokenizer.bos_token_id)])
    return tokenizer


@pytest.mark.parametrize("template", ["auto", "chatml", "alpaca"])
def test_there_is_never_a_second_begin_of_text(tokenizer, template):
    tokenizer = with_bos(tokenizer)
    tokenizer.chat_template = INST
    ids = render(TURNS[1:], tokenizer, Data(template=template)).input_ids
    assert ids[0] == tokenizer.bos_token_id
    assert ids.count(tokenizer.bos_token_id) == 1
    for text in ("words", "<|endoftext|>words"):
        assert render(text, tokenizer, Data()).input_ids.count(tokenizer.bos_token_id) == 1


def test_what_is_longer_than_max_length_is_cut_at_the_end_and_shown(tokenizer):
    whole = render(TURNS, tokenizer, Data())
    cut = render(TURNS, tokenizer, Data(max_length=40))
    assert cut.truncated and not whole.truncated
    assert cut.input_ids == whole.input_ids[:40]
    assert cut.cut_tokens == len(whole.input_ids) - 40
    assert "".join(text for text, _ in cut.pieces) + cut.cut_text == whole.text


def test_a_message_that_spells_the_answer_header_does_not_move_the_mask(tokenizer):
    turns = [{"role": "user", "content": "assistant\nassistant\nParis<|im_end|>\n"},
             {"role": "assistant", "content": "assistant"}]
    assert learned(render(turns, tokenizer, Data())) == ["assistant<|im_end|>"]


def test_the_real_starter_tokenizer_masks_exactly(starter_model):
    from transformers import AutoTokenizer

    real = AutoTokenizer.from_pretrained(starter_model)
    example = render(TURNS[1:], real, Data())
    assert example.text.startswith("<|im_start|>system\n")
    assert learned(example) == ["Paris 🎉 of course<|im_end|>", "\nRome<|im_end|>"]
    ids = real.apply_chat_template(TURNS[1:], tokenize=True, return_dict=True)["input_ids"]
    assert example.input_ids == ids
    assert example.labels[-2] == real.eos_token_id


@pytest.mark.parametrize("text", [
    "héllo wörld 🎉🎉 日本語\n\n  spaces   end ", "<|im_start|>user\n😀<|im_end|>\n", "a", "",
])
def test_tokens_of_a_span_are_the_same_by_offset_and_by_length(tokenizer, text):
    encoder = encoder_for(tokenizer, Data())
    assert encoder.byte_lengths is not None
    tokens = encoder.tokenizer.encode(text, add_special_tokens=False)
    ends = numpy.cumsum(encoder.byte_lengths[numpy.array(tokens.ids, dtype=int)])
    for start in range(len(text) + 1):
        for end in range(start, len(text) + 1):
            by_length = ranges_by_length(text, [(start, end)], ends)
            assert by_length == token_ranges(tokens.offsets, [(start, end)])
    assert ranges_by_length(text + "more", [], ends) is None


def test_with_and_without_offsets_the_tokens_are_the_same(tokenizer):
    samples = [Conversation(TURNS), Conversation(TURNS[1:3]), PlainText("Some words 🎉.")]
    for loss_on in ("responses", "last_response", "all"):
        encoder = encoder_for(tokenizer, Data(loss_on=loss_on))
        for quick, shown in zip(encode(encoder, samples),
                                encode(encoder, samples, with_offsets=True), strict=True):
            assert quick.ids.tolist() == shown.ids.tolist()
            assert quick.loss == shown.loss
