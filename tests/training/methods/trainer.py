"""The studio's own trainer on a model and rows that a test brings, in the order of the rows."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from studio.device import pick_device
from studio.hardware.precision import choose_precision
from studio.recipe import Recipe
from studio.runs import Run, create_run
from studio.settings import Settings
from studio.training.reporter import StateReporter, TrainReporter
from studio.training.setup import Setup
from studio.training.trainers import make_trainer

TEMPLATE = ("{% for m in messages %}<{{ m.role }}>{{ m.content }}{% if m.role == 'assistant' %}"
            "{{ eos_token }}{% endif %}{% endfor %}{% if add_generation_prompt %}<assistant>"
            "{% endif %}")
"""Nothing behind the answer's end: TRL counts what stands there as answer."""


def with_lora(folder: Path) -> Any:
    import torch
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(folder, dtype="float32")
    torch.manual_seed(0)
    return get_peft_model(model, LoraConfig(task_type="CAUSAL_LM", r=8,
                                            target_modules="all-linear"))


def studio_trainer(
    settings: Settings, recipe: Recipe, model: Any, tokenizer: Any, rows: Any
) -> tuple[Any, Run]:
    run, device = create_run(settings, recipe), pick_device()
    setup = Setup(model, tokenizer, rows, None, device, choose_precision(recipe, device), False,
                  False)
    reporter = TrainReporter(run, StateReporter(run), lambda: False, plan={},
                             keep_checkpoint=lambda step: None)
    trainer = make_trainer(recipe, run, setup, reporter)
    trainer.args.train_sampling_strategy = "sequential"
    return trainer, run


def studio_losses(
    settings: Settings, recipe: Recipe, model: Any, tokenizer: Any, rows: Any
) -> list[float]:
    """The losses of the recipe's first steps."""
    trainer, run = studio_trainer(settings, recipe, model, tokenizer, rows)
    trainer.args.save_strategy = "no"
    trainer.train()
    return [point.loss for point in run.story().points]
