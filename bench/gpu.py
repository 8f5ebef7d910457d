"""Check and time Fairway on one GPU: agreement with the CPU, training, GPTQ, scoring.

    python bench/gpu.py --markdown gpu.md
    python bench/gpu.py --train fineweb_train_000000.bin --minutes 8.5
    python bench/gpu.py --only steps device --cache compiled
    python bench/gpu.py --device cpu --tiny --train-seconds 1

Needs torch, numpy, safetensors and PyYAML only. Exit code 1 if a check fails, 2 for bad input.
The models are those of config/fineweb.yaml; without a shard they train on a synthetic text (see
gpu_parts/workload.py), on which only speed and agreement mean anything. A part that fails
takes nothing with it, one that would begin after --minutes is left out, and the page is written
after each. What the other parts leave of --minutes is for training.
"""

import argparse
import datetime
import math
import os
import platform
import sys
import time
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "stages"))

from fairway.start import run

import numpy as np
import torch
from gpu_parts.figures import Report
from gpu_parts.parts import ModelParts, measure_device
from gpu_parts.workload import (
    SYNTHETIC_TOKENS,
    Workload,
    load_workloads,
    synthetic_tokens,
)

from fairway.corpus.shards import read_shard
from fairway.machine.devices import prepare_device

ROOT = Path(__file__).resolve().parents[1]
PUBLISHED_MODEL = "independent"
OTHER_PART_SECONDS = 45.0  # what a part that is not a training may take, compilation included
Part = Callable[[float], None]


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--config", type=Path, default=ROOT / "config" / "fineweb.yaml")
    parser.add_argument("--train", type=Path, help="token shard in the FineWeb format")
    parser.add_argument("--device", choices=("cuda", "cpu"), default="cuda")
    parser.add_argument("--tiny", action="store_true", help="the sizes of config/shrunk.yaml")
    parser.add_argument("--no-compile", action="store_true", help="without torch.compile")
    parser.add_argument("--only", nargs="+", default=[], help="parts: steps, checks-ebls, …")
    parser.add_argument("--cache", type=Path, help="folder that keeps what torch.compile makes")
    parser.add_argument("--train-seconds", type=float, default=math.inf, help="at most, a model")
    parser.add_argument("--minutes", type=float, default=8.5, help="in all")
    parser.add_argument("--markdown", type=Path, help="write the tables here as well")
    return parser.parse_args()


def main() -> None:
    options = arguments()
    deadline = time.monotonic() + 60 * options.minutes
    if options.cache:
        os.environ["TORCHINDUCTOR_CACHE_DIR"] = str(options.cache.resolve())
    files = [options.config] + [ROOT / "config" / "shrunk.yaml"] * options.tiny
    works = load_workloads(files, options.device, not options.no_compile)
    threads = os.cpu_count() if options.device == "cuda" else works[0].training.threads
    device = prepare_device(options.device, threads)
    vocabulary = works[0].config.vocabulary
    if options.train is None:
        text = synthetic_tokens(SYNTHETIC_TOKENS >> 6 * options.tiny, vocabulary, seed=1)
    else:
        text = read_shard(options.train, vocabulary)
    report = Report()
    report.note(f"{' '.join(sys.argv)}; text: {options.train or 'synthetic'}")
    report.note(machine_line(device))
    title = f"{device_name(device)}, {datetime.date.today().isoformat()}"

    def save() -> None:
        if options.markdown:
            options.markdown.write_text(report.markdown(title))

    parts = all_parts(report, works, text, device, options.train_seconds)
    run_parts(parts, options.only, deadline, report, save)
    print(f"\n{report.text()}")
    if report.failed:
        sys.exit(1)


def all_parts(
    report: Report,
    works: list[Workload],
    text: np.ndarray,
    device: torch.device,
    train_seconds: float,
) -> dict[str, Part]:
    """Every part by its name, what has a published baseline first."""
    works = sorted(works, key=lambda work: work.name != PUBLISHED_MODEL)
    models = [ModelParts(report, work, text, device, train_seconds).parts() for work in works]
    alone = {"device": lambda seconds: measure_device(report, works[0], device)}
    first = {name: part for parts in models for name, part in list(parts.items())[:1]}
    return first | alone | {name: part for parts in models for name, part in parts.items()}


def run_parts(
    parts: dict[str, Part], only: list[str], deadline: float, report: Report, save: Callable
) -> None:
    """Run the parts that `only` names (a part, or what its name begins with; none: all).

    What a part's error takes with it is that part: it becomes a failed check. One that would begin
    after the deadline is left out. `save` is called after each.
    """
    chosen = {
        name: part
        for name, part in parts.items()
        if not only or name in only or name.partition("-")[0] in only
    }
    for done, (name, part) in enumerate(chosen.items()):
        left = deadline - time.monotonic()
        if left <= 0:
            report.note(f"{name}: left out, the time is over")
        else:
            trainings = [n for n in list(chosen)[done:] if n.startswith("train")]
            after = OTHER_PART_SECONDS * (len(chosen) - done - len(trainings))
            spare = max(left - after, left / 4)
            try:
                part(spare / max(1, len(trainings)))
            except Exception as error:
                lines = str(error).strip().splitlines() or [""]
                report.check(f"{name}: {type(error).__name__}: {lines[-1][:200]}", math.nan, 0.0)
        save()


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


if __name__ == "__main__":
    run(main)
