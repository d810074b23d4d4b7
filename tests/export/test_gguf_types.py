"""Several types from one conversion: each as large as foretold, loaded and answered by llama.cpp,
its formats mixed as llama.cpp mixes them."""

from __future__ import annotations

import shutil
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from studio.errors import DiskError, ExportError, SetupError, Stopped
from studio.export import gguf
from studio.export.gguf import GGUF_TYPES, gguf_bytes, write_gguf, write_ggufs
from studio.export.output import Written
from studio.export.verify.answers import ask_gguf
from studio.models.gguf_mixture import GgufModel, GgufTensor, mixture
from studio.progress import Step
from studio.settings import Settings

QUESTION = [{"role": "user", "content": "What is the capital?"}]
ON_DEMAND = ("f32", "q8_0", "q6_k", "q5_k_m", "q4_k_m", "q3_k_m", "q2_k")


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """Where the files of this module are written."""
    return Settings(home=tmp_path_factory.mktemp("types"), offline=True)


@pytest.fixture(scope="module")
def progress() -> list[Step]:
    """What writing them reported."""
    return []


@pytest.fixture(scope="module")
def written(wide_model: Path, home: Settings, progress: list[Step]) -> dict[str, Written]:
    """The wide model in all types that differ, from one conversion."""
    outputs = {outtype: home.exports / f"wide-{outtype}.gguf" for outtype in ON_DEMAND}
    return write_ggufs(wide_model, outputs, home, progress=progress.append)


def _formats(file: Path) -> dict[str, str]:
    from gguf import GGUFReader

    return {one.name: one.tensor_type.name for one in GGUFReader(file).tensors}


def _numbers(file: Path) -> dict[str, Any]:
    from gguf import GGUFReader
    from gguf.quants import dequantize

    return {one.name: dequantize(one.data, one.tensor_type) for one in GGUFReader(file).tensors}


def test_each_type_is_as_large_as_foretold(
    written: dict[str, Written], wide_model: Path, home: Settings
) -> None:
    for outtype, made in written.items():
        assert made.bytes == made.path.stat().st_size
        assert made.bytes == pytest.approx(gguf_bytes(wide_model, outtype, home), rel=0.03)
    assert sorted(ON_DEMAND, key=lambda one: -written[one].bytes) == list(ON_DEMAND)


def test_llama_cpp_answers_from_each_type(written: dict[str, Written]) -> None:
    answers = {outtype: ask_gguf(made.path, QUESTION, 6) for outtype, made in written.items()}
    assert all(answers.values()) and len(set(answers.values())) > 1


def test_the_coarser_the_type_the_further_from_the_original(written: dict[str, Written]) -> None:
    exact = _numbers(written["f32"].path)
    name = "blk.1.ffn_gate.weight"
    errors = [float(abs(_numbers(written[outtype].path)[name] - exact[name]).mean())
              for outtype in ON_DEMAND]
    assert errors[0] == 0 and errors == sorted(errors)


def test_formats_are_mixed_and_norms_stay_exact(written: dict[str, Written]) -> None:
    formats = _formats(written["q4_k_m"].path)
    assert formats["blk.0.ffn_gate.weight"] == "Q4_K"
    assert formats["blk.1.attn_v.weight"] == formats["output.weight"] == "Q6_K"
    assert formats["blk.0.attn_norm.weight"] == "F32"
    assert Counter(_formats(written["q6_k"].path).values()) == {"Q6_K": 16, "F32": 5}


def test_rounding_is_told_and_nothing_passing_is_left(
    written: dict[str, Written], home: Settings, progress: list[Step]
) -> None:
    assert {"Writing the GGUF", "Rounding the weights"} <= {step.what for step in progress}
    names = {made.path.name for made in written.values()}
    assert {path.name for path in home.exports.iterdir()} == names | {
        f"{name}.json" for name in names}


@pytest.mark.slow
def test_q8_0_after_a_conversion_is_that_of_the_converter(
    written: dict[str, Written], wide_model: Path, home: Settings, tmp_path: Path
) -> None:
    alone = write_gguf(wide_model, tmp_path / "alone.gguf", "q8_0", home)
    assert alone.path.read_bytes()[-100_000:] == written["q8_0"].path.read_bytes()[-100_000:]
    assert _formats(alone.path) == _formats(written["q8_0"].path)


def test_rows_that_blocks_do_not_divide_get_a_format_that_fits() -> None:
    """576 columns, as the starter has them; 100, which no block divides."""
    model = GgufModel("llama", layers=30, shared_keys=3)
    tensors = [GgufTensor(name, shape) for name, shape in (
        ("token_embd.weight", (49152, 576)), ("blk.0.ffn_gate.weight", (1536, 576)),
        ("blk.0.ffn_down.weight", (576, 1536)), ("blk.4.attn_output.weight", (576, 576)),
        ("blk.3.odd.weight", (8, 100)), ("blk.0.attn_norm.weight", (576,)))]
    assert mixture(tensors, model, "q4_k_m") == {
        "token_embd.weight": "Q8_0", "blk.0.ffn_gate.weight": "Q5_0",
        "blk.0.ffn_down.weight": "Q6_K", "blk.4.attn_output.weight": "Q5_0",
        "blk.3.odd.weight": "F16"}
    assert mixture(tensors, model, "q2_k")["blk.0.ffn_gate.weight"] == "Q4_0"
    assert set(mixture(tensors, model, "f16").values()) == {"F16"}


def test_of_eight_experts_and_of_70b_models_the_attention_is_kept_finer() -> None:
    tensors = [GgufTensor(f"blk.{layer}.{name}.weight", (1024, 1024)) for layer in range(80)
               for name in ("attn_v", "attn_k", "attn_output", "ffn_down")]
    mixtral = mixture(tensors, GgufModel("llama", 32, 4, experts=8), "q4_k_m")
    assert mixtral["blk.5.attn_v.weight"] == mixtral["blk.5.attn_k.weight"] == "Q8_0"
    assert mixtral["blk.5.attn_output.weight"] == "Q5_K"
    large = mixture(tensors, GgufModel("llama", 80, 8), "q4_k_m")
    assert Counter(large[f"blk.{layer}.attn_v.weight"] for layer in range(80)) == {
        "Q6_K": 40, "Q5_K": 40}
    assert large["blk.5.attn_k.weight"] == "Q4_K"


def test_what_cannot_be_written_is_said_before_any_work(
    wide_model: Path, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    def both() -> None:
        write_ggufs(wide_model, {"f16": settings.exports / "a.gguf",
                                 "q4_k_m": settings.exports / "b.gguf"}, settings)

    settings.exports.mkdir(parents=True)
    (settings.exports / "b.gguf").write_bytes(b"precious")
    with pytest.raises(ExportError, match="exists already"):
        both()
    (settings.exports / "b.gguf").unlink()
    monkeypatch.setattr(gguf, "is_installed", lambda module: False)
    with pytest.raises(SetupError, match="libgguf") as caught:
        both()
    assert "pip install" in caught.value.hint
    monkeypatch.undo()
    monkeypatch.setattr("studio.files.free_bytes", lambda where: 1000)
    with pytest.raises(DiskError, match=r"a\.gguf, b\.gguf needs"):
        both()
    assert list(settings.exports.iterdir()) == []


@pytest.mark.slow
def test_stopped_while_it_rounds_leaves_nothing(wide_model: Path, settings: Settings) -> None:
    seen: list[str] = []
    with pytest.raises(Stopped):
        write_ggufs(wide_model, {"f32": settings.exports / "a.gguf",
                                 "q2_k": settings.exports / "b.gguf"}, settings,
                    progress=lambda step: seen.append(step.what),
                    stop=lambda: "Writing the GGUF" in seen)
    assert list(settings.exports.iterdir()) == []


def test_every_type_has_its_name_in_llama_cpp() -> None:
    from gguf import LlamaFileType

    for outtype in GGUF_TYPES:
        prefix = "ALL_" if outtype == "f32" else "MOSTLY_"
        assert f"{prefix}{outtype.upper()}" in LlamaFileType.__members__


@pytest.mark.slow
def test_the_stacked_weights_of_experts_are_rounded_and_their_router_is_not(
    wide_model: Path, settings: Settings, tmp_path: Path
) -> None:
    import torch
    from transformers import AutoConfig, MixtralConfig, MixtralForCausalLM

    model = shutil.copytree(wide_model, tmp_path / "experts")
    dense = AutoConfig.from_pretrained(wide_model)
    torch.manual_seed(0)
    (model / "model.safetensors").unlink()
    MixtralForCausalLM(MixtralConfig(
        vocab_size=dense.vocab_size, hidden_size=256, intermediate_size=512, num_hidden_layers=2,
        num_attention_heads=4, num_key_value_heads=2, num_local_experts=4, num_experts_per_tok=2,
        max_position_embeddings=512, bos_token_id=1, eos_token_id=2,
    )).save_pretrained(model)
    made = write_gguf(model, tmp_path / "experts.gguf", "q4_k_m", settings)
    formats = _formats(made.path)
    assert formats["blk.0.ffn_gate_exps.weight"] == "Q4_K"
    assert formats["blk.1.ffn_down_exps.weight"] == "Q6_K"
    assert formats["blk.0.ffn_gate_inp.weight"] == "F32"
    assert made.bytes == pytest.approx(gguf_bytes(model, "q4_k_m", settings), rel=0.03)
    assert ask_gguf(made.path, QUESTION, 6)
