"""How finely each tensor is rounded: a budget of bits, spent where it saves the most nats.

With an entropy coder behind it, rounding needs no clip that is used up: a step Δ costs a weight
of deviation σ about log2(σ/Δ) + 2.05 bits and leaves an error of Δ²/12. What that error costs
depends on its row (fairway.artifact.sensitivity) and, where GPTQ rounds, on its column: GPTQ
leaves 1/U² of it, U being the diagonal of the factor of the Hessian's inverse (gptq.py). So rows
that matter less get longer steps, in half octaves, and for each tensor nats and bits are computed
for a grid of steps, by rounding it to nearest with each. From these curves the steps are chosen
that leave the fewest nats within the budget: by a price of a bit, the same for all tensors, found
by bisection (Everett 1963; Shoham and Gersho 1988); what is left over goes to the single steps
that then save most for their bits. A step is named by the clip that it amounts to, k times the
deviation of the tensor's weights.
"""

import math
from dataclasses import dataclass, field

import torch
from torch import Tensor

from fairway.artifact.coders.entropy import integer_bits
from fairway.artifact.kinds import INT6, INT8
from fairway.stage import StageError

_STEPS = 2.0 ** (torch.arange(-21, 4, dtype=torch.float64) / 3)  # in the tensor's deviations
_ROW_OCTAVES = 4.0  # the longest and the shortest step of a tensor are this far from its own
_SMALLEST_SCALE = 2.0**-24  # of fp16
_BISECTIONS = 60


@dataclass(frozen=True)
class Rounded:
    """A matrix to be rounded, float (rows, columns), in ±limit.

    rows: what half a squared error costs in nats, (rows,); columns: how much of it GPTQ leaves,
    (columns,), None if it is not GPTQ that rounds.
    """

    weight: Tensor
    limit: int
    rows: Tensor
    columns: Tensor | None = None

    def scales(self, step: float) -> Tensor:
        """fp16 (rows,): a step of so many deviations, longer for rows that matter less.

        No shorter than what a row's largest weight needs.
        """
        weight = self.weight.double()
        relative = torch.log2((self.rows.mean() / self.rows).sqrt()).nan_to_num(0.0)
        relative = (torch.round(2 * relative) / 2).clamp(-_ROW_OCTAVES, _ROW_OCTAVES)
        wanted = step * weight.square().mean().sqrt() * torch.exp2(relative)
        least = weight.abs().amax(dim=1) / self.limit
        return torch.maximum(wanted, least).clamp(min=_SMALLEST_SCALE).half()

    def nats_and_bits(self, step: float) -> tuple[float, float]:
        """What rounding to nearest with that step costs: nats a token, bits in all."""
        scale = self.scales(step).double()[:, None]
        weight = self.weight.double()
        integers = torch.round(weight / scale).clamp(-self.limit, self.limit)
        squared = (weight - integers * scale).square_()
        squared = squared.sum(dim=1) if self.columns is None else squared @ self.columns
        nats = 0.5 * float(squared @ self.rows)
        return nats, integer_bits(integers.to(torch.int8).numpy(), self.limit)


@dataclass(frozen=True)
class Choice:
    """By tensor, scales of the rows, fp16 (rows,), and of those columns that have any, fp16
    (columns,); kind: of the matrices that GPTQ rounds; report: for JSON."""

    scales: dict[str, Tensor]
    report: dict[str, dict[str, float]]
    columns: dict[str, Tensor] = field(default_factory=dict)
    kind: str = INT6


class Search:
    """The curves of all tensors, made once; `weights`: how many there are.

    columns: scales of columns, fp16 (columns,), by which tensors were divided.
    """

    def __init__(self, tensors: dict[str, Rounded], columns: dict[str, Tensor]) -> None:
        self._tensors, self._columns = tensors, columns
        self._curves = {
            name: [tensor.nats_and_bits(float(step)) for step in _STEPS]
            for name, tensor in tensors.items()
        }
        self.weights = sum(tensor.weight.numel() for tensor in tensors.values())

    @property
    def bits(self) -> tuple[float, float]:
        """Per weight: with the coarsest steps, and with the finest."""
        bits = [[bits for _, bits in curve] for curve in self._curves.values()]
        least, most = (sum(map(end, bits)) / max(1, self.weights) for end in (min, max))
        return least, most

    def choice(self, bits_per_weight: float) -> Choice:
        """The scales of all tensors that cost the fewest nats at that many bits per weight.

        Deterministic. Raises StageError if the coarsest steps take more.
        """
        least, _ = self.bits
        if least > bits_per_weight:
            raise StageError(
                f"bits_per_weight: {bits_per_weight}; these tensors take at least {least:.2f}"
            )
        chosen = choose(list(self._curves.values()), bits_per_weight * self.weights)
        found = dict(zip(self._curves, chosen, strict=True))
        scales = {n: self._tensors[n].scales(float(_STEPS[index])) for n, index in found.items()}
        report = {name: self._report(name, index) for name, index in found.items()}
        return Choice(scales, report, self._columns, INT8)

    def _report(self, name: str, index: int) -> dict[str, float]:
        tensor, (nats, bits) = self._tensors[name], self._curves[name][index]
        return {
            "clip_sigma": float(_STEPS[index]) * tensor.limit,
            "nats": nats,
            "bits_per_weight": bits / max(1, tensor.weight.numel()),
        }


def clip_at(tensor: Rounded, sigmas: float) -> Tensor:
    """fp16 (rows,): one step for the matrix, its largest integer at so many deviations."""
    alike = Rounded(tensor.weight, tensor.limit, torch.ones_like(tensor.rows))
    return alike.scales(sigmas / tensor.limit)


def choose(curves: list[list[tuple[float, float]]], budget: float) -> list[int]:
    """A point (nats, bits) of each curve: few nats in all, bits in all within the budget.

    Those of fewest bits if nothing fits.
    """
    low, high = -100.0, 100.0  # log2 of the price of a bit, in nats
    for _ in range(_BISECTIONS):
        middle = (low + high) / 2
        fits = _bits(curves, _cheapest(curves, 2.0**middle)) <= budget
        low, high = (low, middle) if fits else (middle, high)
    chosen = _cheapest(curves, 2.0**high)
    return _spend(curves, chosen, budget - _bits(curves, chosen))


def _cheapest(curves: list[list[tuple[float, float]]], price: float) -> list[int]:
    """Of each curve the point of least nats + price · bits, the last of several."""
    return [
        min(
            reversed(range(len(curve))),
            key=lambda i, curve=curve: curve[i][0] + price * curve[i][1],
        )
        for curve in curves
    ]


def _bits(curves: list[list[tuple[float, float]]], chosen: list[int]) -> float:
    return math.fsum(curve[index][1] for curve, index in zip(curves, chosen, strict=True))


def _spend(curves: list[list[tuple[float, float]]], chosen: list[int], left: float) -> list[int]:
    """`chosen` with finer points instead, as long as one fits into the bits that are left."""
    chosen = list(chosen)
    while True:
        best, gain = None, 0.0
        for tensor, curve in enumerate(curves):
            nats, bits = curve[chosen[tensor]]
            for index, (other_nats, other_bits) in enumerate(curve):
                more, saved = other_bits - bits, nats - other_nats
                if 0 < more <= left and saved > gain * more:
                    best, gain = (tensor, index), saved / more
        if best is None:
            return chosen
        tensor, index = best
        left -= curves[tensor][index][1] - curves[tensor][chosen[tensor]][1]
        chosen[tensor] = index
