"""How much the loss minds an error in a row of a matrix: squared gradients on training text.

For small errors δ the loss rises by ½ δᵀFδ, F being the Fisher information, of which the mean of
squared gradients is the diagonal. Of it only the sum over each row is kept: for an embedding that
is how often the row is read (and, where it is the head's as well, predicted) times how much it
matters then; for other matrices, with the Hessian of the inputs beside it, how much each output
matters (the Kronecker form of Martens and Grosse, arXiv:1503.05671).
"""

from collections.abc import Callable

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from fairway.machine.devices import autocast, to_device
from fairway.model.network import Model

_UNSEEN = 0.5  # times that a row is taken to be used beside those that were seen


def row_sensitivities(
    model: Model,
    names: list[str],
    sequences: np.ndarray,
    progress: Callable[[int], None] = lambda tokens: None,
    precision: str = "float32",
) -> dict[str, Tensor]:
    """Squared gradients of the nats of a token, summed over each row of the parameters `names`.

    Float64 (rows,), on the CPU: means over the tokens, gradients taken of a sequence at a time;
    all above 0 if any is, since a row that this text does not use may be used by another.
    sequences: int64 (sequences, tokens); precision: of the forward and backward pass.
    """
    parameters = {name: model.get_parameter(name) for name in names}
    sums = {name: torch.zeros(len(p), dtype=torch.float64) for name, p in parameters.items()}
    model.requires_grad_(False)
    for parameter in parameters.values():
        parameter.requires_grad_(True)
    device = model.token_embedding.device
    for sequence in sequences:
        tokens = to_device(torch.from_numpy(sequence[None]), device)
        with autocast(device, precision):
            logits = model(tokens[:, :-1])
            loss = F.cross_entropy(logits.flatten(0, 1), tokens[:, 1:].flatten(), reduction="sum")
        gradients = torch.autograd.grad(loss, list(parameters.values()), allow_unused=True)
        for name, gradient in zip(parameters, gradients, strict=True):
            if gradient is not None:
                sums[name] += gradient.float().square().sum(dim=1).double().cpu()
        progress(tokens.numel())
    model.requires_grad_(False)
    targets = max(1, len(sequences) * (sequences.shape[1] - 1))
    return {name: _spread(total / targets, targets) for name, total in sums.items()}


def _spread(rows: Tensor, targets: int) -> Tensor:
    """With half a use more for every row, of mean consequence."""
    return rows + _UNSEEN * rows.mean() * len(rows) / targets
