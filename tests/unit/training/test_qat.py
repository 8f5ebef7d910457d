"""Fake quantisation: the rounding, its derivative, and that a forward really uses it."""

import pytest
import torch

from fairway.artifact.kinds import INT6_LIMIT
from fairway.training.loss import next_token_loss
from fairway.training.qat import LEVELS, fake_quantise, fake_quantised, soft_round
from support.tiny_models import random_tokens, tiny_model


def test_levels_are_those_that_quantising_uses() -> None:
    assert LEVELS == INT6_LIMIT


def test_soft_round_lies_between_identity_and_rounding() -> None:
    x = torch.tensor([-1.9, -0.6, 0.2, 0.5, 0.9, 3.0])
    torch.testing.assert_close(soft_round(x, 1e-2)[0], x, atol=1e-4, rtol=0)
    sharp = soft_round(x, 100.0)[0]
    torch.testing.assert_close(sharp, torch.tensor([-2.0, -1, 0, 0.5, 1, 3]), atol=1e-3, rtol=0)


@pytest.mark.parametrize("sharpness", [1.0, 16.0])
def test_derivative_is_that_of_the_value(sharpness: float) -> None:
    x = torch.linspace(-2.4, 2.3, 40, dtype=torch.float64)
    step = 1e-6
    above, below = soft_round(x + step, sharpness)[0], soft_round(x - step, sharpness)[0]
    torch.testing.assert_close(soft_round(x, sharpness)[1], (above - below) / (2 * step))


def test_sharp_quantisation_leaves_31_steps_a_row() -> None:
    matrix = torch.randn(5, 200, generator=torch.Generator().manual_seed(0))
    value, _ = fake_quantise(matrix, 1000.0)
    steps = value / (matrix.abs().amax(dim=1, keepdim=True) / 31)
    assert steps.abs().max() == pytest.approx(31, abs=1e-4)
    near = (steps - steps.round()).abs() < 1e-3
    assert near.float().mean() > 0.98
    assert fake_quantise(torch.zeros(2, 3), 4.0)[0].abs().max() == 0


def test_gradient_is_the_chain_rule_through_the_rounding() -> None:
    generator = torch.Generator().manual_seed(1)
    start, x = torch.randn(4, 6, generator=generator), torch.randn(6, generator=generator)
    matrix = start.clone().requires_grad_()
    matrix.grad = torch.zeros_like(matrix)
    with fake_quantised([matrix], 5.0):
        ((matrix @ x) ** 2).sum().backward()
    assert torch.equal(matrix.detach(), start)

    twin = start.double().requires_grad_()
    scale = twin.detach().abs().amax(dim=1, keepdim=True) / 31
    steps = twin / scale
    rest = steps - steps.detach().floor() - 0.5
    height = 2 * torch.tanh(torch.tensor(2.5, dtype=torch.float64))
    rounded = (steps.detach().floor() + 0.5 + torch.tanh(5.0 * rest) / height) * scale
    ((rounded @ x.double()) ** 2).sum().backward()
    torch.testing.assert_close(matrix.grad.double(), twin.grad, atol=1e-3, rtol=1e-3)


def test_weights_come_back_after_an_error() -> None:
    matrix = torch.randn(3, 3, generator=torch.Generator().manual_seed(0))
    start = matrix.clone()
    with pytest.raises(RuntimeError), fake_quantised([matrix], 8.0):
        assert not torch.equal(matrix, start)
        raise RuntimeError
    assert torch.equal(matrix, start)


def test_none_changes_nothing() -> None:
    matrix = torch.randn(3, 3, generator=torch.Generator().manual_seed(0))
    start = matrix.clone()
    with fake_quantised([matrix], None):
        assert torch.equal(matrix, start)


def test_a_forward_uses_the_quantised_weights() -> None:
    """One that is compiled before does, too: see `test_loop.py`, late steps."""
    model = tiny_model(2).requires_grad_(True)
    weights = [part.weight for block in model.blocks for part in block.children()]
    for weight in weights:
        weight.grad = torch.zeros_like(weight)
    tokens = torch.from_numpy(random_tokens(17).astype("int64"))[None]
    text = tokens[:, :-1], tokens[:, 1:]
    plain = next_token_loss(model, *text)[0].item()
    with fake_quantised(weights, 16.0):
        quantised = next_token_loss(model, *text)[0].item()
        used = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    after = next_token_loss(model, *text)[0].item()
    twin = tiny_model(2)
    twin.load_state_dict(used)
    expected = next_token_loss(twin, *text)[0].item()
    assert after == plain != quantised
    assert quantised == pytest.approx(expected, abs=1e-5)
    assert abs(quantised - plain) > 1e-4
