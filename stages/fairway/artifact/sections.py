"""The sections of an artifact: a model's index and, by type, all its values.

Section `index` is JSON: model config, tokenizer, and [name, kind, shape] of every tensor; the
others hold all values of one type. The int6 values go column by column, since rows have a scale
each but columns differ, and are laid out by fairway.artifact.int6. Everything else goes as planes,
all first bytes, all second bytes, …, since the high bytes of floats compress and the low ones do
not.
"""

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any

import numpy as np
import torch
from torch import Tensor

from fairway.artifact.int6 import join_int6, size_limits, split_int6
from fairway.artifact.storage import (
    FLOAT16,
    FLOAT32,
    INT6,
    INT6_LIMIT,
    INT8,
    INT8_LIMIT,
    Kind,
    RowIntegers,
    StoredModel,
)
from fairway.files.records import Natural, Within, build
from fairway.model.architecture import ModelConfig
from fairway.model.shapes import require_state
from fairway.stage import StageError, parse_json

_SCALE = "scale"
_DTYPES = {INT6: "|i1", INT8: "|i1", _SCALE: "<f2", FLOAT16: "<f2", FLOAT32: "<f4"}
SECTIONS = ("index", *_DTYPES)


@dataclass(frozen=True)
class Index:
    """Section `index`: [name, kind, shape] of every tensor, in the order of their values."""

    config: dict[str, Any]
    tokenizer_sha256: Annotated[str, Within(0, 64)]
    tensors: tuple[tuple[str, Kind, tuple[Natural, ...]], ...]


def sections(stored: StoredModel) -> dict[str, bytes]:
    """The uncompressed sections, by name, in the order of the file."""
    arrays: dict[str, list[np.ndarray]] = {name: [] for name in _DTYPES}
    tensors = []
    for name, tensor in stored.tensors.items():
        kind = stored.kinds[name]
        if isinstance(tensor, RowIntegers):
            integers = tensor.integers.numpy()
            tensors.append([name, kind, list(integers.shape)])
            arrays[kind].append(integers.ravel(order="F" if kind == INT6 else "C"))
            arrays[_SCALE].append(tensor.scale.numpy())
        else:
            tensors.append([name, kind, list(tensor.shape)])
            arrays[kind].append(tensor.numpy().ravel())
    index = {
        "config": stored.config,
        "tokenizer_sha256": stored.tokenizer_sha256,
        "tensors": tensors,
    }
    result = {"index": json.dumps(index, separators=(",", ":")).encode()}
    for name, parts in arrays.items():
        values = np.concatenate([np.zeros(0, _DTYPES[name]), *parts]).astype(_DTYPES[name])
        result[name] = split_int6(values) if name == INT6 else _planes(values)
    return result


def read_index(raw: bytes, name: object) -> Index:
    """The index from its section; StageError unless its tensors are those of its model."""
    index = build(Index, parse_json(raw, name), f"{name}: index")
    shapes = {key: shape for key, _, shape in index.tensors}
    if len(shapes) != len(index.tensors):
        raise StageError(f"{name}: index: a tensor twice")
    require_kinds(index.config, {key: kind for key, kind, _ in index.tensors}, shapes, name)
    return index


def require_kinds(
    config: dict[str, Any], kinds: dict[str, str], shapes: dict[str, Sequence[int]], name: object
) -> None:
    """Raise StageError unless the tensors are those of the config's model, integers matrices."""
    require_state(build(ModelConfig, config, f"{name}: config"), shapes, name)
    for key, kind in kinds.items():
        if kind in (INT6, INT8) and len(shapes[key]) != 2:
            raise StageError(f"{name}: {key}: {kind} of shape {list(shapes[key])}; no matrix")


def check_sizes(index: Index, sizes: dict[str, int], name: object) -> None:
    """Raise StageError unless the sections have the bytes that the index's tensors need."""
    counts = dict.fromkeys(_DTYPES, 0)
    for _, kind, shape in index.tensors:
        counts[kind] += math.prod(shape)
        counts[_SCALE] += shape[0] if kind in (INT6, INT8) else 0
    for section, count in counts.items():
        exact = count * np.dtype(_DTYPES[section]).itemsize
        least, most = size_limits(count) if section == INT6 else (exact, exact)
        if not least <= sizes[section] <= most:
            raise StageError(
                f"{name}: section {section} has {sizes[section]} bytes; its {count} values take "
                f"{least} to {most}"
            )


def join(index: Index, raw: dict[str, bytes], name: object) -> StoredModel:
    """The model whose `sections` these are, sizes already checked.

    Raises StageError for values that cannot be: integers out of range, NaN, a negative scale.
    """
    int6 = sum(math.prod(shape) for _, kind, shape in index.tensors if kind == INT6)
    values = {
        section: _join_int6(part, int6, name) if section == INT6 else _join_planes(part, section)
        for section, part in raw.items()
    }
    for section, limit in ((INT6, INT6_LIMIT), (INT8, INT8_LIMIT)):
        require_values(values[section], -limit, limit, f"{name}: section {section}")
    require_values(values[_SCALE], 0, math.inf, f"{name}: section {_SCALE}")
    for section in (FLOAT16, FLOAT32):
        require_values(values[section], -math.inf, math.inf, f"{name}: section {section}")
    positions = dict.fromkeys(values, 0)

    def take(section: str, shape: tuple[int, ...], order: str = "C") -> Tensor:
        start = positions[section]
        positions[section] += math.prod(shape)
        part = values[section][start : positions[section]].reshape(shape, order=order)
        return torch.from_numpy(np.array(part, order="C"))

    tensors: dict[str, RowIntegers | Tensor] = {}
    for key, kind, shape in index.tensors:
        if kind in (INT6, INT8):
            integers = take(kind, shape, "F" if kind == INT6 else "C")
            tensors[key] = RowIntegers(integers, take(_SCALE, shape[:1]))
        else:
            tensors[key] = take(kind, shape)
    kinds = {key: kind for key, kind, _ in index.tensors}
    return StoredModel(index.config, index.tokenizer_sha256, kinds, tensors)


def require_values(values: np.ndarray, low: float, high: float, name: str) -> None:
    """Raise StageError for a value that is not finite or not within the limits."""
    if not values.size:
        return
    least, most = values.min(), values.max()
    if not (low <= least and most <= high and np.isfinite([least, most]).all()):
        raise StageError(
            f"{name}: values from {least} to {most}; expected {low} to {high}, all finite"
        )


def _join_int6(raw: bytes, count: int, name: object) -> np.ndarray:
    try:
        return join_int6(raw, count)
    except ValueError as error:
        raise StageError(f"{name}: section {INT6}: {error}") from None


def _planes(values: np.ndarray) -> bytes:
    return values.view(np.uint8).reshape(len(values), -1).T.tobytes() if len(values) else b""


def _join_planes(raw: bytes, section: str) -> np.ndarray:
    dtype = _DTYPES[section]
    planes = np.frombuffer(raw, np.uint8).reshape(np.dtype(dtype).itemsize, -1)
    return np.ascontiguousarray(planes.T).view(dtype).ravel()
