"""The counting rules in plain Python: slow, and short enough to be right by reading."""

from collections import Counter, defaultdict

import numpy as np

PRIMES = (36313, 27191, 51647, 81929, 131071, 175447, 209591)
BOS = 1


def segment(target, plan):
    """Number of the segment that a target is in."""
    return 0 if target <= plan.length else 1 + (target - plan.length - 1) // plan.stride


def segments(start, last, plan, offset):
    """Places of targets start … last behind `offset` tokens, as lists, one per segment."""
    found = defaultdict(list)
    for target in range(start, last + 1):
        found[segment(target, plan)].append(offset + target)
    return list(found.values())


def takes_part(tokens, target, width, cross_documents):
    """Whether a target has `width` context tokens that it may use."""
    context = [int(token) for token in tokens[max(target - width, 0) : target]]
    return target >= width and (cross_documents or BOS not in context[1:])


def hashed_keys(tokens, target, order, buckets):
    """Buckets of the context and of the pair."""
    width, key = order - 1, 0
    for k in range(width):
        key ^= int(tokens[target - width + k]) * PRIMES[k % 7]
    pair = key ^ int(tokens[target]) * PRIMES[width % 7]
    return key % buckets, pair % buckets


def exact_keys(tokens, target, order, buckets):
    """The context and the pair themselves."""
    gram = tuple(int(token) for token in tokens[target - order + 1 : target + 1])
    return gram[:-1], gram


def count_all(tokens, plan, settings, first, last, memory=()):
    """Totals, hits and distinct successors of every order, (targets, orders) int64."""
    offset, tokens = len(memory), [*memory, *tokens]
    keys_of = hashed_keys if settings.kind == "hashed" else exact_keys
    start = 1 if settings.prefill else first
    orders = range(settings.min_order, settings.max_order + 1)
    shape = last - first + 1, len(orders)
    totals, hits, distinct = (np.zeros(shape, dtype=np.int64) for _ in range(3))
    groups = segments(start, last, plan, offset)
    if settings.update == "token":
        groups = [[offset + target] for target in range(start, last + 1)]
    groups = [list(range(1, offset + 1)), *groups]
    for column, order in enumerate(orders):
        contexts, pairs, successors = Counter(), Counter(), defaultdict(set)
        for group in groups:
            group = [
                target
                for target in group
                if takes_part(tokens, target, order - 1, settings.cross_documents)
            ]
            keys = [keys_of(tokens, target, order, settings.buckets) for target in group]
            for target, (context, pair) in zip(group, keys, strict=True):
                row = target - offset - first
                if row >= 0:
                    totals[row, column] = contexts[context]
                    hits[row, column] = pairs[pair]
                    distinct[row, column] = len(successors[context])
            for target, (context, pair) in zip(group, keys, strict=True):
                contexts[context] += 1
                pairs[pair] += 1
                successors[context].add(int(tokens[target]))
    return totals, hits, distinct


def match_all(tokens, plan, settings, first, last, memory=()):
    """Order, hits and total of the first order from the top with enough counts."""
    totals, hits, _ = count_all(tokens, plan, settings, first, last, memory)
    order, hit, total = (np.zeros(len(totals), dtype=np.int64) for _ in range(3))
    for row in range(len(totals)):
        for column in reversed(range(totals.shape[1])):
            if totals[row, column] >= settings.min_count:
                order[row] = settings.min_order + column
                total[row] = totals[row, column]
                hit[row] = min(hits[row, column], total[row])
                break
    return order, hit, total
