"""A trained reward model at work: gives texts or conversations a number, the higher the better.

Loads what a run of training.method reward left (an adapter with its head, or a whole model), or any
model folder that gives one number for a text. Trains nothing; see `methods/reward_model.py`.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from studio.adapters.folder import CONFIG_FILE, is_judge, read_adapter_folder
from studio.data.samples import Turn
from studio.data.templates.rendering import render_turns, special_tokens_of
from studio.device import Device
from studio.errors import ModelError
from studio.models.folder import ModelFolder
from studio.progress import ShouldStop, never
from studio.recipe import Model
from studio.runs import Run
from studio.settings import Settings

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedTokenizerBase

_AT_ONCE = 8
_LONGEST_TOKENS = 4096
"""Where nothing tells how long the texts were that the judge learned from."""


class Judge:
    """Numbers for texts. Longer ones are cut behind `max_length` tokens, as in its training."""

    def __init__(self, model: Any, tokenizer: PreTrainedTokenizerBase, max_length: int) -> None:
        self._model = model
        self._tokenizer = tokenizer
        self._max_length = max_length
        model.config.get_text_config().pad_token_id = tokenizer.pad_token_id

    def __call__(self, texts: Sequence[str | Sequence[int]]) -> list[float]:
        """One number each, in order; a text may be its token ids, made by the judge's tokenizer."""
        ids = [self._ids(text)[:self._max_length] for text in texts]
        # Similar lengths together, so that little is padded.
        order = sorted(range(len(ids)), key=lambda number: len(ids[number]))
        found = [0.0] * len(ids)
        for start in range(0, len(order), _AT_ONCE):
            some = order[start:start + _AT_ONCE]
            for number, value in zip(some, self._judged([ids[n] for n in some]), strict=True):
                found[number] = value
        return found

    def of_turns(self, conversations: Sequence[Sequence[Turn]]) -> list[float]:
        """The same for conversations that end with an answer, in the judge's own chat template."""
        special = special_tokens_of(self._tokenizer)
        template = str(self._tokenizer.chat_template)
        return self([render_turns(template, special, turns) for turns in conversations])

    def _ids(self, text: str | Sequence[int]) -> list[int]:
        if not isinstance(text, str):
            return list(text)
        return list(self._tokenizer(text, add_special_tokens=False)["input_ids"])

    def _judged(self, ids: Sequence[list[int]]) -> list[float]:
        import torch

        from studio.training.rows import measuring

        place = next(self._model.parameters()).device
        rows, mask = _padded(ids, int(self._tokenizer.pad_token_id))
        with measuring(self._model):
            logits = self._model(input_ids=rows.to(place), attention_mask=mask.to(place),
                                 use_cache=False).logits
        return [float(value) for value in logits.squeeze(-1).to("cpu", torch.float32)]


def load_judge(
    source: Run | Path, settings: Settings, device: Device, *, stop: ShouldStop = never
) -> Judge:
    """The judge that a run or a folder holds, on `device`. Raises ModelError where there is none.
    """
    from studio.models.loading import load_base, load_tokenizer

    path = source.adapter_path if isinstance(source, Run) else source
    if not is_judge(path):
        name = source.name if isinstance(source, Run) else str(path)
        raise ModelError(f"{name} holds no reward model.",
                         "Choose a finished run of training.method reward, or a folder with a "
                         "model that gives one number for a text.")
    recipe = source.recipe if isinstance(source, Run) else None
    wanted = recipe.model if recipe is not None else Model(source=str(path))
    longest = recipe.data.max_length if recipe is not None else _LONGEST_TOKENS
    folder = ModelFolder(path, path.name, str(path))
    model = _with_adapter(wanted, path, settings, device, stop) \
        if (path / CONFIG_FILE).is_file() else \
        load_base(wanted, folder, device, stop=stop, judges=True)
    return Judge(model, load_tokenizer(folder), longest)


def _with_adapter(
    wanted: Model, path: Path, settings: Settings, device: Device, stop: ShouldStop
) -> Any:
    from peft import PeftModel

    from studio.models.loading import load_base
    from studio.models.source import find_model

    if wanted.source == str(path):
        adapter = read_adapter_folder(path)
        wanted = Model(source=adapter.base_name, revision=adapter.config.get("revision"))
    base = find_model(wanted.source, settings, revision=wanted.revision,
                      trust_remote_code=wanted.trust_remote_code, stop=stop)
    loaded = load_base(wanted, base, device, stop=stop, judges=True)
    return PeftModel.from_pretrained(loaded, str(path), torch_device=device.torch_name).eval()


def _padded(ids: Sequence[list[int]], pad_id: int) -> tuple[torch.Tensor, torch.Tensor]:
    import torch
    from torch.nn.utils.rnn import pad_sequence

    rows = pad_sequence([torch.tensor(row, dtype=torch.long) for row in ids], batch_first=True,
                        padding_value=pad_id)
    mask = pad_sequence([torch.ones(len(row), dtype=torch.long) for row in ids], batch_first=True)
    return rows, mask
