"""What a chat template does to the turns: which it drops, refuses, or writes differently."""

from __future__ import annotations

from studio.data.answer_spans import answer_spans, answers_of
from studio.data.findings import Finding
from studio.data.samples import RowFault
from studio.data.templates.probe import (
    AGAIN,
    ANSWER,
    LAST,
    ONE_ANSWER,
    QUESTION,
    REASONED,
    SYSTEM,
    TOOL_CALL,
    TOOL_RESULT,
    TOOLS,
    Case,
    Check,
    finding,
    sentence,
)

OTHER = "Choose another data.template."


def _lost_turns(case: Case) -> Finding | None:
    lost = [number for number, turn in enumerate(case.talk, 1)
            if turn["content"] not in case.text]
    if not lost:
        return None
    turns = f"turn {lost[0]}" if len(lost) == 1 else "turns " + ", ".join(map(str, lost))
    return finding("content_lost", "problem", "The chat template does not write every turn",
                   f"Of a conversation with {len(case.talk)} turns, what {turns} said is missing "
                   "from the rendered text or changed.", OTHER)


def _system(case: Case) -> Finding | None:
    level = case.level("system", "warning")
    text = case.probe.tried([SYSTEM, *ONE_ANSWER])
    if level is None or (isinstance(text, str) and SYSTEM["content"] in text):
        return None
    if isinstance(text, RowFault):
        return finding("system_refused", level, "The chat template takes no system text",
                       f"{sentence(text)} Conversations that begin with system text are left "
                       "out.", f"Put that text into the first question. Or: {OTHER}")
    return finding("system_dropped", level, "The chat template drops the system text",
                   "What a system turn says is not in the rendered text, so the model is never "
                   "taught it.", f"Put that text into the first question. Or: {OTHER}")


def _not_maskable(case: Case) -> Finding | None:
    numbers = answers_of(case.talk, case.data.loss_on)
    if case.data.loss_on == "all":
        return None
    try:
        answer_spans(case.talk, numbers, case.text, case.probe.render)
    except RowFault as fault:
        return finding("not_maskable", "problem",
                       "It cannot be told which tokens are the answers",
                       f"{sentence(fault)} Such conversations are left out.",
                       "Set data.loss_on to last_response or all, or choose another "
                       "data.template.")
    return None


def _tools(case: Case) -> Finding | None:
    level = case.level("tools", "info")
    text = case.probe.tried([QUESTION, TOOL_CALL, TOOL_RESULT, ANSWER], tools=TOOLS)
    if level is None:
        return None
    hint = "Choose a model whose chat template has tools, or the data.template chatml."
    if isinstance(text, RowFault):
        return finding("tools_refused", level, "The chat template takes no tools",
                       f"{sentence(text)} Conversations with tools are left out.", hint)
    wanted = {"which tools there are": "Looks something up.", "the calls": "rhubarb six",
              "the results": TOOL_RESULT["content"]}
    dropped = [name for name, words in wanted.items() if words not in text]
    if not dropped:
        return None
    return finding("tools_dropped", level, "The chat template drops parts of tool use",
                   f"Of a conversation with tools, {' and '.join(dropped)} are not in the "
                   "rendered text, so the model is never taught them.", hint)


def _reasoning(case: Case) -> Finding | None:
    level = case.level("reasoning", "info")
    text = case.probe.tried([QUESTION, REASONED])
    if level is None or isinstance(text, RowFault) or REASONED["reasoning_content"] in text:
        return None
    return finding("reasoning_dropped", level, "The chat template drops the reasoning",
                   "What reasoning_content holds is not in the rendered text, so the model is "
                   "taught the answers without it.",
                   "Choose a model whose chat template has reasoning, or the data.template "
                   "chatml.")


def _changes_earlier(case: Case) -> Finding | None:
    """Thinking in earlier answers, which templates of reasoning models leave out."""
    level = case.level("reasoning", "info")
    text = case.probe.tried([QUESTION, REASONED, AGAIN, LAST])
    alone = case.probe.tried([QUESTION, REASONED])
    thought = REASONED["reasoning_content"]
    if level is None or isinstance(text, RowFault) or isinstance(alone, RowFault):
        return None
    if thought not in alone or thought in text:
        return None
    return finding("earlier_reasoning_dropped", "info", "Only the last answer keeps its reasoning",
                   "In conversations with several answers the chat template leaves the reasoning "
                   "of the earlier ones out, as it does when the model is used.")


def _prompt(case: Case) -> Finding | None:
    """What the model is given when it answers must be how the taught text goes on."""
    prompt = case.probe.tried(ONE_ANSWER[:1], answer_next=True)
    text = case.probe.tried(ONE_ANSWER)
    own = case.data.template != "custom"
    if isinstance(prompt, RowFault):
        return finding("prompt_refused", "problem", "The chat template cannot ask a question",
                       f"{sentence(prompt)} So the model could be taught but never used.", OTHER)
    if isinstance(text, RowFault) or ANSWER["content"] not in text:
        return None
    if not text.startswith(prompt):
        return finding(
            "prompt_differs", "info" if own else "warning",
            "Questions are asked differently than they are taught",
            "The text that the model is given to answer is not how the taught text begins, mostly "
            "because one of them opens a block for thinking.",
            "" if own else "Write the same text before an answer and where add_generation_prompt "
            "is set.")
    between = text[len(prompt):].partition(ANSWER["content"])[0].strip()
    if not between:
        return None
    return finding("prompt_short", "info" if own else "warning",
                   "Answers are taught with text before them",
                   f"Behind the prompt the chat template writes {between!r} before the answer, so "
                   "the model has to write that first.",
                   "" if own else "Write it where add_generation_prompt is set, too.")


def _trimmed(case: Case) -> Finding | None:
    turns = [QUESTION, {**ANSWER, "content": "    violin\n\n"}]
    text = case.probe.tried(turns)
    if isinstance(text, RowFault) or turns[1]["content"] in text:
        return None
    return finding("trims", "info", "White space around answers is removed",
                   "The chat template cuts spaces and line breaks at the edges of a turn. That is "
                   "usual; it matters where answers begin with an indent.")


TURN_CHECKS: tuple[Check, ...] = (
    _lost_turns, _system, _not_maskable, _tools, _reasoning, _changes_earlier, _prompt, _trimmed,
)
