"""Sets as they are published, each read as its authors meant it."""

from __future__ import annotations

import json
from typing import Any

import pytest

from studio.data.convert import to_sample
from studio.data.detect import detect, groups_of
from studio.data.samples import (
    Conversation,
    Judged,
    PlainText,
    Preference,
    PromptOnly,
    Sample,
    Turn,
)


def user(text: str) -> Turn:
    return {"role": "user", "content": text}


def assistant(text: str) -> Turn:
    return {"role": "assistant", "content": text}


def system(text: str) -> Turn:
    return {"role": "system", "content": text}


def read(row: dict[str, Any]) -> tuple[str | None, Sample]:
    detection = detect(groups_of([row, row], ["line 1", "line 2"]), "a.jsonl")
    assert not detection.problems
    return detection.format, to_sample(row, detection)


WEATHER = {"type": "function", "function": {
    "name": "get_weather", "description": "Weather of a city.",
    "parameters": {"type": "object", "properties": {"city": {"type": "string"}}}}}
CALL = {"type": "function", "function": {"name": "get_weather", "arguments": {"city": "Paris"}}}
TURNS = [user("q"), assistant("a")]
OTHER = [user("q"), assistant("b")]

SETS: list[tuple[str, dict[str, Any], str, Sample]] = [
    ("Alpaca", {"instruction": "Sum up.", "input": "Rain fell.", "output": "Rain.",
                "text": "Below is an instruction ... ### Response:\nRain."},
     "alpaca", Conversation([user("Sum up.\n\nRain fell."), assistant("Rain.")])),
    ("Alpaca of LLaMA-Factory with a history",
     {"instruction": "q2", "input": "", "output": "a2", "system": "s", "history": [["q1", "a1"]]},
     "alpaca", Conversation([system("s"), user("q1"), assistant("a1"), user("q2"),
                             assistant("a2")])),
    ("Dolly", {"instruction": "Who was it?", "context": "Virgin was first.", "response": "Virgin.",
               "category": "closed_qa"},
     "alpaca", Conversation([user("Who was it?\n\nVirgin was first."), assistant("Virgin.")])),
    ("GSM8K", {"question": "2 + 2?", "answer": "2 + 2 = <<2+2=4>>4\n#### 4"},
     "prompt_completion",
     Conversation([user("2 + 2?"), assistant("2 + 2 = <<2+2=4>>4\n#### 4")])),
    ("MetaMath", {"type": "GSM_Rephrased", "query": "q", "original_question": "o", "response": "a"},
     "prompt_completion", Conversation(TURNS)),
    ("NuminaMath", {"source": "olympiads", "problem": "q", "solution": "a", "messages": TURNS},
     "messages", Conversation(TURNS)),
    ("OpenHermes", {"conversations": [{"from": "human", "value": "q", "weight": None},
                                      {"from": "gpt", "value": "a", "weight": None}],
                    "source": "x", "system_prompt": None},
     "sharegpt", Conversation(TURNS)),
    ("SlimOrca, which gives turns a weight",
     {"conversations": [{"from": "system", "value": "s", "weight": None},
                        {"from": "human", "value": "q", "weight": 0.0},
                        {"from": "gpt", "value": "a", "weight": 1.0}]},
     "sharegpt", Conversation([system("s"), *TURNS])),
    ("OpenOrca", {"id": "niv.1", "system_prompt": "", "question": "q", "response": "a"},
     "prompt_completion", Conversation(TURNS)),
    ("XTuner, whose turns come in pairs", {"conversation": [
        {"system": "s", "input": "q", "output": "a"}, {"input": "q2", "output": "a2"}]},
     "messages", Conversation([system("s"), *TURNS, user("q2"), assistant("a2")])),
    ("Firefly", {"conversation_id": 1, "conversation": [{"human": "q", "assistant": "a"}]},
     "messages", Conversation(TURNS)),
    ("LIMA, whose turns have no roles", {"conversations": ["q", "a"], "source": "stackexchange"},
     "messages", Conversation(TURNS)),
    ("UltraChat 200k", {"prompt": "q", "prompt_id": "1", "messages": TURNS},
     "messages", Conversation(TURNS)),
    ("Guanaco of Open Assistant", {"text": "### Human: q### Assistant: a### Human: q2"
                                           "### Assistant: a2"},
     "dialogue", Conversation([*TURNS, user("q2"), assistant("a2")])),
    ("Open Assistant's best answers", {
        "text": "<|im_start|>user\nq<|im_end|>\n<|im_start|>assistant\na<|im_end|>\n"},
     "dialogue", Conversation(TURNS)),
    ("Guanaco for Llama 2", {"text": "<s>[INST] q [/INST] a </s><s>[INST] q2 [/INST] a2 </s>"},
     "dialogue", Conversation([*TURNS, user("q2"), assistant("a2")])),
    ("Wikipedia", {"id": "12", "url": "https://en.wikipedia.org/wiki/A", "title": "A",
                   "text": "A is a letter."},
     "text", PlainText("A is a letter.")),
    ("UltraFeedback binarized", {
        "prompt": "q", "prompt_id": "1", "chosen": TURNS, "rejected": OTHER, "messages": TURNS,
        "score_chosen": 9.0, "score_rejected": 3.0},
     "preference", Preference([user("q")], [assistant("a")], [assistant("b")])),
    ("HH-RLHF", {"chosen": "\n\nHuman: q\n\nAssistant: a\n\nHuman: q2\n\nAssistant: good",
                 "rejected": "\n\nHuman: q\n\nAssistant: a\n\nHuman: q2\n\nAssistant: bad"},
     "preference", Preference([*TURNS, user("q2")], [assistant("good")], [assistant("bad")])),
    ("HH-RLHF with the prompt apart", {"prompt": "\n\nHuman: q\n\nAssistant:", "response": " a",
                                       "chosen": " a", "rejected": " b"},
     "preference", Preference([user("q")], [assistant("a")], [assistant("b")])),
    ("Orca pairs", {"system": "s", "question": "q", "chosen": "a", "rejected": "b"},
     "preference", Preference([system("s"), user("q")], [assistant("a")], [assistant("b")])),
    ("Stack Exchange pairs", {"qid": 1, "question": "q", "response_j": "a", "response_k": "b"},
     "preference", Preference([user("q")], [assistant("a")], [assistant("b")])),
    ("Preferences of LLaMA-Factory, as ShareGPT",
     {"conversations": [{"from": "human", "value": "q"}], "chosen": {"from": "gpt", "value": "a"},
      "rejected": {"from": "gpt", "value": "b"}},
     "preference", Preference([user("q")], [assistant("a")], [assistant("b")])),
    ("Preferences of LLaMA-Factory, as Alpaca",
     {"instruction": "q", "input": "c", "chosen": "a", "rejected": "b"},
     "preference", Preference([user("q\n\nc")], [assistant("a")], [assistant("b")])),
    ("OpenAI's preferences", {
        "input": {"messages": [user("q")], "tools": [], "parallel_tool_calls": True},
        "preferred_output": [assistant("a")], "non_preferred_output": [assistant("b")]},
     "preference", Preference([user("q")], [assistant("a")], [assistant("b")])),
    ("TRL's preferences with an implicit prompt", {"chosen": TURNS, "rejected": OTHER},
     "preference", Preference([user("q")], [assistant("a")], [assistant("b")])),
    ("TRL's KTO", {"prompt": "q", "completion": "a", "label": True},
     "kto", Judged([user("q")], [assistant("a")], True)),
    ("TRL's KTO as messages", {"prompt": TURNS[:1], "completion": TURNS[1:], "label": False},
     "kto", Judged([user("q")], [assistant("a")], False)),
    ("KTO of LLaMA-Factory, as ShareGPT",
     {"messages": [user("q"), assistant("a")], "label": False},
     "kto", Judged([user("q")], [assistant("a")], False)),
    ("KTO of LLaMA-Factory, as Alpaca",
     {"instruction": "q", "input": "", "output": "a", "kto_tag": True},
     "kto", Judged([user("q")], [assistant("a")], True)),
    ("TRL's prompts", {"prompt": [user("q")]}, "prompts", PromptOnly([user("q")])),
    ("TRL's prompt and completion as messages", {"prompt": TURNS[:1], "completion": TURNS[1:]},
     "prompt_completion", Conversation(TURNS)),
    ("OpenAI's tool calls", {
        "messages": [
            user("Weather in Paris?"),
            {"role": "assistant", "content": None, "tool_calls": [
                {"id": "call_1", "type": "function", "function": {
                    "name": "get_weather", "arguments": "{\"city\": \"Paris\"}"}}]},
            {"role": "tool", "tool_call_id": "call_1", "content": "21 C"},
            {"role": "assistant", "content": "21 degrees.", "weight": 1}],
        "tools": [WEATHER], "parallel_tool_calls": False},
     "messages", Conversation([
         user("Weather in Paris?"),
         {"role": "assistant", "content": "", "tool_calls": [{**CALL, "id": "call_1"}]},
         {"role": "tool", "content": "21 C", "tool_call_id": "call_1"},
         assistant("21 degrees.")], [WEATHER])),
    ("OpenAI's older function calls", {
        "messages": [
            user("Weather in Paris?"),
            {"role": "assistant", "content": None, "function_call": {
                "name": "get_weather", "arguments": "{\"city\": \"Paris\"}"}},
            {"role": "function", "name": "get_weather", "content": "21 C"},
            assistant("21 degrees.")],
        "functions": [WEATHER["function"]]},
     "messages", Conversation([
         user("Weather in Paris?"), {"role": "assistant", "content": "", "tool_calls": [CALL]},
         {"role": "tool", "content": "21 C", "name": "get_weather"},
         assistant("21 degrees.")], [WEATHER])),
    ("Tool calls of LLaMA-Factory", {
        "conversations": [
            {"from": "human", "value": "Weather in Paris?"},
            {"from": "function_call",
             "value": "{\"name\": \"get_weather\", \"arguments\": {\"city\": \"Paris\"}}"},
            {"from": "observation", "value": "21 C"},
            {"from": "gpt", "value": "21 degrees."}],
        "tools": json.dumps([WEATHER["function"]]), "system": "s"},
     "sharegpt", Conversation([
         system("s"), user("Weather in Paris?"),
         {"role": "assistant", "content": "", "tool_calls": [CALL]},
         {"role": "tool", "content": "21 C"}, assistant("21 degrees.")], [WEATHER])),
    ("Hermes' tool calls, which stand in the text", {
        "conversations": [
            {"from": "system", "value": "s"}, {"from": "human", "value": "Weather?"},
            {"from": "gpt", "value": "<tool_call>{}</tool_call>"},
            {"from": "tool", "value": "<tool_response>21 C</tool_response>"},
            {"from": "gpt", "value": "21 degrees."}]},
     "sharegpt", Conversation([
         system("s"), user("Weather?"), assistant("<tool_call>{}</tool_call>"),
         {"role": "tool", "content": "<tool_response>21 C</tool_response>"},
         assistant("21 degrees.")])),
    ("xLAM's calls without an answer in words", {
        "id": 1, "query": "Weather in Paris?", "tools": json.dumps([WEATHER["function"]]),
        "answers": "[{\"name\": \"get_weather\", \"arguments\": {\"city\": \"Paris\"}}]"},
     "prompt_completion", Conversation([
         user("Weather in Paris?"),
         {"role": "assistant", "content": "", "tool_calls": [CALL]}], [WEATHER])),
    ("Glaive's tool calls, as one text", {
        "system": "Use tools.", "chat": "USER: Weather?\n\n\nASSISTANT: <functioncall> {} "
        "<|endoftext|>\n\n\nFUNCTION RESPONSE: 21 C\n\n\nASSISTANT: 21. <|endoftext|>\n\n\n"},
     "dialogue", Conversation([
         system("Use tools."), user("Weather?"), assistant("<functioncall> {}"),
         {"role": "tool", "content": "21 C"}, assistant("21.")])),
    ("Thoughts before an answer", {"messages": [
        user("q"), {"role": "assistant", "content": "a", "reasoning_content": "because"}]},
     "messages", Conversation([user("q"), {"role": "assistant", "content": "a",
                                           "reasoning_content": "because"}])),
    ("Parquet, which fills every turn with nulls", {"messages": [
        {"role": "user", "content": "q", "tool_calls": None, "name": None, "tool_call_id": None},
        {"role": "assistant", "content": None, "name": None, "tool_call_id": None, "tool_calls": [
            {"id": None, "type": "function", "function": {
                "name": "get_weather", "arguments": {"city": "Paris", "unit": None}}}]},
        {"role": "tool", "content": "21 C", "name": None, "tool_calls": None}]},
     "messages", Conversation([
         user("q"), {"role": "assistant", "content": "", "tool_calls": [CALL]},
         {"role": "tool", "content": "21 C"}])),
]


@pytest.mark.parametrize(("row", "format", "sample"), [one[1:] for one in SETS],
                         ids=[one[0] for one in SETS])
def test_a_published_set_is_read_as_its_authors_meant_it(row, format, sample):
    assert read(row) == (format, sample)


@pytest.mark.parametrize("row", [
    {"message_id": "1", "parent_id": None, "text": "q", "role": "prompter", "lang": "en"},
    {"message_tree_id": "1", "prompt": {"text": "q", "role": "prompter", "replies": []}},
])
def test_the_message_trees_of_open_assistant_are_explained_and_not_read_as_texts(row):
    detection = detect(groups_of([row, row], ["row 1", "row 2"]), "oasst1")
    assert detection.format is None
    [problem] = detection.problems
    assert "no record is a conversation" in problem.what
    assert "prepared version" in problem.hint


def test_a_csv_cell_may_hold_turns_as_json_or_as_python_prints_them():
    for text in (json.dumps(TURNS), str(TURNS), json.dumps(TURNS, indent=1)):
        assert read({"id": "1", "messages": text}) == ("messages", Conversation(TURNS))


def test_turns_may_come_as_one_list_for_each_key():
    row = {"conversations": {"from": ["human", "gpt"], "value": ["q", "a"]}}
    assert read(row) == ("sharegpt", Conversation(TURNS))
