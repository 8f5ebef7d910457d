"""What a search for scales takes at the sizes of a configuration's model, with drawn weights.

    python bench/packing_search.py --configfile config/fineweb.yaml --model independent

Matrices are Gaussian, their rows and columns of different sizes; the text is drawn as well. As the
configuration says, a search is prepared and `packed_bytes` are filled, by one thread of the CPU.
One line per step: seconds of processor time and the most memory so far. GPTQ's Hessians, which
every way to quantise needs, are of a few thousand tokens and not timed.
"""

import argparse
import resource
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import numpy as np
import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "stages"))

from fairway.start import run

from gpu_parts.workload import Workload, load_workloads
from packing import SPREAD

from fairway.artifact.budget import fill
from fairway.artifact.calibration import gather_hessians
from fairway.artifact.container import decode, encode
from fairway.artifact.gptq import GptqSettings
from fairway.artifact.kinds import storage_kinds
from fairway.artifact.quantization import matrices, quantize
from fairway.artifact.rates import Search
from fairway.artifact.steps import prepare_search, some_of
from fairway.artifact.storage import StoredModel
from fairway.model.network import Model
from fairway.model.shapes import state_shapes
from fairway.stage import StageError

T = TypeVar("T")
HESSIAN_TOKENS = 4096
DEVIATION = 0.04  # of the drawn weights


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--configfile", type=Path, nargs="+", default=[Path("config.yaml")])
    parser.add_argument("--model", default="ebls")
    parser.add_argument(
        "--packed-bytes", type=int, help="to be filled, if not the configuration's"
    )
    return parser.parse_args()


def drawn_model(work: Workload) -> Model:
    """The configuration's model, its matrices drawn."""
    torch.manual_seed(0)
    model, generator = Model(work.config).eval(), torch.Generator().manual_seed(1)

    def drawn(*shape: int) -> torch.Tensor:
        return torch.randn(shape, generator=generator)

    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.dim() == 2:
                rows, columns = parameter.shape
                sizes = torch.exp(SPREAD * drawn(rows, 1)) * torch.exp(SPREAD * drawn(1, columns))
                parameter.copy_(DEVIATION * drawn(rows, columns) * sizes)
    return model


def timed(name: str, work: Callable[[], T]) -> T:
    """What `work` gives; prints a line of what it took."""
    start = time.process_time()
    found = work()
    seconds = time.process_time() - start
    memory = 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e9
    print(f"| {name} | {seconds:.1f} | {memory:.2f} |", flush=True)
    return found


def search_of(model: Model, work: Workload) -> tuple[Search, Callable[[float], StoredModel]]:
    """A search as the configuration wants it; the model quantised with so many bits per weight."""
    settings, context = work.quantization, work.config.rope_context
    generator = np.random.default_rng(0)

    def text(tokens: int) -> np.ndarray:
        shape = max(1, tokens // context), context
        return generator.integers(0, work.config.vocabulary, shape, dtype=np.int64)

    below, damping = settings["fp16_below"], settings["damping"]
    kinds = storage_kinds(state_shapes(work.config), below)
    hessians = gather_hessians(model, matrices(model), text(HESSIAN_TOKENS), 1)
    sequences = text(settings["calibration_tokens"])
    read: list[float] = []
    start = time.process_time()

    def progress(tokens: int) -> None:
        read.append(time.process_time() - start)

    search = prepare_search(
        model, hessians, kinds, sequences, settings["gradient_tokens"], damping, progress=progress
    )
    tokens = some_of(sequences, settings["gradient_tokens"]).size
    curves = time.process_time() - start - read[-1]
    print(f"| gradients of {tokens:,} tokens | {read[-1]:.1f} | |")
    print(f"| curves of {search.weights:,} weights | {curves:.1f} | |", flush=True)

    def quantised(bits: float) -> StoredModel:
        gptq, mantissa = GptqSettings(damping), settings["fp16_mantissa_bits"]
        choice = search.choice(bits)
        found = quantize(model, dict(hessians), gptq, below, "0" * 64, {}, choice, mantissa)
        return found[0].stored

    return search, quantised


def main() -> None:
    options = arguments()
    torch.set_num_threads(1)
    works = {work.name: work for work in load_workloads(options.configfile, "cpu", False)}
    if options.model not in works:
        raise StageError(f"--model {options.model}; expected one of {', '.join(works)}")
    work = works[options.model]
    settings = work.quantization
    budget = options.packed_bytes or settings["packed_bytes"]
    if budget is None:
        raise StageError("quantization.packed_bytes: null; expected a number, or --packed-bytes")
    print("| step | processor, s | memory at most, GB |\n|---|--:|--:|")
    search, quantised = search_of(drawn_model(work), work)
    filled = fill(
        lambda bits: timed(f"GPTQ at {bits:.2f} bits", lambda: quantised(bits)),
        lambda stored: len(timed("packed by ans", lambda: encode(stored, "ans"))),
        search.weights,
        search.bits,
        budget,
    )
    content = encode(filled.made, "ans")
    timed(f"{len(content):,} bytes unpacked", lambda: decode(content, "packed"))


if __name__ == "__main__":
    run(main)
