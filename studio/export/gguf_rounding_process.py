"""Run as a process of its own: rounds the weights of one GGUF to other types, each a file.

`python -m studio.export.gguf_rounding_process REQUEST.json`. The arithmetic is libgguf's, whose
kernels give the same bytes as llama.cpp's; which format a tensor gets is `gguf_mixture.py`. The
files stay mapped until the process ends.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from studio.child import end_with
from studio.models.gguf_mixture import GgufModel, GgufTensor, mixture, tensor_bytes

if TYPE_CHECKING:
    import numpy

_WEIGHTS_AT_ONCE = 1 << 20
_LIBRARY_FORMATS = ("F32", "F16", "BF16", "Q8_0")
"""Formats that the gguf package writes itself."""


@dataclass
class _Source:
    """An opened GGUF. `shapes` maps tensors to their sizes, the rows' length last."""

    reader: Any
    model: GgufModel
    shapes: dict[str, tuple[int, ...]]
    importance: Mapping[str, numpy.ndarray] = field(default_factory=dict)


def main(request_file: Path) -> None:
    """{"parent", "source", "importance" (null, or an importance matrix), "outputs":
    [{"type", "path"}]}."""
    request = json.loads(request_file.read_text(encoding="utf-8"))
    end_with(request["parent"])
    source = _opened(Path(request["source"]), request["importance"])
    with ThreadPoolExecutor(os.cpu_count()) as threads:
        for output in request["outputs"]:
            _write(source, output["type"], Path(output["path"]), threads)


def _opened(file: Path, importance: str | None) -> _Source:
    import gguf

    reader = gguf.GGUFReader(file)
    architecture = _value(reader, "general.architecture")

    def number(name: str, otherwise: int) -> int:
        found = _value(reader, f"{architecture}.{name}")
        return int(max(found) if isinstance(found, list) else found or otherwise)

    heads = number("attention.head_count", 1)
    model = GgufModel(architecture, number("block_count", 1),
                      heads // max(1, number("attention.head_count_kv", heads)),
                      number("expert_count", 0))
    shapes = {one.name: tuple(int(size) for size in reversed(one.shape)) for one in reader.tensors}
    return _Source(reader, model, shapes, _importance(importance))


def _importance(file: str | None) -> Mapping[str, numpy.ndarray]:
    if file is None:
        return {}
    import libgguf  # type: ignore[import-untyped, unused-ignore]

    found: Mapping[str, numpy.ndarray] = libgguf.load_imatrix(file)
    return found


def _value(reader: Any, name: str) -> Any:
    found = reader.get_field(name)
    return None if found is None else found.contents()


def _formats(source: _Source, outtype: str) -> dict[str, str]:
    """Format of every tensor; one that is not rounded keeps its own, or gets the exact one."""
    formats = {one.name: one.tensor_type.name for one in source.reader.tensors}
    tensors = [GgufTensor(name, shape) for name, shape in source.shapes.items()]
    return formats | mixture(tensors, source.model, outtype)


def _write(source: _Source, outtype: str, output: Path, threads: ThreadPoolExecutor) -> None:
    import gguf
    import numpy

    formats = _formats(source, outtype)
    writer = gguf.GGUFWriter(output, arch=source.model.architecture)
    _copy_facts(source.reader, writer, outtype)
    for name, shape in source.shapes.items():
        writer.add_tensor_info(name, shape, numpy.dtype("float32"),
                               tensor_bytes(shape, formats[name]),
                               raw_dtype=gguf.GGMLQuantizationType[formats[name]])
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_ti_data_to_file()
    for tensor in source.reader.tensors:
        importance = source.importance.get(tensor.name)
        writer.write_tensor_data(_encoded(tensor, formats[tensor.name], importance, threads))
    writer.close()


def _copy_facts(reader: Any, writer: Any, outtype: str) -> None:
    """Everything that the source says of the model, its vocabulary among it, but for its type."""
    import gguf

    general = gguf.Keys.General
    replaced = {general.ARCHITECTURE, general.FILE_TYPE}
    for name, found in reader.fields.items():
        if name in replaced or name.startswith("GGUF."):
            continue
        kind = found.types[0]
        inner = found.types[-1] if kind == gguf.GGUFValueType.ARRAY else None
        writer.add_key_value(name, found.contents(), kind, sub_type=inner)
    prefix = "ALL_" if outtype == "f32" else "MOSTLY_"
    writer.add_file_type(gguf.LlamaFileType[prefix + outtype.upper()])


def _encoded(tensor: Any, format_name: str, importance: numpy.ndarray | None,
             threads: ThreadPoolExecutor) -> numpy.ndarray:
    """The bytes of a tensor in a format, computed some rows at a time on all cores."""
    import numpy

    rows = tensor.data.reshape(-1, tensor.data.shape[-1])
    if tensor.tensor_type.name == format_name:
        return numpy.ascontiguousarray(rows)
    columns = int(tensor.shape[0])
    encoded = numpy.empty((len(rows), tensor_bytes((columns,), format_name)), dtype=numpy.uint8)
    step = max(1, _WEIGHTS_AT_ONCE // columns)

    def encode(first: int) -> None:
        encoded[first:first + step] = _rounded(rows[first:first + step], tensor.tensor_type,
                                               format_name, importance)

    for _ in threads.map(encode, range(0, len(rows), step)):
        pass
    return encoded


def _rounded(rows: numpy.ndarray, stored_as: Any, format_name: str,
             importance: numpy.ndarray | None) -> numpy.ndarray:
    import gguf
    import numpy

    numbers = gguf.quants.dequantize(rows, stored_as)
    wanted = gguf.GGMLQuantizationType[format_name]
    if format_name in _LIBRARY_FORMATS:
        found: numpy.ndarray = gguf.quants.quantize(numbers, wanted)
        return found.view(numpy.uint8)
    import libgguf

    if importance is not None and len(importance) != numbers.shape[-1]:
        importance = None
    found = libgguf.quantize_rows(numbers, int(wanted), importance)
    return found


if __name__ == "__main__":
    main(Path(sys.argv[1]))
