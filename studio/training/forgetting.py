"""How much of what the base model knew gets lost: its loss on general text, before and now.

Measured before the first step, at each evaluation, and at the end, as a `forgetting` event; an
alarm comes once when the loss has risen beyond `monitor.forgetting_threshold`. The text is a small
set that comes with the studio (assets/general.jsonl) or a source of the person's own.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from studio.data.answer_spans import Span
from studio.data.checks.samples import sample_of
from studio.data.encode import NO_LOSS, Encoded, encode
from studio.data.example import labels_of
from studio.data.lab.look import open_whole
from studio.errors import DataError, Stopped
from studio.models.generation import pad_id_of
from studio.progress import Step
from studio.recipe import Data, Monitor
from studio.training.answering import undisturbed
from studio.training.observer import Live
from studio.training.untrained import AsksBase

if TYPE_CHECKING:
    from studio.data.encoder import Encoder

GENERAL_TEXTS = Path(__file__).parents[2] / "assets" / "general.jsonl"
_TOKENS_AT_ONCE = 256
"""In one batch: the logits of so many positions are small even with a large vocabulary."""
_OWN_RECORDS = 200
_OWN_TOKENS = 20_000
"""Read of a source of the person's own: enough to measure, and quick."""
_HINT = ("Some is usual. To lose less: a lower learning rate or rank, fewer epochs, or general "
         "examples mixed into the data (data.mix).")


@dataclass(frozen=True)
class Piece:
    """One text as tokens, and which of them count: (first, behind the last) numbers."""

    ids: list[int]
    counted: list[Span]


class Forgetting(AsksBase):
    """Measures the loss on general text beside the held-out loss."""

    what = "the forgetting meter"

    def __init__(self, monitor: Monitor) -> None:
        self._monitor = monitor
        self._live: Live | None = None
        self._pieces: list[Piece] = []
        self._base_loss: float | None = None
        self._measured_step = -1

    def begin(self, live: Live) -> None:
        self._pieces = self._chosen(live)
        if not self._pieces:
            return
        self._live = live
        known = live.run.story().forgetting
        if known:
            self._base_loss, self._measured_step = known[0].base_loss, known[-1].step
        elif live.step == 0:
            self.begin_with_base(live)
        else:
            self._measure_base_again(live)

    def recalls_base(self, live: Live) -> bool:
        return live.untrained is not None and (
            live.untrained.recall(_question(self._pieces)) is not None)

    def ask_base(self, live: Live) -> None:
        self._measure(live, 0)

    def evaluated(self, step: int, loss: float) -> None:
        self.settle_base()
        self._measure_once(step)

    def ended(self, step: int) -> None:
        self.settle_base()
        self._measure_once(step)

    def close(self) -> None:
        self._live = None

    def _chosen(self, live: Live) -> list[Piece]:
        """The texts; a source of the person's own that cannot be read is told, and no more."""
        assert live.data.whole.encoder is not None
        encoder, source = live.data.whole.encoder, self._monitor.forgetting_source
        try:
            found = _own_pieces(live, source) if source else list(general_pieces(encoder))
        except Stopped:
            return []
        except DataError as error:
            live.run.append("note", level="warning", text=(
                f"Forgetting is not measured, since the general text cannot be read: {error}"))
            return []
        return found

    def _measure_once(self, step: int) -> None:
        live = self._live
        if live is None or self._base_loss is None or live.is_spoilt:
            return
        if step > self._measured_step:
            self._measure(live, step)

    def _measure(self, live: Live, step: int) -> None:
        began = time.monotonic()
        loss = loss_per_token(live, self._pieces) if step else loss_of_base(live, self._pieces)
        live.settle()
        if loss is None:
            return
        if self._base_loss is None:
            self._base_loss = loss
        self._measured_step = step
        live.run.append("forgetting", step=step, loss=loss, base_loss=self._base_loss,
                        seconds=round(time.monotonic() - began, 3))
        self._warn(live, step, loss)

    def _measure_base_again(self, live: Live) -> None:
        """A resumed run that never measured: the base is what is left without the adapter."""
        if not hasattr(live.model, "disable_adapter"):
            live.run.append("note", level="warning", text=(
                "Forgetting is not measured: the base model was not measured before the first "
                "step, and its weights have changed since."))
            return
        self._base_loss = loss_per_token(live, self._pieces, without_adapter=True)
        live.settle()

    def _warn(self, live: Live, step: int, loss: float) -> None:
        assert self._base_loss is not None
        rise = loss / self._base_loss - 1 if self._base_loss else 0.0
        told = any(alarm.kind == "forgetting" for alarm in live.run.story().alarms)
        if rise > self._monitor.forgetting_threshold and not told:
            live.run.append(
                "alarm", kind="forgetting", level="warning", step=step, hint=_HINT,
                text=f"The model forgets: its loss on general text has risen by {rise:.0%}, from "
                     f"{self._base_loss:.3f} to {loss:.3f}.")


def general_pieces(encoder: Encoder) -> Iterator[Piece]:
    """The studio's own texts. No end token behind them: whether a text is over is no knowledge."""
    for line in GENERAL_TEXTS.read_text(encoding="utf-8").splitlines():
        ids = encoder.tokenizer.encode(json.loads(line)["text"],
                                       add_special_tokens=encoder.plain_has_bos).ids
        yield Piece(ids, [(0, len(ids))])


def _own_pieces(live: Live, source: str) -> list[Piece]:
    """The first records of a source, rendered and counted as the run's own data are.

    Raises DataError and Stopped.
    """
    wanted = live.recipe.data
    data = Data(source=source, template=wanted.template, custom_template=wanted.custom_template,
                loss_on=wanted.loss_on, max_length=wanted.max_length)
    whole = open_whole(data, live.settings, live.tokenizer, progress=live.progress, stop=live.stop)
    if whole.encoder is None:
        raise whole.template_error or DataError(
            f"No record of {source} can be read as text or conversation.")
    pieces: list[Piece] = []
    tokens = 0
    for row in whole.teachable.nonzero()[0][:_OWN_RECORDS].tolist():
        [encoded] = encode(whole.encoder, [sample_of(whole, row)])
        if isinstance(encoded, Encoded):
            ids = encoded.ids[:data.max_length].tolist()
            pieces.append(Piece(ids, encoded.loss))
            tokens += len(ids)
        if tokens >= _OWN_TOKENS:
            break
    if not pieces:
        raise DataError(f"No record of {source} can be measured.", "Choose another file.")
    return pieces


def loss_per_token(
    live: Live, pieces: list[Piece], *, without_adapter: bool = False
) -> float | None:
    """Mean cross entropy over the counted tokens, in nats; None where a stop was asked for.

    The first token of a text is never predicted and does not count.
    """
    total, tokens = 0.0, 0
    adapter_off: Callable[[], Any] = (
        live.model.disable_adapter if without_adapter else nullcontext)
    batches = list(_batches(pieces))
    with undisturbed(live), adapter_off():
        for number, batch in enumerate(batches):
            if live.stop():
                return None
            live.progress(Step("Measuring the loss on general text", number, len(batches)))
            summed, count = _summed_loss(live, batch)
            total, tokens = total + summed, tokens + count
    return total / max(tokens, 1)


def loss_of_base(live: Live, pieces: list[Piece]) -> float | None:
    """The same of the model before its first step; remembered where the base may be asked."""
    if live.untrained is None:
        return loss_per_token(live, pieces)
    known = live.untrained.recall(_question(pieces))
    if known is not None:
        return float(known)
    loss = loss_per_token(live, pieces, without_adapter=True)
    if loss is not None:
        live.untrained.remember(_question(pieces), loss)
    return loss


def _question(pieces: list[Piece]) -> dict[str, Any]:
    return {"loss": [[piece.ids, piece.counted] for piece in pieces]}


def _batches(pieces: list[Piece]) -> Iterator[list[Piece]]:
    """Texts of similar length together, so that little is padding."""
    batch: list[Piece] = []
    for piece in sorted(pieces, key=lambda one: len(one.ids)):
        if batch and (len(batch) + 1) * len(piece.ids) > _TOKENS_AT_ONCE:
            yield batch
            batch = []
        batch.append(piece)
    if batch:
        yield batch


def _summed_loss(live: Live, batch: list[Piece]) -> tuple[float, int]:
    """Sum of the cross entropy of one padded batch, and how many tokens it is over."""
    import torch

    longest = max(len(piece.ids) for piece in batch)
    ids = torch.full((len(batch), longest), pad_id_of(live.tokenizer))
    labels = torch.full_like(ids, NO_LOSS)
    mask = torch.zeros_like(ids)
    for number, piece in enumerate(batch):
        length = len(piece.ids)
        ids[number, :length] = torch.tensor(piece.ids)
        labels[number, :length] = torch.tensor(labels_of(piece.ids, piece.counted))
        mask[number, :length] = 1
    place = live.device.torch_name
    logits = live.model(input_ids=ids.to(place), attention_mask=mask.to(place),
                        use_cache=False).logits
    following = labels[:, 1:].to(place)
    counted = following != NO_LOSS
    summed = torch.nn.functional.cross_entropy(
        logits[:, :-1][counted].float(), following[counted], reduction="sum")
    return float(summed), int(counted.sum())
