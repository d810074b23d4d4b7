"""What a row lacks is said with its kind, so that it is counted and can be mended."""

from __future__ import annotations

import pickle

import pytest

from studio.data.convert import to_sample
from studio.data.detection import Detection
from studio.data.samples import Conversation, Judged, Preference, PromptOnly, RowFault

Q = {"role": "user", "content": "q"}
A = {"role": "assistant", "content": "a"}
B = {"role": "assistant", "content": "b"}
S = {"role": "system", "content": "s"}


def detection(format, *roles):
    return Detection(format, "", {role: role for role in roles}, chosen=True)


TURNS = detection("messages", "messages", "tools")
PAIR = detection("prompt_completion", "prompt", "completion", "system", "tools")
BETTER = detection("preference", "prompt", "chosen", "rejected", "system")
KTO = detection("kto", "prompt", "completion", "label")
PROMPT = detection("prompts", "prompt", "system", "tools")


@pytest.mark.parametrize(("row", "how", "kind", "said"), [
    ({"messages": []}, TURNS, "missing_part", "'messages' has no list of turns"),
    ({"messages": "words"}, TURNS, "missing_part", "'messages' has no list of turns"),
    ({"messages": None}, TURNS, "missing_part", r"has no messages \('messages'\)"),
    ({"messages": [Q]}, TURNS, "no_answer", "no turn is the assistant's"),
    ({"messages": [A]}, TURNS, "role_order", "begins with the assistant"),
    ({"messages": [S, A]}, TURNS, "role_order", "begins with the assistant"),
    ({"messages": [Q, Q, A]}, TURNS, "role_order", "turns 1 and 2 are both the user's"),
    ({"messages": [Q, A, S]}, TURNS, "role_order", "turn 3 is a system turn"),
    ({"messages": [S, S, Q, A]}, TURNS, "role_order", "turns 1 and 2 are both the system's"),
    ({"messages": [Q, A, {"role": "narrator", "content": "x"}]}, TURNS, "unknown_role",
     "turn 3 has the role 'narrator'"),
    ({"messages": [Q, {"content": "a"}]}, TURNS, "unknown_role", "turn 2 has no role"),
    ({"messages": [Q, {"role": "assistant", "content": " \n"}]}, TURNS, "empty_answer", "is empty"),
    ({"messages": [Q, {"role": "assistant", "content": None}]}, TURNS, "empty_answer",
     "turn 2 has no text"),
    ({"messages": [{"role": "user"}, A]}, TURNS, "bad_turn", "turn 1 has no text"),
    ({"messages": [Q, "a"]}, TURNS, "bad_turn", "turn 2 is not an object"),
    ({"messages": [{"role": "user", "content": [{"type": "image_url"}]}, A]}, TURNS, "bad_turn",
     "turn 1 has no text"),
    ({"messages": [Q, A], "tools": "[oops"}, TURNS, "bad_turn", "the tools cannot be read as JSON"),
    ({"prompt": "", "completion": "a"}, PAIR, "missing_part", "'prompt' is empty"),
    ({"prompt": "q", "completion": " "}, PAIR, "empty_answer", "answer in 'completion' is empty"),
    ({"prompt": "q"}, PAIR, "missing_part", r"has no completion \('completion'\)"),
    ({"prompt": "q", "completion": {"x": 1}}, PAIR, "missing_part", "holds an object instead"),
    ({"prompt": "q", "completion": True}, PAIR, "missing_part", "holds true or false instead"),
    ({"chosen": "a", "rejected": "b"}, BETTER, "missing_part", "no prompt that the answers"),
    ({"prompt": "q", "chosen": "", "rejected": "b"}, BETTER, "empty_answer", "'chosen' is empty"),
    ({"chosen": [Q, A], "rejected": [{**Q, "content": "other"}, B]}, BETTER, "missing_part",
     "do not answer the same prompt"),
    ({"prompt": "q", "completion": "a", "label": "perhaps"}, KTO, "missing_part",
     "the label in 'label' is neither true nor false"),
    ({"completion": "a", "label": 1}, KTO, "missing_part", "no prompt that the answer"),
    ({"completion": [Q, A, Q], "label": 1}, KTO, "no_answer", "no answer to judge"),
    ({"prompt": [A]}, PROMPT, "missing_part", "has no question"),
    ({"prompt": "  "}, PROMPT, "missing_part", "'prompt' is empty"),
    ({"text": "words"}, detection("dialogue", "text"), "missing_part", "no marks that say who"),
    ({"text": ""}, detection("text", "text"), "missing_part", "'text' is empty"),
    ({"foo": 1}, Detection(None, "unknown.", {}), "missing_part", "no columns that the studio"),
])
def test_a_row_that_cannot_be_taught_says_why(row, how, kind, said):
    with pytest.raises(RowFault, match=said) as fault:
        to_sample(row, how)
    assert fault.value.kind == kind
    assert fault.value.hint
    assert pickle.loads(pickle.dumps(fault.value)).kind == kind


@pytest.mark.parametrize(("row", "how", "sample"), [
    ({"prompt": "2 + 2", "completion": 4}, PAIR,
     Conversation([{"role": "user", "content": "2 + 2"}, {"role": "assistant", "content": "4"}])),
    ({"prompt": "q", "completion": "a", "system": " "}, PAIR, Conversation([Q, A])),
    ({"prompt": [S, Q], "completion": "a", "system": "other"}, PAIR, Conversation([S, Q, A])),
    ({"prompt": "q", "completion": [Q, A]}, PAIR, Conversation([Q, A])),
    ({"prompt": [S, Q], "completion": [Q, A]}, PAIR, Conversation([S, Q, A])),
    ({"prompt": [Q, A], "completion": [Q, B]}, PAIR, Conversation([Q, A, Q, B])),
    ({"prompt": "q", "chosen": [Q, A], "rejected": [Q, B]}, BETTER, Preference([Q], [A], [B])),
    ({"prompt": "q", "chosen": "a", "rejected": "a"}, BETTER, Preference([Q], [A], [A])),
    ({"chosen": [Q, A, Q, A], "rejected": [Q, A, Q, B]}, BETTER,
     Preference([Q, A, Q], [A], [B])),
    ({"chosen": [Q, A, Q, A], "rejected": [Q, B]}, BETTER, Preference([Q], [A, Q, A], [B])),
    ({"prompt": "q", "chosen": "a", "rejected": "b", "system": "s"}, BETTER,
     Preference([S, Q], [A], [B])),
    ({"completion": [Q, A, Q, B], "label": "yes"}, KTO, Judged([Q, A, Q], [B], True)),
    ({"completion": "\n\nHuman: q\n\nAssistant: a", "label": 0.0}, KTO, Judged([Q], [A], False)),
    ({"prompt": [S, Q, A]}, PROMPT, PromptOnly([S, Q])),
    ({"prompt": "\n\nHuman: q\n\nAssistant:"}, PROMPT, PromptOnly([Q])),
    ({"prompt": [Q, A, Q], "tools": []}, PROMPT, PromptOnly([Q, A, Q])),
    ({"messages": [Q, A, Q]}, TURNS, Conversation([Q, A, Q])),
    ({"messages": {"messages": [Q, A]}}, TURNS, Conversation([Q, A])),
])
def test_answers_join_their_prompts(row, how, sample):
    assert to_sample(row, how) == sample


def test_a_history_of_another_form_is_refused():
    alpaca = detection("alpaca", "instruction", "output", "history")
    with pytest.raises(RowFault, match="'history' is no list of questions"):
        to_sample({"instruction": "q", "output": "a", "history": ["q"]}, alpaca)


def test_the_row_itself_is_never_changed():
    row = {"messages": [dict(Q), {"role": "assistant", "content": None, "tool_calls": [
        {"function": {"name": "f", "arguments": "{}"}}]}, {"role": "tool", "content": {"a": 1}}]}
    before = pickle.dumps(row)
    to_sample(row, TURNS)
    assert pickle.dumps(row) == before
