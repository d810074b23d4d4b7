"""One job in a process of its own, so that its peak of memory is the job's and nobody else's.

`python -m tests.hardware.measured_job chat|merge HOME MODEL ADAPTER OUTPUT` prints the peak
resident memory in bytes.
"""

from __future__ import annotations

import sys
from pathlib import Path

from studio.settings import Settings, prepare_environment

QUESTION = "Two pizzas and a cola for Anna, please, to Berlin by Friday. " * 12


def main() -> None:
    job, home, model, adapter, output = sys.argv[1:]
    settings = Settings(home=Path(home), offline=True)
    prepare_environment(settings)
    tokens = chat(model, Path(adapter), settings) if job == "chat" else merge(
        Path(adapter), Path(output), settings)
    from studio.hardware.resident import peak_resident_bytes

    sys.stdout.write(f"{peak_resident_bytes()} {tokens}\n")


def chat(model: str, adapter: Path, settings: Settings) -> int:
    """Two columns answer a long question; gives the tokens of the longer conversation."""
    from studio.chat.sampling import Sampling
    from studio.chat.session import ChatSession, Column
    from studio.recipe import Model

    session = ChatSession(Model(source=model, dtype="bfloat16"),
                          [Column("base"), Column("tuned", adapter)], settings)
    histories = {name: [{"role": "user", "content": QUESTION + extra}]
                 for name, extra in (("base", ""), ("tuned", "Thank you."))}
    for _ in session.answer(histories, Sampling(max_new_tokens=4)):
        pass
    return max(turn.prompt_tokens + turn.tokens for turn in session.turns.values())


def merge(adapter: Path, output: Path, settings: Settings) -> int:
    from studio.export.merge import merge as merge_adapter

    merge_adapter(adapter, output, settings)
    return 0


if __name__ == "__main__":
    main()
