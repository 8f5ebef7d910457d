"""Microseconds a token that a row's codec takes, by part, and torch's own steps beside them.

    python bench/decoding.py                      # exact15_bayes_memory of the run in results/
    python bench/decoding.py results --row neural --targets 20000

The first targets of a finished run's validation text are encoded on one core, from the artifact of
its first seed. Figures are CPU time in the fastest and in the median block of 256 targets; the
first block is left out. The baseline is the same network walking token by token with torch's calls
(`Model.step`), on the same text. Decoding does the same and looks the token up in the code instead
of knowing it.
"""

import argparse
import sys
import time
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np
import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "stages"))

from fairway.start import run

from finished import proven_row

import codec
from fairway.codec import coder
from fairway.codec.file import Codec
from fairway.corpus.manifest import Manifest
from fairway.model.network import Model

BLOCK = 256  # targets
SOFTMAX = "network, softmax"


class Stopwatch:
    """CPU seconds of named methods, by blocks of targets."""

    def __init__(self) -> None:
        self.blocks: dict[str, list[float]] = defaultdict(list)
        self.now: dict[str, float] = defaultdict(float)

    def watch(self, owner: object, method: str, part: str) -> None:
        """Count the time in `owner.method`, less that of other watched methods in it."""
        plain = getattr(owner, method)

        def timed(*arguments: Any) -> Any:
            before, inner = time.process_time(), sum(self.now.values())
            result = plain(*arguments)
            inner = sum(self.now.values()) - inner
            self.now[part] += time.process_time() - before - inner
            return result

        setattr(owner, method, timed)

    def next_block(self) -> None:
        """Begin another block."""
        for part, seconds in self.now.items():
            self.blocks[part].append(seconds)
        self.now.clear()

    def microseconds(self) -> dict[str, np.ndarray]:
        """Of each part per target: in the fastest block, in the median one."""
        return {part: per_target(of) for part, of in self.blocks.items()}


def per_target(blocks: list[float]) -> np.ndarray:
    """Microseconds per target of the fastest block and of the median one, from their seconds."""
    return np.array([min(blocks[1:]), np.median(blocks[1:])]) / BLOCK * 1e6


def load(results: Path, row: str) -> tuple[Codec, np.ndarray]:
    """The codec of a row of a finished run, and the validation text's tokens."""
    settings, seed = proven_row(results, row)
    artifact = memory = None
    if settings["model"] is not None:
        artifact = results / "models" / settings["model"] / f"seed{seed}/artifact.bin"
    if settings["cache_settings"] and settings["cache_settings"]["memory"]:
        memory = results / "memories" / f"{settings['cache_settings']['memory']}.bin"
    tokenizer = results / "corpus" / "tokenizer.model"
    manifest = Manifest.load(results / "corpus" / "manifest.json")
    tokens = manifest.read_val(results / "corpus" / "val.bin")
    return codec.load_codec(artifact, memory, tokenizer, settings), tokens


def by_part(made: Codec, tokens: np.ndarray) -> dict[str, np.ndarray]:
    """Microseconds a target of every part of encoding."""
    watch = Stopwatch()
    predictor = made._predictor(len(tokens) - 1)
    parts = [
        (predictor.gate, "distribution", "gate, over the vocabulary"),
        (predictor.gate, "nats", "gate, learning"),
        (predictor, "distribution", "entropy and the rest"),
        (predictor, "push", "entropy and the rest"),
    ]
    if made.base.packages:
        stepper = predictor.base.stepper
        parts += [(stepper, "start", "network, first tokens of windows")]
        parts += [
            (stepper, "step", "network, single tokens"),
            (predictor.base, "distribution", SOFTMAX),
        ]
    if predictor.counts is not None:
        parts += [
            (predictor.counts, "push", "counts, kept"),
            (predictor.counts, "read", "counts, read"),
        ]
    for owner, method, part in parts:
        watch.watch(owner, method, part)
    begin, done = time.process_time(), 0

    def count(one: int) -> None:
        nonlocal begin, done
        done += one
        if done % BLOCK == 0:
            now = time.process_time()
            watch.now["range coder"] = now - begin - sum(watch.now.values())
            watch.next_block()
            begin = now

    coder.encode_tokens(predictor, tokens, count)
    return watch.microseconds()


@torch.inference_mode()
def by_torch(model: Model, tokens: list[int], length: int, stride: int) -> np.ndarray:
    """Microseconds a target of the network alone, token by token, by torch's calls."""
    window, state, blocks, begin = [], model.start_state(1, length), [], time.process_time()
    for number, token in enumerate(tokens):
        window.append(token)
        waiting = [token]
        if len(window) > length:
            window = waiting = window[stride:]
            state = model.start_state(1, length)
        torch.softmax(model.step(torch.tensor([waiting]), state)[0, -1].double(), dim=-1)
        if number % BLOCK == BLOCK - 1:
            now = time.process_time()
            blocks.append(now - begin)
            begin = now
    return per_target(blocks)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("results", type=Path, nargs="?", default=Path("results"))
    parser.add_argument("--row", default="exact15_bayes_memory")
    parser.add_argument("--targets", type=int, default=8 * BLOCK)
    options = parser.parse_args()
    made, tokens = load(options.results, options.row)
    tokens = tokens[: max(options.targets, 4 * BLOCK) + 1]
    found = by_part(made, tokens)
    print("| µs a target | fastest | median |\n|---|--:|--:|")
    for part, (fastest, median) in sorted(found.items()):
        print(f"| {part} | {fastest:.1f} | {median:.1f} |")
    fastest, median = sum(found.values())
    print(f"| **all** | {fastest:.1f} | {median:.1f} |")
    if made.base.packages:
        network = sum(value for part, value in found.items() if part.startswith("network"))
        fastest, median = by_torch(made.base.model, tokens.tolist(), **made.settings["windows"])
        times = f"{fastest / network[0]:.1f}, {median / network[1]:.1f} times as long"
        print(f"| network by torch's calls | {fastest:.1f} | {median:.1f} | {times}")


if __name__ == "__main__":
    run(main)
