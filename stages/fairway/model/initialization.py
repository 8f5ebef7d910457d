"""Initial weights of a model, drawn from a generator."""

import math

import torch
from torch import nn

from fairway.model.network import Model

_ORTHOGONAL_FROM = 64  # rows and columns
_ZERO = ("o", "down")  # matrices that write to the residual stream


@torch.no_grad()
def initialize(model: Model, generator: torch.Generator) -> Model:
    """Draw the weights of a new model in place, and return it.

    Matrices of at least 64 × 64 are orthogonal; a block's output matrices start at 0, the
    bigram projection at 1/√(2·layers) of orthogonal. A LoRA's A is drawn, its B stays 0.
    """
    nn.init.normal_(model.token_embedding, std=0.005, generator=generator)
    _draw(model.bigram.projection, generator)
    model.bigram.projection.mul_(1 / math.sqrt(2 * len(model.layers)))
    if model.value_embedding is not None:
        nn.init.normal_(model.value_embedding.embedding, std=0.01, generator=generator)
        _draw(model.value_embedding.projection, generator)
    for block in model.blocks:
        for name, linear in block.named_children():
            if name not in _ZERO:
                _draw(linear.weight, generator)
    for layer in model.layers:
        for deviation in layer.deviations.values():
            inputs = deviation.b.shape[1]
            nn.init.normal_(deviation.a, std=1 / math.sqrt(inputs), generator=generator)
    return model


def _draw(matrix: torch.Tensor, generator: torch.Generator) -> None:
    if min(matrix.shape) >= _ORTHOGONAL_FROM:
        nn.init.orthogonal_(matrix, generator=generator)
    else:
        nn.init.normal_(matrix, std=1 / math.sqrt(matrix.shape[1]), generator=generator)
