"""Exact counts of every token of the vocabulary at some targets, had it been the target's token.

For sums over the vocabulary, and for what a decoder would see. They are found by searching the
text for each target's contexts, so they share no code with the counts that are checked by them.
"""

import numpy as np

from fairway.counts import OrderDistributions
from fairway.segments import segment_first
from fairway.shards import BOS


def exact_distributions(
    tokens: np.ndarray, plan, settings, start: int, targets: np.ndarray, vocabulary: int
) -> OrderDistributions:
    """Counts of every order for every token of the vocabulary, had it been the target's token.

    targets: sorted, none twice; start: the first target that is counted.
    """
    shape = len(targets), settings.orders
    hits = np.zeros((*shape, vocabulary), dtype=np.uint32)
    for row, target in enumerate(targets.tolist()):
        unseen = target  # the first target that is not counted yet
        if settings.update == "segment":
            unseen = int(segment_first(target, plan.length, plan.stride))
        matches = np.arange(start, unseen)
        for width in range(settings.max_order):
            if width:
                matches = matches[matches >= width]
                matches = matches[tokens[matches - width] == tokens[target - width]]
            if width >= settings.min_order - 1:
                seen = np.bincount(tokens[matches], minlength=vocabulary)
                hits[row, width + 1 - settings.min_order] = seen
            ends = width and tokens[target - width] == BOS and not settings.cross_documents
            if ends or width == target or matches.size == 0:
                break
    return OrderDistributions(
        hits.sum(axis=2, dtype=np.uint32), hits, (hits > 0).sum(axis=2, dtype=np.uint32)
    )
