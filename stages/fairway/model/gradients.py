"""Two parts of the network with gradients written by hand, for training on a CPU.

What autograd makes of their definitions passes over the same values twice as often, and small
models on a CPU spend a third of their time on such passes.
"""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor


def by_hand(x: Tensor) -> bool:
    """Whether these gradients are in use for x: float32 on a CPU, uncompiled, in training."""
    plain = x.requires_grad and x.dtype == torch.float32 and x.device.type == "cpu"
    return plain and torch.is_grad_enabled() and not torch.compiler.is_compiling()


class Norm(torch.autograd.Function):
    """RMSNorm over the last dimension: y = x·r with r = (mean x² + ε)^-½."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, epsilon: float) -> Tensor:
        y, r = torch.ops.aten._fused_rms_norm(x, [x.shape[-1]], None, epsilon)
        ctx.save_for_backward(y, r)
        return y

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        y, r = ctx.saved_tensors
        along = (gradient * y).mean(-1, keepdim=True)
        return torch.addcmul(gradient, y, along, value=-1).mul_(r), None


class LeakySquare(torch.autograd.Function):
    """leaky(x)², slope ½ below 0; its derivative 2·leaky(x)·slope is 2·leaky(leaky(x))."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        leaky = F.leaky_relu(x, 0.5)
        ctx.save_for_backward(leaky)
        return leaky * leaky

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        (leaky,) = ctx.saved_tensors
        return F.leaky_relu(leaky, 0.5).mul_(gradient).mul_(2)
