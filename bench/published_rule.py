"""The published n-gram rule in plain numpy, as parameter-golf PR #796 does it: the baseline.

Two uint32 tables per order. Prefill adds whole stretches of targets with `np.add.at`; scoring
goes segment by segment, orders from the top, and updates the tables after each segment.
"""

import numpy as np

PRIMES = np.array([36313, 27191, 51647, 81929, 131071, 175447, 209591], dtype=np.uint64)
_BLOCK = 1 << 20  # targets counted at a time


class PublishedRule:
    """Tables of orders 2 … max_order with `buckets` counters each."""

    def __init__(self, tokens: np.ndarray, max_order: int, buckets: int) -> None:
        self.tokens, self.orders = tokens, range(max_order, 1, -1)
        self.mask = np.uint64(buckets - 1)
        self.contexts = {order: np.zeros(buckets, dtype=np.uint32) for order in self.orders}
        self.pairs = {order: np.zeros(buckets, dtype=np.uint32) for order in self.orders}

    def keys(self, targets: np.ndarray, order: int) -> tuple[np.ndarray, np.ndarray]:
        """Context and pair keys of targets, int64."""
        width = order - 1
        hashed = np.zeros(len(targets), dtype=np.uint64)
        for k in range(width):
            hashed ^= self.tokens[targets - width + k].astype(np.uint64) * PRIMES[k % 7]
        paired = hashed ^ (self.tokens[targets].astype(np.uint64) * PRIMES[width % 7])
        return (hashed & self.mask).astype(np.int64), (paired & self.mask).astype(np.int64)

    def prefill(self, first: int, last: int) -> None:
        """Count targets first … last without looking anything up."""
        for start in range(first, last + 1, _BLOCK):
            targets = np.arange(start, min(start + _BLOCK, last + 1))
            for order in self.orders:
                context, pair = self.keys(targets[targets >= order - 1], order)
                np.add.at(self.contexts[order], context, 1)
                np.add.at(self.pairs[order], pair, 1)

    def score(self, segments: list[np.ndarray]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Orders, hits and totals of the segments' targets, each segment counted afterwards."""
        found = [self._score_segment(targets) for targets in segments]
        orders, hits, totals = zip(*found, strict=True)
        return np.concatenate(orders), np.concatenate(hits), np.concatenate(totals)

    def _score_segment(self, targets: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        orders = np.zeros(len(targets), dtype=np.int64)
        probability = np.full(len(targets), -1.0)
        totals, hits = np.zeros(len(targets)), np.zeros(len(targets))
        updates = []
        for order in self.orders:
            valid = np.nonzero(targets >= order - 1)[0]
            if len(valid) == 0:
                continue
            context, pair = self.keys(targets[valid], order)
            updates.append((order, context, pair))
            total = self.contexts[order][context].astype(np.float64)
            hit = self.pairs[order][pair].astype(np.float64)
            new = (total >= 2) & (probability[valid] < 0)
            if new.any():
                rows = valid[new]
                ratio = np.minimum(hit[new], total[new]) / np.maximum(total[new], 1.0)
                probability[rows] = np.clip(ratio, 0.0, 1.0)
                orders[rows], totals[rows] = order, total[new]
                hits[rows] = np.minimum(hit[new], total[new])
        for order, context, pair in updates:
            np.add.at(self.contexts[order], context, 1)
            np.add.at(self.pairs[order], pair, 1)
        return orders, hits, totals
