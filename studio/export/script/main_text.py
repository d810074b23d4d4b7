"""The `main` of a script: base, adapter, TRL's settings and trainer, and what is saved."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable
from typing import Any

from studio.export.script.calls import Code, call, peft_call
from studio.export.script.facts import Facts
from studio.export.script.rewards import reward_calls, reward_settings
from studio.export.script.rows import HELD_OUT_FILE, TRAIN_FILE
from studio.export.script.start_text import begin_lines
from studio.recipe.usual import preference_beta
from studio.training.methods.arguments import recipe_values
from studio.training.methods.judged import needs_last_left_out

TRAINERS = {"sft": "SFT", "pretrain": "SFT", "dpo": "DPO", "orpo": "SFT", "kto": "KTO",
            "grpo": "GRPO", "rloo": "RLOO"}
"""By training method: TRL's trainer, whose class and configuration begin so."""


def main_text(facts: Facts, trainer: str) -> str:
    """The function and its call; `trainer` is the class that it makes."""
    held_out = f'read_rows(HERE / "{HELD_OUT_FILE}", tokenizer)' if facts.rows.has_held_out \
        else "None"
    body = [
        *_parser(), "",
        "tokenizer = AutoTokenizer.from_pretrained(arguments.base, revision=REVISION)",
        "if tokenizer.pad_token is None:",
        "    tokenizer.pad_token = tokenizer.eos_token or tokenizer.unk_token",
        'tokenizer.chat_template = (HERE / "chat_template.jinja").read_text(encoding="utf-8")',
        f'train = read_rows(HERE / "{TRAIN_FILE}", tokenizer)',
        f"held_out = {held_out}",
        *(['train = pack_dataset(train, MAX_LENGTH, "bfd")'] if facts.packs else []), "",
        "torch.manual_seed(SEED)", f"model = {_model(facts)}",
        *_adapter(facts), "",
        f"settings = {_settings(facts)}",
        *_before_trainer(facts),
        f"trainer = {_trainer(facts, trainer)}",
        *_after_trainer(facts), "",
        "trainer.train()", "trainer.save_state()",
        *(["print(trainer.evaluate())"] if facts.rows.has_held_out else []),
        *_save(facts),
    ]
    indented = textwrap.indent("\n".join(body), "    ")
    return f'def main() -> None:\n{indented}\n\n\nif __name__ == "__main__":\n    main()'


def _parser() -> list[str]:
    return ["parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])",
            'parser.add_argument("--base", default=BASE, help="Hub id or folder of the base")',
            'parser.add_argument("--output", type=Path, default=HERE, help="where to write")',
            "arguments = parser.parse_args()"]


def _model(facts: Facts) -> Code:
    wanted = facts.recipe.model
    values: dict[str, Any] = {"revision": Code("REVISION"),
                              "dtype": Code(f"torch.{facts.precision.base_dtype}")}
    if wanted.attention != "auto":
        values["attn_implementation"] = wanted.attention
    if wanted.trust_remote_code:
        values["trust_remote_code"] = True
    if wanted.quantization != "none":
        values["quantization_config"] = _bits(facts)
        values["device_map"] = {"": Code('"cuda:0" if torch.cuda.is_available() else "cpu"')}
    return Code(call("AutoModelForCausalLM.from_pretrained", values).replace(
        "(\n", "(\n    arguments.base,\n", 1))


def _bits(facts: Facts) -> Code:
    wanted = facts.recipe.model
    if wanted.quantization == "8bit":
        return call("BitsAndBytesConfig", {"load_in_8bit": True}, 4)
    return call("BitsAndBytesConfig", {
        "load_in_4bit": True, "bnb_4bit_quant_type": "nf4",
        "bnb_4bit_use_double_quant": wanted.double_quantization,
        "bnb_4bit_compute_dtype": Code(f"torch.{facts.precision.base_dtype}")}, 4)


def _adapter(facts: Facts) -> list[str]:
    if facts.peft is None:
        return []
    return ["torch.manual_seed(SEED)", f"adapter = {peft_call(facts.peft)}",
            "model = get_peft_model(model, adapter)",
            *(begin_lines() if facts.takes_apart else [])]


def _settings(facts: Facts) -> Code:
    values: dict[str, Any] = {"output_dir": Code('str(arguments.output / "checkpoints")')}
    values |= recipe_values(facts.recipe)
    values |= {
        "bf16": facts.precision.autocast == "bfloat16",
        "fp16": facts.precision.autocast == "float16",
        "gradient_checkpointing": None,
        "activation_checkpointing": facts.checkpoints_activations,
        "prediction_loss_only": True, "report_to": "none",
        **_saving(facts),
    }
    values |= _method_settings(facts)
    if facts.packs:
        values["padding_free"] = True
    return call(f"{TRAINERS[facts.method]}Config", values)


def _saving(facts: Facts) -> dict[str, Any]:
    wanted = facts.recipe.training
    values: dict[str, Any] = {"save_strategy": "no"}
    if wanted.save_steps:
        values = {"save_strategy": "steps", "save_steps": wanted.save_steps,
                  "save_total_limit": wanted.save_total_limit}
    if facts.rows.has_held_out and wanted.eval_steps:
        values |= {"eval_strategy": "steps", "eval_steps": wanted.eval_steps}
    if facts.stops_early:
        values |= {"metric_for_best_model": "eval_loss", "greater_is_better": False}
    return values


def _method_settings(facts: Facts) -> dict[str, Any]:
    """What TRL's configuration of the method is told beside the common ones."""
    if facts.writes:
        return reward_settings(facts)
    wanted = facts.recipe.preference
    values: dict[str, Any] = {"max_length": None}
    if facts.method in ("sft", "pretrain", "orpo"):
        values["dataset_kwargs"] = {"skip_prepare_dataset": True}
    if facts.method not in ("sft", "pretrain"):
        values["remove_unused_columns"] = False
    if facts.method == "orpo":
        values["loss_type"] = "nll"
    if facts.method == "dpo":
        values |= {"loss_type": [wanted.loss], "beta": preference_beta(facts.recipe),
                   "label_smoothing": wanted.label_smoothing}
    if facts.method == "kto":
        values |= {"loss_type": wanted.kto_loss, "beta": preference_beta(facts.recipe),
                   "desirable_weight": wanted.desirable_weight,
                   "undesirable_weight": wanted.undesirable_weight,
                   "train_sampling_strategy": "sequential",
                   "dataloader_drop_last": needs_last_left_out(facts.recipe, facts.rows.train)}
    return values


def _before_trainer(facts: Facts) -> list[str]:
    if facts.copies_start:
        return ["start = copy.deepcopy(model)  # the answers are compared with it"]
    if facts.writes:
        return ["model.generation_config.eos_token_id = ENDS"]
    if facts.method != "orpo":
        return []
    inner = "model.get_base_model()" if facts.peft is not None else "model"
    return ["disable_dropout_in_model(model)", f"add_fused_lm_head({inner})"]


def _trainer(facts: Facts, name: str) -> Code:
    values: dict[str, Any] = {
        "model": Code("model"), "args": Code("settings"), "train_dataset": Code("train"),
        "eval_dataset": Code("held_out"), "processing_class": Code("tokenizer")}
    if facts.writes:
        values["reward_funcs"] = reward_calls(facts)
    if facts.method in ("dpo", "orpo"):
        values["data_collator"] = Code("PairCollator(tokenizer.pad_token_id)")
    if facts.method == "kto":
        compares = facts.recipe.preference.kto_loss == "kto"
        values["data_collator"] = Code(
            f"JudgedCollator(tokenizer.pad_token_id, MAX_LENGTH, {compares})")
    if facts.copies_start:
        values["ref_model"] = Code("start")
    if facts.stops_early:
        wanted = facts.recipe.training
        stop = call("EarlyStoppingCallback", {
            "early_stopping_patience": wanted.early_stopping_patience,
            "early_stopping_threshold": wanted.early_stopping_min_change}, 4)
        values["callbacks"] = Code(f"[{stop}]")
    return call(name, values)


def _after_trainer(facts: Facts) -> list[str]:
    recipe = facts.recipe
    lines = []
    if facts.method == "kto":
        lines += ["# TRL wants the order of the file for pairs that are made here in each batch.",
                  'trainer.args.train_sampling_strategy = "random"']
    if facts.method == "orpo":
        lines += [f"trainer.beta = {preference_beta(recipe)!r}"]
    if facts.peft is not None:
        lines += ["for parameter in model.parameters():  # 16 bits would swallow small updates",
                  "    if parameter.requires_grad:",
                  "        parameter.data = parameter.data.float()"]
    if recipe.adapter.method == "lora" and recipe.adapter.lora_plus_ratio:
        lines += ["trainer.optimizer = loraplus_optimizer(trainer, "
                  f"{recipe.adapter.lora_plus_ratio!r})"]
    return lines


def _save(facts: Facts) -> Iterable[str]:
    result = 'arguments.output / "result"'
    if facts.peft is None:
        yield f"trainer.save_model(str({result}))"
    else:
        yield f'model.save_pretrained({result}, selected_adapters=["default"],'
        yield "                      save_embedding_layers=False)"
    if facts.takes_apart:
        yield f"as_plain_lora({result}, begun)"
    yield f"tokenizer.save_pretrained({result})"
