"""What an adapter cannot do on a model, said before anything is loaded.

Pure and fast: reads the recipe and the model's shape. Whether names match is found in `targets.py`
and `ranks.py`; here is what the kinds of `kinds.py` rule out.
"""

from __future__ import annotations

from collections.abc import Callable

from studio.adapters.kinds import kind_of
from studio.adapters.ranks import Target, initial_rank
from studio.adapters.size import prefix_width
from studio.adapters.targets import saved_modules, targets_of
from studio.errors import ModelError, RecipeError, StudioError
from studio.models.shape import ModelShape
from studio.recipe import Adapter, Recipe


def require_possible(recipe: Recipe, shape: ModelShape) -> None:
    """Raise RecipeError or ModelError for what the recipe's adapter cannot do with its other
    choices: the base's number format, packing, gradient checkpointing."""
    adapter, kind = recipe.adapter, kind_of(recipe.adapter.method)
    checked_targets(adapter, shape)
    _require_format(recipe)
    if not kind.joins_rows and recipe.data.packing:
        raise RecipeError(
            f"data.packing does not work with {kind.label}: the learned tokens stand before every "
            "text, and a packed row has several.", "Turn data.packing off.")
    if not kind.recomputes and recipe.training.gradient_checkpointing is True:
        raise RecipeError(f"training.gradient_checkpointing does not work with {kind.label}.",
                          "Set it to auto, or adapter.method to lora.")


def _require_format(recipe: Recipe) -> None:
    adapter, quantization = recipe.adapter, recipe.model.quantization
    if quantization != "none" and adapter.takes_apart:
        raise RecipeError(
            f"adapter.init {adapter.init} takes something out of the base's weights, which "
            f"{quantization} would round again.",
            "Set adapter.init to loftq (for 4bit) or default, or model.quantization to none.")
    if adapter.makes_up_for_rounding and quantization != "4bit":
        raise RecipeError("adapter.init loftq makes up for the rounding of a 4-bit base, but "
                          f"model.quantization is {quantization}.",
                          "Set model.quantization to 4bit, or adapter.init to default.")


def checked_targets(adapter: Adapter, shape: ModelShape) -> tuple[Target, ...]:
    """What the adapter sits on. Raises ModelError unless it can sit on this model."""
    targets = targets_of(adapter, shape)
    saved_modules(adapter, shape)
    for check in (_layers, _experts, _start, _adalora, _virtual, _prefix):
        problem = check(adapter, shape, targets)
        if problem is not None:
            raise problem
    return targets


_Check = Callable[[Adapter, ModelShape, tuple[Target, ...]], StudioError | None]


def _layers(
    adapter: Adapter, shape: ModelShape, targets: tuple[Target, ...]
) -> StudioError | None:
    """Kinds of layers that the kind of adapter knows."""
    kind = kind_of(adapter.method)
    kinds = {target.linear.kind: target.linear.name for target in targets}
    if "conv1d" in kinds and not kind.on_conv1d:
        return ModelError(f"{kind.label} does not work on the layers of {shape.name}, which are "
                          "stored the other way round (Conv1D).", "Set adapter.method to lora.")
    if "embedding" in kinds and adapter.method != "lora":
        return ModelError(
            f"{kind.label} does not work on {kinds['embedding']}, which is an embedding.",
            "Take it out of adapter.targets, or set adapter.method to lora.")
    return None


def _experts(
    adapter: Adapter, shape: ModelShape, targets: tuple[Target, ...]
) -> StudioError | None:
    if not any(target.linear.kind in ("experts", "router") for target in targets):
        return None
    switches = (("dropout", adapter.dropout > 0), ("use_dora", adapter.use_dora),
                ("layers", adapter.layer_numbers is not None),
                ("init", adapter.starts_from_base))
    on = [name for name, is_set in switches if is_set]
    if not on:
        return None
    back = {"layers": "Leave adapter.layers empty", "init": "Set adapter.init to default"}
    return ModelError(
        f"adapter.{on[0]} does not work on the experts of {shape.name}.",
        f"{back.get(on[0], f'Turn adapter.{on[0]} off')}, or set adapter.targets to attention.")


def _start(
    adapter: Adapter, shape: ModelShape, targets: tuple[Target, ...]
) -> StudioError | None:
    """Starts that are made from the base's weights."""
    if not adapter.starts_from_base:
        return None
    name = f"adapter.init {adapter.init}"
    if adapter.use_dora:
        return ModelError(f"{name} does not work together with DoRA.",
                          "Turn adapter.use_dora off, or set adapter.init to default.")
    tied = {path for one in shape.named_only for path in one.modules}
    for target in targets:
        linear = target.linear
        if tied & set(linear.modules):
            return ModelError(f"{name} does not work on {linear.name}.",
                              "Take it out of adapter.targets.")
        if linear.kind == "conv1d" and adapter.init == "olora":
            return ModelError(f"{name} does not work on the layers of {shape.name}, which are "
                              "stored the other way round (Conv1D).", "Set adapter.init to pissa.")
        if target.rank > min(linear.inputs, linear.outputs):
            return ModelError(
                f"{name} finds at most {min(linear.inputs, linear.outputs)} directions in "
                f"{linear.name}, but the rank is {target.rank}.", "Lower adapter.rank.")
    return None


def _adalora(
    adapter: Adapter, shape: ModelShape, targets: tuple[Target, ...]
) -> StudioError | None:
    if adapter.method != "adalora" or initial_rank(adapter) > adapter.rank:
        return None
    return ModelError(
        f"adapter.initial_rank is {adapter.initial_rank}, but AdaLoRA begins wider than it ends, "
        f"and adapter.rank is {adapter.rank}.",
        f"Set adapter.initial_rank above {adapter.rank}, or to 0 for half as much again.")


def _virtual(
    adapter: Adapter, shape: ModelShape, targets: tuple[Target, ...]
) -> StudioError | None:
    if kind_of(adapter.method).sits_inside or adapter.trains_base:
        return None
    label = kind_of(adapter.method).label
    if 0 < shape.max_positions <= adapter.virtual_tokens:
        return ModelError(f"{shape.name} reads {shape.max_positions} tokens, which "
                          f"adapter.virtual_tokens {adapter.virtual_tokens} would fill alone.",
                          "Lower adapter.virtual_tokens.")
    embedding = shape.named_only[0] if shape.named_only else None
    if adapter.method == "prompt_tuning" and embedding and embedding.outputs != shape.hidden:
        return ModelError(f"{label} does not work with {shape.name}, whose embeddings are "
                          f"{embedding.outputs} wide and its layers {shape.hidden}.",
                          "Set adapter.method to prefix_tuning or lora.")
    return None


def _prefix(
    adapter: Adapter, shape: ModelShape, targets: tuple[Target, ...]
) -> StudioError | None:
    """PEFT makes keys and values of one size for every layer, so the model must cache such."""
    if adapter.method != "prefix_tuning":
        return None
    widths = {layers.width for layers in shape.cached}
    layers = sum(layers.count for layers in shape.cached)
    if widths == {2 * prefix_width(shape)} and layers == shape.layers:
        return None
    return ModelError(f"Prefix tuning does not work with {shape.name}, whose layers do not all "
                      "keep keys and values of one size.",
                      "Set adapter.method to prompt_tuning or lora.")
