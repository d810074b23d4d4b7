"""What to do with an export elsewhere: commands for this very file or folder, ready to copy."""

from __future__ import annotations

from pathlib import Path

from studio.export.ollama import default_modelfile, ollama_commands
from studio.ui.panels.export_results import Result

Step = tuple[str, str]
"""(program, commands)."""


def next_steps(result: Result) -> list[Step]:
    """How to use a result, the easiest way first."""
    if result.kind == "folder":
        return [("README.md", result.readme)] if result.readme else []
    if result.report.get("kind") == "GGUF LoRA":
        return _gguf_lora_steps(result.path)
    by_kind = {"GGUF": _gguf_steps, "model folder": _model_steps, "adapter": _adapter_steps}
    return by_kind[result.kind](result.path)


def _gguf_lora_steps(path: Path) -> list[Step]:
    return [("llama.cpp, over a GGUF of the base",
             f'llama-server -m "BASE.gguf" --lora "{path}"')]


def _gguf_steps(path: Path) -> list[Step]:
    modelfile = default_modelfile(path)
    return [
        ("llama.cpp", f'llama-server -m "{path}"'),
        ("LM Studio", f'lms import "{path}"'),
        *([("Ollama", ollama_commands(modelfile))] if modelfile.is_file() else []),
    ]


def _model_steps(path: Path) -> list[Step]:
    return [
        ("Python, with transformers",
         "from transformers import pipeline\n"
         f"answer = pipeline('text-generation', {str(path)!r})\n"
         "print(answer([{'role': 'user', 'content': 'Hello'}])[0]['generated_text'][-1])"),
        ("vLLM", f'vllm serve "{path}" --served-model-name {path.name}'),
    ]


def _adapter_steps(path: Path) -> list[Step]:
    return [("Python, with peft",
             "from peft import AutoPeftModelForCausalLM\n"
             f"model = AutoPeftModelForCausalLM.from_pretrained({str(path)!r})")]
