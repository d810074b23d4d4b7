"""The script itself, put together from the facts: head, imports, what it carries, and `main`.

Functions that it carries are written as they stand in the studio, where they are tested.
"""

from __future__ import annotations

import inspect
import textwrap
from typing import Any

from studio.adapters.words import run_words
from studio.export.script import carried
from studio.export.script.calls import written
from studio.export.script.differs import DRAWN, SAME, differences
from studio.export.script.facts import Facts
from studio.export.script.main_text import TRAINERS, main_text
from studio.export.script.rewards import (
    CLASS_BODY,
    carried_for_prompts,
    carried_rewards,
    own_imports,
    reward_constants,
    reward_imports,
)
from studio.export.script.rows import ROWS_OF
from studio.export.script.start_text import START_IMPORTS, carried_start
from studio.training import grouping, loraplus
from studio.training.methods import collators, preference

_READ = '''\
def read_rows(file: Path, tokenizer: Any) -> Dataset:
    """The examples of a file, one JSON object a line, as tokens."""
    rows: list[Row] = []
    with file.open(encoding="utf-8") as lines:
        for line in lines:
            rows.extend({made})
    return Dataset.from_list(rows)
'''
_HELD_PAIRS = '''\
    def _prepare_dataset(self, dataset: Any, *args: Any, **kwargs: Any) -> Any:
        return dataset  # it is tokens already
'''
_SAMPLER = '''\
    def _get_train_sampler(self, *args: Any, **kwargs: Any) -> Any:
        lengths = [len(row["{column}"]) for row in self.train_dataset]
        examples = self.args.train_batch_size * self.args.gradient_accumulation_steps
        return grouped_sampler(lengths, examples, self.args.data_seed)
'''


def script_text(facts: Facts) -> str:
    """The whole file."""
    trainer = "Trainer" if _trainer_class(facts) else f"{TRAINERS[facts.method]}Trainer"
    parts = [_head(facts), _imports(facts), _constants(facts), *_carried(facts),
             main_text(facts, trainer)]
    return "\n\n\n".join(part.strip("\n") for part in parts if part).replace(
        '"""\n\n\nfrom __future__', '"""\n\nfrom __future__') + "\n"


def _head(facts: Facts) -> str:
    data = ("tokens" if facts.rows.are_tokens else "examples")
    listed = "\n".join(textwrap.fill(f"- {one}", 96, subsequent_indent="  ")
                       for one in differences(facts))
    same = textwrap.fill(DRAWN if facts.writes else SAME, 96)
    return f'''\
"""Trains what the run {facts.name} trained.

{run_words(facts.recipe)} on {facts.base.reference}.

    pip install -r requirements.txt
    python train.py
    accelerate launch --config_file accelerate.yaml train.py   # the same

Reads the {data} in data/ and the chat template beside it, writes the result to result/ and every
loss to checkpoints/trainer_state.json. Needs nothing but the libraries below: change it freely.

{same}

Otherwise than the run:
{listed}
"""'''


def _imports(facts: Facts) -> str:
    trl = TRAINERS[facts.method]
    lines = ["from __future__ import annotations", "", "import argparse"]
    lines += ["import copy"] if facts.copies_start else []
    lines += ["import functools"] if facts.groups else []
    lines += ["import json"]
    lines += reward_imports(facts) if facts.writes else []
    typing = ["Iterator"] if facts.writes or not facts.rows.are_tokens else []
    typing += ["Sequence"] if _collator(facts) else []
    lines += [f"from collections.abc import {', '.join(typing)}"] if typing else []
    lines += ["from dataclasses import dataclass"] if _collator(facts) or facts.writes else []
    lines += ["from pathlib import Path", "from typing import Any", "", "import torch",
              "from datasets import Dataset"]
    if facts.peft is not None:
        lines += [f"from peft import {type(facts.peft).__name__}, get_peft_model"]
    lines += START_IMPORTS if facts.takes_apart else []
    quantized = ["BitsAndBytesConfig"] if facts.recipe.model.quantization != "none" else []
    stops = ["EarlyStoppingCallback"] if facts.stops_early else []
    names = ["AutoModelForCausalLM", "AutoTokenizer", *quantized, *stops]
    lines += [f"from transformers import {', '.join(names)}",
              f"from trl import {trl}Config, {trl}Trainer"]
    lines += ["from trl import pack_dataset"] if facts.packs else []
    if facts.method == "orpo":
        lines += ["from trl.trainer.utils import add_fused_lm_head, disable_dropout_in_model"]
    lines += ["", *own_imports(facts)] if facts.writes and own_imports(facts) else []
    return "\n".join(lines)


def _constants(facts: Facts) -> str:
    recipe, taught = facts.recipe, facts.recipe.taught_data
    revision = facts.base.revision if facts.base.hub_id else None
    lines = ["HERE = Path(__file__).resolve().parent", f"BASE = {written(facts.base.reference)}",
             f"REVISION = {written(revision)}", f"SEED = {recipe.training.seed}",
             f"MAX_LENGTH = {taught.max_length}"]
    if not facts.rows.are_tokens:
        lines += [f"LOSS_ON = {written(taught.loss_on)}"]
    lines += reward_constants(facts) if facts.writes else []
    return "\n".join([*lines, "Row = dict[str, Any]", "Tokens = tuple[list[int], list[int]]"])


def _carried(facts: Facts) -> list[str]:
    """The source of what no library has, in the order of its use."""
    found: list[Any] = []
    if not facts.rows.are_tokens:
        rows_of = ROWS_OF[facts.method]
        found += [carried.text_tokens] if facts.method in ("sft", "pretrain") else []
        if facts.writes:
            found += carried_for_prompts()
        elif facts.method != "pretrain":
            found += [carried.turn_tokens]
        found += [rows_of]
    found += _collator(facts)
    found += [grouping.grouped_sampler, grouping._sampler_class] if facts.groups else []
    if facts.method == "orpo":
        found += [preference.OddsRatioMixin, preference._log_odds_ratio]
    if facts.recipe.adapter.lora_plus_ratio and facts.recipe.adapter.method == "lora":
        found += [loraplus.loraplus_optimizer]
    made = "[json.loads(line)]" if facts.rows.are_tokens else \
        f"{ROWS_OF[facts.method].__name__}(\n                tokenizer, json.loads(line), " \
        "MAX_LENGTH, LOSS_ON)"
    texts = carried_rewards(facts) if facts.writes else []
    texts += carried_start() if facts.takes_apart else []
    return [*(inspect.getsource(one) for one in found), *texts, _READ.replace("{made}", made),
            _trainer_class(facts)]


def _collator(facts: Facts) -> list[Any]:
    kinds: dict[str, list[Any]] = {
        "dpo": [collators.PairCollator], "orpo": [collators.PairCollator],
        "kto": [collators.JudgedCollator, collators._answer_at],
    }
    found = kinds.get(facts.method, [])
    return [*found, collators.padded] if found else []


def _trainer_class(facts: Facts) -> str:
    trl = f"{TRAINERS[facts.method]}Trainer"
    body = [_HELD_PAIRS] if facts.method in ("dpo", "kto") else []
    if facts.writes:
        body.append(CLASS_BODY)
    elif facts.groups:
        column = "chosen_ids" if facts.method in ("dpo", "orpo") else "input_ids"
        body.append(_SAMPLER.replace("{column}", column))
    bases = f"OddsRatioMixin, {trl}" if facts.method == "orpo" else trl
    if not body and bases == trl:
        return ""
    inside = "\n".join(body) or "    pass\n"
    return f'class Trainer({bases}):\n    """TRL\'s trainer on rows that are tokens already."""' \
           f"\n\n{inside}"
