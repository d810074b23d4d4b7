"""Every loss of dpo is that of plain TRL on the same data, for the first steps of a training."""

from __future__ import annotations

import typing
from pathlib import Path
from typing import Any

import pytest

from studio.data.prepare import prepare
from studio.recipe import Recipe
from studio.recipe.preference import DpoLoss
from studio.settings import Settings
from tests.training.methods.conftest import PAIRS, write_lines
from tests.training.methods.trainer import TEMPLATE, studio_losses, with_lora

STEPS = 3
SMOOTHED = ("robust", "exo_pair", "aot")


@pytest.fixture(scope="module")
def pairs_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_lines(tmp_path_factory.mktemp("data") / "pairs.jsonl", PAIRS)


def _recipe(model: Path, data: Path, loss: str) -> Recipe:
    return Recipe().with_values({
        "model.source": str(model), "model.dtype": "float32", "data.source": str(data),
        "data.eval_fraction": 0.0, "data.template": "custom", "data.custom_template": TEMPLATE,
        "training.method": "dpo", "training.batch_size": 4, "training.gradient_accumulation": 1,
        "training.max_steps": STEPS, "training.learning_rate": 1e-2,
        "training.scheduler": "constant", "training.warmup_ratio": 0.0,
        "preference.loss": loss, "preference.beta": 0.2,
        "preference.label_smoothing": 0.1 if loss in SMOOTHED else 0.0})


def _plain_losses(model: Any, tokenizer: Any, recipe: Recipe, folder: Path) -> list[float]:
    import datasets
    from trl import DPOConfig, DPOTrainer

    rows = [{"prompt": [{"role": "user", "content": row["prompt"]}],
             **{kind: [{"role": "assistant", "content": row[kind]}]
                for kind in ("chosen", "rejected")}} for row in PAIRS]
    wanted = recipe.preference
    trainer = DPOTrainer(
        model=model, processing_class=tokenizer, train_dataset=datasets.Dataset.from_list(rows),
        args=DPOConfig(
            output_dir=str(folder), use_cpu=True, bf16=False, report_to="none", max_steps=STEPS,
            per_device_train_batch_size=4, learning_rate=1e-2, lr_scheduler_type="constant",
            logging_steps=1, save_strategy="no", gradient_checkpointing=False, disable_tqdm=True,
            train_sampling_strategy="sequential", loss_type=[wanted.loss], beta=wanted.beta,
            label_smoothing=wanted.label_smoothing))
    trainer.train()
    return [log["loss"] for log in trainer.state.log_history if "loss" in log]


@pytest.mark.parametrize("loss", typing.get_args(DpoLoss))
def test_a_loss_is_that_of_plain_trl(
    settings: Settings, tiny_model: Path, pairs_file: Path, tmp_path: Path, loss: str
) -> None:
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(tiny_model)
    recipe = _recipe(tiny_model, pairs_file, loss)
    data = prepare(recipe, tokenizer, settings)
    tokenizer.chat_template = data.chat_template
    plain = _plain_losses(with_lora(tiny_model), tokenizer, recipe, tmp_path)
    ours = studio_losses(settings, recipe, with_lora(tiny_model), tokenizer, data.train)
    assert len(ours) == STEPS and len(set(ours)) == STEPS
    assert ours == pytest.approx(plain, rel=2e-5)
