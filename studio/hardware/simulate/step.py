"""One training step on the meta device: forward, loss, backward, optimizer, each phase counted."""

from __future__ import annotations

from collections import Counter
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any

from studio.hardware.simulate.casting import casting, forget_copies
from studio.hardware.simulate.counting import LiveBytes, Phase, watching
from studio.hardware.simulate.losses import loss_of
from studio.hardware.simulate.model import BuiltModel
from studio.hardware.simulate.optimizers import optimizer_step
from studio.hardware.workload import Workload

SMALLEST_OFFLOADED = 1024
"""Numbers in the smallest tensor that is moved (TRL `OffloadActivations.min_offload_size`)."""


@dataclass(frozen=True)
class StepPeaks:
    """For each phase of a step over `layers` layers, the bytes by kind at its peak."""

    layers: int
    phases: dict[Phase, Counter[str]]


def run_step(work: Workload, built: BuiltModel, live: LiveBytes) -> StepPeaks:
    """Run one step as it is from the second one on, optimizer states in place."""
    import torch

    model = built.model
    count = len(built.layers)
    kept = "weights" if work.trains_base else "adapter"
    with casting(_short(work), on_gpu=work.on_gpu,
                 on_copy=lambda copy: live.rename(copy, kept)), watching(live):
        _hold(work, built, live)
        live.enter(("optimizer", 0), "optimizer")
        embeddings = [m.weight for m in model.modules() if isinstance(m, torch.nn.Embedding)]
        step = optimizer_step(work, built.trained, embeddings)
        live.peaks.clear()
        if work.accumulates:
            live.enter(("before", 0), "gradients")
            for parameter in built.trained:
                parameter.grad = torch.empty_like(parameter)
        _mark_phases(model, built.layers, live)
        for parameter in built.trained:
            parameter.register_post_accumulate_grad_hook(
                _forget if work.updates_in_backward
                else lambda p: live.rename(p.grad, "gradients"))
        live.enter(("inputs", 0), "activations")
        inputs, labels = _inputs(work, model)
        with _offloading() if work.offloads_activations else nullcontext():
            loss = loss_of(work, model, inputs, labels)
        forget_copies()
        # A phase of its own: what lives in it grows otherwise with the layers than before.
        live.enter(("loss backward", 0), "logits")
        loss.backward()
        del loss
        # What the optimizer makes for a moment is counted with the gradients, as the estimate does.
        live.enter(("step", 0), "gradients")
        step()
    return StepPeaks(count, dict(live.peaks))


def _short(work: Workload) -> Any:
    import torch

    if not work.autocast:
        return None
    return torch.float16 if work.dtype == "float16" else torch.bfloat16


def _hold(work: Workload, built: BuiltModel, live: LiveBytes) -> None:
    """What is there before the step begins."""
    for parameter in built.base:
        live.see(parameter, "weights")
    for parameter in built.trained:
        live.see(parameter, "adapter")
    for buffer in built.model.buffers():
        live.see(buffer, "weights")


def _inputs(work: Workload, model: Any) -> tuple[dict[str, Any], Any]:
    """Token ids and the mask, if there is one, for the rows of a micro-batch.

    The mask is given whole: making one of a padded batch would have to look at its values. The
    oldest architectures (BLOOM, Falcon, ...) make their own.
    """
    import torch

    width = work.mask_width or work.length
    rows = max(1, work.tokens // width)
    ids = torch.empty((rows, width), dtype=torch.long, device="meta")
    inputs: dict[str, Any] = {"input_ids": ids}
    is_eager = model.config._attn_implementation == "eager"
    masked = bool(work.mask_width) and not (work.apart and not _has_window(model))
    if (masked or is_eager) and model._supports_attention_backend:
        kind = _number(work) if is_eager else torch.bool
        inputs["attention_mask"] = torch.empty((rows, 1, width, width), dtype=kind, device="meta")
    return inputs, torch.empty((rows, width), dtype=torch.long, device="meta")


def _has_window(model: Any) -> bool:
    """True where some layers see only so far back, and so need a mask of a joined row."""
    kinds = getattr(model.config.get_text_config(), "layer_types", None) or ()
    return "sliding_attention" in kinds


def _number(work: Workload) -> Any:
    import torch

    if work.activation_bytes == 4:
        return torch.float32
    return torch.float16 if work.dtype == "float16" else torch.bfloat16


def _mark_phases(model: Any, layers: Any, live: LiveBytes) -> None:
    """Tell `live` which layer is computed; hooks on gradients tell whose backward pass begins."""
    for number, layer in enumerate(layers):
        layer.register_forward_pre_hook(
            lambda *_, n=number: live.enter(("forward", n), "activations"))
        layer.register_forward_hook(
            lambda module, args, out, n=number: _on_gradient(out, live, ("backward", n)))

    def loss_begins(module: Any, args: Any, output: Any) -> None:
        live.enter(("loss", 0), "logits")
        hidden = output.last_hidden_state
        if hidden.requires_grad:
            hidden.register_hook(lambda gradient: live.enter(("norm", 0), "recomputation"))

    model.base_model.register_forward_hook(loss_begins)


def _on_gradient(out: Any, live: LiveBytes, phase: Phase) -> None:
    tensor = out[0] if isinstance(out, tuple) else out
    if tensor.requires_grad:
        tensor.register_hook(lambda gradient: live.enter(phase, "recomputation"))


def _forget(parameter: Any) -> None:
    """The gradient is used up as soon as it is there."""
    parameter.grad = None


def _offloading() -> AbstractContextManager[Any]:
    """A block in which what autograd keeps of computed tensors waits in main memory."""
    import torch

    def pack(tensor: Any) -> Any:
        stays = isinstance(tensor, torch.nn.Parameter) or tensor.numel() < SMALLEST_OFFLOADED
        return tensor if stays else (tensor.shape, tensor.dtype)

    def unpack(kept: Any) -> Any:
        if isinstance(kept, torch.Tensor):
            return kept
        return torch.empty(kept[0], dtype=kept[1], device="meta")

    hooks: AbstractContextManager[Any] = torch.autograd.graph.saved_tensors_hooks(pack, unpack)
    return hooks
