"""Training one model: what a step does, and the loop that runs the steps."""

import json
import math
import sys
import time
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from fairway.json_text import sealed
from fairway.machine.devices import Fetched, autocast, to_device
from fairway.model.network import Model, deviation_norms
from fairway.stage import StageError, atomic_output
from fairway.training.averaging import WeightAverages
from fairway.training.batches import Batches
from fairway.training.checkpoints import Resumed, ResumeFile
from fairway.training.optimizers import Optimizers
from fairway.training.processes import Processes
from fairway.training.qat import fake_quantised
from fairway.training.schedule import lr_scale, qat_sharpness
from fairway.training.settings import MICRO_BATCHES, TrainingSettings

_PROGRESS_SECONDS = 10.0  # between progress lines


class NonFiniteLoss(StageError):
    """Loss or gradient became NaN or infinite; raised on all processes at once."""


def next_token_loss(model: Model, inputs: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
    """Mean cross-entropy of targets (batch, time), nats per token, and the model's penalty."""
    logits = model(inputs)
    return F.cross_entropy(logits.flatten(0, 1), targets.flatten()), model.penalty()


class Training:
    """A model, and everything else that a step changes.

    Gradients of all parameters, and the loss, lie in one buffer: one all-reduce a step.
    """

    def __init__(
        self, model: Model, settings: TrainingSettings, batches: Batches, processes: Processes
    ) -> None:
        self.model = model.to(processes.device)
        self.settings, self.batches, self.processes = settings, batches, processes
        self.parameters = list(self.model.parameters())
        self.quantised = [part.weight for block in model.blocks for part in block.children()]
        self.loss = next_token_loss
        if settings.compile:  # one graph for one shape: a break or a second shape would be a bug
            self.loss = torch.compile(next_token_loss, fullgraph=True, dynamic=False)
        sizes = [parameter.numel() for parameter in self.parameters]
        self.buffer = torch.zeros(sum(sizes) + 1, device=processes.device)
        *parts, self.loss_sum = self.buffer.split([*sizes, 1])
        for parameter, part in zip(self.parameters, parts, strict=True):
            parameter.grad = part.view_as(parameter)
        processes.take_first([parameter.detach() for parameter in self.parameters])
        self.initial = [parameter.detach().clone() for parameter in self.parameters]
        self.reset()

    @torch.no_grad()
    def reset(self) -> None:
        """Weights as they were first, optimisers and averages new."""
        torch._foreach_copy_(self.parameters, self.initial)
        self.optimizers = Optimizers(self.model, self.settings, self.processes)
        self.averages = WeightAverages(self.parameters, self.settings.ema_decay)

    def step(self, step: int, scale: float) -> Tensor:
        """Run step 0, 1, … at a learning-rate scale.

        Returns (2,): the batch's loss, nats per token, and the gradient's norm before clipping;
        equal on all processes.
        """
        settings, processes = self.settings, self.processes
        share = self.batches.micro_batches(step, processes.rank, processes.world_size)
        self.buffer.zero_()
        with fake_quantised(self.quantised, qat_sharpness(settings, scale)):
            for tokens in to_device(share, processes.device):
                self._accumulate(tokens[:, :-1], tokens[:, 1:])
            processes.sum_in_place(self.buffer)
        gradient = self.buffer[:-1]
        norm = gradient.norm()
        gradient.mul_((settings.gradient_clip / (norm + 1e-6)).clamp(max=1.0))
        figures = torch.cat((self.loss_sum, norm.view(1)))
        self.optimizers.step(step, scale)
        late = scale < settings.swa_below
        self.averages.update(take_snapshot=late and (step + 1) % settings.swa_every == 0)
        return figures

    def _accumulate(self, inputs: Tensor, targets: Tensor) -> None:
        with autocast(inputs.device, self.settings.precision):
            loss, penalty = self.loss(self.model, inputs, targets)
        ((loss + penalty) / MICRO_BATCHES).backward()
        self.loss_sum += loss.detach() / MICRO_BATCHES

    @torch.no_grad()
    def finish(self) -> None:
        """Give the model its final weights, the blend of the averages."""
        if not self.averages.snapshots and self.processes.is_first:
            print("no SWA snapshot was taken; the final weights are the EMA", file=sys.stderr)
        torch._foreach_copy_(self.parameters, self.averages.final())

    def state(self) -> dict[str, Tensor]:
        """The tensors that later steps depend on, by name; no other source of randomness is."""
        groups = {"parameters": [parameter.detach() for parameter in self.parameters]}
        groups |= self.optimizers.state() | self.averages.state()
        return {
            f"{group}/{index}": tensor
            for group, tensors in groups.items()
            for index, tensor in enumerate(tensors)
        }

    @torch.no_grad()
    def load_state(self, tensors: dict[str, Tensor], snapshots: int) -> None:
        """Take back what `state` gave, and how many snapshots were taken."""
        for name, tensor in self.state().items():
            tensor.copy_(tensors[name])
        self.averages.snapshots = snapshots


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


class _Watch:
    """Reads each step's figures one step late, so that a GPU always has work queued."""

    def __init__(self) -> None:
        self.pending: tuple[int, Fetched] | None = None
        self.loss = self.norm = math.nan

    def push(self, step: int, figures: Tensor) -> None:
        fetched = Fetched(figures)  # before waiting for the step before
        self.flush()
        self.pending = step, fetched

    def flush(self) -> None:
        """Wait for the pending step; NonFiniteLoss if its loss or gradient is not finite."""
        if self.pending is None:
            return
        step, figures = self.pending
        self.pending = None
        self.loss, self.norm = figures.values().tolist()
        if not (math.isfinite(self.loss) and math.isfinite(self.norm)):
            raise NonFiniteLoss(
                f"training step {step + 1}: loss {self.loss}, gradient norm {self.norm}; "
                "expected finite values (a lower learning rate?)"
            )


class Loop:
    """Runs a training's steps with their schedule, metrics, progress and resumable states."""

    def __init__(self, training: Training, resume: ResumeFile, metrics: Metrics) -> None:
        self.training, self.resume, self.metrics = training, resume, metrics
        self.settings, self.processes = training.settings, training.processes
        self.done, self.seconds = 0, 0.0
        self.watch = _Watch()

    def run(self) -> None:
        """Warm up, resume if there is a state, train to the end, and set the final weights."""
        self._warm_up()
        self._try_resume()
        clock = time.monotonic() - self.seconds
        self.marked = self.printed = (self.done, self.seconds)
        while self.done < self.settings.steps:
            self.processes.check_parent()
            if self.settings.max_seconds is not None:
                self.seconds = self.processes.first_value(time.monotonic() - clock)
                if self.seconds >= self.settings.max_seconds:
                    break
            scale = lr_scale(self.settings, self.done, self.seconds)
            self.watch.push(self.done, self.training.step(self.done, scale))
            self.done += 1
            self.seconds = time.monotonic() - clock
            self._report(scale)
        self.watch.flush()
        self.seconds = time.monotonic() - clock
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
        for step in range(self.settings.warmup_steps):
            self.watch.push(step, self.training.step(step, 1.0))
        self.watch.flush()
        self.training.reset()

    def _try_resume(self) -> None:
        saved = self.resume.load(self.training.state())
        if not self.processes.agree(-1 if saved is None else saved.done) or saved is None:
            return
        self.training.load_state(saved.tensors, saved.snapshots)
        self.done, self.seconds = saved.done, saved.seconds
        self.metrics.lines = saved.lines
        if self.processes.is_first:
            print(f"resuming after step {self.done}", file=sys.stderr, flush=True)

    def _report(self, scale: float) -> None:
        settings = self.settings
        if self.done % settings.log_every == 0 or self.done == settings.steps:
            self.watch.flush()
            line = {"step": self.done, "loss": self.watch.loss, "lr_scale": scale}
            self.metrics.add(
                {**line, **self._speed(self.marked), "gradient_norm": self.watch.norm}
            )
            self.marked = self.done, self.seconds
        if self.seconds - self.printed[1] >= _PROGRESS_SECONDS or self.done == settings.steps:
            self._print_progress(scale)
            self.printed = self.done, self.seconds
        if settings.checkpoint_every and self.done % settings.checkpoint_every == 0:
            self.watch.flush()
            if self.processes.is_first:
                self._save_state()

    def _speed(self, since: tuple[int, float]) -> dict[str, float]:
        """Figures over the steps after (step, seconds)."""
        per_step = max(self.seconds - since[1], 1e-9) / max(self.done - since[0], 1)
        return {
            "ms_per_step": round(1e3 * per_step, 3),
            "tokens_per_second": round(self.settings.batch_tokens / per_step),
            "seconds": round(self.seconds, 3),
        }

    def _print_progress(self, scale: float) -> None:
        if not self.processes.is_first:
            return
        self.watch.flush()
        speed = self._speed(self.printed)
        left = (self.settings.steps - self.done) * speed["ms_per_step"] / 1e3
        if self.settings.max_seconds is not None:
            left = min(left, max(0.0, self.settings.max_seconds - self.seconds))
        print(
            f"step {self.done}/{self.settings.steps}, loss {self.watch.loss:.4f}, "
            f"lr scale {scale:.3f}, {speed['ms_per_step']:.1f} ms/step, "
            f"{speed['tokens_per_second']:,} tokens/s, {left:.0f} s left",
            file=sys.stderr,
            flush=True,
        )

    def _save_state(self) -> None:
        tensors, snapshots = self.training.state(), self.training.averages.snapshots
        self.resume.save(Resumed(self.done, self.seconds, snapshots, self.metrics.lines, tensors))
