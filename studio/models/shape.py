"""A model's shape from its configuration alone: layers, sizes, every linear, every parameter.

The model is built on torch's meta device, where tensors have shapes but no memory, so an 8B
model takes a fraction of a second and no weights are read. Results are cached.
"""

from __future__ import annotations

import functools
import json
import threading
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from studio.errors import ModelError
from studio.models.cache_shape import CachedLayers, cached_layers
from studio.models.catalogue import known_config
from studio.models.folder import check_is_model, check_remote_code, read_config
from studio.models.hub import fetch_config
from studio.models.libraries import first_line, make_models_in_turn
from studio.models.source import local_folder
from studio.models.starter import STARTER_CONFIG, STARTER_NAME
from studio.models.traits import Traits, traits_of
from studio.recipe.base import STARTER
from studio.settings import Settings

if TYPE_CHECKING:
    from torch import nn
    from transformers import PretrainedConfig

Kind = Literal["linear", "conv1d", "embedding", "experts", "router"]


@dataclass(frozen=True)
class LinearShape:
    """All linears of one name and size: y = W x, `inputs` -> `outputs`, in `count` places.

    `modules` are their full paths. `experts` is above 1 for weights that a mixture of experts
    keeps as one (experts, outputs, inputs) parameter; then `modules` are parameter paths.
    """

    name: str
    inputs: int
    outputs: int
    count: int
    has_bias: bool
    kind: Kind = "linear"
    modules: tuple[str, ...] = ()
    experts: int = 1

    @property
    def parameters(self) -> int:
        """Weights and biases of all of them."""
        each = self.experts * self.inputs * self.outputs + (self.outputs if self.has_bias else 0)
        return each * self.count


@dataclass(frozen=True)
class ModelShape:
    """What is known of a model without its weights. Sizes in elements, not bytes.

    `linears` are what "all-linear" means (the output head is not among them); `named_only` are
    embeddings and head, which are adapted only when named; `stacked` are expert and router
    parameters. `modules` maps every module path to its number of parameters, `tensors` every
    parameter's path to its shape (a tied one under both of its names). `cached` is what a chat
    keeps of each token, `config_text` the configuration itself as JSON.
    """

    name: str
    model_type: str
    architecture: str
    layers: int
    hidden: int
    intermediate: int
    heads: int
    kv_heads: int
    head_dim: int
    vocabulary: int
    tied_embeddings: bool
    parameters: int
    max_positions: int
    dtype_name: str
    linears: tuple[LinearShape, ...]
    named_only: tuple[LinearShape, ...]
    stacked: tuple[LinearShape, ...]
    modules: Mapping[str, int]
    tensors: Mapping[str, tuple[int, ...]]
    experts_per_token: int = 0
    cached: tuple[CachedLayers, ...] = ()
    traits: Traits = field(default_factory=Traits)
    config_text: str = field(default="", compare=False)

    @functools.cached_property
    def bias_names(self) -> tuple[str, ...]:
        """Paths of all bias parameters."""
        return tuple(name for name in self.tensors if name == "bias" or name.endswith(".bias"))

    @functools.cached_property
    def layer_sizes(self) -> Mapping[str, tuple[int, int] | None]:
        """Inputs and outputs of each of `modules`, None for one that is no linear."""
        linears = [one for one in (*self.linears, *self.named_only) if one.kind != "embedding"]
        sizes = {path: (one.inputs, one.outputs) for one in linears for path in one.modules}
        return {path: sizes.get(path) for path in self.modules}

    @functools.cached_property
    def norms(self) -> Mapping[str, int]:
        """Those of `modules` that are called a norm."""
        return {path: count for path, count in self.modules.items()
                if "norm" in path.rpartition(".")[2]}


def model_shape(
    source: str, settings: Settings, *, revision: str | None = None, trust_remote_code: bool = False
) -> ModelShape:
    """The shape of what a recipe calls its model. Fetches config.json at most, never weights.

    A model of the catalogue is known without asking the Hub, so also offline and before its author
    agreed to anything.

    Raises ModelError when it is missing, needs remote code, or is of an unknown kind.
    """
    folder = None if source == STARTER else local_folder(source)
    known = None if folder else known_shape(source)
    if known is not None and (revision is None or source == STARTER):
        return known
    if folder is None:
        path = _hub_config(source, revision, settings)
        name = source.split("/")[-1]
    else:
        check_is_model(folder)
        path, name = folder / "config.json", folder.name
    config = read_config(path)
    check_remote_code(config, source, trust_remote_code)
    code_folder = str(path.parent) if trust_remote_code and config.get("auto_map") else None
    return _shape_of_text(json.dumps(config, sort_keys=True), name, code_folder)


def known_shape(source: str) -> ModelShape | None:
    """The shape of the starter or of a model of the catalogue; None for any other."""
    if source == STARTER:
        return _shape_of_text(json.dumps(STARTER_CONFIG), STARTER_NAME, None)
    config = known_config(source)
    if config is None:
        return None
    return _shape_of_text(json.dumps(config), source.split("/")[-1], None)


_hub_configs: dict[tuple[str, str | None], Path] = {}
_hub_lock = threading.Lock()


def _hub_config(source: str, revision: str | None, settings: Settings) -> Path:
    with _hub_lock:
        known = _hub_configs.get((source, revision))
        if known is None or not known.is_file():
            known = _hub_configs[source, revision] = fetch_config(source, settings, revision)
        return known


@functools.lru_cache(maxsize=64)
def _shape_of_text(text: str, name: str, code_folder: str | None) -> ModelShape:
    from huggingface_hub.errors import StrictDataclassError
    from transformers import AutoConfig

    try:
        if code_folder is not None:
            config = AutoConfig.from_pretrained(code_folder, trust_remote_code=True,
                                                local_files_only=True)
        else:
            values = json.loads(text)
            config = AutoConfig.for_model(**values)
        return shape_of_config(config, name)
    except (ValueError, KeyError, TypeError, AttributeError, ImportError, OSError,
            StrictDataclassError) as error:
        raise ModelError(
            f"The shape of {name} cannot be read from its config.json: {first_line(error)}",
            "Choose a text model that transformers can load for generation.",
        ) from error


def meta_model(config: PretrainedConfig) -> nn.Module:
    """The model without memory: its parameters have shapes only."""
    import torch
    from transformers import AutoModelForCausalLM

    make_models_in_turn()
    remote = bool(getattr(config, "auto_map", None))
    with torch.device("meta"):
        return AutoModelForCausalLM.from_config(config, trust_remote_code=remote)


def shape_of_config(config: PretrainedConfig, name: str = "") -> ModelShape:
    """The shape of what `config` describes. Raises ValueError where it is no causal LM."""
    return shape_of_model(meta_model(config), name)


def shape_of_model(model: Any, name: str = "") -> ModelShape:
    """The shape of a model in memory or on the meta device, before adapters are added."""
    config = model.config
    text = config.get_text_config()
    heads = _number(text, "num_attention_heads", "n_head")
    hidden = _number(text, "hidden_size", "n_embd")
    head = model.get_output_embeddings()
    embedding = model.get_input_embeddings()
    tied = head is not None and head.weight is embedding.weight
    kv_heads = _kv_heads(text, heads)
    head_dim = _number(text, "head_dim") or (hidden // heads if heads else 0)
    return ModelShape(
        name=name or getattr(config, "name_or_path", "") or config.model_type,
        model_type=config.model_type,
        architecture=type(model).__name__,
        layers=_number(text, "num_hidden_layers", "n_layer"),
        hidden=hidden,
        intermediate=_number(text, "intermediate_size", "ffn_dim", "ffn_hidden_size", "n_inner")
        or 4 * hidden,
        heads=heads,
        kv_heads=kv_heads,
        head_dim=head_dim,
        vocabulary=_number(text, "vocab_size"),
        tied_embeddings=tied,
        parameters=sum(p.numel() for p in model.parameters()),
        max_positions=_number(text, "max_position_embeddings", "n_positions", "seq_length"),
        dtype_name=str(getattr(config, "dtype", None) or "float32").removeprefix("torch."),
        linears=_linears(model, head),
        named_only=_named_only(model, head),
        stacked=_stacked(model),
        modules={path: sum(p.numel() for p in module.parameters())
                 for path, module in model.named_modules() if path},
        tensors={path: tuple(p.shape)
                 for path, p in model.named_parameters(remove_duplicate=False)},
        experts_per_token=_number(text, "num_experts_per_tok"),
        cached=cached_layers(config, kv_heads, head_dim),
        traits=traits_of(text, has_sdpa=bool(getattr(model, "_supports_sdpa", True))),
        config_text=json.dumps(config.to_dict(), sort_keys=True, default=str),
    )


def _number(config: Any, *names: str) -> int:
    for name in names:
        value = getattr(config, name, None)
        if isinstance(value, int):
            return value
        if isinstance(value, list) and value and isinstance(value[0], int):
            return max(value)
    return 0


def _kv_heads(config: Any, heads: int) -> int:
    if config.model_type == "falcon" and not config.new_decoder_architecture:
        return 1 if config.multi_query else heads
    return _number(config, "num_key_value_heads", "num_kv_heads") or heads


def _linears(model: Any, head: Any) -> tuple[LinearShape, ...]:
    """Every nn.Linear and Conv1D but the output head, as PEFT's "all-linear" takes them."""
    from torch import nn
    from transformers.pytorch_utils import Conv1D

    groups: dict[tuple[Any, ...], list[str]] = defaultdict(list)
    for path, module in model.named_modules():
        if module is head:
            continue
        leaf = path.rsplit(".", 1)[-1]
        if isinstance(module, Conv1D):
            inputs, outputs = module.weight.shape
            groups[leaf, inputs, outputs, True, "conv1d"].append(path)
        elif isinstance(module, nn.Linear):
            key = (leaf, module.in_features, module.out_features, module.bias is not None, "linear")
            groups[key].append(path)
    return tuple(_group(key, paths) for key, paths in groups.items())


def _group(key: tuple[Any, ...], paths: list[str], experts: int = 1) -> LinearShape:
    name, inputs, outputs, has_bias, kind = key
    return LinearShape(name, inputs, outputs, len(paths), has_bias, kind, tuple(paths), experts)


def _named_only(model: Any, head: Any) -> tuple[LinearShape, ...]:
    from torch import nn

    found = []
    for path, module in model.named_modules():
        leaf = path.rsplit(".", 1)[-1]
        if isinstance(module, nn.Embedding):
            # An embedding maps a token (one of num_embeddings) to embedding_dim numbers.
            key = (leaf, module.num_embeddings, module.embedding_dim, False, "embedding")
            found.append(_group(key, [path]))
        elif module is head and isinstance(module, nn.Linear):
            key = (leaf, module.in_features, module.out_features, module.bias is not None, "linear")
            found.append(_group(key, [path]))
    return tuple(found)


def _stacked(model: Any) -> tuple[LinearShape, ...]:
    """Expert and router weights that transformers 5 keeps as parameters instead of linears."""
    groups: dict[tuple[Any, ...], list[str]] = defaultdict(list)
    for path, module in model.named_modules():
        for name, parameter in module.named_parameters(recurse=False):
            shape = tuple(parameter.shape)
            if len(shape) == 3 and name.endswith("_proj"):
                experts, first, second = shape
                transposed = getattr(module, "is_transposed", False)
                inputs, outputs = (first, second) if transposed else (second, first)
                groups[name, inputs, outputs, False, "experts", experts].append(f"{path}.{name}")
            elif len(shape) == 2 and f"{path}.{name}".endswith(".gate.weight") \
                    and not hasattr(module, "in_features"):
                groups["gate.weight", shape[1], shape[0], False, "router", 1].append(
                    f"{path}.{name}")
    return tuple(_group(key[:5], paths, key[5]) for key, paths in groups.items())
