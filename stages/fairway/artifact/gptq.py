"""GPTQ: round a matrix column by column, and let later columns make good the error of earlier.

Written from Frantar, Ashkboos, Hoefler, Alistarh: "GPTQ: Accurate Post-Training Quantization for
Generative Pre-trained Transformers" (2022). For inputs x of a layer y = Wx the expected squared
error of y is tr((W − Q) H (W − Q)ᵀ) with H = mean of x xᵀ. Columns are taken in the order of
falling diagonal of H; when one is rounded, its error, divided by the diagonal of U, is fed
forward along its row of U, the upper Cholesky factor of H⁻¹ (H⁻¹ = UᵀU).

Rows do not influence each other, so all clip percentiles are tried at once, as further rows, and
each row keeps the one with the least error.
"""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from fairway.artifact.kinds import INT6_LIMIT
from fairway.artifact.storage import RowIntegers
from fairway.stage import StageError

_LADDER = 7  # dampings tried, each ten times the one before
_SMALLEST_SCALE = 2.0**-24  # of fp16
_QUANTILE_VALUES = 1 << 24  # the most that torch.quantile takes


@dataclass(frozen=True)
class GptqSettings:
    """damping: times the mean of H's diagonal; block: columns between updates of the rest;
    clip_percentiles: of a row's magnitudes, each a candidate for its largest integer.
    """

    damping: float = 0.01
    block: int = 128
    clip_percentiles: tuple[float, ...] = (0.999, 0.9995, 0.9999, 0.99999, 1.0)


@dataclass(frozen=True)
class GptqResult:
    """weight, and the Hessian's diagonal, float32 (columns,): on the CPU; report: for JSON."""

    weight: RowIntegers
    diagonal: Tensor
    report: dict[str, Any]


class Gptq:
    """Quantise one matrix, or several that read the same: add batches of inputs, quantise."""

    def __init__(self, columns: int, device: torch.device | str = "cpu") -> None:
        self.total = torch.zeros(columns, columns, dtype=torch.float64, device=device)
        self.inputs = 0
        self.divided: tuple[Tensor, Gptq] | None = None
        self.solved: tuple[tuple[float, int], tuple[Tensor, Tensor, list[float]]] | None = None

    def add_batch(self, inputs: Tensor) -> None:
        """Add inputs (…, columns) of the layer, wherever the matrix is used."""
        inputs = inputs.detach().flatten(0, -2).float()
        with torch.autocast(inputs.device.type, enabled=False):  # the forward's may be on
            self.total += (inputs.T @ inputs).double()
        self.inputs += len(inputs)

    def scaled(self, columns: Tensor) -> "Gptq":
        """The inputs of a matrix whose columns were divided by `columns` (columns,).

        The last ones are kept: matrices that read the same have the same factor to make.
        """
        if self.divided is None or not torch.equal(self.divided[0], columns):
            found, exact = Gptq(len(columns), self.total.device), columns.to(self.total)
            found.total, found.inputs = self.total * exact[:, None] * exact, self.inputs
            self.divided = columns, found
        return self.divided[1]

    def hessian(self) -> Tensor:
        """Mean of x xᵀ over all inputs, float64 (columns, columns)."""
        return self.total / max(self.inputs, 1)

    def solve(self, damping: float, name: str) -> tuple[Tensor, Tensor, list[float]]:
        """The order of the columns, the factor of the Hessian's inverse in that order, and the
        dampings tried; made once for all matrices of these inputs. StageError as `quantise`."""
        if self.solved is None or self.solved[0] != (damping, self.inputs):
            hessian = self.hessian()
            if not bool(torch.isfinite(hessian).all()):
                raise StageError(f"{name}: the calibration text gave inputs that are not finite")
            order = torch.argsort(hessian.diagonal(), descending=True, stable=True)
            found = _inverse_factor(hessian[order][:, order], damping, name)
            self.solved = (damping, self.inputs), (order, *found)
        return self.solved[1]

    def quantise(self, weight: Tensor, settings: GptqSettings, name: str) -> GptqResult:
        """Integers in ±31 for weight (rows, columns), and a report.

        Dead columns, whose input was always 0, get weight 0: they change no output, and zeros
        pack well. Report: `error` and `rtn_error` are tr(D H Dᵀ) / tr(W H Wᵀ), D = W − Q, for
        GPTQ and for rounding to nearest with the same choice of clips; `dampings` all that were
        tried, the last was used; `clips` the rows that chose each percentile. Raises StageError,
        with `name`, if the inputs were not finite or no damping makes H positive definite.
        """
        return quantise_alike({name: (self, weight)}, settings)[name]


def quantise_alike(
    matrices: dict[str, tuple[Gptq, Tensor]],
    settings: GptqSettings,
    scales: dict[str, Tensor] | None = None,
    limit: int = INT6_LIMIT,
) -> dict[str, GptqResult]:
    """`Gptq.quantise` of matrices of one shape, by name, each with its inputs.

    scales: fp16 (rows,) of each, instead of those by the percentiles; limit: of the integers.

    All are taken through the columns together: a column costs a GPU the same few launches for one
    matrix as for all, and there are thousands of columns.
    """
    begun = [
        _Begun(name, *pair, settings, None if scales is None else scales[name], limit)
        for name, pair in matrices.items()
    ]
    rounded = _feed_forward(
        torch.stack([each.rows for each in begun]),
        torch.stack([each.scales.to(each.rows) for each in begun]),
        torch.stack([each.factor for each in begun]),
        settings.block,
        limit,
    )
    return {each.name: each.finished(part) for each, part in zip(begun, rounded, strict=True)}


class _Begun:
    """A matrix before its columns are gone through, its clips tried as so many rows."""

    def __init__(
        self,
        name: str,
        inputs: Gptq,
        weight: Tensor,
        settings: GptqSettings,
        scale: Tensor | None,
        limit: int,
    ) -> None:
        self.name, self.inputs = name, inputs
        self.percentiles = settings.clip_percentiles if scale is None else ()
        self.order, self.factor, self.dampings = inputs.solve(settings.damping, name)
        hessian = inputs.hessian()
        self.dead = hessian.diagonal() <= 0
        self.weight = weight.detach().to(hessian).masked_fill(self.dead, 0)
        if scale is None:
            self.nearest = round_rows(self.weight, self.percentiles, limit)
        else:
            self.nearest = [round_with(self.weight, scale.to(hessian.device), limit)]
        self.scales = torch.cat([candidate.scale for candidate in self.nearest])
        self.rows = self.weight[:, self.order].repeat(len(self.nearest), 1)

    def finished(self, rounded: Tensor) -> GptqResult:
        """The result from the integers of all rows, columns in the order of `solve`."""
        hessian, clips = self.inputs.hessian(), len(self.nearest)
        integers = torch.empty_like(rounded)
        integers[:, self.order] = rounded
        candidates = [
            RowIntegers(*pair)
            for pair in zip(integers.chunk(clips), self.scales.chunk(clips), strict=True)
        ]
        best, error, choice = _best_rows(self.weight, hessian, candidates)
        _, nearest_error, _ = _best_rows(self.weight, hessian, self.nearest)
        size = float(_row_errors(self.weight, hessian).sum()) or 1.0
        counts = torch.bincount(choice, minlength=clips).tolist()
        report = {
            "inputs": self.inputs.inputs,
            "error": error / size,
            "rtn_error": nearest_error / size,
            "dampings": self.dampings,
            "dead_columns": int(self.dead.sum()),
            "clips": dict(zip(map(str, self.percentiles), counts, strict=False)),
        }
        return GptqResult(best, hessian.diagonal().float().cpu(), report)


def round_rows(weight: Tensor, percentiles: tuple[float, ...], limit: int) -> list[RowIntegers]:
    """Round weight (rows, columns) to nearest in ±limit, once for each clip percentile.

    A row's scale is that percentile of its magnitudes over `limit`, rounded to fp16 first, so
    that the integers belong to the scale that is stored. Raises StageError if it exceeds fp16.
    """
    wanted = torch.tensor(percentiles, dtype=weight.dtype, device=weight.device)
    rows = max(1, _QUANTILE_VALUES // max(1, weight.shape[1]))
    parts = weight.abs().split(rows)
    clips = torch.cat([torch.quantile(part, wanted, dim=1) for part in parts], dim=1)
    result = []
    for clip in clips:
        scale = (clip / limit).clamp(min=_SMALLEST_SCALE).half()
        if not bool(torch.isfinite(scale).all()):
            raise StageError(f"weights up to {float(clip.max()):g}: too large for an fp16 scale")
        result.append(round_with(weight, scale, limit))
    return result


def round_with(weight: Tensor, scale: Tensor, limit: int) -> RowIntegers:
    """Weight (rows, columns) rounded to nearest in ±limit steps of fp16 scales (rows,)."""
    return RowIntegers(_nearest(weight, scale.to(weight)[:, None], limit), scale)


def _nearest(weight: Tensor, scale: Tensor, limit: int) -> Tensor:
    return torch.round(weight / scale).clamp(-limit, limit).to(torch.int8)


def _inverse_factor(hessian: Tensor, damping: float, name: str) -> tuple[Tensor, list[float]]:
    """Upper Cholesky factor of the damped inverse, and the dampings tried, the last one used.

    Dead columns get the mean of the live diagonal. Rounding can leave H indefinite; then the
    damping is raised tenfold until both factorisations succeed.
    """
    diagonal = hessian.diagonal()
    live = diagonal > 0
    mean = diagonal[live].mean() if bool(live.any()) else diagonal.new_ones(())
    identity = torch.eye(len(hessian), dtype=hessian.dtype, device=hessian.device)
    hessian = hessian + torch.diag(torch.where(live, 0.0, mean))
    tried = []
    for rung in range(_LADDER):
        tried.append(damping * 10**rung)
        lower, failed = torch.linalg.cholesky_ex(hessian + tried[-1] * mean * identity)
        if not failed:
            inverse = torch.cholesky_inverse(lower)
            upper, failed = torch.linalg.cholesky_ex(inverse, upper=True)
            if not failed:
                return upper, tried
    raise StageError(f"{name}: Hessian not positive definite with dampings {tried}")


def _feed_forward(rows: Tensor, scales: Tensor, factors: Tensor, block: int, limit: int) -> Tensor:
    """Round rows (matrices, rows, columns) from the left, feeding errors to the right; int8.
    Changes rows. scales: (matrices, rows); factors: (matrices, columns, columns).

    Within a block the error goes to the block's own columns at once; the columns behind it get
    the block's errors as one product, which is where the time is saved.
    """
    result = torch.empty(rows.shape, dtype=torch.int8, device=rows.device)
    for start in range(0, rows.shape[-1], block):
        stop = min(start + block, rows.shape[-1])
        errors = torch.empty_like(rows[..., start:stop])
        for column in range(start, stop):
            integers = _nearest(rows[..., column], scales, limit)
            result[..., column] = integers
            of_column = factors[:, None, column, column:stop]  # (matrices, 1, columns left)
            error = (rows[..., column] - integers * scales) / of_column[..., 0]
            rows[..., column:stop] -= error[..., None] * of_column
            errors[..., column - start] = error
        rows[..., stop:] -= errors @ factors[:, start:stop, stop:]
    return result


def _row_errors(difference: Tensor, hessian: Tensor) -> Tensor:
    """Expected squared output error of each row: diag(D H Dᵀ)."""
    return ((difference @ hessian) * difference).sum(dim=1)


def _best_rows(
    weight: Tensor, hessian: Tensor, candidates: list[RowIntegers]
) -> tuple[RowIntegers, float, Tensor]:
    """Per row the candidate of least error (on the CPU), the error in all, and the choice."""
    errors = torch.stack(
        [_row_errors(weight - c.dequantise().to(weight), hessian) for c in candidates]
    )
    least, choice = errors.min(dim=0)
    rows = torch.arange(len(weight), device=weight.device)
    integers = torch.stack([candidate.integers for candidate in candidates])[choice, rows]
    scale = torch.stack([candidate.scale for candidate in candidates])[choice, rows]
    return RowIntegers(integers.cpu(), scale.cpu()), float(least.sum()), choice
