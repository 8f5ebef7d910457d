"""The scales of a model's integers, where they are not by percentiles: chosen before rounding."""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from fairway.artifact.gptq import Gptq
from fairway.artifact.kinds import INT6, INT6_LIMIT, INT8, INT8_LIMIT
from fairway.artifact.rates import Choice, Rounded, clip_at, search
from fairway.artifact.sensitivity import row_sensitivities
from fairway.model.network import Model
from fairway.stage import StageError

_LIMITS = {INT6: INT6_LIMIT, INT8: INT8_LIMIT}
MOST_SEQUENCES = 128  # of the calibration text, whose gradients are taken
_SMALLEST = 1e-300  # what nothing is divided by less than
_COLUMN_OCTAVES = 6.0  # the longest and shortest step of a column are this far from the mean


@dataclass(frozen=True)
class StepSettings:
    """clip_sigmas: where the largest int6 and the largest int8 stand, in deviations of the
    matrix; bits_per_weight: what a search is to spend on all integers. At most one of them.
    """

    clip_sigmas: tuple[float, float] | None = None
    bits_per_weight: float | None = None

    def __post_init__(self) -> None:
        if self.clip_sigmas is not None and self.bits_per_weight is not None:
            raise StageError(
                f"quantization.clip_sigmas: {list(self.clip_sigmas)} beside bits_per_weight "
                f"{self.bits_per_weight}; expected one of them, the other null"
            )


def choose_steps(
    model: Model,
    hessians: dict[str, Gptq],
    kinds: dict[str, str],
    settings: StepSettings,
    sequences: np.ndarray,
    damping: float,
    precision: str = "float32",
    progress: Callable[[int], None] = lambda tokens: None,
) -> Choice | None:
    """The scales of all tensors of kind int6 and int8; None if percentiles are to make them.

    A search has all integers in ±127: a coder pays for those that occur, not for those that may.
    hessians: of the inputs of the int6 matrices; sequences: calibration text, int64 (sequences,
    tokens), of which a search takes gradients; progress: called with the tokens read for that.
    """
    names = [name for name, kind in kinds.items() if kind in _LIMITS]
    if settings.clip_sigmas is not None:
        sigmas = dict(zip((INT6, INT8), settings.clip_sigmas, strict=True))
        state = model.state_dict()
        tensors = {name: _alike(state[name].cpu(), _LIMITS[kinds[name]]) for name in names}
        scales = {name: clip_at(tensors[name], sigmas[kinds[name]]) for name in names}
        return Choice(scales, {name: {"clip_sigma": sigmas[kinds[name]]} for name in names})
    if settings.bits_per_weight is None:
        return None
    rows = row_sensitivities(model, names, some_of(sequences), progress, precision)
    return Searched(model, hessians, rows, damping).choice(settings.bits_per_weight)


class Searched:
    """What a search knows of a model; hessians and damping as in `choose_steps`, rows of
    `row_sensitivities`."""

    def __init__(
        self, model: Model, hessians: dict[str, Gptq], rows: dict[str, Tensor], damping: float
    ) -> None:
        self.columns: dict[str, Tensor] = {}
        self.tensors: dict[str, Rounded] = {}
        for name, of_row in rows.items():
            weight = model.get_parameter(name).detach().cpu().double()
            if name in hessians:
                found = _for_gptq(weight, of_row, hessians[name], damping, name)
                self.tensors[name], self.columns[name] = found
            else:  # a row's sensitivity is the sum over its columns
                self.tensors[name] = Rounded(weight, INT8_LIMIT, of_row / weight.shape[1])

    def choice(self, bits_per_weight: float) -> Choice:
        """The scales that cost the fewest nats at that many bits per weight."""
        found = search(self.tensors, bits_per_weight)
        return replace(found, columns=self.columns, kind=INT8)


def _for_gptq(
    weight: Tensor, rows: Tensor, inputs: Gptq, damping: float, name: str
) -> tuple[Rounded, Tensor]:
    """A matrix with its columns divided by their scales, for the search, and these scales."""
    columns = column_scales(*_left_by_gptq(inputs, damping, name))
    left, dead = _left_by_gptq(inputs.scaled(columns), damping, name)
    outputs = rows / inputs.hessian().diagonal().sum().cpu().clamp(min=_SMALLEST)
    divided = (weight / columns.double()).masked_fill(dead, 0)
    return Rounded(divided, INT8_LIMIT, outputs, left.masked_fill(dead, 0)), columns


def some_of(sequences: np.ndarray) -> np.ndarray:
    """The sequences, evenly spread, that gradients are taken of."""
    return sequences[:: max(1, -(-len(sequences) // MOST_SEQUENCES))]


def _alike(weight: Tensor, limit: int) -> Rounded:
    return Rounded(weight, limit, torch.ones(len(weight), dtype=torch.float64))


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
