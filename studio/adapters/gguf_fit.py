"""Whether an adapter fits the model in a GGUF file, by the names and sizes of their tensors.

llama.cpp looks again when it loads them; here the person is told before, and which layer it is.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from studio.adapters.folder import PREFIX, AdapterFolder
from studio.errors import ModelError
from studio.models.gguf_header import read_gguf_header
from studio.models.gguf_names import gguf_name
from studio.models.gguf_tensors import read_gguf_tensors

_A, _B = ".lora_A.weight", ".lora_B.weight"
_CHOOSE = "Choose the GGUF of the base that the adapter was trained on."
_EMBEDDING = "token_embd.weight"


def require_fit_gguf(adapter: AdapterFolder, base: Path, name: str) -> None:
    """Raise ModelError naming the first layer at which a PEFT folder does not fit `base`.

    Layers that llama.cpp stores otherwise than Transformers are left to `require_lora_fits`.
    """
    sizes = read_gguf_tensors(base)
    for layer, wanted in _layers(adapter):
        tensor = gguf_name(f"{layer}.weight")
        if tensor in sizes and sizes[tensor] != wanted:
            raise _misfit(name, base, layer, sizes[tensor], wanted)
        if tensor.startswith("blk.") and not _has_block(sizes, tensor):
            raise ModelError(f"{name} does not fit {base.name}: it changes {layer}, and the file "
                             "has no such layer.", _CHOOSE)


def require_lora_fits(lora: Path, base: Path, name: str) -> None:
    """The same of a GGUF LoRA, whose tensors have the names of those in `base`."""
    kinds = [read_gguf_header(file).fields.get("general.architecture") for file in (lora, base)]
    if kinds[0] != kinds[1]:
        raise ModelError(f"{name} is for the architecture {kinds[0]}, and {base.name} is of the "
                         f"architecture {kinds[1]}.", _CHOOSE)
    matrices, sizes = read_gguf_tensors(lora), read_gguf_tensors(base)
    for a, found in matrices.items():
        tensor, _, side = a.rpartition(".lora_")
        if side != "a" or tensor == _EMBEDDING:
            continue
        if tensor not in sizes:
            raise ModelError(f"{name} does not fit {base.name}: it changes {tensor}, which the "
                             "file does not have.", _CHOOSE)
        wanted = found[0], matrices[f"{tensor}.lora_b"][1]
        if sizes[tensor][:2] != wanted:
            raise _misfit(name, base, tensor, sizes[tensor], wanted)


def _layers(adapter: AdapterFolder) -> Iterator[tuple[str, tuple[int, int]]]:
    """Those with two matrices, and the inputs and outputs that they are for."""
    for a, shape in adapter.shapes.items():
        stem = a.removesuffix(_A)
        if stem != a and len(shape) == 2 and stem + _B in adapter.shapes:
            yield stem.removeprefix(PREFIX), (shape[1], adapter.shapes[stem + _B][0])


def _has_block(sizes: dict[str, tuple[int, ...]], tensor: str) -> bool:
    block = ".".join(tensor.split(".")[:2]) + "."
    return any(name.startswith(block) for name in sizes)


def _misfit(name: str, base: Path, layer: str, has: tuple[int, ...],
            wanted: tuple[int, int]) -> ModelError:
    return ModelError(
        f"{name} does not fit {base.name}: {layer} has {has[0]} inputs and {(*has, 1)[1]} outputs "
        f"in the file, and {wanted[0]} and {wanted[1]} in the adapter.", _CHOOSE)
