"""The verbs of launch.py and what --help says, known without an environment.

Every verb but `test` lives in studio/cli; a test keeps the two lists equal.
"""

from __future__ import annotations

SERVE, TEST = "serve", "test"

VERBS = {
    SERVE: "open the studio in the browser (this is what no verb does); with RUN: an endpoint",
    "doctor": "look over this PC: GPU, driver, memory, disk, libraries",
    "inspect": "look at training data: format, lengths, and every mistake in it",
    "clean": "write a cleaned copy of training data",
    "params": "count what a recipe trains, without loading the model",
    "estimate": "how much memory a recipe needs, and whether it fits",
    "fit": "change a recipe as little as needed so that it fits here or on a card",
    "sizes": "which model sizes can be trained here or on a card",
    "dryrun": "measure two steps of a recipe beside the estimate",
    "train": "train a recipe",
    "resume": "go on with a run that was paused, stopped or interrupted",
    "pause": "pause a run at work: free its memory, go on later",
    "stop": "stop a run at work and keep what it has learned",
    "cancel": "end a run at work and delete what it has learned",
    "queue": "runs that wait for their turn: list, reorder, train them",
    "runs": "list the runs",
    "compare": "lay runs over one another: figures, differing settings, a curve",
    "note": "give a run a note or a title",
    "chat": "ask the base model and adapters side by side",
    "ask": "let the base and adapters answer prompts, to vote on blind",
    "votes": "what the votes of blind tests say; the votes as files",
    "blend": "mix adapters of one base into one, with weights",
    "evaluate": "score a run on tasks of lm-eval, before and after",
    "merge": "merge an adapter into a plain Transformers folder",
    "export": "write a run as GGUF and in other formats, each one checked",
    "mergekit": "merge whole models of one make into one",
    "ollama": "take an exported GGUF into the Ollama of this PC",
    "push": "upload an export to the Hugging Face Hub, private and shown first",
    "bench": "measure what the studio claims, beside its peers",
    "demo": "the whole job once, without a page: train, compare, merge, export",
    TEST: "install what the tests need and run them",
}


def help_text() -> str:
    """What `python launch.py --help` says."""
    verbs = "\n".join(f"  {verb:<10} {what}" for verb, what in VERBS.items())
    return f"""Adapter Studio: fine-tune a language model on this PC, with LoRA or another adapter.

Usage: python launch.py [--port N] [--no-browser] [--home DIR] [--offline]
       python launch.py VERB [...]            (VERB --help tells more)
       python launch.py test [--all] [pytest arguments]

The first start makes the folder .venv beside launch.py and installs everything into it; an active
environment that has the packages is used instead.

Verbs:
{verbs}

Options of serve, and of launch.py without a verb:
  --port N       where the page answers (7861; a taken port moves to the next free one)
  --no-browser   do not open a browser
  --home DIR     the studio's folder for models, runs, and exports (AdapterStudio in your own)
  --offline      do not use the network
Before any verb:
  --torch BUILD  auto (a CUDA build if there is an NVIDIA driver), cpu, cu126, or cu130
Of test:
  --all          also the tests marked slow
"""
