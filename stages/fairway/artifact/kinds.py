"""How tensors are stored, by their names and shapes alone: which kinds there are; no torch.

int6      the blocks' matrices (q, k, v, o, up, down), in ±31, by GPTQ; where a search chose
          their steps they become int8 (`fairway.artifact.quantization`)
int8      other matrices (embeddings) of more than `fp16_below` values, in ±127, rounded
float16   other matrices, and the low-rank factors
float32   everything else: gates, scales, mixes and skip weights, which are few
"""

import math
from collections.abc import Mapping, Sequence
from typing import Literal

INT6, INT8, FLOAT16, FLOAT32 = "int6", "int8", "float16", "float32"
Kind = Literal["int6", "int8", "float16", "float32"]
SCALE = "scale"  # of rows, kept apart from their integers
DTYPES = {INT6: "|i1", INT8: "|i1", SCALE: "<f2", FLOAT16: "<f2", FLOAT32: "<f4"}  # by section
INT6_LIMIT, INT8_LIMIT = 31, 127  # magnitudes used; symmetric, so -32 and -128 do not occur
_BLOCKS = "blocks."  # holds matrices and nothing else
_STACKED_VECTORS = ("skip_weights",)  # 2-D, but no matrix
_LOW_RANK = ".deviations."


def storage_kinds(shapes: Mapping[str, Sequence[int]], fp16_below: int) -> dict[str, Kind]:
    """How each tensor of a model's state is stored; shapes: of `fairway.model.shapes`."""
    return {name: _kind(name, shape, fp16_below) for name, shape in shapes.items()}


def _kind(name: str, shape: Sequence[int], fp16_below: int) -> Kind:
    if name.startswith(_BLOCKS):
        return INT6
    if len(shape) < 2 or name in _STACKED_VECTORS:
        return FLOAT32
    return FLOAT16 if math.prod(shape) <= fp16_below or _LOW_RANK in name else INT8
