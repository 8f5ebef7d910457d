"""Exact counts of every token of the vocabulary at some targets, had it been the target's token.

For sums over the vocabulary, and for what a decoder would see.
"""

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from fairway.counts import OrderDistributions
from fairway.exact import ExactCounts
from fairway.grams import ASKS, ONCE


def exact_distributions(
    tokens: np.ndarray,
    plan,
    settings,
    start: int,
    targets: np.ndarray,
    vocabulary: int,
    threads: int = 1,
) -> OrderDistributions:
    """Counts of every order for every token of the vocabulary, had it been the target's token.

    targets: sorted, none twice; start: the first target that is counted. Totals are taken from a
    normal count. For the hits, entries that ask for every token at every target are put before
    the target's own into the lists of grams; `name_grams` looks them up like any other.
    """
    settings = replace(settings, prefill=False)  # `start` says where to begin
    counts = ExactCounts(tokens, plan, settings, start, int(targets[-1]), threads)
    totals = np.zeros((len(targets), settings.max_order + 1 - settings.min_order), np.uint32)
    distinct = np.zeros_like(totals)
    for order in counts.orders(1, lambda targets: None):
        noted = order.found[0][targets - start] == order.order
        column = order.order - settings.min_order
        totals[noted, column] = order.found[2][targets - start][noted]
        distinct[noted, column] = counts.distinct(order)[targets - start][noted]

    hits = np.zeros((*totals.shape, vocabulary), dtype=np.uint32)
    for length, rows, vocabulary_ids, found in _ask(counts, targets, vocabulary):
        if length >= settings.min_order:
            hits[rows, length - settings.min_order, vocabulary_ids] = found
    return OrderDistributions(totals, hits, distinct)


def _ask(
    counts: ExactCounts, targets: np.ndarray, vocabulary: int
) -> Iterator[tuple[int, np.ndarray, np.ndarray, np.ndarray]]:
    """Yield gram length, row of the target, token and hits of all askers that are still listed."""
    real = np.arange(counts.origin, counts.last_target + 1, dtype=np.uint32)
    before = np.repeat(targets - counts.origin, vocabulary)
    asked = np.repeat(targets.astype(np.uint32) | ASKS, vocabulary)
    positions = np.insert(real, before, asked)
    ends = np.insert(counts.tokens[real], before, np.tile(np.arange(vocabulary), len(targets)))
    asker = np.arange(len(asked))
    for level in counts.levels(positions, ends.astype(np.uint16), 1):
        listed = np.flatnonzero(level.positions >= ASKS)
        # of a target's askers, those whose gram repeated are listed again, or none of them is
        asker = asker[np.isin(asked[asker], level.positions[listed])]
        names = level.names[listed]
        found = level.counts[listed] - (names == counts.no_target(level))
        yield level.length, asker // vocabulary, asker % vocabulary, found
        asker = asker[names != ONCE]
