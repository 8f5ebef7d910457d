"""Sliding-window scoring: the model's nll and entropy at every target of a run of windows."""

from collections.abc import Callable, Iterator, Sequence
from itertools import chain, pairwise

import numpy as np
import torch
from torch import Tensor

from fairway.corpus.windows import Window, WindowPlan
from fairway.machine.devices import Fetched, autocast, to_device
from fairway.model.network import Model
from fairway.stage import StageError


@torch.inference_mode()
def score_windows(
    model: Model,
    tokens: np.ndarray,
    plan: WindowPlan,
    indices: Sequence[int],
    batch_windows: int,
    progress: Callable[[int], None] = lambda targets: None,
    precision: str = "float32",
    compiled: bool = False,
) -> tuple[np.ndarray, np.ndarray]:
    """nll and entropy, float32 nats (targets,), of all targets that the windows score.

    tokens: the whole text, integers (targets + 1,); indices: consecutive windows; batch_windows:
    windows per forward pass; progress: called with the number of targets of each batch;
    compiled: full batches by torch.compile, the rest as it is. Only logits of scored positions
    are computed. Raises StageError if a score is not finite.
    """
    windows = [plan.window(index) for index in indices]
    result = np.empty((2, windows[-1].stop + 1 - windows[0].first_target), dtype=np.float32)
    score = torch.compile(_score, fullgraph=True, dynamic=False) if compiled else _score

    def queued() -> Iterator[tuple[list[Window], Fetched]]:
        for batch in _batches(windows, batch_windows):
            usual = len(batch) == batch_windows and _shape(batch[0]) == (plan.length, plan.stride)
            inputs, targets = _inputs(model, tokens, batch), _targets(model, tokens, batch)
            with autocast(inputs.device, precision):
                scores = (score if usual else _score)(model, inputs, targets)
            yield batch, Fetched(scores)

    done = 0
    # a batch is read when the next one is queued, so that a GPU always has work
    for (batch, scores), _ in pairwise(chain(queued(), [None])):
        part = scores.values().numpy()
        if not np.isfinite(part).all():
            first, last = batch[0].first_target, batch[-1].stop
            raise StageError(f"targets {first} to {last}: scores that are not finite")
        result[:, done : done + part.shape[1]] = part
        done += part.shape[1]
        progress(part.shape[1])
    return result[0], result[1]


def _score(model: Model, inputs: Tensor, targets: Tensor) -> Tensor:
    """nll and entropy (2, windows · scored) of targets (windows, scored), the last positions'."""
    logs = torch.log_softmax(model(inputs, last=targets.shape[1]), dim=-1)
    nll = -logs.gather(-1, targets.unsqueeze(-1)).flatten()
    return torch.stack((nll, -(logs.exp() * logs).sum(-1).flatten()))


@torch.inference_mode()
def distributions_at(
    model: Model,
    tokens: np.ndarray,
    plan: WindowPlan,
    targets: Sequence[int],
    batch_windows: int,
    precision: str = "float32",
) -> np.ndarray:
    """The model's whole distribution at each target, float64 (targets, vocabulary).

    By the forward pass and the window that score_windows uses for the target; each row sums to 1
    up to rounding.
    """
    windows = [plan.window(plan.window_of(target)) for target in targets]
    result = np.empty((len(targets), model.config.vocabulary))
    done = 0
    for batch in _batches(windows, batch_windows):
        inputs = _inputs(model, tokens, batch)
        with autocast(inputs.device, precision):
            rows = model(inputs, last=_shape(batch[0])[1])
        for logits, window in zip(rows, batch, strict=True):
            position = targets[done] - window.first_target
            result[done] = torch.softmax(logits[position].double(), dim=-1).cpu().numpy()
            done += 1
    return result


def _batches(windows: list[Window], most: int) -> Iterator[list[Window]]:
    """Runs of at most `most` windows of equal length and equally many scored targets.

    The first window of a text scores more, and the last may be short.
    """
    batch: list[Window] = []
    for window in windows:
        if batch and (len(batch) == most or _shape(window) != _shape(batch[0])):
            yield batch
            batch = []
        batch.append(window)
    if batch:
        yield batch


def _shape(window: Window) -> tuple[int, int]:
    return window.stop - window.start, window.stop + 1 - window.first_target


def _inputs(model: Model, tokens: np.ndarray, batch: list[Window]) -> Tensor:
    return _stack(model, [tokens[window.start : window.stop] for window in batch])


def _targets(model: Model, tokens: np.ndarray, batch: list[Window]) -> Tensor:
    return _stack(model, [tokens[window.first_target : window.stop + 1] for window in batch])


def _stack(model: Model, parts: list[np.ndarray]) -> Tensor:
    stacked = torch.from_numpy(np.stack(parts).astype(np.int64))
    return to_device(stacked, model.token_embedding.device)
