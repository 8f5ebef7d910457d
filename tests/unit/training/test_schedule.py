"""Learning rate, momentum and sharpness as functions of step and time; checked settings."""

from typing import Any

import pytest

from fairway.stage import StageError
from fairway.training.schedule import lr_scale, muon_momentum, qat_sharpness
from fairway.training.settings import TrainingSettings
from support.tiny_training import TRAINING


def settings(**changes: Any) -> TrainingSettings:
    return TrainingSettings.from_settings({**TRAINING, **changes})


def test_flat_then_linear_over_the_last_steps() -> None:
    found = [lr_scale(settings(steps=10, warmdown_steps=4), step, 0.0) for step in range(10)]
    assert found == [1, 1, 1, 1, 1, 1, 1, 0.75, 0.5, 0.25]


def test_with_a_cap_the_last_seconds_count() -> None:
    capped = settings(steps=1000, warmdown_steps=10, max_seconds=100.0)
    assert lr_scale(capped, 0, 0.0) == 1
    assert lr_scale(capped, 40, 80.0) == 1  # 2 s a step: 20 s of warm-down, 20 s left
    assert lr_scale(capped, 45, 90.0) == pytest.approx(0.5)
    assert lr_scale(capped, 50, 100.0) == 0
    assert lr_scale(capped, 55, 110.0) == 0


def test_with_a_cap_the_steps_still_end() -> None:
    capped = settings(steps=20, warmdown_steps=10, max_seconds=1e6)
    assert lr_scale(capped, 15, 1.0) == 0.5


def test_no_warmdown() -> None:
    assert lr_scale(settings(steps=3, warmdown_steps=0), 2, 0.0) == 1


def test_momentum_moves_then_stays() -> None:
    moving = settings(muon_momentum=[0.92, 0.99], muon_momentum_steps=1500)
    assert muon_momentum(moving, 0) == 0.92
    assert muon_momentum(moving, 750) == pytest.approx(0.955)
    assert muon_momentum(moving, 5000) == pytest.approx(0.99)
    assert muon_momentum(settings(muon_momentum_steps=0), 0) == 0.95


def test_sharpness_starts_below_the_threshold_and_ends_at_zero_scale() -> None:
    late = settings(qat_below=0.15, qat_sharpness=[1.0, 16.0])
    assert qat_sharpness(late, 1.0) is None and qat_sharpness(late, 0.15) is None
    assert qat_sharpness(late, 0.075) == pytest.approx(8.5)
    assert qat_sharpness(late, 0.0) == pytest.approx(16.0)
    assert qat_sharpness(settings(qat_below=0.0), 0.0) is None


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"world_size": 3}, "training.world_size: 3; expected a divisor of the 8 micro-batches"),
        ({"batch_tokens": 200}, r"batch_tokens: 200; expected a multiple of 8 × sequence = 128"),
        ({"batch_tokens": 0}, "training.batch_tokens: 0; expected 1 to"),
        ({"device": "tpu"}, "training.device: 'tpu'; expected cpu or cuda"),
        ({"precision": "float16"}, "training.precision: 'float16'; expected float32 or"),
        ({"steps": 0}, "training.steps: 0; expected 1 to"),
        ({"muon_lr": 0.0}, "training.muon_lr: 0.0; expected more than 0"),
        ({"muon_momentum": [0.9, 1.0]}, r"muon_momentum: \(0.9, 1.0\); expected from 0 to below"),
        ({"kernels": ["turned"]}, r"training.kernels: .*; expected \[\] with device: cpu"),
        (
            {"kernels": ["turnd"], "device": "cuda"},
            r"training.kernels: .*; expected some of leaky_square, turned, without_own_value",
        ),
        ({"adam_betas": [0.9]}, r"training.adam_betas: \[0.9\]; expected a list of 2"),
        ({"ema_decay": 1.0}, "training.ema_decay: 1.0; expected from 0 to below 1"),
        (
            {"qat_sharpness": [0.0, 16.0]},
            r"training.qat_sharpness\[0\]: 0.0; expected more",
        ),
        ({"max_seconds": 0}, "training.max_seconds: 0; expected more than 0"),
        ({"lr": 0.1}, "training.lr: unknown"),
    ],
)
def test_bad_settings_are_one_line(change: dict[str, Any], message: str) -> None:
    with pytest.raises(StageError, match=message):
        settings(**change)
