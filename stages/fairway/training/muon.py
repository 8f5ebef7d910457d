"""Muon: momentum whose update is orthogonalised, with the work shared over processes.

Jordan et al., "Muon: An optimizer for hidden layers in neural networks" (2024), with the
scaling and decay that parameter-golf PR #796 uses.
"""

from collections.abc import Callable, Iterable

import torch
from torch import Tensor

_COEFFICIENTS = (3.4445, -4.7750, 2.0315)
_ITERATIONS = 5


def orthogonalise(matrices: Tensor, dtype: torch.dtype = torch.float32) -> Tensor:
    """Newton–Schulz iteration towards the nearest (semi-)orthogonal matrix of each.

    matrices: (count, rows, columns). The singular values end between about 0.7 and 1.2, which
    is what the coefficients trade for speed. Computed in `dtype`, which the result has.
    """
    a, b, c = _COEFFICIENTS
    x = matrices.to(dtype)
    x = x / (x.norm(dim=(-2, -1), keepdim=True) + 1e-7)
    tall = x.shape[-2] > x.shape[-1]
    x = x.mT if tall else x
    for _ in range(_ITERATIONS):
        gram = x @ x.mT
        x = a * x + (b * gram + c * gram @ gram) @ x
    return x.mT if tall else x


class Muon:
    """Optimiser of matrices: Nesterov momentum, orthogonalised, decoupled weight decay.

    matrices: 2-D parameters with gradients equal on all processes. rank, world_size: this
    process's place; each orthogonalises its share. sum_over_ranks: sums a tensor over all
    processes in place, called once a step if there are several.
    """

    def __init__(
        self,
        matrices: list[Tensor],
        weight_decay: float,
        rank: int = 0,
        world_size: int = 1,
        sum_over_ranks: Callable[[Tensor], None] | None = None,
    ) -> None:
        self.matrices = matrices
        self.weight_decay = weight_decay
        self.sum_over_ranks = sum_over_ranks
        self.momenta = [torch.zeros_like(matrix) for matrix in matrices]
        on_cuda = bool(matrices) and matrices[0].is_cuda
        self.dtype = torch.bfloat16 if on_cuda else torch.float32
        self.groups = by_shape(matrices, _share(matrices, rank, world_size))

    @torch.no_grad()
    def step(self, lr: float, momentum: float) -> None:
        """Update every matrix from its gradient: lr, momentum as of this step."""
        if not self.matrices:
            return
        gradients = [matrix.grad for matrix in self.matrices]
        torch._foreach_mul_(self.momenta, momentum)
        torch._foreach_add_(self.momenta, gradients)
        nesterov = torch._foreach_add(gradients, self.momenta, alpha=momentum)
        updates = self._orthogonalised(nesterov)
        scales = [lr * max(1.0, m.shape[0] / m.shape[1]) ** 0.5 for m in self.matrices]
        torch._foreach_mul_(updates, scales)
        torch._foreach_mul_(self.matrices, 1 - lr * self.weight_decay)
        torch._foreach_sub_(self.matrices, updates)

    def _orthogonalised(self, nesterov: list[Tensor]) -> list[Tensor]:
        """Float32 updates of all matrices, this rank's share computed here."""
        sizes = [matrix.numel() for matrix in self.matrices]
        flat = torch.zeros(sum(sizes), dtype=self.dtype, device=self.matrices[0].device)
        parts = [
            part.view_as(matrix)
            for part, matrix in zip(flat.split(sizes), self.matrices, strict=True)
        ]
        for group in self.groups:
            done = orthogonalise(torch.stack([nesterov[i] for i in group]), self.dtype)
            torch._foreach_copy_([parts[i] for i in group], list(done))
        if self.sum_over_ranks is not None:
            self.sum_over_ranks(flat)
        return [
            part.view_as(matrix)
            for part, matrix in zip(flat.float().split(sizes), self.matrices, strict=True)
        ]


def _share(matrices: list[Tensor], rank: int, world_size: int) -> list[int]:
    """Indices of the matrices that a rank orthogonalises: largest first, dealt round."""

    def cost(index: int) -> int:
        rows, columns = matrices[index].shape
        return rows * columns * min(rows, columns)

    return sorted(range(len(matrices)), key=lambda i: (-cost(i), i))[rank::world_size]


def by_shape(matrices: list[Tensor], indices: Iterable[int]) -> list[list[int]]:
    """The indices in groups of matrices of one shape, for work on each group as one stack."""
    groups: dict[torch.Size, list[int]] = {}
    for index in indices:
        groups.setdefault(matrices[index].shape, []).append(index)
    return list(groups.values())
