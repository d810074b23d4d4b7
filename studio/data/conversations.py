"""A row as one conversation or one text, for those who teach nothing else.

Thin: `convert.py` reads the row.
"""

from __future__ import annotations

from studio.data import samples
from studio.data.convert import to_sample
from studio.data.detection import Detection
from studio.data.records import Row

Turn = samples.Turn
Conversation = list[Turn] | str
"""Turns of {"role", "content"}, or plain text that is taught as it stands."""


def to_messages(row: Row, detection: Detection) -> Conversation:
    """The conversation in `row`. Raises DataError that says what the row lacks.

    Preference and KTO rows give the conversation with the chosen or only answer; a row of
    prompts gives the prompt alone.
    """
    sample = to_sample(row, detection)
    match sample:
        case samples.PlainText():
            return sample.text
        case samples.Conversation():
            return sample.turns
        case samples.Preference():
            return [*sample.prompt, *sample.chosen]
        case samples.Judged():
            return [*sample.prompt, *sample.completion]
        case _:
            return sample.prompt
