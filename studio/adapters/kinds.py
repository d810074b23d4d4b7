"""Every kind of adapter in one table: what it is for, what it costs, and what it cannot do.

Read by the form, the chat, the export and the estimate. Words and facts only; how many parameters
a kind trains is counted in `count.py`, what a recipe asks in vain is said in `limits.py`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from studio.recipe import Adapter


@dataclass(frozen=True)
class Kind:
    """One value of `adapter.method`.

    `memory` and `disk` compare with lora, in words. `sits_inside`: on modules of the base, so that
    it can be merged into them. `shares_a_batch`: several answer one question together in a chat.
    `on_quantised`: on a 4-bit or 8-bit base. `on_conv1d`: on GPT-2's layers. `on_experts`: on the
    stacked weights of a mixture of experts; the others leave them alone. `joins_rows`: examples
    may share a row without padding. `recomputes`: gradient checkpointing works with it.
    """

    name: str
    label: str
    summary: str
    good_for: str
    memory: str
    disk: str
    peft_type: str
    sits_inside: bool = True
    shares_a_batch: bool = False
    on_quantised: bool = True
    on_conv1d: bool = True
    on_experts: bool = False
    joins_rows: bool = True
    recomputes: bool = True

    @property
    def merges(self) -> bool:
        """Whether an export can make it a part of the base, at no cost when answering."""
        return self.sits_inside


_ALL = (
    Kind("lora", "LoRA",
         "Learns two thin matrices beside each layer; the base stays frozen.",
         "Nearly everything: the first to try, and the fastest here.",
         "The optimizer remembers two numbers for each trained one; the base needs no gradients.",
         "Some megabytes, larger with the rank.", "LORA",
         shares_a_batch=True, on_experts=True),
    Kind("adalora", "AdaLoRA",
         "LoRA that begins wider and takes rank away where it matters least.",
         "Getting the most out of a fixed size, in runs of some hundred steps and more.",
         "About half as much again as lora at the start, and as much once more for the importance "
         "of each parameter.",
         "About that of lora when the run is over.", "ADALORA"),
    Kind("vera", "VeRA",
         "Fixed random matrices that all layers share; learns only how strong each row counts.",
         "Very many small adapters of one base. Takes a higher rank than lora, such as 256.",
         "Less than a tenth of what lora trains; the shared matrices take memory once.",
         "The learned numbers are tiny; the shared random matrices are kept beside them, so that "
         "every PC reads the same.", "VERA"),
    Kind("ia3", "IA³",
         "Learns one factor for each output, or for each input of the last feed-forward layer.",
         "Few examples and simple tasks: hardly anything to overfit with.",
         "The least of those inside the model: some hundredths of lora.",
         "Some kilobytes.", "IA3"),
    Kind("oft", "OFT",
         "Rotates the inputs of each layer in blocks, which keeps what the base knows apart.",
         "New styles and tasks with as little forgetting as possible. Slower than lora.",
         "Grows with the block size; each layer keeps its rotated input for the backward pass.",
         "Like lora's at a similar number of parameters.", "OFT",
         on_conv1d=False),
    Kind("prompt_tuning", "Prompt tuning",
         "Learns a few made-up tokens that stand before every text; the model is untouched.",
         "Many tiny tasks on one large model. Weak on small models and slow to learn.",
         "Nearly nothing for the adapter, a little more for the longer texts.",
         "Some kilobytes.", "PROMPT_TUNING",
         sits_inside=False, joins_rows=False),
    Kind("prefix_tuning", "Prefix tuning",
         "Learns keys and values that every layer sees before the text.",
         "As prompt tuning, but stronger, since it reaches every layer.",
         "Little for the adapter; without gradient checkpointing, which does not work with it.",
         "Some hundred kilobytes.", "PREFIX_TUNING",
         sits_inside=False, joins_rows=False, recomputes=False),
    Kind("none", "All weights",
         "Trains every weight of the base; there is no adapter.",
         "Large changes with much data, such as a new language or field, where memory is plenty.",
         "Weights, gradients and optimizer for every parameter: many times that of lora.",
         "A whole model.", "",
         sits_inside=False, on_quantised=False, on_experts=True),
)
KINDS = {kind.name: kind for kind in _ALL}
"""By `adapter.method`, in the order in which they are offered."""
_BY_PEFT_TYPE = {kind.peft_type: kind for kind in _ALL if kind.peft_type}


@dataclass(frozen=True)
class Variant:
    """Something that a LoRA can be beside plain. `key` is the recipe's field that switches it on,
    `value` the value that does, None for a switch or a number above 0."""

    key: str
    label: str
    summary: str
    good_for: str
    memory: str
    value: str | None = None


VARIANTS = (
    Variant("adapter.use_rslora", "rsLoRA", "Scales by alpha / √rank instead of alpha / rank.",
            "High ranks, which plain LoRA makes too weak.", "Costs nothing."),
    Variant("adapter.use_dora", "DoRA", "Learns the size and the direction of each weight apart.",
            "Low ranks, where it comes closer to training all weights.",
            "One more number for each output; each step computes every adapted weight, which "
            "takes time and memory."),
    Variant("adapter.lora_plus_ratio", "LoRA+", "The second matrix learns faster than the first.",
            "Fewer steps to the same loss.", "Costs nothing."),
    Variant("adapter.init", "PiSSA",
            "Starts from the strongest directions of each weight and freezes the rest.",
            "Learning faster than from nothing.",
            "As lora while it trains; the file is twice as large, since it also takes out what "
            "the start put in. Starting takes longer.", "pissa"),
    Variant("adapter.init", "OLoRA", "Starts from an orthonormal basis of each weight.",
            "Learning faster than from nothing; starts sooner than PiSSA.",
            "As lora while it trains; the file is twice as large.", "olora"),
    Variant("adapter.init", "LoftQ", "Starts from what the 4-bit rounding took away.",
            "Low ranks on a 4-bit base.", "As lora. Starting reads the unrounded weights once.",
            "loftq"),
    Variant("adapter.init", "Gaussian start", "Starts the first matrix from a normal "
            "distribution.", "Comparing with papers that do so.", "Costs nothing.", "gaussian"),
)


def kind_of(name: str) -> Kind:
    """The row of `adapter.method` `name`."""
    return KINDS[name]


def kind_of_peft(peft_type: str) -> Kind | None:
    """The row of an adapter on disk by PEFT's own name of its method; None for one that the
    studio does not train."""
    return _BY_PEFT_TYPE.get(peft_type.upper())


def variants_of(adapter: Adapter) -> tuple[Variant, ...]:
    """What `adapter` is beside plain LoRA; nothing for the other kinds."""
    if adapter.method != "lora":
        return ()
    return tuple(variant for variant in VARIANTS if _is_on(variant, adapter))


def _is_on(variant: Variant, adapter: Adapter) -> bool:
    value = getattr(adapter, variant.key.partition(".")[2])
    return bool(value) if variant.value is None else value == variant.value


def trains_base_along(adapter: Adapter) -> bool:
    """Whether modules or biases of the base are trained beside the adapter, in 32 bits."""
    if adapter.method in ("prompt_tuning", "prefix_tuning", "none"):
        return False
    has_biases = adapter.method != "ia3" and adapter.bias != "none"
    return has_biases or bool(adapter.modules_to_save)


def describe(adapter: Adapter) -> str:
    """The adapter in a few words: "LoRA rank 16", "DoRA and LoRA+ rank 8", "OFT in blocks of 32".
    """
    kind = kind_of(adapter.method)
    size = {
        "lora": f" rank {adapter.rank}", "vera": f" rank {adapter.rank}",
        "adalora": f" rank {adapter.rank}", "oft": f" in blocks of {adapter.block_size}",
        "prompt_tuning": f" with {adapter.virtual_tokens} tokens",
        "prefix_tuning": f" with {adapter.virtual_tokens} tokens",
    }.get(adapter.method, "")
    names = " and ".join(variant.label for variant in variants_of(adapter)) or kind.label
    return f"{names}{size}"
