"""How far each virtual layer deviates from the block it shares."""

from typing import Any

import torch

from fairway.model.network import Model

_TINY = 1e-12  # matrices that start at 0 have no norm to divide by


@torch.no_grad()
def deviation_norms(model: Model) -> list[dict[str, Any]]:
    """‖γ·A·B‖ / ‖W‖ (Frobenius) of every matrix that deviates, per virtual layer.

    γ alone says little: only its product with A·B is identifiable, a smaller gate being made up
    for by larger factors. Empty for independent layers.
    """
    norms = []
    for index, layer in enumerate(model.layers):
        deviations = layer.gated_deviations()
        if not deviations:
            continue
        block = model.blocks[model.virtual_layers[index]]
        norms_of_block = {
            name: block.get_submodule(name).weight.norm().clamp_min(_TINY) for name in deviations
        }
        ratios = {
            name: (deviation.norm() / norms_of_block[name]).item()
            for name, deviation in deviations.items()
        }
        norms.append(
            {
                "layer": index,
                "block": model.virtual_layers[index],
                "gamma": torch.sigmoid(layer.gamma_logit).item(),
                "ratio": ratios,
            }
        )
    return norms
