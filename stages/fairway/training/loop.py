"""The loop that runs a training's steps, and what it tells of them."""

import gc
import json
import math
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from fairway.json_text import sealed
from fairway.machine.devices import Fetched
from fairway.model.network import deviation_norms
from fairway.stage import StageError, atomic_output
from fairway.training.checkpoints import Resumed, ResumeFile
from fairway.training.comparison import Comparison
from fairway.training.schedule import lr_scale
from fairway.training.step import Training

_PROGRESS_SECONDS = 10.0  # between progress lines
_BOTH = "loss of the weights", "of their average"


class FailedEverywhere(StageError):
    """What is raised on all processes at once."""


class NonFiniteLoss(FailedEverywhere):
    """Loss or gradient became NaN or infinite."""


class ReplicasDiffer(FailedEverywhere):
    """The processes' weights are no longer the same."""


class Metrics:
    """The metrics file, JSON lines, whole at every moment; only the first process writes it."""

    def __init__(self, path: Path, writes: bool) -> None:
        self.path, self.writes = path, writes
        self.lines: list[str] = []

    def add(self, line: dict[str, Any], last: bool = False) -> None:
        """Append a line and write the file; the last one ends with a checksum of the file."""
        self.lines.append(json.dumps(line))
        if self.writes:
            text = "".join(f"{text}\n" for text in self.lines)
            with atomic_output(self.path) as temporary:
                temporary.write_text(sealed(text) if last else text)


@dataclass(frozen=True)
class _Queued:
    """A step that a GPU may still be at."""

    number: int  # 1 for the first
    scale: float
    seconds: float  # of training when it was queued
    figures: Fetched  # loss and gradient norm
    weights: Fetched | None  # their norm, where it is compared between processes


class Loop:
    """Runs a training's steps with their schedule, metrics, progress and resumable states.

    A step's figures are read, and told, when the next one is queued, so that a GPU always has
    work. Seconds are those at queueing, which on a CPU is when the step is done.
    """

    def __init__(self, training: Training, resume: ResumeFile, metrics: Metrics) -> None:
        self.training, self.resume, self.metrics = training, resume, metrics
        self.settings, self.processes = training.settings, training.processes
        self.done, self.seconds = 0, 0.0
        self.queued: _Queued | None = None
        self.comparison = Comparison(training) if self.settings.compare_every else None
        self.compared = 0  # the step after which it was made last

    def run(self) -> None:
        """Warm up, resume if there is a state, train to the end, and set the final weights."""
        try:
            self._warm_up()
            self._try_resume()
            self._train()
        finally:
            gc.unfreeze()  # at Python's end, libraries complain on stderr of what is left frozen

    def _train(self) -> None:
        clock = time.monotonic() - self.seconds
        self.marked = self.printed = (self.done, self.seconds)
        while self.done < self.settings.steps:
            self.processes.check_parent()
            if self.settings.max_seconds is not None:
                self.seconds = self.processes.first_value(time.monotonic() - clock)
                if self.seconds >= self.settings.max_seconds:
                    break
            scale = lr_scale(self.settings, self.done, self.seconds)
            figures = self.training.step(self.done, scale)
            self.done += 1
            self.seconds = time.monotonic() - clock
            self._queue(scale, figures)
            if self.comparison and self.done % self.settings.compare_every == 0:
                clock += self._compare_weights(self.comparison)
            self._save_state_if_due()
        self._read()
        self.seconds = time.monotonic() - clock
        if self.comparison and self.compared < self.done:
            self._compare_weights(self.comparison)
        self.training.finish()
        parameters = sum(parameter.numel() for parameter in self.training.parameters)
        self.metrics.add(
            {
                "event": "done",
                **self.resume.identity,
                "steps": self.done,
                "seconds": round(self.seconds, 3),
                "parameters": parameters,
                "deviations": deviation_norms(self.training.model),
            },
            last=True,
        )

    def _warm_up(self) -> None:
        """Some steps, the last with fake quantisation, and everything as it was before."""
        steps = self.settings.warmup_steps
        for step in range(steps):
            scale = 1.0 if step < steps - 1 else 0.0
            _finite(step + 1, Fetched(self.training.step(step, scale)))
        self.training.reset()
        gc.collect()
        gc.freeze()  # what torch.compile leaves need not be walked over again and again

    def _try_resume(self) -> None:
        saved = self.resume.load(self.training.state())
        if not self.processes.agree(-1 if saved is None else saved.done) or saved is None:
            return
        self.training.load_state(saved.tensors, saved.snapshots)
        self.done, self.seconds = saved.done, saved.seconds
        self.metrics.lines = saved.lines
        if self.comparison and self.done % self.settings.compare_every == 0:
            self.compared = self.done
        if self.processes.is_first:
            print(f"resuming after step {self.done}", file=sys.stderr, flush=True)

    def _is_logged(self, step: int) -> bool:
        return step % self.settings.log_every == 0 or step == self.settings.steps

    def _queue(self, scale: float, figures: Tensor) -> None:
        """Let a step's figures be on their way, and read those of the one before."""
        compared = self.processes.world_size > 1 and self._is_logged(self.done)
        weights = Fetched(self.training.weights_norm()) if compared else None
        queued = _Queued(self.done, scale, self.seconds, Fetched(figures), weights)
        self._read()
        self.queued = queued

    def _read(self) -> None:
        """Wait for the queued step and tell of it; FailedEverywhere if it went wrong."""
        step, self.queued = self.queued, None
        if step is None:
            return
        loss, norm = _finite(step.number, step.figures)
        if step.weights is not None:
            self._compare_replicas(step.number, step.weights)
        if self._is_logged(step.number):
            line = {"step": step.number, "loss": loss, "lr_scale": step.scale}
            self.metrics.add({**line, **self._speed(step, self.marked), "gradient_norm": norm})
            self.marked = step.number, step.seconds
        is_last = step.number == self.settings.steps
        if step.seconds - self.printed[1] >= _PROGRESS_SECONDS or is_last:
            if self.processes.is_first:
                self._print_progress(step, loss)
            self.printed = step.number, step.seconds

    def _compare_weights(self, comparison: Comparison) -> float:
        """Record what raw and averaged weights pay; seconds, which are not of the training."""
        start = time.monotonic()
        self._read()
        raw, averaged = _finite(self.done, Fetched(comparison.losses()), _BOTH)
        self.compared, spent = self.done, time.monotonic() - start
        self.metrics.add(
            {
                "event": "compared",
                "step": self.done,
                "raw_loss": raw,
                "averaged_loss": averaged,
                "tokens": comparison.tokens,
                "unseen": self.done <= comparison.steps_unseen,
                "comparing_seconds": round(spent, 3),
            }
        )
        return spent

    def _compare_replicas(self, step: int, weights: Fetched) -> None:
        bits = weights.values().view(torch.int32).item()
        if not self.processes.agree(bits):
            raise ReplicasDiffer(
                f"training step {step}: the weights of {self.processes.world_size} processes "
                "are no longer the same; expected sums of gradients that are equal to the bit"
            )

    def _speed(self, step: _Queued, since: tuple[int, float]) -> dict[str, float]:
        """Figures over the steps after (step, seconds)."""
        per_step = max(step.seconds - since[1], 1e-9) / max(step.number - since[0], 1)
        return {
            "ms_per_step": round(1e3 * per_step, 3),
            "tokens_per_second": round(self.settings.batch_tokens / per_step),
            "seconds": round(step.seconds, 3),
        }

    def _print_progress(self, step: _Queued, loss: float) -> None:
        speed = self._speed(step, self.printed)
        left = (self.settings.steps - step.number) * speed["ms_per_step"] / 1e3
        if self.settings.max_seconds is not None:
            left = min(left, max(0.0, self.settings.max_seconds - step.seconds))
        print(
            f"step {step.number}/{self.settings.steps}, loss {loss:.4f}, "
            f"lr scale {step.scale:.3f}, {speed['ms_per_step']:.1f} ms/step, "
            f"{speed['tokens_per_second']:,} tokens/s, {left:.0f} s left",
            file=sys.stderr,
            flush=True,
        )

    def _save_state_if_due(self) -> None:
        if not self.settings.checkpoint_every or self.done % self.settings.checkpoint_every:
            return
        self._read()  # no state of a step that went wrong
        if self.processes.is_first:
            tensors, snapshots = self.training.state(), self.training.averages.snapshots
            lines = self.metrics.lines
            self.resume.save(Resumed(self.done, self.seconds, snapshots, lines, tensors))


def _finite(
    step: int, figures: Fetched, names: tuple[str, str] = ("loss", "gradient norm")
) -> tuple[float, float]:
    """Two figures of a step; NonFiniteLoss if one is not finite."""
    first, second = figures.values().tolist()
    if not (math.isfinite(first) and math.isfinite(second)):
        raise NonFiniteLoss(
            f"training step {step}: {names[0]} {first}, {names[1]} {second}; "
            "expected finite values (a lower learning rate?)"
        )
    return first, second
