"""Conversations that stand in one text, with marks that say who speaks.

"### Human: ... ### Assistant: ...", "Human:" and "User:" at the start of lines, [INST] texts, and
texts that a chat template has written already. Only the marks of the text's own style are looked
for, so an answer may quote those of another.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from studio.data.samples import Turn


@dataclass(frozen=True)
class Style:
    """`mark` finds where a turn begins and names its speaker in the group "who" (in `_SPEAKERS`);
    `answers` must appear in the text too."""

    name: str
    mark: re.Pattern[str]
    answers: re.Pattern[str]


_SPEAKERS = {
    "human": "user", "user": "user", "instruction": "user", "[inst]": "user", "question": "user",
    "assistant": "assistant", "response": "assistant", "[/inst]": "assistant",
    "model": "assistant", "bot": "assistant", "ai": "assistant", "answer": "assistant",
    "system": "system", "input": "input", "tool": "tool", "function response": "tool",
    "ipython": "tool", "observation": "tool",
}


def _style(name: str, mark: str, answers: str) -> Style:
    flags = re.MULTILINE | (re.IGNORECASE if name == "###" else 0)
    return Style(name, re.compile(mark, flags), re.compile(answers, flags))


_STYLES = {style.name: style for style in (
    _style("ChatML", r"<\|im_start\|>(?P<who>system|user|assistant|tool)[ \t]*\n?",
           r"<\|im_start\|>assistant"),
    _style("Llama 3", r"<\|start_header_id\|>(?P<who>system|user|assistant|ipython|tool)"
           r"<\|end_header_id\|>\s*", r"<\|start_header_id\|>assistant"),
    _style("Gemma", r"<start_of_turn>(?P<who>user|model)\n?", "<start_of_turn>model"),
    _style("Zephyr", r"<\|(?P<who>system|user|assistant)\|>\n?", r"<\|assistant\|>"),
    _style("[INST]", r"(?P<who>\[/?INST\])", r"\[/INST\]"),
    _style("###", r"###[ \t]*(?P<who>human|user|system|instruction|input|assistant|response)"
           r"[ \t]*:", r"###[ \t]*(?:assistant|response)[ \t]*:"),
    _style("USER", r"(?:^|(?<=\s)|(?<=>))(?P<who>USER|ASSISTANT|SYSTEM|FUNCTION RESPONSE):",
           r"(?:^|(?<=\s)|(?<=>))ASSISTANT:"),
    _style("Human", r"^[ \t]*(?P<who>Human|Assistant|System):", r"^[ \t]*Assistant:"),
    _style("User", r"^[ \t]*(?P<who>User|Assistant|System|Bot|AI):",
           r"^[ \t]*(?:Assistant|Bot|AI):"),
)}
_OPENING = re.compile(
    r"(?:(?:<s>|<bos>|<\|begin_of_text\|>|<\|endoftext\|>)\s*)?(?:(?P<a><\|im_start\|>)|(?P<b><\|start_header_id\|>)"
    r"|(?P<c><start_of_turn>)|(?P<d><\|(?:system|user)\|>)|(?P<e>\[INST\])"
    r"|(?P<f>###[ \t]*(?:human|user|system|instruction)[ \t]*:)"
    r"|(?P<g>(?-i:USER|SYSTEM):)|(?P<h>(?-i:Human|System):)|(?P<i>(?-i:User):))", re.IGNORECASE)
_STYLE_OF_GROUP = dict(zip("abcdefghi", _STYLES.values(), strict=True))
_PREAMBLE = 1500
"""Characters in which a text that begins with an introduction must come to its first mark."""
_BEGINNINGS = ("<s>", "<bos>", "<|begin_of_text|>", "<|endoftext|>")
_ENDS = ("</s>", "<|im_end|>", "<|eot_id|>", "<|end_of_text|>", "<end_of_turn>", "<eos>", "<|end|>",
         "<|endoftext|>", "<s>", "###")
_FIRST_CHARACTERS = frozenset("<[#HhUuSs")
_OPENING_CHARACTERS = 80
_TOKENS_IN_A_ROW = 3
_PROMPT_ENDS = (":", "]", ">", "assistant", "model")
_SYSTEM_PART = re.compile(r"<<SYS>>(.*?)<</SYS>>\s*", re.DOTALL)


def style_of(text: str) -> Style | None:
    """How the text marks its speakers, or None where it is no dialogue with an answer in it."""
    head = text[:_OPENING_CHARACTERS].lstrip()
    opening = _OPENING.match(head) if head[:1] in _FIRST_CHARACTERS else None
    style = _STYLE_OF_GROUP[opening.lastgroup] if opening and opening.lastgroup else None
    style = style or _after_introduction(text)
    return style if style is not None and style.answers.search(text) else None


def _after_introduction(text: str) -> Style | None:
    """"Below is an instruction ... ### Instruction:", "A chat between ... USER:"."""
    if text.find("### Instruction:", 0, _PREAMBLE) > 0 or text.find("### Human:", 0, _PREAMBLE) > 0:
        return _STYLES["###"]
    at = text.find("USER:", 0, _PREAMBLE)
    return _STYLES["USER"] if at > 0 and text.find("ASSISTANT:", at) > 0 else None


def read_dialogue(text: str) -> list[Turn] | None:
    """The turns of a dialogue, without its marks; None where `style_of` knows none.

    What stands before the first mark becomes the system turn. A text that ends with the
    assistant's mark ends with an empty answer.
    """
    style = style_of(text)
    if style is None:
        return None
    marks = list(style.mark.finditer(text))
    turns: list[Turn] = []
    introduction = _bare(text[:marks[0].start()]) if marks else ""
    if introduction:
        turns.append({"role": "system", "content": introduction})
    for mark, following in zip(marks, [*marks[1:], None], strict=True):
        words = _bare(text[mark.end(): following.start() if following else len(text)])
        _add(turns, _SPEAKERS[mark["who"].lower()], words)
    return turns


def read_prompt(text: str) -> list[Turn] | None:
    """The turns of a dialogue that stops where an answer would begin ("... Assistant:")."""
    if not text.rstrip()[-20:].lower().endswith(_PROMPT_ENDS):
        return None
    turns = read_dialogue(text)
    if turns is None or turns[-1]["role"] != "assistant" or turns[-1]["content"]:
        return None
    return turns[:-1]


def _bare(text: str) -> str:
    """Without white space and the tokens that open a text or close a turn."""
    text = text.strip()
    for _ in range(_TOKENS_IN_A_ROW):
        for one in _BEGINNINGS:
            text = text.removeprefix(one).lstrip()
        for one in _ENDS:
            text = text.removesuffix(one).rstrip()
    return text


def _add(turns: list[Turn], role: str, words: str) -> None:
    if role == "input":  # of an instruction
        if turns and turns[-1]["role"] == "user":
            turns[-1]["content"] += f"\n\n{words}" if words else ""
            return
        role = "user"
    system = _SYSTEM_PART.match(words) if role == "user" else None
    if system:
        turns.append({"role": "system", "content": system[1].strip()})
        words = words[system.end():]
    turns.append({"role": role, "content": words})
