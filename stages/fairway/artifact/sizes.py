"""How much a model of given settings holds before it is packed, by arithmetic; no torch."""

import math
from typing import Any

from fairway.artifact.kinds import FLOAT16, INT6, INT8, storage_kinds
from fairway.model.architecture import ModelConfig, ModelSizes
from fairway.model.shapes import state_shapes


def model_sizes(model: dict[str, Any], vocabulary: int) -> ModelSizes:
    """Sizes of a model from its config section; raises StageError for one that cannot be."""
    shapes = state_shapes(ModelConfig.from_settings(model["architecture"], vocabulary))
    kinds = storage_kinds(shapes, model["quantization"]["fp16_below"])
    values = sum(map(math.prod, shapes.values()))
    return ModelSizes(
        parameters=values,
        checkpoint=4 * values,
        quantized=sum(_stored(shape, kinds[name]) for name, shape in shapes.items()),
    )


def _stored(shape: tuple[int, ...], kind: str) -> int:
    if kind in (INT6, INT8):
        rows, columns = shape
        diagonal = 4 * columns if kind == INT6 else 0  # of the Hessian, float32
        return rows * columns + 2 * rows + diagonal  # a float16 scale for each row
    return math.prod(shape) * (2 if kind == FLOAT16 else 4)
