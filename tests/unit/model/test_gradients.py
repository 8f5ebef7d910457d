"""Gradients written by hand against those of autograd, and where they are in use."""

import pytest
import torch
import torch.nn.functional as F

from fairway.model import layers
from fairway.model.gradients import LeakySquare, Norm, by_hand


def drawn(*shape: int, dtype: torch.dtype = torch.float64) -> torch.Tensor:
    generator = torch.Generator().manual_seed(1)
    return torch.randn(shape, generator=generator, dtype=dtype).requires_grad_()


def test_gradients_are_those_of_finite_differences() -> None:
    assert torch.autograd.gradcheck(lambda x: Norm.apply(x, 1e-3), drawn(2, 3, 8))
    assert torch.autograd.gradcheck(LeakySquare.apply, drawn(3, 8))


@pytest.mark.parametrize("function", [layers.norm, layers.leaky_square])
def test_values_and_gradients_are_the_definitions(monkeypatch, function) -> None:
    x, weights = drawn(5, 7, 16, dtype=torch.float32), drawn(5, 7, 16, dtype=torch.float32)
    found = function(x)
    (gradient,) = torch.autograd.grad((found * weights).sum(), x)
    monkeypatch.setattr(layers, "by_hand", lambda x: False)
    expected = function(x)
    assert type(found.grad_fn) is not type(expected.grad_fn)
    torch.testing.assert_close(found, expected, rtol=1e-6, atol=1e-7)
    (definition,) = torch.autograd.grad((expected * weights).sum(), x)
    torch.testing.assert_close(gradient, definition, rtol=1e-5, atol=1e-6)


def test_a_row_of_zeros_has_a_gradient() -> None:
    x = torch.zeros(2, 4, requires_grad=True)
    (gradient,) = torch.autograd.grad(layers.norm(x).sum(), x)
    assert torch.isfinite(gradient).all() and gradient.abs().min() > 0


def test_they_are_for_training_in_float32_on_a_cpu() -> None:
    x = drawn(2, 4, dtype=torch.float32)
    assert by_hand(x) and by_hand(F.relu(x))
    assert not by_hand(x.detach()) and not by_hand(x.bfloat16())
    with torch.no_grad():
        assert not by_hand(x)
    assert not by_hand(torch.empty(2, device="meta", requires_grad=True))
