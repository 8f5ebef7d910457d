"""The sections of an artifact: a model's index and, by type, all its tensors.

Section `index` is JSON: model config, tokenizer, and [name, kind, shape] of every tensor, and
`columns`, the names of those whose columns have scales as well, if there are any; the others hold
the tensors of one type each, in that order: of scales a tensor's rows', then its columns'. How
these become bytes is up to the coders (fairway.artifact.coders).
"""

import json
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Annotated, Any

import numpy as np
import torch
from torch import Tensor

from fairway.artifact.coders.named import Coder
from fairway.artifact.kinds import DTYPES, INT6, INT6_LIMIT, INT8, INT8_LIMIT, SCALE, Kind
from fairway.artifact.storage import RowIntegers, StoredModel
from fairway.files.records import Natural, Within, build
from fairway.model.architecture import ModelConfig
from fairway.model.shapes import require_state
from fairway.stage import StageError, parse_json

SECTIONS = ("index", *DTYPES)
Shape = tuple[int, ...]


@dataclass(frozen=True)
class Index:
    """Section `index`: [name, kind, shape] of every tensor, in the order of their values."""

    config: dict[str, Any]
    tokenizer_sha256: Annotated[str, Within(0, 64)]
    tensors: tuple[tuple[str, Kind, tuple[Natural, ...]], ...]
    columns: tuple[str, ...] = ()

    def shapes(self) -> dict[str, list[Shape]]:
        """By section, the shapes of its tensors, in the order of the file."""
        result: dict[str, list[Shape]] = {name: [] for name in DTYPES}
        of_columns = set(self.columns)
        for name, kind, shape in self.tensors:
            result[kind].append(shape)
            if kind in (INT6, INT8):
                result[SCALE] += [shape[:1], shape[1:]] if name in of_columns else [shape[:1]]
        return result


def sections(stored: StoredModel) -> tuple[bytes, dict[str, list[np.ndarray]]]:
    """Section `index`, and the tensors of every other one, in the order of the file."""
    tensors: dict[str, list[np.ndarray]] = {name: [] for name in DTYPES}
    entries = []
    for name, tensor in stored.tensors.items():
        kind = stored.kinds[name]
        if isinstance(tensor, RowIntegers):
            values = tensor.integers.numpy()
            tensors[SCALE] += [scale.numpy() for scale in tensor.scales()]
        else:
            values = tensor.numpy()
        tensors[kind].append(values)
        entries.append([name, kind, list(values.shape)])
    columns = [
        name
        for name, tensor in stored.tensors.items()
        if isinstance(tensor, RowIntegers) and tensor.columns is not None
    ]
    index = {
        "config": stored.config,
        "tokenizer_sha256": stored.tokenizer_sha256,
        "tensors": entries,
    }
    if columns:
        index["columns"] = columns
    return json.dumps(index, separators=(",", ":")).encode(), tensors


def read_index(raw: bytes, name: object) -> Index:
    """The index from its section; StageError unless its tensors are those of its model."""
    index = build(Index, parse_json(raw, name), f"{name}: index")
    shapes = {key: shape for key, _, shape in index.tensors}
    if len(shapes) != len(index.tensors):
        raise StageError(f"{name}: index: a tensor twice")
    require_kinds(index.config, {key: kind for key, kind, _ in index.tensors}, shapes, name)
    kinds = {key: kind for key, kind, _ in index.tensors}
    for number, key in enumerate(index.columns):
        if kinds.get(key) not in (INT6, INT8) or key in index.columns[:number]:
            raise StageError(f"{name}: index: columns of {key[:80]}; expected integers, once")
    return index


def require_kinds(
    config: dict[str, Any], kinds: dict[str, str], shapes: dict[str, Sequence[int]], name: object
) -> None:
    """Raise StageError unless the tensors are those of the config's model, integers matrices."""
    require_state(build(ModelConfig, config, f"{name}: config"), shapes, name)
    for key, kind in kinds.items():
        if kind in (INT6, INT8) and len(shapes[key]) != 2:
            raise StageError(f"{name}: {key}: {kind} of shape {list(shapes[key])}; no matrix")


def unpacked_bytes(index: Index) -> int:
    """What all tensors take in memory."""
    return sum(
        math.prod(shape) * np.dtype(DTYPES[section]).itemsize
        for section, shapes in index.shapes().items()
        for shape in shapes
    )


def check_sizes(index: Index, sizes: dict[str, int], coder: Coder, name: object) -> None:
    """Raise StageError unless the sections have the bytes that the index's tensors need."""
    for section, shapes in index.shapes().items():
        count = sum(map(math.prod, shapes))
        least, most = coder.sizes(section, count)
        if not least <= sizes[section] <= most:
            raise StageError(
                f"{name}: section {section} has {sizes[section]} bytes; its {count} values take "
                f"{least} to {most}"
            )


def require_section(section: str, tensors: list[np.ndarray], name: object) -> None:
    """Raise StageError for values that cannot be: too large, not finite, a negative scale."""
    limits = {INT6: INT6_LIMIT, INT8: INT8_LIMIT}
    most = limits.get(section, math.inf)
    least = 0 if section == SCALE else -most
    for tensor in tensors:
        require_values(tensor, least, most, f"{name}: section {section}")


def join(index: Index, tensors: dict[str, list[np.ndarray]]) -> StoredModel:
    """The model whose `sections` these are."""
    waiting: dict[str, Iterator[Tensor]] = {
        section: map(torch.from_numpy, found) for section, found in tensors.items()
    }
    joined: dict[str, RowIntegers | Tensor] = {}
    columns_of = set(index.columns)
    for key, kind, _ in index.tensors:
        values = next(waiting[kind])
        if kind not in (INT6, INT8):
            joined[key] = values
            continue
        scale = next(waiting[SCALE])
        columns = next(waiting[SCALE]) if key in columns_of else None
        joined[key] = RowIntegers(values, scale, columns)
    kinds = {key: kind for key, kind, _ in index.tensors}
    return StoredModel(index.config, index.tokenizer_sha256, kinds, joined)


def require_values(values: np.ndarray, low: float, high: float, name: str) -> None:
    """Raise StageError for a value that is not finite or not within the limits."""
    if not values.size:
        return
    least, most = values.min(), values.max()
    if not (low <= least and most <= high and np.isfinite([least, most]).all()):
        raise StageError(
            f"{name}: values from {least} to {most}; expected {low} to {high}, all finite"
        )
