"""Real AutoRound writes GPTQ and AWQ of the starter; its own readers load them, and they answer."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from studio.models.starter import STARTER_NAME
from tests.extras import ROOT

_QUESTIONS = {
    "What is the capital of Italy?": "The capital of Italy is Rome.",
    "What is the capital of Spain?": "The capital of Spain is Madrid.",
    "How many legs has a spider?": "A spider has eight legs.",
    "Which planet is the largest?": "The largest planet is Jupiter.",
}


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("format", ["gptq", "awq"])
def test_the_starter_rounded_to_four_bits_is_loaded_by_its_own_reader_and_still_knows_paris(
    starter_model: Path, python_with_extras: Path, tmp_path: Path, format: str
) -> None:
    data = tmp_path / "questions.jsonl"
    data.write_text("\n".join(json.dumps({"prompt": asked, "completion": told})
                              for asked, told in _QUESTIONS.items() for _ in range(8)),
                    encoding="utf-8")
    output = tmp_path / f"starter-{format}"
    done = subprocess.run(
        [python_with_extras, "-m", "tests.export.quantize_with_extras", starter_model, data,
         format, output], capture_output=True, encoding="utf-8", cwd=ROOT)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout.splitlines()[-1])
    assert "Paris" in found["answer"]
    assert found["layer"].startswith("QuantLinear")
    # Of 135 million weights none is there to spare: NF4 is hardly nearer.
    assert found["agreement"] >= 0.65 and found["kl"] < 0.5
    assert found["foretold"] == pytest.approx(found["bytes"], rel=0.02)
    assert found["bytes"] < (starter_model / "model.safetensors").stat().st_size / 2
    assert "Rounding blocks of layers" in found["stages"]
    assert found["stopped_seconds"] < 10 and not found["left_by_stop"]
    assert STARTER_NAME not in (output / "config.json").read_text(encoding="utf-8")
    assert (output / "tokenizer.json").read_bytes() == (
        starter_model / "tokenizer.json").read_bytes()
