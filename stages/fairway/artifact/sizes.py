"""How much a model of given settings holds, without making it (shapes on torch's meta device)."""

from typing import Any

import torch

from fairway.artifact.quantization import storage_kinds
from fairway.artifact.storage import FLOAT16, INT6, INT8
from fairway.model.architecture import ModelConfig, ModelSizes
from fairway.model.network import Model


def model_sizes(model: dict[str, Any], vocabulary: int) -> ModelSizes:
    """Sizes of a model from its config section; raises StageError for one that cannot be."""
    with torch.device("meta"):
        shapes = Model(ModelConfig.from_settings(model["architecture"], vocabulary))
    state = shapes.state_dict()
    kinds = storage_kinds(shapes, model["quantization"]["fp16_below"])
    return ModelSizes(
        parameters=sum(parameter.numel() for parameter in shapes.parameters()),
        checkpoint=sum(4 * tensor.numel() for tensor in state.values()),
        quantized=sum(_stored(tensor, kinds[name]) for name, tensor in state.items()),
    )


def _stored(tensor: torch.Tensor, kind: str) -> int:
    if kind in (INT6, INT8):
        rows, columns = tensor.shape
        diagonal = 4 * columns if kind == INT6 else 0  # of the Hessian, float32
        return tensor.numel() + 2 * rows + diagonal  # a float16 scale for each row
    return tensor.numel() * (2 if kind == FLOAT16 else 4)
