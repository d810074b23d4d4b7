"""The starter as a GGUF file answers as it does in Transformers, within the memory foretold."""

from __future__ import annotations

import time
from pathlib import Path

import psutil
import pytest

from studio.chat.gguf_session import GgufSession
from studio.chat.sampling import Sampling
from studio.chat.session import ChatSession, Column
from studio.export.gguf import write_gguf
from studio.hardware.gguf_memory import estimate_gguf_chat
from studio.models.gguf_header import read_gguf_header
from studio.recipe import Model
from studio.settings import Settings
from tests.chat.alone import SHORT

GREEDY = Sampling(temperature=0, max_new_tokens=24)
LONG = [{"role": "user", "content": "Berlin and Paris are towns. " * 1000}]


@pytest.mark.slow
def test_the_starter_answers_in_its_own_process_and_leaves_nothing_behind(
    starter_model: Path, starter_home: Path, tmp_path: Path
) -> None:
    settings = Settings(home=starter_home, offline=True)
    file = write_gguf(starter_model, tmp_path / "starter.gguf", "bf16", settings).path
    plain = ChatSession(Model(source=str(starter_model)), [Column("base")], settings)
    *_, theirs = plain.answer({"base": SHORT}, GREEDY)
    plain.close()
    own = psutil.Process().memory_info().rss
    session = GgufSession(Model(source=str(file)), [Column("base")], settings)
    llama = psutil.Process(session.process_id)
    *_, found = session.answer({"base": SHORT}, GREEDY)
    assert found == theirs
    _stops_while_it_reads(session)
    taken = llama.memory_info().rss
    foretold = estimate_gguf_chat(read_gguf_header(file)).total_bytes
    assert 0.85 < taken / foretold < 1.15, (taken, foretold)
    assert psutil.Process().memory_info().rss - own < 0.1 * taken
    session.close()
    assert not llama.is_running()


def _stops_while_it_reads(session: GgufSession) -> None:
    """In a prompt that takes many seconds to read."""
    begun = time.monotonic()
    list(session.answer({"base": LONG}, GREEDY, lambda: time.monotonic() > begun + 0.5))
    assert session.turns["base"].ending == "stopped" and not session.turns["base"].tokens
    *_, after = session.answer({"base": SHORT}, GREEDY)
    assert after["base"] and not session.is_broken
