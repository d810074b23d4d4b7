"""LoRA adapters for a bench: random but the same each time, made from a model's shapes alone."""

from __future__ import annotations

from pathlib import Path

from studio.adapters.folder import WEIGHTS_FILE, write_weights

_SPREAD = 0.02
"""Of the weights of B: enough to change what is said, too little to make it noise."""


def make_lora_folders(base: Path, parent: Path, count: int, *, rank: int,
                      use_dora: bool = False) -> list[Path]:
    """`count` folders under `parent`, each with an adapter of that rank on all linear layers."""
    import torch
    from peft import LoraConfig, get_peft_model, get_peft_model_state_dict
    from transformers import AutoConfig, AutoModelForCausalLM

    config = LoraConfig(task_type="CAUSAL_LM", r=rank, lora_alpha=2 * rank,
                        target_modules="all-linear", base_model_name_or_path=str(base),
                        inference_mode=True, use_dora=use_dora)
    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(AutoConfig.from_pretrained(base))
        shapes = {name: tensor.shape for name, tensor in
                  get_peft_model_state_dict(get_peft_model(model, config)).items()}
    folders = [parent / f"adapter-{number + 1}" for number in range(count)]
    for seed, folder in enumerate(folders):
        generator = torch.Generator().manual_seed(seed)
        folder.mkdir(parents=True)
        config.save_pretrained(str(folder))
        write_weights({
            name: torch.randn(shape, generator=generator)
            * (_SPREAD if ".lora_B." in name else shape[-1] ** -0.5)
            for name, shape in shapes.items()}, folder / WEIGHTS_FILE)
    return folders
