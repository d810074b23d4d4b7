"""A model in Transformers, with an adapter through PEFT or without: answers and is read.

For the live model as well as for folders that were exported.
"""

from __future__ import annotations

import inspect
import itertools
from pathlib import Path
from typing import TYPE_CHECKING, Any

from studio.chat.prompt import Message, prompt_ids
from studio.device import pick_device, release_memory
from studio.errors import ModelError
from studio.export.output import end_if_stopped
from studio.export.verify.asked import Answer
from studio.export.verify.compare import Full
from studio.export.verify.room import dtype_with_room
from studio.models.folder import read_config
from studio.models.generation import likeliest_tokens, pad_id_of, readable
from studio.models.source import ModelFolder
from studio.models.wrapped import without_wrapper
from studio.progress import Progress, ShouldStop, Step
from studio.recipe import Model

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


class TransformersSide:
    """Loads on creation: `folder` as `model` says, and the adapter at `adapter` onto it.

    Answers end where `generate` itself would end them, given the folder, unless `end_at` says
    otherwise. Raises ModelError and Stopped. Leaving it as a context frees the memory.
    """

    def __init__(
        self, model: Model, folder: ModelFolder, adapter: Path | None = None, *,
        progress: Progress, stop: ShouldStop,
    ) -> None:
        from studio.models.loading import load_base

        self.program = "Transformers" if adapter is None else "PEFT"
        self.precision = _precision(model, folder)
        self._device = pick_device()
        self.tokenizer = tokenizer_of(model, folder, adapter)
        progress(Step(f"Loading {(adapter or folder.path).name}"))
        asked = model.model_copy(update={"dtype": dtype_with_room(model, folder, self._device)})
        self._model: Any = load_base(asked, folder, self._device, stop=stop)
        if adapter is not None:
            self._model = _with_adapter(self._model, adapter, folder, self._device.torch_name)
        self._generate_ends = _generate_ends(without_wrapper(self._model))
        self._ends = self._generate_ends

    def __enter__(self) -> TransformersSide:
        return self

    def __exit__(self, *_: object) -> None:
        self._model = None
        release_memory(self._device)

    @property
    def generation_config(self) -> Any:
        """Of the model that is loaded."""
        return without_wrapper(self._model).generation_config

    @property
    def context_tokens(self) -> int | None:
        """Of prompt and answer together; None where the model names no limit."""
        from studio.training.answering import context_tokens

        return context_tokens(self._model)

    def end_at(self, ids: frozenset[int]) -> None:
        """From now on answers end at these tokens."""
        self._ends = ids

    def prompt_ids(self, turns: list[Message]) -> list[int]:
        """As `Asked.prompt_ids`."""
        from studio.data.templates.chosen import own_template

        if not own_template(self.tokenizer):
            raise ModelError("It has no chat template.", "Export it again with one.")
        return prompt_ids(turns, self.tokenizer, "the artifact")

    def answers(self, prompts: list[list[int]], most_tokens: int, *, progress: Progress,
                stop: ShouldStop) -> list[Answer]:
        """As `Asked.answers`, all in one batch."""
        import torch

        from studio.training.answering import answer_limit, generated

        limit = answer_limit(self._model, prompts, most_tokens)
        config = likeliest_tokens(limit, pad_id_of(self.tokenizer))
        written = itertools.count(1)

        def each_token() -> bool:
            progress(Step(f"Asking {self.program}", next(written), limit, "tokens"))
            return stop()

        with torch.inference_mode():
            found = generated(self._model, prompts, config, self._ends, each_token)
        end_if_stopped(stop)
        return [self._answer(ids) for ids in found]

    def _answer(self, ids: list[int]) -> Answer:
        end = next((at for at, token in enumerate(ids) if token in self._ends), len(ids))
        return Answer(readable(self.tokenizer, ids[:end]), end < len(ids))

    def reading(self, prompt_ids: list[int], answer_ids: list[int], stop: ShouldStop) -> Full:
        """As `Asked.reading`; one text at a time, so that no padding stands in between."""
        import torch

        end_if_stopped(stop)
        count = len(answer_ids)
        ids = torch.tensor([[*prompt_ids, *answer_ids]], device=self._device.torch_name)
        takes = inspect.signature(without_wrapper(self._model).forward).parameters
        kept = {"logits_to_keep": count + 1} if "logits_to_keep" in takes else {}
        with torch.inference_mode():
            output = self._model(input_ids=ids, attention_mask=torch.ones_like(ids),
                                 use_cache=False, **kept)
            logits = output.logits[0, -count - 1:-1].float()
            return Full(torch.log_softmax(logits, -1).cpu())

    def ends_at(self, token_id: int) -> bool:
        """As `Asked.ends_at`: whether `generate` would."""
        return token_id in self._generate_ends


def tokenizer_of(model: Model, folder: ModelFolder,
                 adapter: Path | None) -> PreTrainedTokenizerBase:
    """The adapter's own, with the template that it learned, where it brings one."""
    from studio.models.loading import load_tokenizer

    if adapter is not None and (adapter / "tokenizer_config.json").is_file():
        folder = ModelFolder(adapter, adapter.name, str(adapter))
    return load_tokenizer(folder, trust_remote_code=model.trust_remote_code)


def _with_adapter(base: Any, adapter: Path, folder: ModelFolder, place: str) -> Any:
    from peft import PeftModel

    from studio.adapters.folder import read_adapter_folder, require_fit

    require_fit(read_adapter_folder(adapter), base, folder.name)
    return PeftModel.from_pretrained(base, str(adapter), torch_device=place).eval()


def _precision(model: Model, folder: ModelFolder) -> str:
    if model.quantization != "none":
        return model.quantization
    stored = read_config(folder.path / "config.json").get("quantization_config") or {}
    method = str(stored.get("quant_method") or "")
    bits = stored.get("bits") or (4 if stored.get("load_in_4bit") else None)
    return f"{bits} bits ({method})" if bits and method else method


def _generate_ends(model: Any) -> frozenset[int]:
    """Where `generate` ends an answer by itself."""
    from studio.data.templates import named_ends

    return frozenset(named_ends(model.generation_config.eos_token_id))
