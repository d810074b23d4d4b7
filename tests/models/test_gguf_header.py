"""The beginning of a GGUF file is read without its vocabulary, and what it tells is right."""

from __future__ import annotations

from pathlib import Path

import pytest

from studio.errors import ModelError
from studio.hardware.gguf_memory import estimate_gguf_chat, gguf_context_tokens
from studio.models.gguf_file import find_gguf
from studio.models.gguf_header import read_gguf_header
from studio.models.gguf_tensors import read_gguf_tensors
from studio.settings import Settings
from tests.ggufs import CONTEXT, HEADS, INNER, LAYERS, WIDTH, write_tiny_gguf, write_tiny_lora


def test_a_header_tells_what_ggufs_own_reader_does(tmp_path: Path) -> None:
    from gguf import GGUFReader

    file = write_tiny_gguf(tmp_path / "tiny.gguf")
    header = read_gguf_header(file)
    theirs = {name: field.contents() for name, field in GGUFReader(file).fields.items()
              if not name.startswith(("GGUF.", "tokenizer."))}
    assert header.fields == theirs and not header.is_adapter
    assert (header.context_tokens, header.width, header.inner_width) == (CONTEXT, WIDTH, INNER)
    # One of the two heads has keys and values, in 16 bits.
    assert header.cache_bytes_per_token == LAYERS * 2 * (WIDTH // HEADS) * 2
    assert header.file_bytes == file.stat().st_size


@pytest.mark.parametrize("typed", ["~nobody.gguf", f"{'a' * 300}.gguf", "no\0name.gguf"])
def test_a_path_that_no_file_can_have_is_said_to_be_none(settings: Settings, typed: str) -> None:
    with pytest.raises(ModelError, match="There is no file"):
        find_gguf(typed, settings)


def test_an_adapter_is_told_from_a_model(tmp_path: Path) -> None:
    header = read_gguf_header(write_tiny_lora(tmp_path / "lora.gguf"))
    assert header.is_adapter and header.context_tokens is None
    assert header.cache_bytes_per_token == header.inner_width == 0


def test_the_tensors_and_their_sizes_are_those_that_ggufs_own_reader_finds(tmp_path: Path) -> None:
    from gguf import GGUFReader

    for file in (write_tiny_gguf(tmp_path / "tiny.gguf"), write_tiny_lora(tmp_path / "lora.gguf")):
        assert read_gguf_tensors(file) == {
            one.name: tuple(map(int, one.shape)) for one in GGUFReader(file).tensors}
        broken = tmp_path / "broken.gguf"
        broken.write_bytes(file.read_bytes()[:1000])
        with pytest.raises(ModelError, match="is damaged"):
            read_gguf_tensors(broken)


def test_the_memory_of_a_chat_is_told_by_file_context_and_adapters(tmp_path: Path) -> None:
    header = read_gguf_header(write_tiny_gguf(tmp_path / "tiny.gguf"))
    lora = read_gguf_header(write_tiny_lora(tmp_path / "lora.gguf"))
    assert gguf_context_tokens(header) == CONTEXT and gguf_context_tokens(lora) == 8192
    alone, beside = estimate_gguf_chat(header), estimate_gguf_chat(header, lora.file_bytes)
    assert beside.total_bytes - alone.total_bytes == lora.file_bytes
    sizes = {piece.name: piece.bytes for piece in alone.parts}
    assert sizes["weights"] == header.file_bytes
    assert sizes["cache"] == CONTEXT * header.cache_bytes_per_token


@pytest.mark.parametrize("content", [
    b"", b"hello", b"GGUF", b"GGUF\x03\0\0\0" + bytes(16) + b"\1", b"GGUF\x09\0\0\0" + bytes(99),
    b"GGUF\x03\0\0\0" + bytes(8) + b"\x09" + bytes(7) + b"\xff" * 40,
])
def test_a_file_that_is_none_or_is_damaged_is_a_sentence(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "broken.gguf"
    file.write_bytes(content)
    if content.startswith(b"GGUF\x03\0\0\0" + bytes(16)):  # no fields: nothing is known of it
        assert read_gguf_header(file).fields == {}
        return
    with pytest.raises(ModelError, match=r"is not a GGUF|is damaged"):
        read_gguf_header(file)
