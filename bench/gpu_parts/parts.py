"""The parts of the GPU benchmark, each of which can be run, and can fail, alone."""

import math
from collections.abc import Callable

import numpy as np
import torch

from fairway.model.initialization import initialize
from fairway.model.network import Model
from fairway.training.settings import MICRO_BATCHES
from gpu_parts.checks import differences
from gpu_parts.figures import Baseline, Report
from gpu_parts.speed import (
    StepTimes,
    attention_seconds,
    copy_rate,
    matmul_rate,
    new_training,
    quantised,
    scored,
    time_steps,
    train,
)
from gpu_parts.timing import kernel_kind
from gpu_parts.variants import time_variants
from gpu_parts.workload import Workload, operations_per_token, reduced, split_text

RECORD_TOKENS = 98_304  # per GPU and step
PUBLISHED_STEP = Baseline("published, H100", 90.7)
STEP_BASELINES = (PUBLISHED_STEP, Baseline("best known, H100", 70.0), Baseline("goal", 75.0))
PUBLISHED_STEPS = Baseline("published", 6175, lower_is_better=False)
PUBLISHED_HESSIANS = Baseline("published, 8 H100", 10.6)
TRAINING_SECONDS = 560
VALIDATION_TARGETS = 62_021_632
# evaluation of 326 s, of which the slowest rank spends 166 s on its prefill
PUBLISHED_SCORING = Baseline("published, H100", VALIDATION_TARGETS / 8 / 160, False)
PUBLISHED_USE = Baseline("published", 25.0, lower_is_better=False)
H100_RATE = 989e12  # bfloat16, of the data sheet, by which the published step's use is 25 %
LONGEST = 10  # kernels that are named


def measure_device(report: Report, work: Workload, device: torch.device) -> None:
    """The ceilings, and the attention kernels."""
    on_gpu = device.type == "cuda"
    rate = matmul_rate(device, 8192 if on_gpu else 128)
    report.figure("device", "bfloat16 matrix products", rate / 1e12, "TFLOP/s")
    report.figure(
        "device", "copies", copy_rate(device, 1 << (32 if on_gpu else 20)) / 1e12, "TB/s"
    )
    config, sequence = work.config, work.training.sequence
    micro_batch = work.training.batch_tokens // MICRO_BATCHES
    chosen, seconds = attention_seconds(config, micro_batch // sequence, sequence, device)
    for name, value in seconds.items():
        used = ", which torch chooses" if name == chosen else ""
        layers = len(config.virtual_layers)
        report.figure("attention", f"{name}{used}, all layers", 1e3 * layers * value, "ms")
    report.check("attention is not by a fused kernel", float(chosen == "unfused"), 0.0)


class ModelParts:
    """What is measured of one model. It is trained once; what comes after takes it as it is."""

    def __init__(
        self,
        report: Report,
        work: Workload,
        text: np.ndarray,
        device: torch.device,
        train_seconds: float = math.inf,
    ) -> None:
        self.train_seconds = train_seconds
        self.report, self.work, self.device, self.whole = report, work, device, text
        self.batches = 60 if device.type == "cuda" else 2
        per_batch = work.scoring["batch_windows"] * work.windows["stride"]
        held_out = (2 + self.batches) * per_batch + work.windows["length"]
        self.text, self.held_out = split_text(text, held_out)
        self.model = initialize(Model(work.config), torch.Generator().manual_seed(1337)).to(device)
        self.step_seconds = math.nan

    def parts(self) -> dict[str, Callable[[float], None]]:
        """By name; each is given the seconds that it may take."""
        functions = (self.steps, self.checks, self.train, self.quantise, self.score, self.variants)
        return {f"{each.__name__}-{self.work.name}": each for each in functions}

    def checks(self, seconds: float) -> None:
        """A small model of this kind against a CPU."""
        training, block = self.work.training, self.work.quantization["block"]
        config = reduced(self.work.config)
        found = differences(config, training, self.whole, self.device, block)
        for name, difference, tolerance in found:
            self.report.check(f"{self.work.name}: {name}", difference, tolerance)
        torch.compiler.reset()

    def steps(self, seconds: float) -> None:
        """One rank's step: its time, its parts, its kernels."""
        rate = matmul_rate(self.device, 8192 if self.device.type == "cuda" else 128)
        training = new_training(self.work, self.model, self.text, self.device)
        times = time_steps(training, 20 if self.device.type == "cuda" else 1)
        self.step_seconds = times.step
        report_step(self.report, self.work, times, rate)
        training.reset()
        torch.compiler.reset()

    def train(self, seconds: float) -> None:
        """All eight ranks' work by this device, in the real loop, with a schedule that ends."""
        work, report = self.work, self.report
        training = new_training(work, self.model, self.text, self.device)
        if math.isnan(self.step_seconds):
            self.step_seconds = time_steps(training, 1).step
        seconds = min(seconds, self.train_seconds)
        lines = train(training, seconds, MICRO_BATCHES * self.step_seconds)
        alone = sorted(line["ms_per_step"] for line in lines)[len(lines) // 2]
        name = f"step of {work.training.batch_tokens:,} tokens, alone, in the loop"
        report.figure(work.name, name, alone, "ms")
        first, last = lines[0], lines[-1]
        report.figure(work.name, f"loss of step {last['step']}", last["loss"], "nats")
        report.check(
            f"{work.name}: loss, last less first, nats", last["loss"] - first["loss"], -0.02
        )
        torch.compiler.reset()

    def variants(self, seconds: float) -> None:
        """The step in other ways: kernels, attention, modes of torch.compile."""
        self.model.requires_grad_(True)
        time_variants(self.report, self.work, self.model, self.text, self.device, seconds)
        torch.compiler.reset()

    def score(self, seconds: float) -> None:
        """The speed of scoring, compiled and warm, and its memory."""
        work, report, on_gpu = self.work, self.report, self.device.type == "cuda"
        self.model.eval().requires_grad_(False)
        if on_gpu:
            torch.cuda.reset_peak_memory_stats(self.device)
        nll, each, starting = scored(work, self.model, self.held_out, self.batches)
        report.figure(
            work.name, "scoring", 1 / each, "targets/s", *against(work, PUBLISHED_SCORING)
        )
        targets = work.scoring["batch_windows"] * work.windows["stride"]
        report.figure(
            work.name, f"scoring, a batch of {targets:,} targets", 1e3 * targets * each, "ms"
        )
        peak = torch.cuda.max_memory_allocated(self.device) if on_gpu else 0
        report.figure(work.name, "scoring, peak memory", peak / 2**30, "GiB")
        whole = "scoring 62 M targets on 8 GPUs"
        report.figure(work.name, whole, VALIDATION_TARGETS / 8 * each, "s")
        report.figure(work.name, "scoring: compiling and the first batch", starting, "s")
        *_, again = scored(work, self.model, self.held_out, self.batches)
        report.figure(work.name, "scoring: the same, compiled before", again, "s")
        report.figure(work.name, "held-out text", nll, "nats per token")

    def quantise(self, seconds: float) -> None:
        """Calibration and GPTQ; what they cost in nats must be little."""
        work, report = self.work, self.report
        self.model.eval().requires_grad_(False)
        exact, *_ = scored(work, self.model, self.held_out, self.batches)
        found = quantised(work, self.model, self.text)
        published = against(work, PUBLISHED_HESSIANS)
        report.figure(work.name, "Hessians", found.hessians, "s", *published)
        report.figure(work.name, "search for steps: gradients, curves", found.search, "s")
        report.figure(work.name, "GPTQ", sum(found.gptq.values()), "s")
        for shape, value in found.gptq.items():
            report.figure(work.name, f"GPTQ, {shape}", value, "s")
        self.model.load_state_dict(found.model.stored.state())
        nll, *_ = scored(work, self.model, self.held_out, self.batches)
        report.figure(work.name, "held-out text after quantising", nll, "nats per token")
        report.check(f"{work.name}: nats per token lost by quantising", nll - exact, 0.1)


def against(work: Workload, *baselines: Baseline) -> tuple[Baseline, ...]:
    """The baselines if they are of this size, else none."""
    training = work.training
    same = training.device == "cuda" and training.batch_tokens == MICRO_BATCHES * RECORD_TOKENS
    return baselines if same else ()


def report_step(report: Report, work: Workload, times: StepTimes, rate: float) -> None:
    """The step of one rank of eight, set against the published one."""
    name, tokens = work.name, work.training.batch_tokens // MICRO_BATCHES
    operations = tokens * operations_per_token(work.config, work.training.sequence)
    step = f"step, {tokens:,} tokens"
    report.figure(name, step, 1e3 * times.step, "ms", *against(work, *STEP_BASELINES))
    report.figure(name, f"{step}, least of five", 1e3 * times.least, "ms")
    report.figure(name, f"{step}, most of five", 1e3 * times.most, "ms")
    report.figure(name, f"{step}, fake quantisation", 1e3 * times.step_quantised, "ms")
    report.figure(name, f"{step}, until queued", 1e3 * times.queueing, "ms")
    report.figure(name, "tokens", tokens / times.step, "1/s")
    reached = math.floor(TRAINING_SECONDS / times.step)
    steps = f"steps in {TRAINING_SECONDS} s, nothing sent"
    report.figure(name, steps, reached, "", *against(work, PUBLISHED_STEPS))
    use = operations / times.step
    report.figure(name, "use of the measured matrix rate", 100 * use / rate, "%")
    nominal = "use of an H100's nominal rate"
    report.figure(name, nominal, 100 * use / H100_RATE, "%", *against(work, PUBLISHED_USE))
    report.figure(name, "peak memory", times.peak_bytes / 2**30, "GiB")
    report.figure(name, "compiling and the first step", times.first, "s")
    report.figure(name, "graphs that torch.compile made", times.graphs, "")
    for part, value in times.parts.items():
        report.figure(name, f"apart: {part}", 1e3 * value, "ms")
    for kind, value in times.kinds.items():
        report.figure(name, f"of a step: {kind}", 1e3 * value, "ms")
    working = sum(times.kinds.values())
    report.figure(name, "of a step: all kernels", 1e3 * working, "ms")
    report.figure(name, "of a step: no kernel", 1e3 * max(0.0, times.step - working), "ms")
    for kernel, value in list(times.kernels.items())[:LONGEST]:
        report.note(f"{name}: {1e3 * value:.2f} ms of a step in {kernel[:90]}")
    for kernel in times.kernels:
        if kernel_kind(kernel) == "attention":
            report.note(f"{name}: attention is by {kernel[:90]}")
