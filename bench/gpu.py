"""Check and time Fairway on one GPU: agreement with the CPU, training, GPTQ, scoring.

    python bench/gpu.py --markdown gpu.md
    python bench/gpu.py --train fineweb_train_000000.bin --minutes 8.5
    python bench/gpu.py --device cpu --tiny --minutes 0.2

Needs torch, numpy, safetensors and PyYAML only. Exit code 1 if a check fails, 2 for bad input.
The models are those of config/fineweb.yaml; without a shard they train on a synthetic text (see
gpu_parts/workload.py), on which only speed and agreement mean anything. --minutes is
divided so that compilation, about one minute for each model, leaves the rest to training.
"""

import argparse
import datetime
import math
import platform
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "stages"))

import numpy as np
import torch
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
from gpu_parts.workload import (
    SYNTHETIC_TOKENS,
    Workload,
    load_workloads,
    operations_per_token,
    reduced,
    split_text,
    synthetic_tokens,
)

from fairway.corpus.shards import read_shard
from fairway.machine.devices import prepare_device
from fairway.model.initialization import initialize
from fairway.model.network import Model
from fairway.stage import run
from fairway.training.settings import MICRO_BATCHES

ROOT = Path(__file__).resolve().parents[1]
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
AFTER_TRAINING_SECONDS = 60.0  # of one model: quantising, and compiling and timing scoring


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--config", type=Path, default=ROOT / "config" / "fineweb.yaml")
    parser.add_argument("--train", type=Path, help="token shard in the FineWeb format")
    parser.add_argument("--device", choices=("cuda", "cpu"), default="cuda")
    parser.add_argument("--tiny", action="store_true", help="the sizes of config/shrunk.yaml")
    parser.add_argument("--no-compile", action="store_true", help="without torch.compile")
    parser.add_argument("--minutes", type=float, default=8.5, help="in all")
    parser.add_argument("--markdown", type=Path, help="write the tables here as well")
    return parser.parse_args()


def main() -> None:
    options = arguments()
    deadline = time.monotonic() + 60 * options.minutes
    files = [options.config] + [ROOT / "config" / "shrunk.yaml"] * options.tiny
    works = load_workloads(files, options.device, not options.no_compile)
    device = prepare_device(options.device, works[0].training.threads)
    vocabulary = works[0].config.vocabulary
    if options.train is None:
        text = synthetic_tokens(SYNTHETIC_TOKENS >> 6 * options.tiny, vocabulary, seed=1)
    else:
        text = read_shard(options.train, vocabulary)
    report = Report()
    report.note(f"{' '.join(sys.argv)}; text: {options.train or 'synthetic'}")
    report.note(machine_line(device))
    for work in works:
        config = reduced(work.config)
        for name, found, tolerance in differences(
            config, work.training, text, device, work.quantization["block"]
        ):
            report.check(f"{work.name}: {name}", found, tolerance)
        torch.compiler.reset()
    rate = measure_device(report, works[0], device, options.tiny)
    for done, work in enumerate(works):
        seconds = (deadline - time.monotonic()) / (len(works) - done)
        measure_model(report, work, text, device, rate, seconds)
        torch.compiler.reset()
    print(f"\n{report.text()}")
    if options.markdown:
        title = f"{device_name(device)}, {datetime.date.today().isoformat()}"
        options.markdown.write_text(report.markdown(title))
    if report.failed:
        sys.exit(1)


def device_name(device: torch.device) -> str:
    """As a person would call it."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return f"CPU ({platform.machine()})"


def machine_line(device: torch.device) -> str:
    """Versions that figures depend on."""
    versions = [device_name(device), f"Python {platform.python_version()}"]
    versions.append(f"torch {torch.__version__}")
    if device.type == "cuda":
        versions.append(f"CUDA {torch.version.cuda}, cuDNN {torch.backends.cudnn.version()}")
    return ", ".join(versions)


def measure_device(report: Report, work: Workload, device: torch.device, tiny: bool) -> float:
    """The ceilings, and the attention kernels; returns the matrix rate, operations per second."""
    rate = matmul_rate(device, 128 if tiny else 8192)
    report.figure("device", "bfloat16 matrix products", rate / 1e12, "TFLOP/s")
    report.figure("device", "copies", copy_rate(device, 1 << (20 if tiny else 32)) / 1e12, "TB/s")
    config, sequence = work.config, work.training.sequence
    micro_batch = work.training.batch_tokens // MICRO_BATCHES
    chosen, seconds = attention_seconds(config, micro_batch // sequence, sequence, device)
    for name, value in seconds.items():
        used = ", which torch chooses" if name == chosen else ""
        layers = len(config.virtual_layers)
        report.figure("attention", f"{name}{used}, all layers", 1e3 * layers * value, "ms")
    report.check("attention is not by a fused kernel", float(chosen == "unfused"), 0.0)
    return rate


def measure_model(
    report: Report,
    work: Workload,
    text: np.ndarray,
    device: torch.device,
    rate: float,
    seconds: float,
) -> None:
    """Time a model's steps, train it, quantise it and score with it, in about so many seconds."""
    until = time.monotonic() + seconds
    batches = 60 if device.type == "cuda" else 2
    per_batch = work.scoring["batch_windows"] * work.windows["stride"]
    text, held_out = split_text(text, (2 + batches) * per_batch + work.windows["length"])
    model = initialize(Model(work.config), torch.Generator().manual_seed(1337))
    training = new_training(work, model, text, device)
    times = time_steps(training, 20 if device.type == "cuda" else 1)
    report_step(report, work, times, rate)
    left = until - time.monotonic() - min(AFTER_TRAINING_SECONDS, seconds / 3)
    lines = train(training, max(0.0, left), MICRO_BATCHES * times.step)
    alone = sorted(line["ms_per_step"] for line in lines)[len(lines) // 2]
    report.figure(work.name, f"step of {work.training.batch_tokens:,} tokens, alone", alone, "ms")
    first, last = lines[0], lines[-1]
    report.figure(work.name, f"loss of step {last['step']}", last["loss"], "nats")
    report.check(f"{work.name}: loss, last less first, nats", last["loss"] - first["loss"], -0.02)
    del training
    model.eval().requires_grad_(False)
    measure_after_training(report, work, model, text, held_out, batches)


def measure_after_training(
    report: Report,
    work: Workload,
    model: Model,
    text: np.ndarray,
    held_out: np.ndarray,
    batches: int,
) -> None:
    """Time quantising and scoring; what quantising costs in nats must be little."""
    exact, _, starting = scored(work, model, held_out, batches)
    stored, calibration, rounding = quantised(work, model, text)
    report.figure(work.name, "Hessians", calibration, "s", *against(work, PUBLISHED_HESSIANS))
    report.figure(work.name, "GPTQ", rounding, "s")
    model.load_state_dict(stored.stored.state())
    nll, each, _ = scored(work, model, held_out, batches)
    report.figure(work.name, "held-out text after quantising", nll, "nats per token")
    report.check(f"{work.name}: nats per token lost by quantising", nll - exact, 0.1)
    report.figure(work.name, "scoring", 1 / each, "targets/s", *against(work, PUBLISHED_SCORING))
    report.figure(work.name, "scoring 62 M targets on 8 GPUs", VALIDATION_TARGETS / 8 * each, "s")
    report.figure(work.name, "scoring: compiling and the first batch", starting, "s")


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
    for kind, value in times.kinds.items():
        report.figure(name, f"of a step: {kind}", 1e3 * value, "ms")
    for kernel, value in times.kernels.items():
        report.note(f"{name}: {1e3 * value:.2f} ms of a step in {kernel[:90]}")


if __name__ == "__main__":
    run(main)
