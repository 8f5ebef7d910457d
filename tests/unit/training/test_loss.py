"""The loss in pieces against cross-entropy of whole logits."""

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F

from fairway.training import loss as module
from fairway.training.loss import next_token_loss
from support.tiny_models import VOCABULARY, random_tokens, tiny_model


def outcome(cap: float, loss: Callable) -> tuple[torch.Tensor, torch.Tensor]:
    """Loss and gradient of a batch of 45 positions."""
    model = tiny_model(logit_cap=cap).requires_grad_()
    with torch.no_grad():
        model.token_embedding *= 3  # so that the cap bends
    tokens = torch.from_numpy(random_tokens(3 * 16).astype("int64")).view(3, 16)
    mean, _ = loss(model, tokens[:, :-1], tokens[:, 1:])
    (3 * mean).backward()
    gradients = [p.grad for p in model.parameters() if p.grad is not None]
    return mean.detach(), torch.cat([gradient.flatten() for gradient in gradients])


def of_whole_logits(model, inputs, targets):
    logits = model(inputs)
    assert logits.abs().max() > 0.7 * model.config.logit_cap
    return F.cross_entropy(logits.flatten(0, 1), targets.flatten()), None


@pytest.mark.parametrize("rows", [1, 7, 45, 128])
def test_pieces_add_up_to_the_whole(monkeypatch, rows: int) -> None:
    monkeypatch.setattr(module, "_ROWS", rows)
    expected, gradient = outcome(5.0, of_whole_logits)
    found, in_pieces = outcome(5.0, next_token_loss)
    torch.testing.assert_close(found, expected, rtol=3e-7, atol=0)
    torch.testing.assert_close(in_pieces, gradient, rtol=1e-4, atol=1e-6)


def test_a_cap_that_bends_nothing_takes_the_usual_way(monkeypatch) -> None:
    """With so large a cap a probability may be 0, and sigmoid has too few digits."""
    monkeypatch.setattr(module, "_InPieces", None)
    model = tiny_model(logit_cap=1e6)
    tokens = torch.arange(2 * 9).view(2, 9) % VOCABULARY
    assert torch.isfinite(next_token_loss(model, tokens[:, :-1], tokens[:, 1:])[0])
    with pytest.raises(AttributeError):
        outcome(5.0, next_token_loss)
