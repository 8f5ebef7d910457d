"""Which tensor is stored as what, and a whole model quantised; the file that holds it.

    int6      the blocks' matrices (q, k, v, o, up, down), in ±31, by GPTQ
    int8      other matrices (embeddings) of more than `fp16_below` values, in ±127, rounded
    float16   other matrices, and the low-rank factors
    float32   everything else: gates, scales, mixes and skip weights, which are few

A LoRA's deviation is not part of what GPTQ rounds: with W + γAB in a virtual layer, W is stored
once, and the rounding error (W − Q)x is made small on the inputs x of all virtual layers that
run the block; γ, A and B are kept apart, so the deviation is as exact as fp16.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from fairway.artifact.gptq import Gptq, GptqSettings, round_rows
from fairway.artifact.storage import (
    FLOAT16,
    FLOAT32,
    INT6,
    INT8,
    INT8_LIMIT,
    RowIntegers,
    StoredModel,
)
from fairway.files.tensors import load_tensors, save_tensors
from fairway.model.network import Linear, Model
from fairway.stage import StageError

_STACKED_VECTORS = ("skip_weights",)  # 2-D, but no matrix
_LOW_RANK = ".deviations."


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
        """Write as safetensors: integers/NAME, scale/NAME, float/NAME and diagonal/NAME."""
        tensors = {f"diagonal/{name}": value for name, value in self.diagonals.items()}
        for name, value in self.stored.tensors.items():
            if isinstance(value, RowIntegers):
                tensors[f"integers/{name}"] = value.integers
                tensors[f"scale/{name}"] = value.scale
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
        try:
            about = {key: json.loads(value) for key, value in metadata.items()}
            kinds = about["kinds"]
            tensors = {
                name: RowIntegers(found[f"integers/{name}"], found[f"scale/{name}"])
                if kind in (INT6, INT8)
                else found[f"float/{name}"]
                for name, kind in kinds.items()
            }
            diagonals = {
                name: found[f"diagonal/{name}"] for name, kind in kinds.items() if kind == INT6
            }
            provenance = about.pop("provenance")
            return cls(StoredModel(tensors=tensors, **about), diagonals, provenance)
        except (ValueError, KeyError, TypeError) as error:
            raise StageError(f"{path}: not a quantised model ({error!r})") from None


def matrices(model: Model) -> dict[str, Linear]:
    """The blocks' matrices by the name of their weight: what is quantised to int6."""
    return {
        f"{name}.weight": module
        for name, module in model.named_modules()
        if isinstance(module, Linear)
    }


def storage_kinds(model: Model, fp16_below: int) -> dict[str, str]:
    """How each tensor of the model's state is stored; see the module's text."""
    int6 = matrices(model)
    kinds = {}
    for name, tensor in model.state_dict().items():
        if name in int6:
            kinds[name] = INT6
        elif tensor.ndim < 2 or name in _STACKED_VECTORS:
            kinds[name] = FLOAT32
        elif tensor.numel() <= fp16_below or _LOW_RANK in name:
            kinds[name] = FLOAT16
        else:
            kinds[name] = INT8
    return kinds


def quantize(
    model: Model,
    hessians: dict[str, Gptq],
    settings: GptqSettings,
    fp16_below: int,
    tokenizer_sha256: str,
    provenance: dict[str, Any],
) -> tuple[QuantizedModel, list[dict[str, Any]]]:
    """Quantise a model with the Hessians gathered for its matrices, which are freed.

    The report has, for each matrix, its name, shape and what Gptq.quantise reports. Raises
    StageError, naming the tensor, if a weight is not finite or does not fit its kind.
    """
    kinds = storage_kinds(model, fp16_below)
    tensors: dict[str, RowIntegers | Tensor] = {}
    diagonals, report = {}, []
    for name, tensor in model.state_dict().items():
        if not bool(torch.isfinite(tensor).all()):
            raise StageError(f"{name}: a weight is not finite")
        if kinds[name] == INT6:
            result = hessians[name].quantise(tensor, settings, name)
            hessians[name].free()
            tensors[name], diagonals[name] = result.weight, result.diagonal
            report.append({"name": name, "shape": list(tensor.shape), **result.report})
        elif kinds[name] == INT8:
            tensors[name] = round_rows(tensor.cpu(), (1.0,), INT8_LIMIT)[0]
        else:
            tensors[name] = _as_float(name, tensor, kinds[name])
    stored = StoredModel(model.config.to_dict(), tokenizer_sha256, kinds, tensors)
    return QuantizedModel(stored, diagonals, provenance), report


def _as_float(name: str, tensor: Tensor, kind: str) -> Tensor:
    stored = tensor.cpu().to(torch.float16 if kind == FLOAT16 else torch.float32)
    if not bool(torch.isfinite(stored).all()):
        raise StageError(f"{name}: a weight of {float(tensor.abs().max()):g} does not fit {kind}")
    return stored
