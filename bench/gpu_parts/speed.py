"""How fast a device is, and how fast the stages run on it."""

import dataclasses
import json
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import torch
import torch.nn.functional as F
from torch.nn.attention import SDPBackend, sdpa_kernel

from fairway.artifact import quantization
from fairway.artifact.calibration import calibration_sequences, gather_hessians
from fairway.artifact.gptq import Gptq, GptqSettings, quantise_alike
from fairway.artifact.kinds import storage_kinds
from fairway.artifact.quantization import QuantizedModel, matrices, quantize
from fairway.artifact.settings import StepSettings
from fairway.artifact.steps import prepare_search
from fairway.corpus.windows import WindowPlan
from fairway.machine.devices import autocast, to_device
from fairway.model.architecture import ModelConfig
from fairway.model.network import Model
from fairway.model.shapes import state_shapes
from fairway.scoring.forward import score_windows
from fairway.training.batches import Batches
from fairway.training.checkpoints import ResumeFile
from fairway.training.loop import Loop, Metrics
from fairway.training.processes import Processes
from fairway.training.settings import MICRO_BATCHES
from fairway.training.step import Training
from gpu_parts.timing import kernel_seconds, repeated, seconds_each, wait_for
from gpu_parts.workload import Workload

_ATTENTION = {
    "cuDNN": SDPBackend.CUDNN_ATTENTION,
    "flash": SDPBackend.FLASH_ATTENTION,
    "memory-efficient": SDPBackend.EFFICIENT_ATTENTION,
    "unfused": SDPBackend.MATH,
}


class RankOfEight(Processes):
    """The first of eight processes, the others not there: an eighth of the work, nothing sent."""

    def __init__(self, device: torch.device) -> None:
        super().__init__(0, MICRO_BATCHES, device, parent=0)

    def sum_in_place(self, tensor: torch.Tensor) -> None:
        pass

    def take_first(self, tensors: list[torch.Tensor]) -> None:
        pass


def matmul_rate(device: torch.device, size: int) -> float:
    """Operations per second of a product of bfloat16 matrices (size, size) of random values."""
    a, b = (torch.randn(size, size, device=device).bfloat16() for _ in range(2))
    return 2 * size**3 / seconds_each(lambda: a @ b, device, 10)


def copy_rate(device: torch.device, size: int) -> float:
    """Bytes per second, read and written, of copying `size` bytes within the device."""
    source = torch.randint(256, (size,), device=device, dtype=torch.uint8)
    target = torch.empty_like(source)
    return 2 * size / seconds_each(lambda: target.copy_(source), device, 10)


def attention_seconds(
    config: ModelConfig, batch: int, time_steps: int, device: torch.device
) -> tuple[str, dict[str, float]]:
    """The kernel that torch chooses for a layer's attention in bfloat16, and for each kernel that
    takes it the seconds of a forward and backward."""
    q, k, v = (
        torch.randn(batch, time_steps, heads, config.head_width, device=device)
        .bfloat16()
        .transpose(1, 2)  # as the model lays them out
        .requires_grad_()
        for heads in (config.heads, config.kv_heads, config.kv_heads)
    )
    backend = torch._fused_sdp_choice(q, k, v, None, 0.0, True, enable_gqa=True)
    chosen = next(name for name, kind in _ATTENTION.items() if int(kind) == backend)
    gradient = torch.randn_like(q)

    def both_ways() -> None:
        y = F.scaled_dot_product_attention(q, k, v, is_causal=True, enable_gqa=True)
        torch.autograd.grad(y, (q, k, v), gradient)

    seconds = {}
    for name, kind in _ATTENTION.items():
        if kind == SDPBackend.MATH and chosen != name:
            continue  # its matrices of probabilities may not fit
        try:
            with sdpa_kernel(kind):
                seconds[name] = seconds_each(both_ways, device, 3)
        except RuntimeError:  # this kernel does not take these shapes on this device
            continue
    return chosen, seconds


@dataclasses.dataclass(frozen=True)
class StepTimes:
    """Of one rank's training step; seconds and bytes."""

    first: float  # compilation included
    step: float
    least: float  # of five repeats, of which `step` is the median
    most: float
    step_quantised: float
    parts: dict[str, float]  # timed apart
    queueing: float  # CPU time until a step is queued
    peak_bytes: int
    kinds: dict[str, float]  # seconds of a step by kind of kernel
    kernels: dict[str, float]  # seconds of a step in each, the longest first
    graphs: int  # that torch.compile has made; more than one is a recompilation


def time_steps(training: Training, steps: int) -> StepTimes:
    """Time the steps of a new Training whose processes are a RankOfEight."""
    device = training.processes.device
    numbers = iter(range(1_000_000))
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)

    def step(scale: float = 1.0) -> None:
        training.step(next(numbers), scale)

    torch._dynamo.utils.counters.clear()
    start = time.perf_counter()
    step()
    wait_for(device)
    first = time.perf_counter() - start
    times = repeated(step, device, steps)
    start = time.perf_counter()
    step()
    queueing = time.perf_counter() - start
    quantised = seconds_each(lambda: step(0.0), device, max(1, steps // 4), warm_up=1)
    on_gpu = device.type == "cuda"
    peak = torch.cuda.max_memory_allocated(device) if on_gpu else 0
    graphs = torch._dynamo.utils.counters["stats"]["unique_graphs"]
    return StepTimes(
        first, statistics.median(times), min(times), max(times), quantised,
        _parts(training, steps), queueing, peak, *kernel_seconds(step, device), graphs,
    )  # fmt: skip


def _parts(training: Training, steps: int) -> dict[str, float]:
    """Seconds of the parts of a step, each repeated by itself."""
    device, batches = training.processes.device, training.batches.batches
    share = to_device(batches.micro_batches(0, 0, MICRO_BATCHES), device)[0]

    forward, backward = _both_ways(training, share[:, :-1], share[:, 1:], steps)
    works = {
        "making a batch": lambda: batches.micro_batches(0, 0, MICRO_BATCHES),
        "optimisers": lambda: training.optimizers.step(0, 0.0),
        "averages": lambda: training.averages.update(take_snapshot=False),
    }
    rest = {name: seconds_each(work, device, steps, warm_up=1) for name, work in works.items()}
    return {"forward": forward, "backward": backward, **rest}


def _both_ways(
    training: Training, inputs: torch.Tensor, targets: torch.Tensor, repeats: int
) -> tuple[float, float]:
    """Median seconds of a forward as a step runs it, and of its backward, waited for apart."""
    device, times = inputs.device, []
    for _ in range(1 + repeats):
        wait_for(device)
        start = time.perf_counter()
        with autocast(device, training.settings.precision):
            loss, penalty = training.loss(training.model, inputs, targets)
        wait_for(device)
        between = time.perf_counter()
        (loss + penalty).backward()
        wait_for(device)
        times.append((between - start, time.perf_counter() - between))
    forward, backward = zip(*times[1:], strict=True)
    return statistics.median(forward), statistics.median(backward)


def train(training: Training, seconds: float, expected_step: float) -> list[dict[str, float]]:
    """Train alone from the initial weights for so many seconds; returns the metrics' lines.

    The schedule is the record's, shortened in proportion: decay over the last two fifths, fake
    quantisation and averages at its end. expected_step: seconds of a step of 8 micro-batches.
    """
    steps = max(3, round(seconds / expected_step))
    training.processes = Processes(0, 1, training.processes.device, parent=0)
    training.settings = dataclasses.replace(
        training.settings,
        steps=steps,
        max_seconds=max(5.0, 1.2 * seconds),  # should a step take longer than expected
        warmdown_steps=max(1, 2 * steps // 5),
        muon_momentum_steps=max(1, steps // 4),
        swa_every=1,
        log_every=max(1, steps // 10),
    )
    training.reset()
    with tempfile.TemporaryDirectory() as folder:
        metrics = Metrics(Path(folder) / "metrics.jsonl", writes=False)
        loop = Loop(training, ResumeFile(Path(folder) / "resume.safetensors", {}), metrics)
        loop.run()
    return [line for line in map(json.loads, metrics.lines) if "loss" in line]


def new_training(work: Workload, model: Model, text: np.ndarray, device: torch.device) -> Training:
    """A training of which this process does an eighth."""
    settings = work.training
    batches = Batches(
        [text], work.config.vocabulary, settings.sequence, settings.batch_tokens, seed=1
    )
    return Training(model, settings, batches, RankOfEight(device))


@dataclasses.dataclass(frozen=True)
class Quantising:
    """A quantised model; seconds of the Hessians, of a search's gradients and curves (0 without
    one), and of GPTQ by shape of matrix."""

    model: QuantizedModel
    hessians: float
    search: float
    gptq: dict[str, float]


def quantised(work: Workload, model: Model, text: np.ndarray) -> Quantising:
    """Calibrate on a text and quantise, in bits per weight as many as are forecast."""
    settings, device = work.quantization, model.token_embedding.device
    sequences = calibration_sequences(
        [text], settings["calibration_tokens"], work.config.rope_context
    )
    start = time.perf_counter()
    hessians = gather_hessians(
        model,
        matrices(model),
        sequences,
        settings["batch_sequences"],
        precision=settings["precision"],
    )
    wait_for(device)
    calibrated, choice = time.perf_counter(), None
    if StepSettings.from_settings(settings).searched:
        kinds = storage_kinds(state_shapes(work.config), settings["fp16_below"])
        search = prepare_search(
            model,
            hessians,
            kinds,
            sequences,
            settings["gradient_tokens"],
            settings["damping"],
            settings["precision"],
        )
        choice = search.choice(min(work.bits_per_weight, search.bits[1]))
    searched = time.perf_counter()
    gptq = GptqSettings(
        settings["damping"], settings["block"], tuple(settings["clip_percentiles"])
    )
    seconds = {}

    def timed(alike: dict[str, tuple[Gptq, torch.Tensor]], *others: Any):
        began = time.perf_counter()
        result = quantise_alike(alike, *others)
        rows, columns = next(iter(alike.values()))[1].shape
        seconds[f"{len(alike)} of {rows} × {columns}"] = time.perf_counter() - began
        return result

    with mock.patch.object(quantization, "quantise_alike", timed):
        below, mantissa = settings["fp16_below"], settings["fp16_mantissa_bits"]
        result, _ = quantize(model, hessians, gptq, below, "", {}, choice, mantissa)
    return Quantising(result, calibrated - start, searched - calibrated, seconds)


def scored(
    work: Workload, model: Model, text: np.ndarray, batches: int
) -> tuple[float, float, float]:
    """Score so many full batches of windows: mean nll in nats, seconds of them, and of the first
    batch with its compilation."""
    settings, windows = work.scoring, work.windows
    plan = WindowPlan(len(text) - 1, **windows)
    most = settings["batch_windows"]

    def run(first: int, last: int) -> tuple[np.ndarray, float]:
        start = time.perf_counter()
        nll, _ = score_windows(
            model,
            text,
            plan,
            range(first, last),
            most,
            precision=settings["precision"],
            compiled=settings["compile"],
        )
        return nll, time.perf_counter() - start

    _, starting = run(1, 1 + most)  # window 0 is of another shape
    last = min(1 + (1 + batches) * most, len(plan) - 1)
    nll, seconds = run(1 + most, last)
    return float(nll.mean()), seconds / len(nll), starting
