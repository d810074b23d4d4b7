"""Formats for records that are in memory: `detect.py` and `convert.py` for those who hold them.

Decides nothing itself.
"""

from __future__ import annotations

from studio.data import detect as whole
from studio.data.conversations import Conversation, to_messages
from studio.data.detection import Detection
from studio.data.groups import groups_of
from studio.data.records import Records
from studio.recipe import Data

__all__ = ["Conversation", "Detection", "choose_format", "detect", "to_messages"]


def choose_format(records: Records, data: Data) -> Detection:
    """The format that the recipe names, or the detected one. Raises DataError, see `detect.py`."""
    return whole.choose_format(groups_of(records.rows, records.places), records.name, data)


def detect(records: Records) -> Detection:
    """The format of the records; None with a problem that counts each where they are mixed."""
    return whole.detect(groups_of(records.rows, records.places), records.name)
