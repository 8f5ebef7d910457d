"""What the integers of a trained model hold under several context models, beside LZMA and `ans`.

    python bench/packing_contexts.py                       # a finished default run in results/
    python bench/packing_contexts.py --results ~/run/results --sigmas 12.85 20

Weights are rounded to nearest in one step for each matrix, the largest integer at so many
deviations: of the blocks' matrices, and of the embeddings. Bits per weight: the entropy given the
contexts, with the classes of rows and columns where they are known; and the same with half a
log2 n for each frequency of a context of n integers, which is what learning it costs. An entropy
alone falls with every context that is added, though nothing is gained by it.
"""

import argparse
import sys
from pathlib import Path

import numpy as np
import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "stages"))

from fairway.start import run

from fairway.artifact.coders.integers import classes, contexts
from fairway.artifact.coders.named import coder
from fairway.artifact.gptq import round_with
from fairway.artifact.kinds import INT6, INT6_LIMIT, INT8, INT8_LIMIT, storage_kinds
from fairway.artifact.rates import Rounded, clip_at
from fairway.training.checkpoints import Checkpoint

LIMITS = {INT6: INT6_LIMIT, INT8: INT8_LIMIT}
MOST = 15  # magnitudes of a neighbour that are told apart
WIDE = 1000  # more than there are symbols


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--results", type=Path, default=Path("results"), help="of a finished run")
    parser.add_argument("--model", default="ebls")
    parser.add_argument("--seed", type=int, default=1337)
    parser.add_argument("--fp16-below", type=int, default=16_384)
    parser.add_argument("--sigmas", type=float, nargs=2, default=(8.0, 20.0))
    return parser.parse_args()


def rounded(options: argparse.Namespace) -> dict[str, list[np.ndarray]]:
    """The integers of a run's model by kind, int8 (rows, columns) each."""
    folder = options.results / "models" / options.model / f"seed{options.seed}"
    state = Checkpoint.load(folder / "checkpoint.safetensors").model().state_dict()
    kinds = storage_kinds({name: each.shape for name, each in state.items()}, options.fp16_below)
    found: dict[str, list[np.ndarray]] = {INT6: [], INT8: []}
    for name, kind in kinds.items():
        if kind in found:
            weight, limit = state[name], LIMITS[kind]
            sigmas = options.sigmas[0 if kind == INT6 else 1]
            alike = Rounded(weight, limit, torch.ones(len(weight)))
            integers = round_with(weight, clip_at(alike, sigmas), limit).integers
            found[kind].append(integers.numpy())
    return found


def known(integers: np.ndarray, place: int) -> dict[str, np.ndarray]:
    """By context model, the context of every integer, flat; place: of the matrix."""
    magnitudes = np.minimum(np.abs(integers.astype(np.int64)), MOST)
    rows, columns = classes(integers)
    both = contexts(rows, columns).astype(np.int64)
    before = np.pad(magnitudes, ((0, 0), (1, 0)))[:, :-1]
    above = np.pad(magnitudes, ((1, 0), (0, 0)))[:-1]
    models = {
        "one distribution": np.zeros_like(both),
        "one for each matrix": np.full_like(both, place),
        "class of the row": np.broadcast_to(rows[:, None], both.shape),
        "row and column, in half octaves": (both + 3) // 4,
        "row and column: `ans`": both,
        "and matrix": both * WIDE + place,
        "and the magnitude before it": both * (MOST + 1) + before,
        "and the magnitude above it": both * (MOST + 1) + above,
    }
    return {name: each.reshape(-1).astype(np.int64) for name, each in models.items()}


def entropy(of_each: np.ndarray, symbols: np.ndarray) -> tuple[float, float]:
    """Bits of symbols given their contexts, and what learning the frequencies costs."""
    found, totals = np.unique(of_each, return_counts=True)
    joint, counts = np.unique(of_each * WIDE + symbols, return_counts=True)
    bits = (totals * np.log2(totals)).sum() - (counts * np.log2(counts)).sum()
    frequencies = np.bincount(np.searchsorted(found, joint // WIDE)) - 1
    return float(bits), float((frequencies * np.log2(totals)).sum() / 2)


def table(kind: str, parts: list[np.ndarray]) -> None:
    """Print a line for each context model and for both coders."""
    count = sum(part.size for part in parts)
    symbols = np.abs(np.concatenate([part.reshape(-1) for part in parts]).astype(np.int64))
    signs = np.count_nonzero(symbols)
    sides = [np.concatenate(side) for side in zip(*map(classes, parts), strict=True)]
    of_lines = [entropy(np.zeros_like(side, np.int64), side)[0] for side in sides]
    of_each = [known(part, place) for place, part in enumerate(parts)]
    for place, name in enumerate(of_each[0]):
        bits, learning = entropy(np.concatenate([found[name] for found in of_each]), symbols)
        bits += signs + sum(of_lines[: max(0, min(2, place - 1))])
        print(f"| {kind} | {name} | {bits / count:.3f} | {(bits + learning) / count:.3f} |")
    for name in ("lzma", "ans"):
        packed = 8 * len(coder(name).pack(kind, parts)[1])
        print(f"| {kind} | packed by {name} | | {packed / count:.3f} |")


def main() -> None:
    options = arguments()
    print("| | contexts | entropy | with learning |")
    print("|---|---|--:|--:|")
    for kind, parts in rounded(options).items():
        table(kind, parts)


if __name__ == "__main__":
    run(main)
