"""Several examples in one row without padding, and the proof that they do not see each other.

A joined row restarts its position ids at each example; transformers then masks attention between
them. Whether a model honours that is tried on the model itself, since some architectures do not.
Does not tokenise: examples come as `input_ids` and `labels`.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from studio.models.quantized import computed_as_in_training
from studio.models.wrapped import without_wrapper
from studio.training.attention import ROWS, register_row_attention

if TYPE_CHECKING:
    import datasets
    import torch

_ALONE_TOLERANCE = 0.1
"""Of the logits' spread: what rounding in 16 bits may change when a row gets longer."""


def can_join_rows(model: Any) -> bool:
    """True if `model` computes joined rows as if each example were alone; readies it for them.

    On a CPU its attention is switched to the one that skips what examples must not see; on a GPU
    a mask is cheaper than many small kernels.
    """
    base = without_wrapper(model)
    own = base.config._attn_implementation
    if own == "sdpa" and base.device.type == "cpu":
        register_row_attention()
        base.set_attn_implementation(ROWS)
        if keeps_examples_apart(model):
            return True
        base.set_attn_implementation(own)
    return keeps_examples_apart(model)


def keeps_examples_apart(model: Any) -> bool:
    """True if an example's logits do not depend on its neighbours in a joined row.

    The example comes first, before which a causal model sees nothing, and once more behind a
    neighbour; the same with another neighbour. Behind them its logits must agree with each other,
    and with those of the example by itself.
    """
    example, neighbour, other = _tokens(model)
    joined = _measured(model, [example, neighbour, example])
    again = _measured(model, [example, other, example])
    if joined is None or again is None:
        return False
    length = len(example)
    alone, joined, again = joined[:length], joined[-length:], again[-length:]
    spread = alone.std().clamp(min=1e-6)
    same = float((joined - again).abs().max() / spread) < 1e-3
    return same and float((joined - alone).abs().max() / spread) < _ALONE_TOLERANCE


def _tokens(model: Any) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """An example of 7 tokens and two different neighbours of 5, from the model's vocabulary."""
    import torch

    numbers = torch.arange(1, 18) * 7919 % model.get_input_embeddings().weight.shape[0]
    return numbers[:7], numbers[7:12], numbers[12:17]


def _measured(model: Any, examples: list[torch.Tensor]) -> torch.Tensor | None:
    """`_logits`, or None where the architecture does not take the description of a row."""
    try:
        with measuring(model):
            return _logits(model, examples)
    except TypeError:
        return None


@contextmanager
def measuring(model: Any) -> Iterator[None]:
    """Inside the block the model is in evaluation mode and keeps no gradients.

    Quantised layers compute as in training, so that what is measured is what is trained.
    """
    import torch

    was_training = model.training
    model.eval()
    try:
        with torch.no_grad(), computed_as_in_training(model):
            yield
    finally:
        model.train(was_training)


def _logits(model: Any, examples: list[torch.Tensor]) -> torch.Tensor:
    """Logits of all tokens of a joined row as the trainer makes it, (tokens, vocabulary)."""
    from trl.trainer.sft_trainer import DataCollatorForLanguageModeling

    join = DataCollatorForLanguageModeling(pad_token_id=0, padding_free=True)
    device = next(model.parameters()).device
    row = join([{"input_ids": example.tolist()} for example in examples])
    inputs = {name: value.to(device) if hasattr(value, "to") else value
              for name, value in row.items() if name != "labels"}
    logits: torch.Tensor = model(**inputs, use_cache=False).logits
    return logits[0].float()


def pack(dataset: datasets.Dataset, max_length: int) -> datasets.Dataset:
    """Rows of up to `max_length` tokens, filled best-fit; no example is split.

    The column `seq_lengths` keeps where each example of a row ends.
    """
    import datasets
    from trl import pack_dataset

    datasets.disable_progress_bars()  # the run's events tell how far it is
    columns = dataset.select_columns(["input_ids", "labels"])
    return pack_dataset(columns, max_length, "bfd")
