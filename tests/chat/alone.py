"""What a model answers when plain transformers and PEFT load it alone, and what a session does."""

from __future__ import annotations

from pathlib import Path

from studio.chat.sampling import Sampling
from studio.chat.session import ChatSession
from studio.recipe import Model

GREEDY = Sampling(temperature=0, max_new_tokens=24)
SHORT = [{"role": "user", "content": "What is the capital of France?"}]


def model_of(folder: Path) -> Model:
    return Model(source=str(folder), dtype="float32")


def greedy_ids(session: ChatSession, *names: str) -> dict[str, list[int]]:
    """What these columns of a session, or all, answer to SHORT: token ids without the end token."""
    asked = names or [column.name for column in session.columns]
    list(session.answer({name: SHORT for name in asked}, GREEDY))
    return {name: turn.token_ids for name, turn in session.turns.items()}


def answer_alone(base: Path, adapter: Path | None, history: list[dict[str, str]], *,
                 max_new_tokens: int = 24) -> list[int]:
    """Its greedy answer: token ids without the end token."""
    import torch
    from peft import PeftModel
    from transformers import AutoModelForCausalLM, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(base)
    model = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32).eval()
    if adapter is not None:
        model = PeftModel.from_pretrained(model, adapter).eval()
    prompt = tokenizer.apply_chat_template(history, add_generation_prompt=True,
                                           return_tensors="pt", return_dict=True)
    with torch.inference_mode():
        made = model.generate(**prompt, do_sample=False, max_new_tokens=max_new_tokens)
    ids = made[0, prompt["input_ids"].shape[1]:].tolist()
    return [one for one in ids if one != tokenizer.eos_token_id]
