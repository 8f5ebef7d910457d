"""The file of a quantised model: safetensors, with all that packing needs and is to be told."""

import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from fairway.artifact.kinds import FLOAT16, FLOAT32, INT6, INT6_LIMIT, INT8, INT8_LIMIT, Kind
from fairway.artifact.sections import require_kinds, require_values
from fairway.artifact.storage import RowIntegers, StoredModel
from fairway.files.records import Natural, View, build
from fairway.files.tensors import load_tensors, save_tensors
from fairway.stage import StageError, parse_json

_DTYPES = {FLOAT16: torch.float16, FLOAT32: torch.float32}


@dataclass(frozen=True)
class _Provenance(View):
    train_model: str
    quantize_model: str
    seed: Natural


@dataclass(frozen=True)
class _About:
    """The metadata of a quantised model, each value as JSON."""

    config: dict[str, Any]
    tokenizer_sha256: str
    kinds: dict[str, Kind]
    provenance: dict[str, Any]


@dataclass(frozen=True)
class QuantizedModel:
    """A quantised model and what packing needs beside it.

    diagonals: of the Hessian of each int6 tensor, float32 (columns,); provenance: spec hashes of
    `train_model` and `quantize_model`, and the `seed`.
    """

    stored: StoredModel
    diagonals: dict[str, Tensor]
    provenance: dict[str, Any]

    def save(self, path: Path) -> None:
        """Write as safetensors: integers/, scale/ and columns/NAME, float/ and diagonal/NAME."""
        tensors = {f"diagonal/{name}": value for name, value in self.diagonals.items()}
        for name, value in self.stored.tensors.items():
            if isinstance(value, RowIntegers):
                tensors[f"integers/{name}"] = value.integers
                tensors[f"scale/{name}"] = value.scale
                if value.columns is not None:
                    tensors[f"columns/{name}"] = value.columns
            else:
                tensors[f"float/{name}"] = value
        about = {
            "config": self.stored.config,
            "tokenizer_sha256": self.stored.tokenizer_sha256,
            "kinds": self.stored.kinds,
            "provenance": self.provenance,
        }
        save_tensors(path, tensors, {key: json.dumps(value) for key, value in about.items()})

    @classmethod
    def load(cls, path: Path) -> "QuantizedModel":
        """Read what `save` wrote; raises StageError naming the file."""
        found, metadata = load_tensors(path)
        values = {key: parse_json(value, path) for key, value in metadata.items()}
        about = build(_About, values, path)
        build(_Provenance, about.provenance, f"{path}: provenance")
        tensors: dict[str, RowIntegers | Tensor] = {}
        diagonals = {}
        for name, kind in about.kinds.items():
            if kind not in (INT6, INT8):
                tensors[name] = _take(found, "float", name, _DTYPES[kind], path)
                continue
            integers = _take(found, "integers", name, torch.int8, path)
            scale, columns = _take(found, "scale", name, torch.float16, path), None
            if f"columns/{name}" in found:
                columns = _take(found, "columns", name, torch.float16, path)
            tensors[name] = RowIntegers(integers, scale, columns)
            if kind == INT6:
                diagonals[name] = _take(found, "diagonal", name, torch.float32, path)
        if found:
            raise StageError(f"{path}: {min(found)}: not one of the model's tensors")
        stored = StoredModel(about.config, about.tokenizer_sha256, about.kinds, tensors)
        _check_stored(stored, diagonals, path)
        return cls(stored, diagonals, about.provenance)


def _take(
    found: dict[str, Tensor], prefix: str, name: str, dtype: torch.dtype, path: Path
) -> Tensor:
    tensor = found.pop(f"{prefix}/{name}", None)
    if tensor is None or tensor.dtype != dtype:
        kind = "missing" if tensor is None else str(tensor.dtype)
        raise StageError(f"{path}: {prefix}/{name}: {kind}; expected {dtype}")
    return tensor


def _check_stored(stored: StoredModel, diagonals: dict[str, Tensor], path: Path) -> None:
    """Raise StageError unless the tensors fit the model and each other, all values possible."""
    shapes = {
        name: (tensor.integers if isinstance(tensor, RowIntegers) else tensor).shape
        for name, tensor in stored.tensors.items()
    }
    require_kinds(stored.config, stored.kinds, shapes, path)
    for name, tensor in stored.tensors.items():
        if not isinstance(tensor, RowIntegers):
            require_values(tensor.numpy(), -math.inf, math.inf, f"{path}: {name}")
            continue
        limit = INT6_LIMIT if stored.kinds[name] == INT6 else INT8_LIMIT
        require_values(tensor.integers.numpy(), -limit, limit, f"{path}: {name}")
        sides = [
            (tensor.scale, 0, "scale"),
            (tensor.columns, 1, "columns"),
            (diagonals.get(name), 1, "diagonal"),
        ]
        for values, axis, what in sides:
            if values is None:
                continue
            if values.shape != shapes[name][axis : axis + 1]:
                raise StageError(
                    f"{path}: {what}/{name} is {list(values.shape)} for {list(shapes[name])}"
                )
            require_values(values.numpy(), 0, math.inf, f"{path}: {what}/{name}")
