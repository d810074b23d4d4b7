"""An adapter of a base that got more tokens brings the larger embedding; the base must follow."""

from __future__ import annotations

from typing import Any

from studio.adapters.folder import PREFIX, AdapterFolder


def resize_like(model: Any, adapter: AdapterFolder) -> int | None:
    """Give `model` as many tokens as the embedding in the adapter's file has, so that PEFT can put
    it there; gives their number, None where the file has none or as many.

    New rows are filled by the adapter. Works on the meta device, too.
    """
    embedding = model.get_input_embeddings()
    path = next(name for name, module in model.named_modules() if module is embedding)
    for inside in ("weight", "base_layer.weight"):
        shape = adapter.shapes.get(f"{PREFIX}{path}.{inside}")
        if shape is not None and shape[0] != embedding.weight.shape[0]:
            model.resize_token_embeddings(shape[0], mean_resizing=False)
            return shape[0]
    return None
