"""Quantisation-aware training: steps whose forward and backward use fake-quantised weights."""

import contextlib
import math
from collections.abc import Iterator

import torch
from torch import Tensor

from fairway.training.muon import by_shape

# int6, symmetric: kinds.INT6_LIMIT, which is not imported, since then whatever changes in how
# quantised models are stored would train all models anew.
LEVELS = 31


def soft_round(x: Tensor, sharpness: float) -> tuple[Tensor, Tensor]:
    """A differentiable rounding and its derivative at x.

    Towards 0 sharpness it is the identity, towards infinity it is round(). Agustsson and Theis,
    "Universally quantized neural compression" (2020), section 4.1.
    """
    turned = torch.tanh(sharpness * (x - torch.floor(x) - 0.5))
    height = math.tanh(sharpness / 2)
    value = torch.floor(x) + 0.5 + turned / (2 * height)
    return value, sharpness * (1 - turned * turned) / (2 * height)


def fake_quantise(matrices: Tensor, sharpness: float) -> tuple[Tensor, Tensor]:
    """Matrices (…, rows, columns) soft-rounded to ±31 steps of a row's scale, and the derivative.

    The scale, max |row| / 31, is taken as a constant by the derivative.
    """
    scale = matrices.abs().amax(dim=-1, keepdim=True).clamp_min(1e-12) / LEVELS
    value, derivative = soft_round(matrices / scale, sharpness)
    return value.clamp_(-LEVELS, LEVELS) * scale, derivative


@contextlib.contextmanager
def fake_quantised(matrices: list[Tensor], sharpness: float | None) -> Iterator[None]:
    """Within, the matrices hold their fake-quantised values; gradients are taken there.

    On leaving, the matrices are themselves again and their gradients are multiplied by the
    derivative of the rounding (the chain rule). The values are exchanged in the parameters'
    own memory, so a compiled or otherwise captured forward uses them like any others: there is
    no switch inside the model to be frozen at capture. sharpness None: nothing happens.
    """
    if sharpness is None:
        yield
        return
    originals, derivatives = [], []
    groups = [[matrices[i] for i in group] for group in by_shape(matrices, range(len(matrices)))]
    with torch.no_grad():
        for group in groups:  # as one stack: hundreds of small kernels less
            stack = torch.stack(group)
            value, derivative = fake_quantise(stack, sharpness)
            torch._foreach_copy_(group, list(value))
            originals.append(list(stack))
            derivatives.append(list(derivative))
    try:
        yield
    finally:
        with torch.no_grad():
            for group, saved in zip(groups, originals, strict=True):
                torch._foreach_copy_(group, saved)
    with torch.no_grad():
        for group, derivative in zip(groups, derivatives, strict=True):
            torch._foreach_mul_([matrix.grad for matrix in group], derivative)
