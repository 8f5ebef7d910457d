"""What a proof compares: a part of the text, the bits claimed for it and the bits of a file."""

import math
from collections.abc import Iterable, Iterator
from itertools import islice

import numpy as np

from fairway.corpus.byte_accounting import ByteTable
from fairway.corpus.exact_text import SEPARATOR
from fairway.corpus.shards import BOS
from fairway.rows.mixing import Mixer, RankShard
from fairway.stage import StageError

OVERHEAD_FRACTION = 0.001  # of the claimed bits; integers in place of probabilities cost this
OVERHEAD_BITS = 8 * 64  # a file's header, and the coder's last word


def proven_targets(
    tokens: np.ndarray, target_bytes: np.ndarray, table: ByteTable, wanted: float
) -> int:
    """How many targets, from the first, have `wanted` bytes (or all the text has, if less).

    A character that the end would cut is left out.
    """
    targets = int(np.searchsorted(np.cumsum(target_bytes, dtype=np.int64), wanted)) + 1
    targets = min(targets, len(target_bytes))
    return targets - table.unfinished(tokens[: targets + 1])


def proven_text(text: bytes, tokens: np.ndarray, target_bytes: np.ndarray) -> bytes:
    """The beginning of the validation text that tokens stand for.

    text: all of it, documents with a NUL byte between them; tokens: from the first BOS on;
    target_bytes: of all of them but the first.
    """
    separators = int(np.count_nonzero(tokens == BOS)) - 1
    return text[: int(target_bytes.sum(dtype=np.int64)) + separators * len(SEPARATOR)]


def claimed_bits(mixer: Mixer, shards: Iterable[RankShard], targets: int) -> float:
    """−log2 p of targets 1 … `targets`, as mix_scores sums it, over shards of rank 0, 1, ….

    Raises StageError if the shards have fewer targets.
    """
    nats = np.fromiter(islice(_nats(mixer, shards), targets), np.float64)
    if len(nats) < targets:
        raise StageError(f"scores: {len(nats)} targets; expected at least {targets}")
    return math.fsum(nats) / math.log(2)


def _nats(mixer: Mixer, shards: Iterable[RankShard]) -> Iterator[float]:
    for shard in shards:
        for piece in mixer(shard.scores, shard.counts):
            yield from piece.tolist()


def check_decoded(decoded: bytes, expected: bytes, row: str) -> None:
    """Raise StageError naming the first byte at which the decoded text differs."""
    if decoded == expected:
        return
    pairs = zip(decoded, expected, strict=False)
    same = next((i for i, (a, b) in enumerate(pairs) if a != b), min(len(decoded), len(expected)))
    raise StageError(
        f"row {row}: decoded {len(decoded)} bytes that differ from the text's {len(expected)} "
        f"at byte {same}; expected the same text"
    )


def overhead_fraction(file_bits: int, claimed: float, row: str) -> float:
    """Share by which the file is longer than claimed; StageError if it is by too much."""
    limit = claimed * (1 + OVERHEAD_FRACTION) + OVERHEAD_BITS
    if file_bits > limit:
        raise StageError(
            f"row {row}: a file of {file_bits} bits for {claimed:.1f} claimed; "
            f"expected at most {limit:.1f}"
        )
    return file_bits / claimed - 1
