"""What a chat template and a tokenizer make of each other: beginnings, ends, marks, characters."""

from __future__ import annotations

from studio.data.findings import Finding, Level
from studio.data.samples import RowFault
from studio.data.templates.chosen import FALLBACK, end_of_answer, own_template
from studio.data.templates.named import NAMED, family_of, split_marks
from studio.data.templates.probe import ANSWER, QUESTION, Case, Check, finding
from studio.data.templates.tokens import adds_bos

_WORDS = "Hello World, it's 3.14!"
_LAYOUT = "if a:\n\n    b  =\tc"
_RARE = "é 漢 🎉"


def _double_bos(case: Case) -> Finding | None:
    bos = case.probe.tokenizer.bos_token_id
    if bos is None or case.probe.ids(case.text)[:2] != [bos, bos]:
        return None
    name = case.probe.tokenizer.bos_token
    return finding("double_bos", "problem", "Every example begins with two begin-of-text tokens",
                   f"The chat template writes {name} twice. A model that has only ever seen one "
                   "answers worse.", f"Remove one {name} from the template.")


def _no_bos(case: Case) -> Finding | None:
    """For a person's own template only: models without it in theirs were trained that way."""
    tokenizer = case.probe.tokenizer
    if case.data.template != "custom" or not adds_bos(tokenizer):
        return None
    if case.probe.ids(case.text)[:1] == [tokenizer.bos_token_id]:
        return None
    return finding("no_bos", "warning", "Examples do not begin with the begin-of-text token",
                   f"The model's tokenizer puts {tokenizer.bos_token} before every text, but the "
                   "chat template does not write it.",
                   "Begin the template with {{ bos_token }}.")


def _no_end(case: Case) -> Finding | None:
    last = case.talk[-1]["content"]
    if last not in case.text:
        return None
    end = end_of_answer(case.probe.tokenizer, case.probe.template)
    eos = case.probe.tokenizer.eos_token
    if end is None:
        return finding(
            "no_end", "problem", "Answers do not end with an end token",
            "The chat template writes no special token behind an answer, so the model never learns "
            "to stop and talks on until it is cut off.",
            f"Write {{{{ eos_token }}}} ({eos}) behind the answer, or choose another "
            "data.template.")
    behind_first = case.text.partition(ANSWER["content"])[2]
    if not behind_first or _first_token(case, behind_first) == end:
        return None
    name = case.probe.tokenizer.convert_ids_to_tokens(end)
    return finding("no_end_between", "warning", "Only the last answer ends with the end token",
                   f"Behind the last answer of a conversation the chat template writes {name}, "
                   "behind the earlier ones it does not, so the model learns to stop from the "
                   "last one alone.", "Choose another data.template.")


def _first_token(case: Case, text: str) -> int | None:
    ids = case.probe.ids(text.lstrip()) if text.strip() else []
    return ids[0] if ids else None


def _changed_by_tokens(case: Case) -> Finding | None:
    tokenizer = case.probe.tokenizer
    wanted = {"letters, numbers or punctuation": _WORDS,
              "line breaks, tabs or several spaces": _LAYOUT, "accents, Chinese or emoji": _RARE}
    said = f"{_WORDS} {_LAYOUT} {_RARE} end"
    text = case.probe.tried([QUESTION, {**ANSWER, "content": said}])
    if isinstance(text, RowFault):
        return None
    decoded = tokenizer.decode(case.probe.ids(text), clean_up_tokenization_spaces=False)
    changed = [name for name, part in wanted.items() if part in text and part not in decoded]
    if not changed:
        return None
    level: Level = "warning" if changed == ["accents, Chinese or emoji"] else "problem"
    return finding("changed_by_tokens", level, "Text changes when it is turned into tokens",
                   f"After tokens are made of a text and turned back, {' and '.join(changed)} are "
                   "different, so the model cannot learn or write them.",
                   "Where your answers need them, choose another model.")


def _marks(case: Case) -> Finding | None:
    tokenizer = case.probe.tokenizer
    falls_back = case.data.template == "auto" and own_template(tokenizer) is None
    name = FALLBACK if falls_back else str(case.data.template)
    spelled = split_marks(name, tokenizer) if name in NAMED else []
    if not spelled:
        return None
    tokens = len(case.probe.ids(spelled[0]))
    return finding("marks_spelled", "info" if falls_back else "warning",
                   "The chat template's marks are no tokens of this model",
                   f"The tokenizer spells {spelled[0]} in {tokens} tokens. It can be learned, but "
                   "every turn gets longer, and the model has to learn the marks from nothing.",
                   "Choose the data.template that this model's family uses; alpaca uses plain "
                   "words.")


def _none_of_its_own(case: Case) -> Finding | None:
    tokenizer = case.probe.tokenizer
    if case.data.template != "auto" or own_template(tokenizer) is not None:
        return None
    family = family_of(tokenizer)
    hint = "" if family in (None, FALLBACK) else (
        f"Its tokenizer has the tokens of {NAMED[str(family)].label}: the data.template {family} "
        "makes it easier to use elsewhere. A base model may not have learned those tokens yet.")
    return finding("missing", "info", "The model has no chat template",
                   "It is a base model, so turns are written as ChatML, and that template is "
                   "saved with the adapter.", hint)


def _dated(case: Case) -> Finding | None:
    if "strftime_now" not in case.probe.template:
        return None
    return finding("dated", "info", "The chat template writes today's date",
                   "Examples carry the date of the day on which they were made, so the same run "
                   "tomorrow learns slightly different text.")


TOKEN_CHECKS: tuple[Check, ...] = (
    _double_bos, _no_end, _changed_by_tokens, _no_bos, _marks, _none_of_its_own, _dated,
)
