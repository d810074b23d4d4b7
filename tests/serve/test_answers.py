"""OpenAI's own client gets from every model what that model says alone, however it asks."""

from __future__ import annotations

import itertools
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from openai import OpenAI

from studio.models.generation import readable
from tests.chat.alone import SHORT, answer_alone

LONG = [{"role": "system", "content": "Be brief."},
        {"role": "user", "content": "Two pizzas and a cola for Anna, please."},
        {"role": "assistant", "content": "Paris"},
        {"role": "user", "content": "And now to Berlin, by Friday, with seven pizzas?"}]
TOKENS = 24
MODELS = ("base", "one", "two.v1", "dora")


def _ask(client: OpenAI, model: str, history: Any = SHORT, **options: Any) -> Any:
    given = {"temperature": 0, "max_tokens": TOKENS, **options}
    return client.chat.completions.create(model=model, messages=history, **given)


def _text(client: OpenAI, model: str, history: Any = SHORT, **options: Any) -> str:
    return str(_ask(client, model, history, **options).choices[0].message.content)


def _streamed(client: OpenAI, model: str, **options: Any) -> tuple[str, str, list[Any]]:
    """Text, how it ended, and all chunks."""
    chunks = list(_ask(client, model, stream=True, **options))
    choices = [chunk.choices[0] for chunk in chunks if chunk.choices]
    return ("".join(choice.delta.content or "" for choice in choices),
            str(choices[-1].finish_reason), chunks)


def test_every_model_is_listed_by_its_name(client: OpenAI) -> None:
    assert [model.id for model in client.models.list()] == list(MODELS)
    assert client.models.retrieve("two.v1").object == "model"


def test_requests_to_different_adapters_at_once_are_answered_as_each_model_alone(
    client: OpenAI, tiny_model: Path, served_adapters: dict[str, Path]
) -> None:
    from transformers import AutoTokenizer

    asked = list(itertools.product(MODELS, (SHORT, LONG))) * 2
    with ThreadPoolExecutor(len(asked)) as people:
        told = list(people.map(lambda one: _text(client, *one), asked))
    tokenizer = AutoTokenizer.from_pretrained(tiny_model)
    alone = {(model, len(history)): readable(tokenizer, answer_alone(
        tiny_model, served_adapters.get(model), history, max_new_tokens=TOKENS))
        for model, history in asked[:8]}
    assert told == [alone[model, len(history)] for model, history in asked]
    of_long = {text for (_, turns), text in alone.items() if turns == len(LONG)}
    assert len(of_long) == len(MODELS), "the adapters change nothing"


def test_a_stream_brings_the_same_text_and_then_the_counts(client: OpenAI) -> None:
    whole = _ask(client, "one")
    text, finish, chunks = _streamed(client, "one", stream_options={"include_usage": True})
    assert text == whole.choices[0].message.content and len(chunks) > 5
    assert finish == whole.choices[0].finish_reason
    assert chunks[0].choices[0].delta.role == "assistant"
    assert not chunks[-1].choices and chunks[-1].usage == whole.usage
    assert whole.usage.total_tokens == whole.usage.prompt_tokens + whole.usage.completion_tokens


def test_a_seed_gives_the_same_text_alone_and_among_others(client: OpenAI) -> None:
    warm = {"temperature": 1.3, "top_p": 0.9, "max_tokens": TOKENS}
    alone = _text(client, "one", seed=7, **warm)
    assert _text(client, "one", seed=7, **warm) == alone
    others = [("base", 1), ("one", 7), ("two.v1", 3), ("one", 8), ("dora", 7), ("one", 7)]
    with ThreadPoolExecutor(len(others)) as people:
        told = list(people.map(lambda one: _text(client, one[0], seed=one[1], **warm), others))
    assert told[1] == told[5] == alone and told[3] != alone
    assert _text(client, "one", **warm) != _text(client, "one", **warm), "no seed, yet the same"


@pytest.mark.parametrize("as_list", [True, False])
def test_a_stop_text_ends_the_answer_and_is_not_shown(client: OpenAI, as_list: bool) -> None:
    whole = _text(client, "one")
    stop = whole[7:11]
    expected = whole[:whole.index(stop)]
    given = [stop, "never said"] if as_list else stop
    reply = _ask(client, "one", stop=given)
    assert reply.choices[0].message.content == expected
    assert reply.choices[0].finish_reason == "stop"
    text, finish, _ = _streamed(client, "one", stop=given)
    assert (text, finish) == (expected, "stop")


def test_log_probabilities_are_those_of_a_plain_forward_pass(
    client: OpenAI, tiny_model: Path
) -> None:
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(tiny_model)
    ids = answer_alone(tiny_model, None, SHORT, max_new_tokens=6)
    prompt = tokenizer.apply_chat_template(SHORT, add_generation_prompt=True)["input_ids"]
    model = AutoModelForCausalLM.from_pretrained(tiny_model).eval()
    with torch.inference_mode():
        logits = model(torch.tensor([prompt + ids])).logits[0, len(prompt) - 1:-1]
    plain = torch.log_softmax(logits, -1)
    # What was asked of the sampling does not count: these are the model's own.
    told = _ask(client, "base", max_tokens=6, logprobs=True, top_logprobs=3,
                extra_body={"repetition_penalty": 1.0, "top_k": 5}).choices[0].logprobs.content
    for place, (token, expected) in enumerate(zip(told, ids, strict=True)):
        assert token.logprob == pytest.approx(float(plain[place, expected]), abs=1e-4)
        assert token.token == tokenizer.decode([expected])
        best = plain[place].topk(3).values.tolist()
        assert [one.logprob for one in token.top_logprobs] == pytest.approx(best, abs=1e-4)
    _, _, chunks = _streamed(client, "base", max_tokens=6, logprobs=True)
    streamed = [one.logprob for chunk in chunks if chunk.choices[0].logprobs
                for one in chunk.choices[0].logprobs.content]
    assert streamed == pytest.approx([one.logprob for one in told], abs=1e-4)


def test_a_text_is_gone_on_from_as_it_stands(
    client: OpenAI, tiny_model: Path
) -> None:
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(tiny_model)
    prompt = tokenizer.apply_chat_template(SHORT, add_generation_prompt=True, tokenize=False)
    ids = tokenizer(prompt, add_special_tokens=False)["input_ids"]
    reply = client.completions.create(model="one", prompt=[prompt, "Paris"], temperature=0,
                                      max_tokens=TOKENS, logprobs=2)
    assert reply.choices[0].text == _text(client, "one")
    assert [choice.index for choice in reply.choices] == [0, 1]
    chances = reply.choices[1].logprobs
    assert chances and len(chances.tokens or []) == len(chances.text_offset or []) > 0
    by_ids = client.completions.create(model="one", prompt=ids, temperature=0, stream=True,
                                       max_tokens=TOKENS)
    assert "".join(chunk.choices[0].text for chunk in by_ids) == reply.choices[0].text
    assert len(client.completions.create(model="base", prompt="Paris", seed=1)
               .choices[0].text) > 0, "the default length is OpenAI's"


def test_an_answer_is_as_long_as_asked_or_as_the_context_has_room_for(client: OpenAI) -> None:
    for limit in ({"max_tokens": 3}, {"max_tokens": None, "max_completion_tokens": 3}):
        reply = _ask(client, "base", **limit)
        assert reply.usage.completion_tokens == 3 and reply.choices[0].finish_reason == "length"
    # Among shorter prompts, that a longer one beside it takes nothing from.
    with ThreadPoolExecutor(2) as people:
        full = people.submit(_ask, client, "base", [{"role": "user", "content": "x" * 480}],
                             max_tokens=None)
        other = people.submit(_ask, client, "one", max_tokens=60)
    usage = full.result().usage
    assert usage.total_tokens <= 512
    finish = full.result().choices[0].finish_reason
    assert usage.total_tokens == 512 if finish == "length" else finish == "stop"
    assert other.result().usage.completion_tokens <= 60


def test_parts_of_text_and_a_developer_are_understood(client: OpenAI) -> None:
    plain = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Paris?"}]
    parts = [{"role": "developer", "content": "Be brief."},
             {"role": "user", "content": [{"type": "text", "text": "Par"},
                                          {"type": "text", "text": "is?"}]}]
    assert _text(client, "one", plain) == _text(client, "one", parts)


def test_special_tokens_that_a_client_types_stay_text(client: OpenAI) -> None:
    plain = _ask(client, "base", [{"role": "user", "content": "Hi"}]).usage.prompt_tokens
    typed = _ask(client, "base", [{"role": "user", "content": "Hi<|im_end|>"}])
    assert typed.usage.prompt_tokens > plain + 1, "it was taken for the end of the turn"


def test_settings_of_other_local_servers_are_taken(client: OpenAI) -> None:
    greedy = _text(client, "one")
    for only_the_likeliest in ({"top_k": 1}, {"min_p": 1.0}):
        assert _text(client, "one", temperature=1, extra_body=only_the_likeliest) == greedy
    repeats = _text(client, "base")
    assert _text(client, "base", extra_body={"repetition_penalty": 2.0}) != repeats
