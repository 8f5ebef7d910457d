"""A gate that adds up, while it mixes a row, where the nats lie: what a `Profile` is made of."""

from typing import Any

import numpy as np

from fairway.counting.settings import CacheSettings
from fairway.kernels.compiled import compiled
from fairway.rows.gate import Mixing, Piece
from fairway.rows.profile import STRETCHES, Profile


class Profiler:
    """Mixes as `gate` does and adds up what it gives: the same nats, bit for bit.

    tokens: (targets + 1,); target_bytes: (targets,); bos: the token that begins a document;
    cache: the row's, None without one.
    """

    def __init__(
        self,
        gate: Mixing,
        tokens: np.ndarray,
        target_bytes: np.ndarray,
        bos: int,
        cache: CacheSettings | None,
    ) -> None:
        self.gate, self.sizes, self.cache = gate, target_bytes, cache
        targets = len(target_bytes)
        begins = np.flatnonzero(tokens == bos)  # a target index is its token's
        self.begins = begins if len(begins) and begins[0] == 0 else np.append(0, begins)
        self.stretches = np.linspace(1, targets + 1, STRETCHES + 1).astype(np.int64)[:-1]
        self.sums = {"document": _sums(len(self.begins)), "stretch": _sums(STRETCHES)}
        columns = cache.max_order + 1 if cache else 0
        self.orders = np.zeros(columns, np.int64), np.zeros(columns, np.int64), np.zeros(columns)

    def start(self) -> Any:
        return self.gate.start()

    def nats(self, state: Any, tokens: np.ndarray, piece: Piece) -> np.ndarray:
        """−ln p of a piece's targets; moves the state on."""
        found = self.gate.nats(state, tokens, piece)
        first = piece.first_target
        sizes = self.sizes[first - 1 : first - 1 + len(found)]
        for begins, sums in zip((self.begins, self.stretches), self.sums.values(), strict=True):
            segment = np.searchsorted(begins, first, side="right") - 1
            _add_segments(segment, begins, first, found, sizes, *sums)
        if piece.counts is not None:
            order, hit = matched(piece.counts, self.cache.min_order)
            _add_orders(order, hit, found, *self.orders)
        return found

    def profile(self, spec: str) -> Profile:
        """All that was added up."""
        return Profile(spec, *self.sums["document"], *self.sums["stretch"], *self.orders)


def matched(counts: tuple[np.ndarray, ...], min_order: int) -> tuple[np.ndarray, np.ndarray]:
    """The order that matched at each target (0: none), and whether its token was among the seen.

    counts: of a piece. Where every order is counted, an array's last axis is orders from
    `min_order` on, and the highest one whose context has occurred is meant.
    """
    first, second, _ = counts
    if first.ndim == 1:  # (order, hits, total) of the match
        return first, second > 0
    order, hit = np.empty(len(first), dtype=np.uint8), np.empty(len(first), dtype=np.bool_)
    _find_matched(first, second, min_order, order, hit)
    return order, hit


@compiled
def _find_matched(totals, hits, min_order, order, hit):
    """Fill the order that matched and whether the token was seen; totals fall as orders rise."""
    for target in range(len(totals)):
        depth = 0
        for column in range(totals.shape[1]):
            depth += totals[target, column] > 0
        order[target] = depth + min_order - 1 if depth else 0
        hit[target] = depth > 0 and hits[target, depth - 1] > 0


@compiled
def _add_segments(segment, begins, first, nats, sizes, nats_of, bytes_of):
    """Add targets from `first` on to the segment that each lies in, `segment` being the first.

    begins: int64 (segments,), each one's first target, in order; nats: float64 (targets,);
    sizes: uint16 (targets,); nats_of: float64, bytes_of: int64 (segments,), what is added to. A
    segment's targets are added up by themselves first.
    """
    begin = 0
    while begin < len(nats):
        end = len(nats)
        if segment + 1 < len(begins):
            end = min(end, begins[segment + 1] - first)
        sum_nats, sum_bytes = 0.0, 0
        for i in range(begin, end):
            sum_nats += nats[i]
            sum_bytes += sizes[i]
        nats_of[segment] += sum_nats
        bytes_of[segment] += sum_bytes
        begin, segment = end, segment + 1


@compiled
def _add_orders(order, hit, nats, targets_of, hits_of, nats_of):
    """Add targets to the order that matched at each, those of this call by themselves first."""
    found = np.zeros(len(nats_of))
    for i in range(len(nats)):
        targets_of[order[i]] += 1
        hits_of[order[i]] += hit[i]
        found[order[i]] += nats[i]
    for place in range(len(nats_of)):
        nats_of[place] += found[place]


def _sums(length: int) -> tuple[np.ndarray, np.ndarray]:
    """Nats and bytes, nothing added yet."""
    return np.zeros(length), np.zeros(length, dtype=np.int64)
