"""Loading a tokenizer and a base model: number format, quantization, attention, device.

Reads safetensors only, and only from the folder it is given: nothing is fetched here.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING, Any

from studio import recipe
from studio.device import Device, resolve_dtype
from studio.errors import ModelError, SetupError
from studio.models.folder import ModelFolder, judges_texts, read_config
from studio.models.libraries import first_line, make_models_in_turn, quieten
from studio.models.prequantized import reading_config
from studio.models.quantized import mend_int8, quantization_config
from studio.models.stoppable import stoppable_loading
from studio.progress import ShouldStop, never

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase


JUDGE_HEAD = "score.weight"
"""What a base that becomes a judge of answers does not bring with it."""


def load_tokenizer(
    folder: ModelFolder, *, trust_remote_code: bool = False
) -> PreTrainedTokenizerBase:
    """The model's tokenizer, its chat template kept, a pad token ensured. Raises ModelError."""
    from transformers import AutoTokenizer

    try:
        tokenizer = AutoTokenizer.from_pretrained(
            str(folder.path), trust_remote_code=trust_remote_code, local_files_only=True
        )
    except (OSError, ValueError, KeyError, ImportError) as error:
        raise ModelError(
            f"{folder.name} has no tokenizer that can be read: {first_line(error)}",
            "A model folder needs tokenizer.json or tokenizer.model beside its weights.",
        ) from error
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token or tokenizer.unk_token
    return tokenizer


def load_base(
    model: recipe.Model, folder: ModelFolder, device: Device, *, stop: ShouldStop = never,
    judges: bool = False,
) -> PreTrainedModel:
    """The base model on `device`, in evaluation mode, weights as the recipe asks.

    With `judges` it has a head that gives one number for a text instead of the language model's;
    where the folder has none, its weights are random as torch is seeded.
    Raises SetupError where a library cannot do it here, ModelError where the weights are
    incomplete or do not fit into memory, Stopped between two weights when `stop` says so.
    """
    import torch
    from huggingface_hub.errors import StrictDataclassError
    from safetensors import SafetensorError
    from transformers import AutoModelForCausalLM, AutoModelForSequenceClassification

    if not judges:
        _require_writing(folder)
    quieten()
    make_models_in_turn()
    options = _options(model, folder, device) | ({"num_labels": 1} if judges else {})
    kind: Any = AutoModelForSequenceClassification if judges else AutoModelForCausalLM
    try:
        with stoppable_loading(stop):
            base, report = kind.from_pretrained(
                str(folder.path), output_loading_info=True, **options
            )
    except torch.OutOfMemoryError as error:
        raise ModelError(
            f"{folder.name} does not fit into the memory of {device.name}.",
            "Close what else uses it, set model.quantization to 4bit, or take a smaller model.",
        ) from error
    except ImportError as error:
        raise SetupError(f"{folder.name} cannot be loaded: {first_line(error)}",
                         "Install what is named, or choose another model.") from error
    except (OSError, ValueError, KeyError, RuntimeError, StrictDataclassError,
            SafetensorError) as error:
        raise ModelError(f"{folder.name} cannot be loaded: {first_line(error)}",
                         "Check the model's folder, or fetch it again.") from error
    require_all_weights(folder, report.get("missing_keys", ()))
    if "device_map" not in options:
        base = base.to(device.torch_name)
    mend_int8(base)
    if judges:
        # It is trained in 32 bits beside a 16-bit base; a copy of it takes this along.
        base.score.register_forward_pre_hook(_in_its_own_format)
    elif (head := base.get_output_embeddings()) is not None:
        head.register_forward_pre_hook(_in_one_piece)
    base.eval()
    return base


def _options(model: recipe.Model, folder: ModelFolder, device: Device) -> dict[str, Any]:
    dtype = resolve_dtype(model.dtype, device)
    options: dict[str, Any] = {
        "dtype": dtype, "use_safetensors": True, "local_files_only": True,
        "trust_remote_code": model.trust_remote_code,
    }
    attention = attention_implementation(model, folder, device)
    if attention is not None:
        options["attn_implementation"] = attention
    if model.quantization != "none":
        options["quantization_config"] = quantization_config(model, device)
    elif (reading := reading_config(folder.path, device)) is not None:
        options["quantization_config"] = reading
    if model.quantization != "none" or device.kind == "cuda":
        # Straight onto the device, never first into main memory.
        options["device_map"] = {"": device.torch_name}
    return options


def attention_implementation(
    model: recipe.Model, folder: ModelFolder, device: Device
) -> str | None:
    """What to ask transformers for; None leaves it to take SDPA where the model has it.

    Raises SetupError when FlashAttention 2 is asked for and cannot run here.
    """
    if model.attention not in ("auto", "flash_attention_2"):
        return model.attention
    usable = device.kind == "cuda" and _flash_attention_installed()
    if model.attention == "flash_attention_2":
        if not usable:
            raise SetupError(
                "model.attention flash_attention_2 needs an NVIDIA GPU and the package "
                "flash-attn, and this PC does not have both.",
                "Set model.attention to auto.",
            )
        return "flash_attention_2"
    half = resolve_dtype(model.dtype, device).itemsize == 2
    return "flash_attention_2" if usable and half and _supports_flash(model, folder) else None


def _flash_attention_installed() -> bool:
    from transformers.utils import is_flash_attn_2_available

    return bool(is_flash_attn_2_available())


def _supports_flash(model: recipe.Model, folder: ModelFolder) -> bool:
    from transformers import AutoConfig, AutoModelForCausalLM

    config = AutoConfig.from_pretrained(str(folder.path), local_files_only=True,
                                        trust_remote_code=model.trust_remote_code)
    known = AutoModelForCausalLM._model_mapping
    return type(config) in known and bool(getattr(known[type(config)], "_supports_flash_attn", 0))


def _in_its_own_format(module: Any, arguments: tuple[Any, ...]) -> tuple[Any, ...]:
    return (arguments[0].to(module.weight.dtype), *arguments[1:])


def _in_one_piece(head: Any, arguments: tuple[Any, ...]) -> tuple[Any, ...]:
    """Of a prompt `generate` gives the head the last token of each row, as a view with gaps. torch
    multiplies such a one row by row and, in 16 bits on a processor, copies the head for each: 57 MB
    and 0.4 seconds a row for the starter."""
    return (arguments[0].contiguous(), *arguments[1:])


def _require_writing(folder: ModelFolder) -> None:
    # With tied embeddings transformers would give it a head again, and it would write nonsense.
    if judges_texts(read_config(folder.path / "config.json")):
        raise ModelError(f"{folder.name} is a reward model: it judges answers and writes none.",
                         "Choose the model that it was made from, or use it as a reward in a run "
                         "of training.method grpo or rloo.")


def require_all_weights(folder: ModelFolder, lacking: Collection[str]) -> None:
    """Raise ModelError where the files of a model lack some of its weights."""
    missing = sorted(name for name in lacking if name != JUDGE_HEAD)
    if missing:
        # transformers would fill them with random numbers and go on.
        raise ModelError(
            f"{folder.name} lacks {len(missing)} of its weights, among them {missing[0]}.",
            "The files are incomplete or belong to another architecture: fetch the model again.",
        )
