"""Every way in which targets get counted, behind one interface; the plain one is the rule itself.

A backend takes (tokens, plan, settings, ranks, threads, memory) and returns order, hits and total
of the first match at targets 1 … N, as integer arrays (targets,).
"""

import numpy as np

from fairway.counting.caches import count_ranks, count_targets
from support.counting_reference import match_all

NAMES = "order", "hits", "total"


def _joined(parts):
    return tuple(np.concatenate(arrays).astype(np.int64) for arrays in zip(*parts, strict=True))


def plain(tokens, plan, settings, ranks, threads, memory):
    """Dictionaries in Python, rank by rank."""
    shares = [plan.rank_targets(rank, ranks) for rank in range(ranks)]
    return _joined([match_all(tokens, plan, settings, *share, memory) for share in shares])


def together(tokens, plan, settings, ranks, threads, memory):
    """One compiled pass that writes all ranks' shards."""
    shards = list(count_ranks(tokens, plan, ranks, settings, threads, memory=memory))
    first = [shard.first_target for shard in shards]
    assert first == [plan.rank_targets(rank, ranks)[0] for rank in range(ranks)]
    return _joined([[getattr(shard, name) for name in NAMES] for shard in shards])


def alone(tokens, plan, settings, ranks, threads, memory):
    """Every rank compiled by itself, as for the audit of a changed text."""
    shares = [plan.rank_targets(rank, ranks) for rank in range(ranks)]
    shards = [
        count_targets(tokens, plan, *share, settings, threads, memory=memory) for share in shares
    ]
    return _joined([[getattr(shard, name) for name in NAMES] for shard in shards])


BACKENDS = {"together": together, "alone": alone}
