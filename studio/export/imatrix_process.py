"""Run as a process of its own: a model reads rows of tokens, and what enters its layers is summed.

`python -m studio.export.imatrix_process REQUEST.json`. Says "3 of 64" on its error output after
each row. Stacked weights of experts are left out: they are no linear layers in Transformers.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from studio.child import end_with
from studio.device import pick_device
from studio.models.folder import ModelFolder
from studio.models.gguf_names import gguf_name
from studio.models.loading import load_base
from studio.recipe.model import Model
from studio.settings import load_settings, prepare_environment

if TYPE_CHECKING:
    import torch


class _Inputs:
    """Hangs on every linear layer; sums the squares of each column of what enters it."""

    def __init__(self, model: Any) -> None:
        import torch

        self.sums: dict[str, torch.Tensor] = {}
        self.rows = 0
        head = model.get_output_embeddings()  # not measured by llama.cpp's tool either
        for path, module in model.named_modules():
            is_linear = isinstance(module, torch.nn.Linear) or type(module).__name__ == "Conv1D"
            if is_linear and module is not head:
                module.register_forward_pre_hook(self._listen(gguf_name(f"{path}.weight")))

    def _listen(self, name: str) -> Any:
        def add(module: Any, entering: tuple[torch.Tensor, ...]) -> None:
            squares = entering[0].detach().float().flatten(0, -2).square().sum(0)
            self.sums[name] = self.sums[name] + squares if name in self.sums else squares

        return add


def main(request_file: Path) -> None:
    """{"home", "offline", "parent", "model", "dtype", "rows": lists of token ids, "output"}."""
    request = json.loads(request_file.read_text(encoding="utf-8"))
    end_with(request["parent"])
    prepare_environment(load_settings(request["home"], offline=request["offline"]))
    import torch

    device = pick_device()
    source = ModelFolder(Path(request["model"]), Path(request["model"]).name, request["model"])
    dtype = request["dtype"] if device.kind != "cpu" else device.fast_dtype
    model: Any = load_base(Model.model_validate({"source": request["model"], "dtype": dtype}),
                           source, device)
    inputs, rows = _Inputs(model), request["rows"]
    with torch.inference_mode():
        for number, row in enumerate(rows, start=1):
            tokens = torch.tensor([row], device=device.torch_name)
            model(input_ids=tokens, use_cache=False, logits_to_keep=1)
            sys.stderr.write(f"{number} of {len(rows)}\n")
            sys.stderr.flush()
    _write(Path(request["output"]), inputs.sums, sum(map(len, rows)), len(rows))


def _write(output: Path, sums: dict[str, torch.Tensor], tokens: int, rows: int) -> None:
    """llama.cpp's format: for each tensor its sums and by how many tokens to divide them."""
    import gguf
    import numpy

    writer = gguf.GGUFWriter(output, arch="")
    writer.add_type("imatrix")
    writer.add_array("imatrix.datasets", ["training data"])
    writer.add_uint32("imatrix.chunk_count", rows)
    writer.add_uint32("imatrix.chunk_size", tokens // rows)
    for name, found in sums.items():
        writer.add_tensor(f"{name}.in_sum2", found.cpu().numpy()[None, :])
        writer.add_tensor(f"{name}.counts", numpy.array([[tokens]], dtype=numpy.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
