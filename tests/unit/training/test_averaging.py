"""EMA, SWA and their blend against closed forms."""

import pytest
import torch

from fairway.training.averaging import WeightAverages


def test_blend_of_both_averages() -> None:
    weight = torch.zeros(3)
    averages = WeightAverages([weight], ema_decay=0.5)
    for value, snapshot in ((1.0, False), (2.0, True), (4.0, True)):
        weight.fill_(value)
        averages.update(take_snapshot=snapshot)
    ema, swa = 0.125 * 1 + 0.25 * 2 + 0.5 * 4, 3.0
    assert averages.final()[0].tolist() == pytest.approx([0.5 * ema + 0.5 * swa] * 3)
    assert weight.tolist() == [4.0] * 3  # the weights themselves are not touched


def test_without_snapshots_the_ema_alone() -> None:
    weight = torch.zeros(1)
    averages = WeightAverages([weight], ema_decay=0.9)
    weight.fill_(1.0)
    averages.update(take_snapshot=False)
    assert averages.final()[0].item() == pytest.approx(0.1)
    averages.final()[0].zero_()
    assert averages.final()[0].item() == pytest.approx(0.1)  # a copy was given


def test_state_continues_exactly() -> None:
    weight = torch.ones(2)
    first = WeightAverages([weight], 0.9)
    weight.mul_(3)
    first.update(take_snapshot=True)
    second = WeightAverages([weight], 0.9)
    for name, tensors in first.state().items():
        torch._foreach_copy_(second.state()[name], tensors)
    second.snapshots = first.snapshots
    for averages in (first, second):
        averages.update(take_snapshot=True)
    assert torch.equal(first.final()[0], second.final()[0])
    assert second.snapshots == 2
