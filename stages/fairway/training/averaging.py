"""Averages of the weights over a training: EMA of every step, SWA of some late ones."""

import torch
from torch import Tensor


class WeightAverages:
    """EMA starts at the weights it is made with; SWA is the mean of the snapshots taken."""

    def __init__(self, parameters: list[Tensor], ema_decay: float) -> None:
        self.parameters = parameters
        self.decay = ema_decay
        self.ema = [parameter.detach().clone() for parameter in parameters]
        self.swa_sum = [torch.zeros_like(parameter) for parameter in parameters]
        self.snapshots = 0

    @torch.no_grad()
    def update(self, take_snapshot: bool) -> None:
        """After a step: move the EMA; take_snapshot: also add the weights to the SWA."""
        torch._foreach_lerp_(self.ema, self.parameters, 1 - self.decay)
        if take_snapshot:
            torch._foreach_add_(self.swa_sum, self.parameters)
            self.snapshots += 1

    @torch.no_grad()
    def final(self) -> list[Tensor]:
        """½ EMA + ½ SWA, or the EMA alone if no snapshot was taken."""
        if not self.snapshots:
            return [tensor.clone() for tensor in self.ema]
        swa = torch._foreach_div(self.swa_sum, self.snapshots)
        return torch._foreach_lerp(self.ema, swa, 0.5)

    def state(self) -> dict[str, list[Tensor]]:
        """What to save and to restore, beside the number of snapshots."""
        return {"ema": self.ema, "swa_sum": self.swa_sum}
