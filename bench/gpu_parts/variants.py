"""One rank's step done in other ways, each beside the step as it is configured."""

import dataclasses
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from typing import Any
from unittest import mock

import numpy as np
import torch
from torch.nn.attention import SDPBackend

from fairway.machine import devices
from fairway.model.network import Model
from fairway.training.loss import next_token_loss
from fairway.training.settings import KERNELS
from gpu_parts.figures import Baseline, Report
from gpu_parts.speed import new_training
from gpu_parts.timing import seconds_each
from gpu_parts.workload import Workload

STEPS = 10  # queued one behind the other

Change = Callable[[], AbstractContextManager]
Variant = tuple[str, dict[str, Any], Change, dict[str, Any]]  # name, settings, change, compiler's


def variants(work: Workload) -> Iterator[Variant]:
    """As configured, kernels on and off, attention by each back end, modes of torch.compile."""
    used, on_gpu = work.training.kernels, work.training.device == "cuda"
    yield "as configured", {}, nullcontext, {}
    if on_gpu:
        yield "no Triton kernels", {"kernels": ()}, nullcontext, {}
        for name in KERNELS:
            other = tuple(each for each in KERNELS if (each in used) != (each == name))
            yield (
                f"kernel {name} {'off' if name in used else 'on'}",
                {"kernels": other},
                nullcontext,
                {},
            )
    for kind in (SDPBackend.CUDNN_ATTENTION, SDPBackend.FLASH_ATTENTION):
        yield f"attention by {kind.name} first", {}, lambda kind=kind: first_of(kind), {}
    if work.training.compile:
        yield "max-autotune", {}, nullcontext, {"mode": "max-autotune-no-cudagraphs"}
        tuned = {"options": {"coordinate_descent_tuning": True}}
        yield "coordinate descent", {}, nullcontext, tuned
        yield "not compiled", {"compile": False}, nullcontext, {}


def first_of(kind: SDPBackend) -> AbstractContextManager:
    """Attention by this back end where it takes the shapes, else by the others."""
    order = sorted(devices._ATTENTION, key=lambda each: each != kind)
    return mock.patch.object(devices, "_ATTENTION", order)


def time_variants(
    report: Report, work: Workload, model: Model, text: np.ndarray, device: torch.device,
    seconds: float,
) -> None:  # fmt: skip
    """A figure for each variant, or a note why there is none."""
    deadline, base = time.monotonic() + seconds, ()
    for name, changes, change, compiler in variants(work):
        if time.monotonic() > deadline:
            report.note(f"{work.name}: {name}: left out, the time is over")
            continue
        torch.compiler.reset()
        torch._dynamo.utils.counters.clear()
        own = dataclasses.replace(work, training=dataclasses.replace(work.training, **changes))
        try:
            with change():
                each = seconds_of_step(own, model, text, device, compiler)
        except Exception as error:  # a back end or a mode that does not take this model
            lines = str(error).strip().splitlines() or [""]
            report.note(f"{work.name}: {name}: {type(error).__name__}: {lines[-1][:150]}")
            continue
        report.figure(work.name, f"step, {name}", 1e3 * each, "ms", *base)
        base = base or (Baseline("as configured", 1e3 * each),)
        counters = torch._dynamo.utils.counters
        graphs, breaks = counters["stats"]["unique_graphs"], sum(counters["graph_break"].values())
        if own.training.compile and (graphs, breaks) != (1, 0):
            report.note(
                f"{work.name}: {name}: {graphs} graphs, {breaks} graph breaks; expected 1, 0"
            )


def seconds_of_step(
    work: Workload, model: Model, text: np.ndarray, device: torch.device, compiler: dict[str, Any]
) -> float:
    """Median seconds of a step of a new training."""
    training = new_training(work, model, text, device)
    if compiler:
        training.loss = torch.compile(next_token_loss, fullgraph=True, dynamic=False, **compiler)
    numbers = iter(range(1_000_000))
    steps = STEPS if device.type == "cuda" else 1
    each = seconds_each(lambda: training.step(next(numbers), 1.0), device, steps, warm_up=2)
    training.reset()
    return each
