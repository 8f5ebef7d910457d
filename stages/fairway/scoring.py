"""Sliding-window scoring: the model's nll and entropy at every target of a run of windows."""

from collections.abc import Callable, Iterator, Sequence

import numpy as np
import torch
from torch import Tensor

from fairway.model import Model
from fairway.stage import StageError
from fairway.windows import Window, WindowPlan


@torch.inference_mode()
def score_windows(
    model: Model,
    tokens: np.ndarray,
    plan: WindowPlan,
    indices: Sequence[int],
    batch_windows: int,
    progress: Callable[[int], None] = lambda targets: None,
) -> tuple[np.ndarray, np.ndarray]:
    """nll and entropy, float32 nats (targets,), of all targets that the windows score.

    tokens: the whole text, integers (targets + 1,); indices: consecutive windows; batch_windows:
    windows per forward pass; progress: called with the number of targets of each batch. Only
    logits of scored positions are computed. Raises StageError if a score is not finite.
    """
    nll, entropy = [], []
    for batch in _batches([plan.window(index) for index in indices], batch_windows):
        logs = torch.log_softmax(_logits(model, tokens, batch), dim=-1)
        firsts = [(window.first_target, window.stop + 1) for window in batch]
        targets = _stack([tokens[first:stop] for first, stop in firsts], logs.device)
        nll.append(-logs.gather(-1, targets.unsqueeze(-1)).flatten().cpu())
        entropy.append(-(logs.exp() * logs).sum(-1).flatten().cpu())
        if not bool(torch.isfinite(nll[-1]).all() and torch.isfinite(entropy[-1]).all()):
            raise StageError(
                f"targets {firsts[0][0]} to {batch[-1].stop}: scores that are not finite"
            )
        progress(targets.numel())
    return torch.cat(nll).numpy(), torch.cat(entropy).numpy()


@torch.inference_mode()
def distributions_at(
    model: Model,
    tokens: np.ndarray,
    plan: WindowPlan,
    targets: Sequence[int],
    batch_windows: int,
) -> np.ndarray:
    """The model's whole distribution at each target, float64 (targets, vocabulary).

    By the forward pass and the window that score_windows uses for the target; each row sums to 1
    up to rounding.
    """
    windows = [plan.window(plan.window_of(target)) for target in targets]
    result = np.empty((len(targets), model.config.vocabulary))
    done = 0
    for batch in _batches(windows, batch_windows):
        for logits, window in zip(_logits(model, tokens, batch), batch, strict=True):
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


def _logits(model: Model, tokens: np.ndarray, batch: list[Window]) -> Tensor:
    """Logits of the scored positions of windows of one shape: (windows, scored, vocab)."""
    _, scored = _shape(batch[0])
    inputs = [tokens[window.start : window.stop] for window in batch]
    return model(_stack(inputs, model.token_embedding.device), last=scored)


def _stack(parts: list[np.ndarray], device: torch.device) -> Tensor:
    return torch.from_numpy(np.stack(parts).astype(np.int64)).to(device)
