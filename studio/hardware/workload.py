"""One training step as the memory estimate sees it: sizes, number formats, and switches.

Made from a recipe, a model's shape and a device; every `auto` is decided here the way training
decides it. Knows no formula: bytes are counted in `static_memory.py` and `step_memory.py`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from studio.adapters.count import kept_beside, trainable_parameters
from studio.adapters.kinds import kind_of
from studio.adapters.targets import targets_of
from studio.hardware.fused_layers import has_plain_adapter, wants_fused_layers
from studio.hardware.objectives import (
    OBJECTIVES,
    WRITTEN_TOGETHER,
    Objective,
    compares,
    keeps_start_copy,
)
from studio.hardware.precision import choose_precision

if TYPE_CHECKING:
    from studio.device import Device
    from studio.models.shape import LinearShape, ModelShape
    from studio.recipe import Recipe

DTYPE_BYTES = {"bfloat16": 2, "float16": 2, "float32": 4}
LABELLED_SHARE = 0.5
"""Of the tokens, where only the answers are learned from and the data is not known: as if prompts
and answers were about as long."""
MOST_JOINED_TOKENS = 8192
"""Up to here the processor computes a micro-batch as one row without padding; layers that need a
mask of the whole row need its square."""

Attention = Literal["eager", "sdpa", "flash_attention_2"]
Sharded = Literal["nothing", "optimizer", "gradients", "weights"]
"""What several GPUs divide among them, each with all before it: ZeRO's stages; FSDP divides all."""
Loss = Literal["chunked", "one pass", "fused", "kernel", "half", "full"]
"""How the loss is computed. chunked: TRL's, logits a tile at a time. one pass: the studio's, which
makes the gradient of the hidden states from each tile at once and keeps only it. fused: Liger's,
the head's product in slices. kernel: one GPU kernel over whole 16-bit logits. half: torch's over
whole logits in their own format. full: torch's over a float32 copy, Hugging Face's classic.
"""


@dataclass(frozen=True)
class Examples:
    """What is known of the data: the longest example in tokens, and the share of all tokens that
    carry loss. None: `data.max_length` counts, and `LABELLED_SHARE`."""

    longest_tokens: int | None = None
    labelled_share: float | None = None


UNKNOWN = Examples()


@dataclass(frozen=True)
class Workload:
    """What decides the memory of one training step. Sizes in bytes per number.

    `weight_bytes` is of an unquantised weight and of the residual stream, `activation_bytes` of
    what is computed from it (less under `autocast`), `trainable_bytes` of a trained weight.
    `norm_bytes` is of the norms' weights where they are wider than the rest, as PEFT's preparation
    of a quantised base leaves them: the residual stream is then as wide. `unquantized_bytes` is
    of embeddings and head beside a quantised base. `mask_width` is the row length of the attention
    mask, 0 where there is none; `apart`: examples of a joined row are computed one by one, and
    only layers with a window need that mask. `has_triton` says whether the chunked loss runs as a
    GPU kernel without float32 copies. `lengths_vary`: steps differ in length, and the GPU's
    allocator cannot stretch its blocks; None: not known. `has_reference`: the loss compares with
    the untrained model too. `written_rows`: answers that are written at once, 0 for a micro-batch.
    `kept_beside_adapter`: numbers in 32 bits that the kind of adapter keeps and does not train.
    `fused_layers`: norms and gates keep only their inputs; `fused_adapters`: adapted layers only
    their input and the product with A, both in the base's format.

    The last few say how other software than the studio's differs. `logit_bytes`: bytes per logit at
    the loss's peak, where known. `experts_as_linears`: a mixture's experts are single linear layers
    (transformers before 5), quantised with the others. `fast_norms`: a kernel that keeps only the
    norm's input as it came; `fast_activation`: one that keeps only its input.
    `keeps_quantized_inputs`: of every 8-bit product, and of 4-bit ones before bitsandbytes 0.43.2.
    `offloads_activations`: layer inputs wait in main memory. `updates_in_backward`: each layer's
    gradient is used and dropped as soon as it is there. `master_weights`: 32-bit copies beside
    16-bit weights. `shards` GPUs hold a part each of what is `sharded`. `fused_qkv`: query, key and
    value are one product whatever the configuration says, and `padded_adapter` that the adapter's
    share of it is copied into place (litgpt).
    """

    device: Literal["cuda", "mps", "cpu"]
    batch: int
    length: int
    dtype: str
    weight_bytes: int
    activation_bytes: int
    trainable_bytes: int
    trains_base: bool
    trainable: int
    rank: int
    targets: frozenset[str]
    optimizer: str
    checkpointing: bool
    attention: Attention
    quantization: Literal["none", "8bit", "4bit"] = "none"
    double_quantization: bool = True
    autocast: bool = False
    accumulates: bool = False
    mask_width: int = 0
    apart: bool = False
    dropout: bool = False
    dora: bool = False
    norm_bytes: int | None = None
    unquantized_bytes: int | None = None
    loss: Loss = "chunked"
    labelled_share: float = 1.0
    has_triton: bool = False
    foreach_optimizer: bool = False
    experts_as_linears: bool = False
    logit_bytes: float | None = None
    fast_norms: bool = False
    fast_activation: bool = False
    offloads_activations: bool = False
    fused_qkv: bool = False
    keeps_quantized_inputs: bool = False
    lengths_vary: bool | None = False
    objective: Objective = "sft"
    has_reference: bool = False
    written_rows: int = 0
    kept_beside_adapter: int = 0
    fused_layers: bool = False
    fused_adapters: bool = False
    evaluates: bool = False
    updates_in_backward: bool = False
    master_weights: bool = False
    shards: int = 1
    sharded: Sharded = "nothing"
    padded_adapter: bool = False

    def shards_of(self, what: Sharded) -> int:
        """Into how many parts the weights, gradients or optimizer states are divided."""
        order = ("nothing", "optimizer", "gradients", "weights")
        return self.shards if order.index(self.sharded) >= order.index(what) else 1

    @property
    def stream_bytes(self) -> int:
        """Bytes per number of the residual stream."""
        return max(self.weight_bytes, self.norm_bytes or 0)

    @property
    def tokens(self) -> int:
        """Tokens computed at once, padding included; a pair of answers makes two rows."""
        return self.batch * OBJECTIVES[self.objective].rows * self.length

    @property
    def compares(self) -> bool:
        """True where the untrained model's answer to the same tokens is computed too."""
        return self.has_reference or OBJECTIVES[self.objective].compares

    @property
    def on_gpu(self) -> bool:
        """True where a CUDA context and torch's caching allocator come on top."""
        return self.device == "cuda"


def workload_of(
    recipe: Recipe, shape: ModelShape, device: Device, *, checkpointing: bool,
    examples: Examples = UNKNOWN,
) -> Workload:
    """The step that `recipe` asks for."""
    precision = choose_precision(recipe, device)
    trains_base = recipe.adapter.trains_base
    weight_bytes = DTYPE_BYTES[precision.base_dtype]
    dtype = precision.autocast or precision.base_dtype
    longest = _longest(recipe, examples.longest_tokens)
    attention: Attention = "sdpa" if recipe.model.attention == "auto" else recipe.model.attention
    on_cuda = device.kind == "cuda"
    fuses = wants_fused_layers(recipe, device.kind, autocast=precision.autocast is not None)
    plain_adapter = fuses and has_plain_adapter(recipe)
    fused_layers = fuses and device.kind == "cpu"
    return Workload(
        device=device.kind, batch=recipe.training.batch_size, length=longest, dtype=dtype,
        weight_bytes=weight_bytes, activation_bytes=DTYPE_BYTES[dtype],
        trainable_bytes=weight_bytes if trains_base else 4,
        trains_base=trains_base, trainable=trainable_parameters(recipe, shape),
        rank=recipe.adapter.rank, targets=_targets(recipe, shape),
        optimizer=recipe.training.optimizer, checkpointing=checkpointing, attention=attention,
        quantization=recipe.model.quantization,
        double_quantization=recipe.model.double_quantization,
        autocast=precision.autocast is not None,
        accumulates=recipe.training.gradient_accumulation > 1,
        mask_width=_mask_width(recipe, device, longest, attention),
        apart=_is_joined(recipe, device, longest) and attention == "sdpa",
        dropout=recipe.adapter.dropout > 0, dora=recipe.adapter.use_dora,
        labelled_share=_labelled_share(recipe, examples.labelled_share, longest),
        has_triton=on_cuda,
        loss="one pass" if (fused_layers or plain_adapter) and _has_own_head(recipe, shape, device)
        else "chunked",
        fused_layers=fused_layers, fused_adapters=plain_adapter,
        # torch's default on CUDA: all parameters in one go.
        foreach_optimizer=on_cuda and recipe.training.optimizer == "adamw_torch",
        lengths_vary=on_cuda and not _packs(recipe) and not device.blocks_stretch,
        kept_beside_adapter=kept_beside(recipe, shape)
        + (trainable_parameters(recipe, shape) if keeps_start_copy(recipe) else 0),
        objective=recipe.training.method, evaluates=recipe.data.eval_fraction > 0,
        has_reference=compares(recipe),
        written_rows=min(WRITTEN_TOGETHER * recipe.training.batch_size,
                         recipe.training.effective_batch_size),
    )


def _has_own_head(recipe: Recipe, shape: ModelShape, device: Device) -> bool:
    """Whether the studio's own head can stand in for TRL's: scores that are a plain product with
    frozen weights, of learned tokens alone."""
    if not OBJECTIVES[recipe.training.method].joins or device.kind == "cuda":
        return False
    heads = {linear.name for linear in shape.named_only if linear.kind == "linear"}
    named = {*recipe.adapter.modules_to_save, *_targets(recipe, shape)}
    return (recipe.speed.skip_prompt_logits is not False and not recipe.adapter.trains_base
            and not shape.traits.scales_logits and not named & heads)


def _packs(recipe: Recipe) -> bool:
    """Whether short examples are packed into full rows."""
    return recipe.data.packing and OBJECTIVES[recipe.training.method].joins


def _longest(recipe: Recipe, known: int | None) -> int:
    """Tokens of the longest example; an answer of the model's own comes behind its prompt."""
    longest = recipe.data.max_length
    if known is not None and not _packs(recipe):
        longest = min(known, longest)
    writes = OBJECTIVES[recipe.training.method].writes
    kind = kind_of(recipe.adapter.method)
    in_front = 0 if kind.sits_inside or recipe.adapter.trains_base else \
        recipe.adapter.virtual_tokens
    return in_front + longest + (recipe.reinforcement.answer_tokens if writes else 0)


def _labelled_share(recipe: Recipe, known: float | None, length: int) -> float:
    if OBJECTIVES[recipe.training.method].writes:
        return recipe.reinforcement.answer_tokens / length
    if not learns_answers_only(recipe):
        return 1.0
    return LABELLED_SHARE if known is None else known


def learns_answers_only(recipe: Recipe) -> bool:
    """Whether a part of the data's tokens carries no loss: what stands before the answers."""
    method = recipe.training.method
    if OBJECTIVES[method].scores or method == "pretrain":
        return False
    return method != "sft" or recipe.data.loss_on != "all"


def _mask_width(recipe: Recipe, device: Device, length: int, attention: Attention) -> int:
    """Length of the rows that the attention mask is made for; 0 where none is needed.

    Examples joined in one row are masked from each other; padded ones need their padding masked.
    """
    batch = recipe.training.batch_size
    if attention == "flash_attention_2" or (batch == 1 and not _packs(recipe)):
        return 0
    joined = _is_joined(recipe, device, length)
    return batch * length if joined or _packs(recipe) else length


def _is_joined(recipe: Recipe, device: Device, length: int) -> bool:
    """True where a processor computes the examples of a micro-batch in one row without padding."""
    if not OBJECTIVES[recipe.training.method].joins:
        return False
    if not kind_of(recipe.adapter.method).joins_rows:
        return False
    several = recipe.data.packing or recipe.training.batch_size > 1
    fits = recipe.training.batch_size * length <= MOST_JOINED_TOKENS
    return device.kind == "cpu" and several and (fits or recipe.data.packing)


def _targets(recipe: Recipe, shape: ModelShape) -> frozenset[str]:
    """Names of the linear layers that keep their input for the backward pass."""
    if recipe.adapter.trains_base:
        return frozenset(linear.name for linear in shape.linears)
    return frozenset(target.linear.name for target in targets_of(recipe.adapter, shape))


def linear_parameters(linears: tuple[LinearShape, ...]) -> int:
    """Weights of the linear layers, biases left out."""
    return sum(linear.inputs * linear.outputs * linear.count for linear in linears)
