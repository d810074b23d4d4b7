"""The peer of the training bench: a script as TRL's own documentation writes it, at its defaults.

`python -m studio.bench.plain_trl REQUEST.json` trains what the request names and prints one line of
JSON on standard error. Takes nothing of the studio.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any


def main(request_file: str) -> None:
    request = json.loads(Path(request_file).read_text(encoding="utf-8"))
    import datasets
    from peft import LoraConfig
    from transformers import TrainerCallback
    from trl import SFTConfig, SFTTrainer

    class Notes(TrainerCallback):
        """When each step was logged, and how many tokens had been trained on by then."""

        def __init__(self) -> None:
            self.steps: list[tuple[float, float, float]] = []

        def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **_: Any) -> None:
            if logs and "loss" in logs:
                self.steps.append((time.time(), logs["num_tokens"], logs["loss"]))

    datasets.disable_progress_bars()
    notes = Notes()
    trainer = SFTTrainer(
        model=request["model"],
        args=SFTConfig(
            output_dir=request["output"], per_device_train_batch_size=request["batch_size"],
            gradient_accumulation_steps=1, learning_rate=request["learning_rate"],
            max_steps=request["steps"], max_length=request["max_length"], logging_steps=1,
            seed=request["seed"], report_to="none", disable_tqdm=True, save_strategy="no"),
        train_dataset=datasets.Dataset.from_list(_rows(Path(request["data"]))),
        peft_config=LoraConfig(r=request["rank"], lora_alpha=request["alpha"],
                               target_modules="all-linear", task_type="CAUSAL_LM"),
        callbacks=[notes],
    )
    trainer.train()
    trainer.save_model()
    sys.stderr.write(json.dumps({"steps": notes.steps}) + "\n")


def _rows(path: Path) -> list[dict[str, Any]]:
    """Prompt and completion, of which TRL learns the completion alone."""
    with path.open(encoding="utf-8") as file:
        turns = [json.loads(line)["messages"] for line in file]
    return [{"prompt": messages[:-1], "completion": messages[-1:]} for messages in turns]


if __name__ == "__main__":
    main(sys.argv[1])
