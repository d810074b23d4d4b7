"""What kind of artifact lies somewhere, and loading it as its own consumer does.

A folder with a whole model of any precision, an adapter folder, a GGUF file, a GGUF LoRA. Nothing
is measured here.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Literal

from studio.adapters.folder import CONFIG_FILE
from studio.errors import ExportError
from studio.export.origin import Origin
from studio.export.verify.asked import Asked
from studio.export.verify.base_gguf import base_gguf_of
from studio.export.verify.llama_side import LlamaSide
from studio.export.verify.reference import base_folder
from studio.export.verify.transformers_side import TransformersSide
from studio.models.gguf_file import is_gguf
from studio.models.gguf_header import read_gguf_header
from studio.models.source import ModelFolder
from studio.progress import Progress, ShouldStop
from studio.settings import Settings

Kind = Literal["model folder", "adapter folder", "GGUF", "GGUF LoRA"]


def kind_of_artifact(artifact: Path) -> Kind:
    """Raises ExportError for what cannot be checked, ModelError for a GGUF that cannot be read."""
    if artifact.is_file() and is_gguf(artifact.name):
        return "GGUF LoRA" if read_gguf_header(artifact).is_adapter else "GGUF"
    if (artifact / CONFIG_FILE).is_file():
        return "adapter folder"
    if (artifact / "config.json").is_file():
        return "model folder"
    raise ExportError(f"{artifact} is nothing that can be checked.",
                      "Choose a model folder, an adapter folder, or a GGUF file.")


@contextmanager
def opened_artifact(
    artifact: Path, origin: Origin, settings: Settings, *, progress: Progress, stop: ShouldStop,
) -> Iterator[Asked]:
    """The artifact, loaded, until the block ends. A GGUF LoRA is loaded over its base, which
    is converted for it (`base_gguf.py`).

    Raises ModelError where it cannot be loaded, SetupError where a library for it is missing,
    ExportError, DiskError, Stopped.
    """
    kind = kind_of_artifact(artifact)
    with ExitStack() as opened:
        if kind == "GGUF":
            yield opened.enter_context(LlamaSide(artifact, progress=progress, stop=stop))
        elif kind == "GGUF LoRA":
            below = opened.enter_context(base_gguf_of(
                base_folder(origin, settings, progress, stop), settings,
                progress=progress, stop=stop))
            yield opened.enter_context(LlamaSide(below, [artifact], progress=progress, stop=stop))
        elif kind == "adapter folder":
            base = base_folder(origin, settings, progress, stop)
            yield opened.enter_context(TransformersSide(
                origin.model, base, artifact, progress=progress, stop=stop))
        else:
            model = origin.model.model_copy(update={
                "source": str(artifact), "revision": None, "quantization": "none"})
            folder = ModelFolder(artifact, artifact.name, str(artifact))
            yield opened.enter_context(TransformersSide(
                model, folder, progress=progress, stop=stop))
