"""Muon: orthogonalisation, one step by hand, and the sharing of its work."""

import numpy as np
import pytest
import torch

from fairway.training.muon import Muon, orthogonalise


def random_matrix(rows: int, columns: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(rows, columns, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("shape", [(8, 8), (24, 8), (8, 24)])
def test_singular_values_come_near_one_and_directions_stay(shape: tuple[int, int]) -> None:
    matrix = random_matrix(*shape)
    result = orthogonalise(matrix[None])[0]
    values = torch.linalg.svdvals(result)
    assert values.min() > 0.6 and values.max() < 1.3
    left, _, right = torch.linalg.svd(matrix, full_matrices=False)
    turned = left.mT @ result @ right.mT  # diagonal if the singular vectors are the same
    assert (turned - turned.diag().diag()).abs().max() < 1e-3


def test_result_does_not_depend_on_scale_and_zero_stays_zero() -> None:
    matrix = random_matrix(6, 9)
    small, large = orthogonalise(torch.stack((matrix, 1000 * matrix)))
    torch.testing.assert_close(small, large, atol=1e-3, rtol=0)
    assert orthogonalise(torch.zeros(1, 4, 4)).abs().max() == 0


def newton_schulz(matrix: np.ndarray) -> np.ndarray:
    x = matrix.T if matrix.shape[0] > matrix.shape[1] else matrix
    x = x / np.linalg.norm(x)
    for _ in range(5):
        gram = x @ x.T
        x = 3.4445 * x + (-4.7750 * gram + 2.0315 * gram @ gram) @ x
    return x.T if matrix.shape[0] > matrix.shape[1] else x


def test_two_steps_by_hand() -> None:
    weight, momentum, lr, decay = random_matrix(12, 3), 0.9, 0.1, 0.04
    expected, buffer = weight.double().numpy().copy(), np.zeros((12, 3))
    weight.grad = torch.zeros_like(weight)
    muon = Muon([weight], decay)
    for seed in (1, 2):
        gradient = random_matrix(12, 3, seed)
        weight.grad.copy_(gradient)
        muon.step(lr, momentum)
        buffer = momentum * buffer + gradient.double().numpy()
        update = newton_schulz(gradient.double().numpy() + momentum * buffer)
        expected = expected * (1 - lr * decay) - lr * np.sqrt(12 / 3) * update
    np.testing.assert_allclose(weight.numpy(), expected, atol=1e-5)


def test_work_shared_over_ranks_gives_the_same_weights() -> None:
    shapes = [(8, 8), (4, 8), (8, 8), (16, 8), (4, 8)]

    def weights() -> list[torch.Tensor]:
        made = [random_matrix(*shape, seed=i) for i, shape in enumerate(shapes)]
        for i, weight in enumerate(made):
            weight.grad = random_matrix(*weight.shape, seed=100 + i)
        return made

    alone = weights()
    Muon(alone, 0.04).step(0.1, 0.9)
    parts: list[torch.Tensor] = []
    for rank in range(3):  # what every rank would send
        Muon(weights(), 0.04, rank, 3, lambda flat: parts.append(flat.clone())).step(0.1, 0.9)
    assert all(part.count_nonzero() < part.numel() for part in parts)
    assert torch.stack(parts).count_nonzero(dim=0).max() == 1  # nothing is done twice
    total = torch.stack(parts).sum(0)
    shared = weights()
    Muon(shared, 0.04, 1, 3, lambda flat: flat.copy_(total)).step(0.1, 0.9)
    for one, other in zip(alone, shared, strict=True):
        torch.testing.assert_close(one, other, atol=1e-6, rtol=0)


def test_state_continues_exactly() -> None:
    def run(interrupted: bool) -> torch.Tensor:
        weight = random_matrix(5, 7)
        weight.grad = torch.zeros_like(weight)
        muon = Muon([weight], 0.0)
        for seed in range(4):
            if interrupted and seed == 2:
                saved = muon.momenta
                muon = Muon([weight], 0.0)
                muon.momenta[0].copy_(saved[0])
            weight.grad.copy_(random_matrix(5, 7, seed))
            muon.step(0.1, 0.9)
        return weight

    assert torch.equal(run(interrupted=True), run(interrupted=False))
