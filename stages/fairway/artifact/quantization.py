"""A whole model quantised, each tensor as its kind says (`fairway.artifact.kinds`).

A LoRA's deviation is not part of what GPTQ rounds: with W + γAB in a virtual layer, W is stored
once, and the rounding error (W − Q)x is made small on the inputs x of all virtual layers that
run the block; γ, A and B are kept apart, so the deviation is as exact as fp16.
"""

from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from fairway.artifact.gptq import (
    Gptq,
    GptqResult,
    GptqSettings,
    quantise_alike,
    round_rows,
    round_with,
)
from fairway.artifact.kinds import FLOAT16, INT6, INT6_LIMIT, INT8, INT8_LIMIT, storage_kinds
from fairway.artifact.quantized import QuantizedModel
from fairway.artifact.rates import Choice
from fairway.artifact.storage import RowIntegers, StoredModel
from fairway.model.layers import Linear
from fairway.model.network import Model
from fairway.model.shapes import state_shapes
from fairway.stage import StageError

FP16_MANTISSA = 10  # bits of an fp16's mantissa that are stored


def matrices(model: Model) -> dict[str, Linear]:
    """The blocks' matrices by the name of their weight: what is quantised to int6."""
    return {
        f"{name}.weight": module
        for name, module in model.named_modules()
        if isinstance(module, Linear)
    }


def quantize(
    model: Model,
    hessians: dict[str, Gptq],
    settings: GptqSettings,
    fp16_below: int,
    tokenizer_sha256: str,
    provenance: dict[str, Any],
    choice: Choice | None = None,
    mantissa_bits: int = FP16_MANTISSA,
) -> tuple[QuantizedModel, list[dict[str, Any]]]:
    """Quantise a model with the Hessians gathered for its matrices; each is let go of after use.

    choice: the scales of all tensors that become integers (fairway.artifact.steps); without one
    GPTQ's clip percentiles, and for int8 each row's largest weight. mantissa_bits: of those
    that fp16 has, how many are used; the others are 0 and cost a coder nothing.
    The report has, for each matrix, its name, shape and what Gptq.quantise reports. Raises
    StageError, naming the tensor, if a weight is not finite or does not fit its kind.
    """
    kinds, state = storage_kinds(state_shapes(model.config), fp16_below), model.state_dict()
    tensors: dict[str, RowIntegers | Tensor] = {}
    for name, tensor in state.items():
        if not bool(torch.isfinite(tensor).all()):
            raise StageError(f"{name}: a weight is not finite")
    results = _int6(
        {name: state[name] for name in state if kinds[name] == INT6}, hessians, settings, choice
    )
    for name, tensor in state.items():
        if kinds[name] == INT6:
            tensors[name] = results[name].weight
        elif kinds[name] == INT8 and choice is None:
            tensors[name] = round_rows(tensor.cpu(), (1.0,), INT8_LIMIT)[0]
        elif kinds[name] == INT8:
            tensors[name] = round_with(tensor.cpu(), choice.scales[name], INT8_LIMIT)
        else:
            tensors[name] = _as_float(name, tensor, kinds[name], mantissa_bits)
    by_gptq = INT6 if choice is None else choice.kind
    kinds = kinds | dict.fromkeys(results, by_gptq)
    stored = StoredModel(model.config.to_dict(), tokenizer_sha256, kinds, tensors)
    diagonals = {}
    if by_gptq == INT6:  # which packing may prune
        diagonals = {name: result.diagonal for name, result in results.items()}
    report = [
        {"name": name, "shape": list(state[name].shape), **result.report}
        for name, result in results.items()
    ]
    return QuantizedModel(stored, diagonals, provenance), report


def _int6(
    weights: dict[str, Tensor],
    hessians: dict[str, Gptq],
    settings: GptqSettings,
    choice: Choice | None,
) -> dict[str, GptqResult]:
    """GPTQ of all weights, in their order, those of one shape together."""
    by_shape: dict[torch.Size, list[str]] = {}
    for name, weight in weights.items():
        by_shape.setdefault(weight.shape, []).append(name)
    found = {}
    for names in by_shape.values():
        alike = {name: (hessians.pop(name), weights[name]) for name in names}
        if choice is None:
            found |= quantise_alike(alike, settings)
        else:
            found |= _with_steps(alike, settings, choice)
    return {name: found[name] for name in weights}


def _with_steps(
    matrices: dict[str, tuple[Gptq, Tensor]], settings: GptqSettings, choice: Choice
) -> dict[str, GptqResult]:
    """GPTQ with chosen scales; columns with scales of their own are divided by them before."""
    divided = {}
    for name, (inputs, weight) in matrices.items():
        columns = choice.columns.get(name)
        if columns is not None:
            inputs, weight = inputs.scaled(columns), weight / columns.to(weight)
        divided[name] = inputs, weight
    limit = INT6_LIMIT if choice.kind == INT6 else INT8_LIMIT
    found = quantise_alike(divided, settings, choice.scales, limit)
    return {
        name: replace(each, weight=replace(each.weight, columns=choice.columns.get(name)))
        for name, each in found.items()
    }


def _as_float(name: str, tensor: Tensor, kind: str, mantissa_bits: int) -> Tensor:
    stored = tensor.cpu().to(torch.float16 if kind == FLOAT16 else torch.float32)
    if kind == FLOAT16 and mantissa_bits < FP16_MANTISSA:
        unit = 1 << FP16_MANTISSA - mantissa_bits  # rounding the bits may carry into the exponent
        bits = (stored.view(torch.int16).int() + unit // 2) & -unit
        stored = bits.to(torch.int16).view(torch.float16)
    if not bool(torch.isfinite(stored).all()):
        raise StageError(f"{name}: a weight of {float(tensor.abs().max()):g} does not fit {kind}")
    return stored
