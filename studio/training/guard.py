"""Looks at each optimizer step before it is applied: a loss or gradient that is no number stops it.

Dropping the gradients leaves weights and optimizer as they were after the last good step. Does not
end the run; whoever watches its health does.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch

SCALED_STEPS_IN_A_ROW = 24
"""float16 scales its gradients up and halves the scale after each overflow, which is normal now
and then; after so many in a row the scale is below one, and something else is wrong."""


class StepGuard:
    """Asked once before every optimizer step. `scales` says that gradients are scaled (float16)."""

    def __init__(self, scales: bool) -> None:
        self._scales = scales
        self._overflows = 0

    def fault_of(self, loss: torch.Tensor, grad_norm: torch.Tensor | float) -> str:
        """"loss" or "gradient", whichever is no number, or nothing where the step may be applied.

        `loss` is the sum since the last log. One value is read back from the device.
        """
        import torch

        norm = torch.as_tensor(grad_norm, device=loss.device)
        if bool(torch.isfinite(loss).all() & torch.isfinite(norm)):
            self._overflows = 0
            return ""
        if not bool(torch.isfinite(loss).all()):
            return "loss"
        self._overflows += 1
        return "" if self._scales and self._overflows < SCALED_STEPS_IN_A_ROW else "gradient"


def drop_gradients(model: Any) -> None:
    """Every optimizer leaves a weight without a gradient alone, and its own state of it too."""
    for parameter in model.parameters():
        parameter.grad = None


def weights_are_finite(model: Any) -> bool:
    """True if every trained weight is a number."""
    import torch

    return all(bool(torch.isfinite(parameter).all())
               for parameter in model.parameters() if parameter.requires_grad)
