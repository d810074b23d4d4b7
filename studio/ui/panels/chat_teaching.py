"""Conversations become training data: one column's side of them, opened in the Dataset tab."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from studio.chat.saved import SavedConversation, list_conversations, open_conversation
from studio.chat.training_file import TrainingFile, write_training_file
from studio.errors import DataError
from studio.ui.open_as_data import NewData, open_as_data

if TYPE_CHECKING:
    from studio.settings import Settings
    from studio.ui.panels.chat_talk import TalkPart
    from studio.ui.shared import Shared
    from studio.ui.studio import Studio


def wire(studio: Studio, shared: Shared, talk: TalkPart) -> None:
    """Wire the button. To be called when the form is complete."""

    def write(event: Any, *, talk: SavedConversation, teach_column: str | None, teach_all: bool
              ) -> NewData:
        return taught(studio.settings, talk, teach_column or "", with_others=teach_all)

    open_as_data(shared, talk["teach"].click, write,
                 {name: talk[name] for name in ("talk", "teach_column", "teach_all")})


def taught(settings: Settings, talk: SavedConversation, column: str, *, with_others: bool
           ) -> NewData:
    """A new file with what `column` answered in this conversation, and in the others if wanted.

    Raises DataError where nothing can be taught.
    """
    if not column:
        raise DataError("There is no column whose answers could be taught.",
                        "Ask something first.")
    others = [open_conversation(settings, row.name) for row in list_conversations(settings)
              if with_others and row.name != talk.name and column in row.columns]
    written = write_training_file(settings, [talk, *others], column)
    return NewData(written.path, _told(written, column))


def _told(written: TrainingFile, column: str) -> str:
    records = "One conversation" if written.records == 1 else f"{written.records:,} conversations"
    answers = "one answer" if written.answers == 1 else f"{written.answers:,} answers"
    return " ".join((f"{records} with {answers} of {column}: the data of this page now.",
                     *written.left_out))
