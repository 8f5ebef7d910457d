"""How learning rate, momentum and fake-quantisation sharpness move during a training."""

from fairway.training.settings import TrainingSettings


def lr_scale(settings: TrainingSettings, step: int, elapsed: float) -> float:
    """Factor of all learning rates at step 0, 1, …: 1, then linear towards 0.

    Over the last warmdown_steps before `steps`. With max_seconds also over the last
    warmdown_steps' worth of measured time before it, whichever is lower.
    elapsed: seconds of training so far, those of all earlier steps.
    """
    scale = _remaining(settings.steps - step, settings.warmdown_steps)
    if settings.max_seconds is not None and step > 0:
        warmdown_seconds = settings.warmdown_steps * elapsed / step
        scale = min(scale, _remaining(settings.max_seconds - elapsed, warmdown_seconds))
    return scale


def _remaining(left: float, warmdown: float) -> float:
    return max(0.0, left / warmdown) if left < warmdown else 1.0


def muon_momentum(settings: TrainingSettings, step: int) -> float:
    """Linear from the first to the second value over muon_momentum_steps."""
    first, last = settings.muon_momentum
    done = min(1.0, step / settings.muon_momentum_steps) if settings.muon_momentum_steps else 1.0
    return first + (last - first) * done


def qat_sharpness(settings: TrainingSettings, scale: float) -> float | None:
    """Sharpness of the soft round at a learning-rate scale; None while weights are used as is.

    From the first to the second value as the scale falls from qat_below to 0.
    """
    if scale >= settings.qat_below:
        return None
    first, last = settings.qat_sharpness
    return first + (last - first) * (1 - scale / settings.qat_below)
