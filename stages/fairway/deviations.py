"""How far each virtual layer deviates from the block it shares."""

from typing import Any

import torch

from fairway.model import Model


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
        ratios = {
            name: (deviation.norm() / block.get_submodule(name).weight.norm()).item()
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
