"""The scales of a model's integers, where they are not by percentiles: chosen before rounding."""

from collections.abc import Callable
from dataclasses import dataclass

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
_MOST_SEQUENCES = 128  # of the calibration text, whose gradients are taken


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
    every = -(-len(sequences) // _MOST_SEQUENCES)
    rows = row_sensitivities(model, names, sequences[::every], progress, precision)
    tensors = {
        name: _rounded(model, name, rows[name], hessians.get(name), kinds[name], damping)
        for name in names
    }
    return search(tensors, settings.bits_per_weight)


def sensitivity_tokens(sequences: np.ndarray) -> int:
    """How many tokens a search reads."""
    every = -(-len(sequences) // _MOST_SEQUENCES)
    return sequences[::every].size


def _alike(weight: Tensor, limit: int) -> Rounded:
    return Rounded(weight, limit, torch.ones(len(weight), dtype=torch.float64))


def _rounded(
    model: Model, name: str, rows: Tensor, inputs: Gptq | None, kind: str, damping: float
) -> Rounded:
    """What the search is to know of a tensor; inputs: of a matrix that GPTQ rounds."""
    weight = model.get_parameter(name).detach().cpu().double()
    if inputs is None:
        return Rounded(weight, _LIMITS[kind], rows)
    order, factor, _ = inputs.solve(damping, name)
    diagonal = inputs.hessian().diagonal().cpu()
    columns = torch.empty_like(diagonal)
    columns[order.cpu()] = factor.diagonal().cpu().square().reciprocal()
    dead = diagonal <= 0
    sensitive = rows / diagonal.sum().clamp(min=1e-300)
    return Rounded(
        weight.masked_fill(dead, 0), _LIMITS[kind], sensitive, columns.masked_fill(dead, 0)
    )
