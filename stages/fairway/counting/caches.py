"""N-gram caches: one way to count for every kind.

A cache sees the text from left to right. For target j and order n it says how often the n−1
tokens before j were seen earlier (total) and how often x_j followed them (hits). It may begin with
a memory, tokens that it counts first (`fairway.counting.segments`).

hashed  tables with collisions, the rule of parameter-golf PR #796 (`fairway.counting.hashed`)
exact   no collisions at all (`fairway.counting.exact`)
"""

from collections.abc import Callable, Iterator
from functools import partial

import numpy as np

from fairway.corpus.windows import WindowPlan
from fairway.counting.counts import Found, MatchCounts, MatchDistributions, OrderDistributions
from fairway.counting.exact import count_exact, count_exact_orders
from fairway.counting.exact_distributions import exact_distributions
from fairway.counting.hashed import Look, count_hashed, hashed_distributions
from fairway.counting.hashed_grams import GramTable
from fairway.counting.order_counts import OrderCounts
from fairway.counting.segments import NO_MEMORY, CountedText
from fairway.counting.settings import CacheSettings
from fairway.stage import StageError

Progress = Callable[[int], None]


def _no_progress(targets: int) -> None:
    pass


def count_targets(
    tokens: np.ndarray,
    plan: WindowPlan,
    first_target: int,
    last_target: int,
    settings: CacheSettings,
    threads: int = 1,
    progress: Progress = _no_progress,
    memory: np.ndarray = NO_MEMORY,
) -> MatchCounts | OrderCounts:
    """What the cache knew of targets first_target … last_target (inclusive).

    tokens: uint16 (N+1,), may be a read-only memory map; plan: its windows, which say what the
    segments are; memory: uint16, tokens before the text. With prefill every target before
    first_target is counted first; without, counting starts there. progress: called with the number
    of targets just finished in one order; the sum is targets counted times orders.
    Raises StageError for a range outside 1 … N.
    """
    text = checked_text(tokens, plan, first_target, last_target, settings, memory)
    if settings.output == "orders":
        share = [(first_target, last_target)]
        return next(count_exact_orders(text, settings, share, threads, progress))
    count = count_hashed if settings.kind == "hashed" else count_exact
    return MatchCounts(
        first_target, *count(text, settings, first_target, last_target, threads, progress)
    )


def count_ranks(
    tokens: np.ndarray,
    plan: WindowPlan,
    ranks: int,
    settings: CacheSettings,
    threads: int = 1,
    progress: Progress = _no_progress,
    memory: np.ndarray = NO_MEMORY,
) -> Iterator[MatchCounts | OrderCounts]:
    """The counts of every rank, in order; each target is counted once in all.

    With prefill a rank's counts are a slice of a sequential run's, so one run gives them all.
    Without, ranks share nothing and are run one after the other.
    """
    shares = [plan.rank_targets(rank, ranks) for rank in range(ranks)]
    if not settings.prefill:
        for first, last in shares:
            yield count_targets(tokens, plan, first, last, settings, threads, progress, memory)
    elif settings.output == "orders":
        text = checked_text(tokens, plan, 1, plan.targets, settings, memory)
        yield from count_exact_orders(text, settings, shares, threads, progress)
    else:
        whole = count_targets(tokens, plan, 1, plan.targets, settings, threads, progress, memory)
        for first, last in shares:
            part = slice(first - 1, last)
            yield MatchCounts(first, whole.order[part], whole.hits[part], whole.total[part])


def distributions_at(
    tokens: np.ndarray,
    plan: WindowPlan,
    targets: np.ndarray,
    settings: CacheSettings,
    vocabulary: int,
    ranks: int = 1,
    look: Look = GramTable.ask,
    memory: np.ndarray = NO_MEMORY,
) -> MatchDistributions | OrderDistributions:
    """What the cache would have said of every token of the vocabulary at some targets.

    targets: sorted, none twice. Hits of the token that did come are those of `count_targets`: the
    tables of a hashed cache are asked for them, an exact cache's text is searched. ranks: matter
    without prefill only; look: asks a table of a hashed cache.
    Memory: orders · targets · vocabulary · 4 bytes for exact caches.
    Raises StageError for targets outside 1 … N or not in order.
    """
    targets = np.asarray(targets, dtype=np.int64)
    if targets.size == 0 or (np.diff(targets) <= 0).any():
        raise StageError("targets: empty or not in order; expected rising numbers")
    text = checked_text(tokens, plan, int(targets[0]), int(targets[-1]), settings, memory)
    exact = settings.kind == "exact"
    distributions = exact_distributions if exact else partial(hashed_distributions, look=look)
    starts, places = [1], text.offset + targets
    if not settings.prefill:
        starts = [plan.rank_targets(rank, ranks)[0] for rank in range(ranks)]
    pieces = []
    for start, stop in zip(starts, [*starts[1:], len(text.tokens)], strict=True):
        part = places[(places >= start) & (places < stop)]
        if part.size:
            pieces.append(distributions(text, settings, start, part, vocabulary))
    found = type(pieces[0])(*map(np.concatenate, zip(*pieces, strict=True)))
    if exact and settings.output == "match":
        return first_match(found, settings)
    return found


def tables_stay(
    tokens: np.ndarray,
    plan: WindowPlan,
    targets: np.ndarray,
    settings: CacheSettings,
    vocabulary: int,
    ranks: int = 1,
    memory: np.ndarray = NO_MEMORY,
) -> list[bool]:
    """Whether each of a hashed cache's tables is the same before and after it was asked.

    One per table and target. An exact cache keeps none from target to target.
    """
    stay: list[bool] = []

    def look(table: GramTable, target: int, found: Found) -> None:
        before = table.digest()
        table.ask(target, found)
        stay.append(table.digest() == before)

    if settings.kind == "hashed":
        distributions_at(tokens, plan, targets, settings, vocabulary, ranks, look, memory)
    return stay


def first_match(found: OrderDistributions, settings: CacheSettings) -> MatchDistributions:
    """The highest order whose context was seen at least min_count times, and its counts."""
    known = found.totals >= settings.min_count
    column = np.where(known.any(axis=1), known.shape[1] - 1 - known[:, ::-1].argmax(axis=1), -1)
    rows, matched = np.arange(len(column)), column >= 0
    orders = np.where(matched, column + settings.min_order, 0).astype(np.uint8)
    totals = np.where(matched, found.totals[rows, column], 0).astype(np.uint32)
    hits = np.where(matched[:, None], found.hits[rows, column], 0).astype(np.uint32)
    return MatchDistributions(orders, totals, hits)


def checked_text(
    tokens: np.ndarray,
    plan: WindowPlan,
    first: int,
    last: int,
    settings: CacheSettings,
    memory: np.ndarray,
) -> CountedText:
    """Memory and text as the cache sees them.

    Raises StageError for targets outside the text, or a memory that the cache does not name.
    """
    if not 1 <= first <= last <= plan.targets:
        raise StageError(f"targets {first} to {last}: expected a range in 1 to {plan.targets}")
    if (settings.memory is None) != (len(memory) == 0):
        raise StageError(f"cache.memory: {settings.memory}; found {len(memory)} tokens of memory")
    return CountedText.of(tokens, plan, memory)
