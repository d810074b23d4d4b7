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
    import torch
    from peft import LoraConfig
    from transformers import TrainerCallback
    from trl import SFTConfig, SFTTrainer

    class Notes(TrainerCallback):
        """When the first step began and each was logged; ends the run when its time is over."""

        began = 0.0

        def __init__(self) -> None:
            self.steps: list[tuple[float, float, float]] = []

        def on_step_begin(self, *_: Any, **__: Any) -> None:
            self.began = self.began or time.time()

        def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
            is_late = time.time() - self.began > request["limit_seconds"]
            if is_late and state.global_step >= request["least_steps"]:
                control.should_training_stop = True

        def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **_: Any) -> None:
            if logs and "loss" in logs:
                self.steps.append(
                    (time.time(), float(logs["num_tokens"]), float(logs["loss"])))

    datasets.disable_progress_bars()
    notes = Notes()
    trainer = SFTTrainer(
        model=request["model"],
        args=SFTConfig(
            output_dir=request["output"], per_device_train_batch_size=request["batch_size"],
            gradient_accumulation_steps=1, learning_rate=request["learning_rate"],
            max_steps=request["steps"], max_length=request["max_length"], logging_steps=1,
            seed=request["seed"], data_seed=request["seed"],
            use_cpu=not torch.cuda.is_available(), report_to="none", disable_tqdm=True,
            save_strategy="no", **request["options"]),
        train_dataset=datasets.Dataset.from_list(_rows(Path(request["data"]))),
        peft_config=LoraConfig(r=request["rank"], lora_alpha=request["alpha"],
                               target_modules="all-linear", task_type="CAUSAL_LM"),
        callbacks=[notes],
    )
    trainer.train()
    trainer.save_model()
    sys.stderr.write(json.dumps({"began": notes.began, "steps": notes.steps}) + "\n")


def _rows(path: Path) -> list[dict[str, Any]]:
    """Prompt and completion, of which TRL learns the completion alone."""
    with path.open(encoding="utf-8") as file:
        turns = [json.loads(line)["messages"] for line in file]
    return [{"prompt": messages[:-1], "completion": messages[-1:]} for messages in turns]


if __name__ == "__main__":
    main(sys.argv[1])
