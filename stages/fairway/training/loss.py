"""The loss of a batch; on a CPU with its gradient, in pieces that stay in a core's cache."""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from fairway.model.layers import norm
from fairway.model.network import Model

_ROWS = 128  # positions at a time: three arrays of them by the vocabulary are 1.5 MB at 1,024
_LARGEST_CAP = 40.0  # above it a probability may be 0 in float32, which has no logarithm


def next_token_loss(model: Model, inputs: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
    """Mean cross-entropy of targets (batch, time), nats per token, and the model's penalty."""
    if inputs.device.type == "cpu" and not torch.compiler.is_compiling():
        x, cap = norm(model.stream(inputs)).flatten(0, 1), model.config.logit_cap
        if x.dtype == torch.float32 and cap <= _LARGEST_CAP:
            loss = _InPieces.apply(x, model.token_embedding, targets.flatten(), cap)
            return loss, model.penalty()
    logits = model(inputs)
    return F.cross_entropy(logits.flatten(0, 1), targets.flatten()), model.penalty()


class _InPieces(torch.autograd.Function):
    """Mean cross-entropy of x (positions, width) by logits c·tanh(x·embedding / c).

    With s = σ(2z/c), c·tanh(z/c) = 2c·s − c, of which softmax needs 2c·s alone, and σ is a fifth
    of tanh's time; its derivative is 4·s(1 − s). The gradient is made with the loss, while the
    piece is near: the logits of a batch are never written.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, embedding: Tensor, targets: Tensor, cap: float) -> Tensor:
        rows, per_row = min(_ROWS, len(x)), 4 / len(x)
        of_x, of_embedding = torch.empty_like(x), torch.zeros_like(embedding)
        scaled = (embedding * (2 / cap)).t()
        buffers = x.new_empty(3, rows, len(embedding))
        likely = x.new_empty(len(x), 1)
        pieces = (each.split(rows) for each in (x, targets.unsqueeze(1), likely, of_x))
        for piece, wanted, of_wanted, gradient in zip(*pieces, strict=True):
            gate, capped, shares = buffers[:, : len(piece)]
            torch.mm(piece, scaled, out=gate).sigmoid_()
            torch.softmax(torch.mul(gate, 2 * cap, out=capped), 1, out=shares)
            torch.gather(shares, 1, wanted, out=of_wanted)
            shares.scatter_add_(1, wanted, shares.new_full(wanted.shape, -1.0))
            torch.ops.aten.sigmoid_backward.grad_input(shares, gate, grad_input=capped)
            torch.mm(capped, embedding, out=gradient)
            of_embedding.addmm_(capped.t(), piece)
        ctx.save_for_backward(of_x.mul_(per_row), of_embedding.mul_(per_row))
        return -likely.log_().mean()

    @staticmethod
    def backward(ctx: Any, scale: Tensor) -> tuple[Tensor, Tensor, None, None]:
        of_x, of_embedding = ctx.saved_tensors
        return of_x * scale, of_embedding * scale, None, None
