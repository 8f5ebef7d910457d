"""Exact counts of every token of the vocabulary at some targets, had it been the target's token.

For sums over the vocabulary, and for what a decoder would see. They are found by comparing every
place of the text with each target's context, so they share no code with the counts that are
checked by them.
"""

import numpy as np

from fairway.counting.counts import OrderDistributions
from fairway.counting.segments import CountedText, context_reach, segment_first
from fairway.kernels.compiled import compiled


@compiled
def count_shared_contexts(tokens, start, targets, unseen, reach, found):
    """Compare each counted target with the asked ones: how much of their contexts is the same?

    Targets are places here. targets: those asked; unseen: int64, the first target that none of
    them knows yet; reach: uint8, tokens of their longest contexts. found: uint32 (targets, widths,
    vocabulary), gets at [k, w, t] how many tokens t came after the same w ≥ 1 tokens, but not w+1
    within reach.
    """
    of_token = [np.flatnonzero(tokens[targets - 1] == token) for token in range(found.shape[2])]
    for target in range(start, unseen.max()):
        for k in of_token[tokens[target - 1]]:
            if target >= unseen[k]:
                continue
            width = 1
            limit = min(np.int64(reach[k]), target)
            while width < limit and tokens[target - 1 - width] == tokens[targets[k] - 1 - width]:
                width += 1
            found[k, width, tokens[target]] += 1


def exact_distributions(
    text: CountedText, settings, start: int, targets: np.ndarray, vocabulary: int
) -> OrderDistributions:
    """Counts of every order for every token of the vocabulary, had it been the target's token.

    targets: places, sorted, none twice; start: the first place that is counted.
    """
    tokens, widest = text.tokens, settings.max_order - 1
    unseen = targets
    if settings.update == "segment":
        firsts = [segment_first(target, text.segments) for target in targets.tolist()]
        unseen = np.array(firsts, dtype=np.int64)
    reach = np.minimum(targets, widest).astype(np.uint8)
    if not settings.cross_documents:
        reaches = [context_reach(tokens, target, target, widest) for target in targets.tolist()]
        reach = np.concatenate(reaches)
    hits = np.zeros((len(targets), settings.max_order, vocabulary), dtype=np.uint32)
    if widest:
        count_shared_contexts(tokens, start, targets, unseen, reach, hits)
    hits = np.cumsum(hits[:, ::-1], axis=1, dtype=np.uint32)[:, ::-1]  # longer ones share these
    if settings.min_order == 1:
        seen = np.zeros(vocabulary, dtype=np.int64)
        for row, end in zip(hits, unseen.tolist(), strict=True):
            seen += np.bincount(tokens[start:end], minlength=vocabulary)
            row[0], start = seen, end
    hits = hits[:, settings.min_order - 1 :]
    return OrderDistributions(
        hits.sum(axis=2, dtype=np.uint32), hits, (hits > 0).sum(axis=2, dtype=np.uint32)
    )
