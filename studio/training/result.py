"""The adapter folder that a run leaves: plain PEFT, tokenizer and chat template beside it.

`PeftModel.from_pretrained(base, folder)` and `AutoTokenizer.from_pretrained(folder)` read it
without the studio. A run that trains all weights leaves a plain Transformers folder instead.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from studio.adapters.start import as_plain_lora
from studio.files import folder_written_whole

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

    from studio.models.folder import ModelFolder


def base_reference(folder: ModelFolder) -> str:
    """How the adapter names its base: the Hub id, or an absolute folder on this PC."""
    from studio.models.source import local_folder
    from studio.recipe.base import STARTER

    is_local = folder.source == STARTER or local_folder(folder.source) is not None
    return str(folder.path.absolute()) if is_local else folder.source


def save_result(
    model: Any, tokenizer: PreTrainedTokenizerBase, base: ModelFolder, target: Path, *,
    start: Path | None = None,
) -> None:
    """Write `target` beside its name and rename it; what stood there is replaced.

    `start` is the file of a start that was taken out of the base; the result is for the base as
    it was before that.
    """
    with folder_written_whole(target) as folder:
        config = getattr(model, "peft_config", {}).get("default")
        if config is None:
            model.save_pretrained(folder)
        else:
            config.base_model_name_or_path = base_reference(base)
            config.revision = base.revision
            # Embeddings are not trained unless modules_to_save names them, which PEFT keeps
            # anyway; "auto" would ask the Hub about the base.
            # A frozen copy of the start, which some methods compare with, is no part of it.
            model.save_pretrained(folder, save_embedding_layers=False,
                                  selected_adapters=["default"])
            if start is not None and start.is_file():
                as_plain_lora(folder, start)
        tokenizer.save_pretrained(folder)
