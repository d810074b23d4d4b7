"""Run as a process of its own: writes the matrices of a LoRA as llama.cpp names and orders them.

llama.cpp's converter may rename a weight, reorder its rows or columns, transpose or split it. To
do the same to the matrices, each weight is replaced by a table of its row numbers and one of its
column numbers; where the converter puts those tells what becomes of rows (B) and columns (A).
Imports nothing of the studio: the converter's memory and logs end with the process.
"""

from __future__ import annotations

import importlib
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch

_EMBEDDING = "token_embd.weight"


def main() -> None:
    """{"base", "weights", "output", "type", "name", "base_name", "alpha", "transposed",
    "layers": [{"layer", "a", "b", "factor"}]}; a failure is one sentence on the error output."""
    request = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    import gguf
    import torch
    from safetensors import safe_open

    with torch.inference_mode(), safe_open(request["weights"], framework="pt") as tensors:
        model = _converter(Path(request["base"]))
        writer = _writer(request, gguf.MODEL_ARCH_NAMES[model.model_arch])
        dtype = torch.float16 if request["type"] == "f16" else torch.float32
        for one in request["layers"]:
            a, b = tensors.get_tensor(one["a"]).float(), tensors.get_tensor(one["b"]).float()
            transposed = request["transposed"] or "embedding" in one["a"]
            for name, new_a, new_b in _converted(model, one["layer"], a, b * one["factor"],
                                                 transposed=transposed):
                writer.add_tensor(f"{name}.lora_a", new_a.to(dtype).contiguous().numpy())
                writer.add_tensor(f"{name}.lora_b", new_b.to(dtype).contiguous().numpy())
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def _converter(base: Path) -> Any:
    """llama.cpp's own converter of this architecture; of the weights only names are read."""
    import gguf

    conversion: Any = importlib.import_module("conversion")  # it brings no types along
    settings = conversion.ModelBase.load_hparams(base, False)
    architecture = conversion.get_model_architecture(settings, conversion.ModelType.TEXT)
    if architecture not in conversion.TEXT_MODEL_MAP:
        sys.exit(f"llama.cpp does not know the architecture {architecture}.")
    return conversion.get_model_class(architecture)(base, gguf.LlamaFileType.ALL_F32, base)


def _writer(request: dict[str, Any], architecture: str) -> Any:
    import gguf

    writer = gguf.GGUFWriter(request["output"], arch=architecture)
    writer.add_type(gguf.GGUFType.ADAPTER)
    writer.add_name(request["name"])
    writer.add_base_model_count(1)
    writer.add_base_model_name(0, request["base_name"])
    writer.add_string(gguf.Keys.Adapter.TYPE, "lora")
    writer.add_float32(gguf.Keys.Adapter.LORA_ALPHA, request["alpha"])
    writer.add_quantization_version(gguf.GGML_QUANT_VERSION)
    return writer


def _converted(model: Any, layer: str, a: torch.Tensor, b: torch.Tensor, *, transposed: bool
               ) -> Iterator[tuple[str, torch.Tensor, torch.Tensor]]:
    """(name, A, B) for each weight that the converter makes of this layer's.

    A is (rank, inputs) and B (outputs, rank), so that the weight gains B A, or the weight that is
    stored `transposed`, as those of GPT-2's layers and of embeddings, gains its transpose. The
    embedding's A lies transposed in the file, since llama.cpp looks up its rows.
    """
    name = f"{layer}.weight"
    kept = model.filter_tensors((name, lambda: None))
    weight = kept and model.model_tensors.get(kept[0])
    if not weight:
        sys.exit(f"its base stores no weight of its own for {layer}, so llama.cpp cannot change "
                 "it alone.")
    shape = tuple(weight().shape)
    is_square = shape[0] == shape[-1]
    rows, columns = b, a
    if (is_square and transposed) or (not is_square and shape == (a.shape[1], b.shape[0])):
        rows, columns = a.T, b.T
    if shape != (rows.shape[0], columns.shape[1]):
        sys.exit(f"{layer} has other sizes in the base ({' x '.join(map(str, shape))}).")
    for new_name, new_rows, new_columns in _placed(model, kept[0], rows, columns):
        if new_name == _EMBEDDING:
            if not any(name.startswith("lm_head") for name in model.model_tensors):
                sys.exit("it changes the embedding, which llama.cpp also uses as the output "
                         "layer of this model.")
            yield new_name, new_rows, new_columns.T
        else:
            yield new_name, new_columns, new_rows


def _placed(model: Any, name: str, rows: torch.Tensor, columns: torch.Tensor
            ) -> Iterator[tuple[str, torch.Tensor, torch.Tensor]]:
    """(name, rows, columns) for each weight that the converter makes of rows @ columns."""
    import torch

    shape = rows.shape[0], columns.shape[1]
    by_row = torch.arange(shape[0], dtype=torch.int32)[:, None].expand(shape)
    by_column = torch.arange(shape[1], dtype=torch.int32)[None, :].expand(shape)
    block = next((int(part) for part in name.split(".") if part.isdecimal()), None)
    of_rows = list(model.modify_tensors(by_row, name, block))
    of_columns = list(model.modify_tensors(by_column, name, block))
    if not of_rows:
        sys.exit(f"llama.cpp joins {name} with other weights into one.")
    for (new_name, found_rows), (_, found_columns) in zip(of_rows, of_columns, strict=True):
        if _is_table(found_rows, found_columns):
            yield new_name, rows[found_rows[:, 0]], columns[:, found_columns[0]]
        elif _is_table(found_rows.T, found_columns.T):
            yield new_name, columns.T[found_columns[:, 0]], rows.T[:, found_rows[0]]
        else:
            sys.exit(f"llama.cpp stores {name} in a form that no product of two matrices has.")


def _is_table(found_rows: torch.Tensor, found_columns: torch.Tensor) -> bool:
    """Whether whole rows and whole columns were moved, and nothing else."""
    return (found_rows.dim() == 2 and bool((found_rows == found_rows[:, :1]).all())
            and bool((found_columns == found_columns[:1]).all()))


if __name__ == "__main__":
    main()
