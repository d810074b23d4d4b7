"""Run as a process of its own: llama.cpp answers conversations from a GGUF file.

Reads a request from the JSON file given as its argument and writes the answers, as JSON, to the
file named in it.
Imports nothing of the studio: its native logs and its memory end with the process.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path


def main() -> None:
    """{"gguf", "conversations", "max_new_tokens", "context_tokens", "threads", "answers"}."""
    request = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    import xllamacpp

    options = xllamacpp.CommonParams()
    options.model.path = request["gguf"]
    options.n_ctx = request["context_tokens"]
    options.n_parallel = 1
    options.warmup = False
    options.cpuparams.n_threads = request["threads"]
    server = xllamacpp.Server(options)
    answers = []
    for messages in request["conversations"]:
        reply = server.handle_chat_completions({
            "messages": messages, "max_tokens": request["max_new_tokens"], "temperature": 0,
            "top_k": 1, "seed": 0, "cache_prompt": False,
        })
        answers.append({"text": reply["choices"][0]["message"]["content"],
                        "prompt_tokens": reply["usage"]["prompt_tokens"]})
    Path(request["answers"]).write_text(json.dumps(answers), encoding="utf-8")


if __name__ == "__main__":
    main()
