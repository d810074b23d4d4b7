"""The text of each way to serve a model: a command, and a compose file where that is usual.

Pure. What is served, and under which names, is `serving.py`'s.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from studio.export.shared_base import SharedBase

VLLM_PORT, TGI_PORT, LLAMA_PORT = 8000, 8080, 8080
VLLM_RANKS = (1, 8, 16, 32, 64, 128, 256, 320, 512)
"""What vLLM's --max-lora-rank may be (vllm/config/lora.py, MaxLoRARanks)."""


@dataclass(frozen=True)
class Served:
    """What is served, by the names of its files in the exports folder.

    `context_tokens` is what to offer, `longest_tokens` what the model can read; None where it does
    not say. `lora_rank` is of the widest matrix; `why_no_lora` is empty where vLLM can load the
    adapter beside its base.
    """

    name: str
    base: SharedBase
    merged: str
    adapter: str
    gguf: str
    context_tokens: int
    longest_tokens: int | None
    lora_rank: int = 0
    why_no_lora: str = ""


@dataclass(frozen=True)
class ServingRecipe:
    """One way: what it is called, what to know, the command, and a compose file where usual."""

    title: str
    words: str
    command: str
    compose_name: str = ""
    compose: str = ""


def serving_recipes(model: Served) -> list[ServingRecipe]:
    """Every way that suits the model, the most usual first."""
    recipes = [_vllm_merged(model), _vllm_adapter(model), _llama(model), _tgi(model)]
    return [recipe for recipe in recipes if recipe is not None]


def _vllm_merged(model: Served) -> ServingRecipe:
    options = ["--served-model-name", model.name, "--max-model-len", str(model.context_tokens)]
    return ServingRecipe(
        "vLLM, the merged model",
        "An OpenAI-compatible server for NVIDIA and AMD cards. The fastest of them for many "
        "people at once.",
        _lines(f"vllm serve ./{model.merged}", *_pairs(options),
               f"--host 127.0.0.1 --port {VLLM_PORT}"),
        "compose.vllm.yaml",
        _compose("vllm/vllm-openai:latest", [
            "--model", f"/models/{model.merged}", *options,
        ], VLLM_PORT, VLLM_PORT, gpu=True))


def _vllm_adapter(model: Served) -> ServingRecipe | None:
    if model.why_no_lora or not model.lora_rank:
        return None
    rank = next(one for one in VLLM_RANKS if one >= model.lora_rank)
    base = model.base.hub_id or f"./{model.base.name}"
    revision = ["--revision", model.base.revision] if model.base.hub_id and model.base.revision \
        else []
    template = f"{model.adapter}/chat_template.jinja"
    common = ["--max-lora-rank", str(rank), "--max-model-len", str(model.context_tokens)]
    inside = model.base.hub_id or f"/models/{model.base.name}"
    return ServingRecipe(
        "vLLM, the base with the adapter",
        f"Several adapters share one base. Ask for the model {model.name} to be answered with the "
        f"adapter, for {base} without it.",
        _lines(f"vllm serve {base}", *_pairs(revision), "--enable-lora",
               f"--lora-modules {model.name}=./{model.adapter}", *_pairs(common),
               f"--chat-template ./{template}", f"--host 127.0.0.1 --port {VLLM_PORT}"),
        "compose.vllm-adapter.yaml",
        _compose("vllm/vllm-openai:latest", [
            "--model", inside, *revision, "--enable-lora", "--lora-modules",
            f"{model.name}=/models/{model.adapter}", *common, "--chat-template",
            f"/models/{template}",
        ], VLLM_PORT, VLLM_PORT, gpu=True))


def _llama(model: Served) -> ServingRecipe:
    options = ["--ctx-size", str(model.context_tokens), "--jinja", "--alias", model.name]
    return ServingRecipe(
        "llama.cpp", "For any PC, with or without a graphics card. Takes the GGUF file.",
        _lines(f"llama-server --model ./{model.gguf}", f"--ctx-size {model.context_tokens}",
               "--jinja", f"--alias {model.name}", f"--port {LLAMA_PORT}"),
        "compose.llama-cpp.yaml",
        _compose("ghcr.io/ggml-org/llama.cpp:server", [
            "--model", f"/models/{model.gguf}", *options, "--host", "0.0.0.0",
            "--port", str(LLAMA_PORT),
        ], LLAMA_PORT, LLAMA_PORT, gpu=False))


def _tgi(model: Served) -> ServingRecipe:
    image = "ghcr.io/huggingface/text-generation-inference:latest"
    options = ["--model-id", f"/models/{model.merged}", "--max-total-tokens",
               str(model.context_tokens), "--max-input-tokens", str(model.context_tokens // 2)]
    return ServingRecipe(
        "TGI, the merged model",
        "Text Generation Inference of Hugging Face, for those who run it already: it only gets "
        "small repairs any more, and its authors point to vLLM. It reads the first half of the "
        "context and answers in the other.",
        _lines("docker run --gpus all --shm-size 1g", f"-p 127.0.0.1:{TGI_PORT}:80",
               '-v "$PWD":/models:ro', image, *_pairs(options)),
        "compose.tgi.yaml", _compose(image, options, TGI_PORT, 80, gpu=True))


def _pairs(options: list[str]) -> list[str]:
    """"--name", "value" -> "--name value"."""
    return [f"{name} {value}" for name, value in zip(options[::2], options[1::2], strict=True)]


def _lines(*parts: str) -> str:
    return " \\\n    ".join(parts)


def _compose(image: str, command: list[str], port: int, inner_port: int, *, gpu: bool) -> str:
    """A compose file; the exports are mounted read only, the port is open to this PC alone."""
    import yaml

    service: dict[str, Any] = {
        "image": image, "command": command,
        "ports": [f"127.0.0.1:{port}:{inner_port}"], "volumes": ["..:/models:ro"],
        "restart": "unless-stopped",
    }
    if gpu:
        service |= {"ipc": "host", "deploy": {"resources": {"reservations": {"devices": [
            {"driver": "nvidia", "count": 1, "capabilities": ["gpu"]}]}}}}
    return yaml.safe_dump({"services": {"model": service}}, sort_keys=False, width=100)


def serving_readme(model: Served, recipes: list[ServingRecipe]) -> str:
    parts = [
        f"# Serving {model.name}",
        "Run the commands in the folder that holds the exports (the one above this), the compose "
        f"files here. Every server speaks OpenAI's language, takes up to {model.context_tokens:,} "
        f"tokens of question and answer together{_more(model)} and is reachable from this PC "
        "alone: put a proxy with a password before it to let others in.",
        f"Needed: {', '.join(f'`{name}`' for name in _needed(model))}. Export what is missing.",
    ]
    for recipe in recipes:
        compose = f"\n\nOr `docker compose -f {recipe.compose_name} up`." if recipe.compose else ""
        parts.append(f"## {recipe.title}\n\n{recipe.words}\n\n```sh\n{recipe.command}\n```"
                     f"{compose}")
    if model.why_no_lora:
        parts.append(f"## To know\n\n{model.why_no_lora}")
    if model.base.note:
        parts.append(model.base.note)
    return "\n\n".join([*parts, _asking(model)]) + "\n"


def _needed(model: Served) -> list[str]:
    """The files and folders that the commands name."""
    found = [model.merged, model.gguf]
    if model.lora_rank and not model.why_no_lora:
        found += [model.adapter, *([] if model.base.hub_id else [model.base.name])]
    return found


def _more(model: Served) -> str:
    if not model.longest_tokens or model.longest_tokens <= model.context_tokens:
        return ""
    return f" (the model can read {model.longest_tokens:,}, which takes more memory)"


def _asking(model: Served) -> str:
    return f"""## Asking it

The port is {VLLM_PORT} of vLLM and {LLAMA_PORT} of the others.

```sh
curl http://localhost:{VLLM_PORT}/v1/chat/completions -H "Content-Type: application/json" \\
    -d '{{"model": "{model.name}", "messages": [{{"role": "user", "content": "Hello!"}}]}}'
```"""
