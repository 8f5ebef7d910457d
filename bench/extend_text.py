"""Extend real tokens to any length with n-grams about as repetitive as real text's.

    python bench/extend_text.py                    # results/corpus, to 62,021,632 tokens

Copying the text over and over would make every long n-gram a repeat. Instead the output follows
the text and, at each token with probability `--jump`, goes on from another place, drawn evenly
from those where the same `--context` tokens have just been read. So n-grams of up to context + 1
tokens are real ones in real proportions, and the longer ones get new the more often the longer
they are, as in text that was not seen before. Seeded; counting speed depends on nothing else.
"""

import argparse
import sys
import tempfile
from pathlib import Path

import numpy as np
from numba import njit

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "stages"))
from fairway.start import run

from fairway.corpus.shards import read_shard, write_shard
from fairway.stage import StageError

EXTENDED = Path(tempfile.gettempdir()) / "extended.bin"
CHUNK = 1 << 20  # tokens drawn at a time


def places_by_context(tokens: np.ndarray, context: int) -> tuple[np.ndarray, ...]:
    """Positions sorted by the tokens that end there, and each position's group in that order.

    Returns (order, first, count): order[first[p] : first[p] + count[p]] are the positions with
    the same last `context` tokens as p.
    """
    last = len(tokens) - 1  # the last position has nothing to go on with
    key = np.zeros(last, dtype=np.uint64)
    for back in range(context):
        key = (key << np.uint64(16)) | np.roll(tokens, back)[:last].astype(np.uint64)
    order = np.argsort(key, kind="stable").astype(np.uint32)
    starts = np.flatnonzero(np.diff(key[order], prepend=~key[order[0]]))
    sizes = np.diff(starts, append=last)
    group = np.empty(last, dtype=np.uint32)
    group[order] = np.repeat(np.arange(len(starts), dtype=np.uint32), sizes)
    return order, starts.astype(np.uint32)[group], sizes.astype(np.uint32)[group]


@njit(cache=True, nogil=True)
def follow(tokens, order, first, count, position, jumps, choices, output):
    """Fill `output` by walking on from `position`; returns where the walk stands."""
    for i in range(output.size):
        if jumps[i]:
            position = np.int64(order[first[position] + np.int64(choices[i] * count[position])])
        position += 1
        output[i] = tokens[position]
        if position == tokens.size - 1:
            position = 0
    return position


def extend(tokens: np.ndarray, length: int, context: int, jump: float, seed: int) -> np.ndarray:
    """A walk of `length` tokens over the text, uint16."""
    random = np.random.default_rng(seed)
    places = places_by_context(tokens, context)
    output, position = np.empty(length, dtype=np.uint16), 0
    for start in range(0, length, CHUNK):
        part = output[start : start + CHUNK]
        jumps, choices = random.random(len(part)) < jump, random.random(len(part))
        position = follow(tokens, *places, position, jumps, choices, part)
    return output


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    shards = [Path("results/corpus") / f"{name}.bin" for name in ("train", "val")]
    parser.add_argument("shards", type=Path, nargs="*", default=shards)
    parser.add_argument("--tokens", type=int, default=62_021_632)
    parser.add_argument("--context", type=int, default=2)
    parser.add_argument("--jump", type=float, default=0.2)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--output", type=Path, default=EXTENDED)
    options = parser.parse_args()
    if not 1 <= options.context <= 4 or not 0 <= options.jump <= 1 or options.tokens < 1:
        raise StageError("expected --context 1 to 4, --jump 0 to 1 and --tokens of at least 1")
    tokens = np.concatenate([read_shard(path) for path in options.shards])
    walk = extend(tokens, options.tokens, options.context, options.jump, options.seed)
    write_shard(options.output, walk)


if __name__ == "__main__":
    run(main)
