"""The scales of a model's integers, where they are not by percentiles: chosen before rounding."""

from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor

from fairway.artifact.gptq import Gptq
from fairway.artifact.kinds import INT6, INT6_LIMIT, INT8, INT8_LIMIT
from fairway.artifact.rates import Choice, Rounded, Search, clip_at
from fairway.artifact.sensitivity import row_sensitivities
from fairway.model.network import Model

_LIMITS = {INT6: INT6_LIMIT, INT8: INT8_LIMIT}
_SMALLEST = 1e-300  # what nothing is divided by less than
_SEQUENCES = 128  # that gradients are taken of: how many counts for more than how long they are
_COLUMN_OCTAVES = 6.0  # the longest and shortest step of a column are this far from the mean


def even_steps(model: Model, kinds: dict[str, str], sigmas: Sequence[float]) -> Choice:
    """One step for each matrix: its largest integer stands at so many deviations of its weights.

    sigmas: of tensors of kind int6, of those of kind int8.
    """
    state, of_kind = model.state_dict(), dict(zip((INT6, INT8), sigmas, strict=True))
    scales, report = {}, {}
    for name in _integers(kinds):
        weight, limit = state[name].cpu(), _LIMITS[kinds[name]]
        alike = torch.ones(len(weight), dtype=torch.float64)
        scales[name] = clip_at(Rounded(weight, limit, alike), of_kind[kinds[name]])
        report[name] = {"clip_sigma": of_kind[kinds[name]]}
    return Choice(scales, report)


def prepare_search(
    model: Model,
    hessians: dict[str, Gptq],
    kinds: dict[str, str],
    sequences: np.ndarray,
    gradient_tokens: int,
    damping: float,
    precision: str = "float32",
    progress: Callable[[int], None] = lambda tokens: None,
) -> Search:
    """A search for the steps of all tensors of kind int6 and int8.

    It has all integers in ±127: a coder pays for those that occur, not for those that may.
    hessians: of the inputs of the int6 matrices; sequences: calibration text, int64 (sequences,
    tokens), of which gradient_tokens have their gradients taken (`some_of`); progress: called with
    the tokens read.
    """
    tensors, columns = {}, {}
    text = some_of(sequences, gradient_tokens)
    rows = row_sensitivities(model, _integers(kinds), text, progress, precision)
    for name, of_row in rows.items():
        weight = model.get_parameter(name).detach().cpu().double()
        if name in hessians:
            found = _for_gptq(weight, of_row, hessians[name], damping, name)
            tensors[name], columns[name] = found
        else:  # a row's sensitivity is the sum over its columns
            tensors[name] = Rounded(weight, INT8_LIMIT, of_row / weight.shape[1])
    return Search(tensors, columns)


def _for_gptq(
    weight: Tensor, rows: Tensor, inputs: Gptq, damping: float, name: str
) -> tuple[Rounded, Tensor]:
    """A matrix with its columns divided by their scales, for the search, and these scales."""
    columns = column_scales(*_left_by_gptq(inputs, damping, name))
    left, dead = _left_by_gptq(inputs.scaled(columns), damping, name)
    outputs = rows / inputs.hessian().diagonal().sum().cpu().clamp(min=_SMALLEST)
    divided = (weight / columns.double()).masked_fill(dead, 0)
    return Rounded(divided, INT8_LIMIT, outputs, left.masked_fill(dead, 0)), columns


def some_of(sequences: np.ndarray, tokens: int) -> np.ndarray:
    """The beginnings of sequences, evenly spread, of that many tokens in all, that gradients are
    taken of; at least two of each, the second being predicted."""
    chosen = sequences[:: max(1, -(-len(sequences) // _SEQUENCES))]
    return chosen[:, : max(2, tokens // max(1, len(chosen)))]


def _integers(kinds: dict[str, str]) -> list[str]:
    return [name for name, kind in kinds.items() if kind in _LIMITS]


def column_scales(left: Tensor, dead: Tensor) -> Tensor:
    """fp16 (columns,): steps of the columns, in half octaves, that leave equal errors in all.

    left: how much of its squared error GPTQ leaves of a column; dead: columns without input.
    Waterfilling over the columns (Lifar, Savkin, Ordentlich, Polyanskiy: WaterSIC,
    arXiv:2603.04956): a column that matters less gets a longer step, and fewer bits.
    """
    octaves = -torch.log2(left) / 2
    octaves = octaves - octaves[~dead].mean() if bool((~dead).any()) else octaves
    octaves = (torch.round(2 * octaves) / 2).clamp(-_COLUMN_OCTAVES, _COLUMN_OCTAVES)
    return torch.exp2(octaves.masked_fill(dead, 0.0)).half()


def _left_by_gptq(inputs: Gptq, damping: float, name: str) -> tuple[Tensor, Tensor]:
    """By column: how much of a squared error GPTQ leaves, and whether it is dead."""
    order, factor, _ = inputs.solve(damping, name)
    left = torch.empty(len(order), dtype=torch.float64)
    left[order.cpu()] = factor.diagonal().cpu().square().reciprocal()
    return left, inputs.hessian().diagonal().cpu() <= 0
