"""The exact n-gram cache: how often a context, and a context with a token, really occurred.

With cw = n−1, order n at target j asks two things about grams (`fairway.grams`):

    total   how often the gram of length cw ending at j−1 occurred before, followed by a target
    hits    how often the gram of length cw+1 ending at j occurred before

so one causal count per gram length serves order L for its hits and order L+1 for its totals. All
is exact: nothing is hashed that is not compared in full.

Counts are updated per segment or per token. With segments, hits at j count the grams that end in
earlier segments. Totals at j = e+1 count the grams whose *next* position lies in an earlier
segment than j. The two differ at the edges only: a gram ending at the last position of the
segment before j's is a hit for the next one but, as a context, it belongs to j's own segment.
"""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
from numba import njit

from fairway.grams import (
    CHUNK,
    MAX_TOKENS,
    ONCE,
    doubled,
    name_grams,
    run_stop,
    survivors,
)
from fairway.segments import segment_first, segment_last
from fairway.shards import BOS
from fairway.stage import StageError

MIN_SLOTS = 1 << 12


@dataclass
class Level:
    """All positions whose gram of some length may repeat, in text order (entries,).

    positions: uint32, where the gram ends; names, counts: see `name_grams`; length: of the grams.
    """

    length: int
    positions: np.ndarray
    names: np.ndarray
    counts: np.ndarray


@njit(cache=True, nogil=True)
def context_totals(positions, names, counts, origin, plan, totals):
    """Totals of the targets after every entry, from the entries' counts (see the module's head).

    An entry's segment is its position's. The target after it lies in the same segment, unless the
    entry is the last of it: then all of the segment's earlier equal grams count as well.
    """
    start = 0
    while start < positions.size:
        stop = run_stop(positions, start, origin, plan)
        position = np.int64(positions[start])
        first = max(segment_first(position, plan[0], plan[1]), origin + 1)
        last = segment_last(position, plan[0], plan[1])
        before = ONCE  # the gram that ends right before the segment
        if start > 0 and position > origin and np.int64(positions[start - 1]) == first - 1:
            before = names[start - 1]
        for i in range(start, stop):
            total = counts[i]
            if names[i] != ONCE:
                if np.int64(positions[i]) == last:
                    for earlier in range(start, i):
                        total += names[earlier] == names[i]
                elif names[i] == before:
                    total -= 1
            totals[i] = total
        start = stop


@njit(cache=True, nogil=True)
def note_hits(positions, names, counts, origin, order, first_target, found):
    """Set the hits of the targets that were found at `order`; gram length is `order`."""
    orders, hits, _ = found
    holds_origin = positions.size > 0 and np.int64(positions[0]) == origin
    for i in range(positions.size):
        target = np.int64(positions[i]) - first_target
        if target >= 0 and orders[target] == order:
            # the position before the first counted target is a context's end, never a target
            hits[target] = counts[i] - (holds_origin and names[i] == 0)


@njit(cache=True, nogil=True)
def note_totals(tokens, positions, totals, order, min_count, cross_documents, first_target, found):
    """Move the target after each entry up to `order` if its context was seen often enough."""
    orders, hits, target_totals = found
    for i in range(positions.size):
        target = np.int64(positions[i]) + 1 - first_target
        if target < 0 or target >= orders.size or totals[i] < min_count:
            continue
        if order > 2 and not cross_documents and tokens[positions[i]] == BOS:
            continue
        orders[target] = order
        target_totals[target] = totals[i]
        hits[target] = 0


class GramLevels:
    """Levels of growing gram length over one stretch of text; iterate over it.

    tokens: uint16, read-only; positions: uint32, sorted, the first being `origin`, the position
    before the first counted target; plan: (length, stride), stride 0 to count per token.
    """

    def __init__(self, tokens, positions, plan, cross_documents, threads=1) -> None:
        self.tokens, self.plan, self.cross_documents = tokens, plan, cross_documents
        self.origin = int(positions[0])
        self.positions, self.threads = positions, threads

    def levels(self, longest: int):
        """Yield a Level for every gram length from 1 to `longest`."""
        positions = self.positions
        shorter, front = np.zeros_like(positions), self.tokens[positions]
        for length in range(1, longest + 1):
            names, counts = self._name(positions, shorter, front)
            yield Level(length, positions, names, counts)
            out = (np.empty_like(positions), np.empty_like(positions), np.empty_like(front))
            kept = survivors(self.tokens, positions, names, length + 1, self.cross_documents, out)
            positions, shorter, front = (array[:kept] for array in out)

    def _name(self, *grams: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        entries = grams[0].size
        names = np.empty(entries, dtype=np.uint32)
        counts = np.empty(entries, dtype=np.uint32)
        longest_run = min(entries, max(*self.plan, CHUNK))

        def fill(thread: int) -> None:
            table = np.zeros((MIN_SLOTS, 2), dtype=np.uint64)
            buffers = np.empty(longest_run, dtype=np.int64), np.empty(longest_run, dtype=np.uint64)
            start = used = 0
            share = (thread, self.threads)
            while start < entries:
                start, used = name_grams(
                    grams,
                    table,
                    used,
                    self.origin,
                    self.plan,
                    share,
                    start,
                    buffers,
                    names,
                    counts,
                )
                if start < entries:
                    table = doubled(table)

        if self.threads == 1:
            fill(0)
        else:
            with ThreadPoolExecutor(self.threads) as pool:
                list(pool.map(fill, range(self.threads)))
        return names, counts


def count_exact(
    tokens: np.ndarray,
    plan,
    settings,
    first_target: int,
    last_target: int,
    threads: int = 1,
    progress: Callable[[int], None] = lambda targets: None,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Orders, hits and totals of targets first_target … last_target.

    With prefill every earlier target is counted first; without, counting starts at first_target.
    progress is called with the number of targets finished, spread evenly over the orders.
    """
    if len(tokens) > MAX_TOKENS:
        raise StageError(f"tokens: {len(tokens)}; exact counts take at most {MAX_TOKENS}")
    origin = 0 if settings.prefill else first_target - 1
    found = (
        np.zeros(last_target - first_target + 1, dtype=np.uint8),
        np.zeros(last_target - first_target + 1, dtype=np.uint32),
        np.zeros(last_target - first_target + 1, dtype=np.uint32),
    )
    steps = plan.length, plan.stride if settings.update == "segment" else 0
    if settings.min_order == 1:
        note_order_1(origin, steps, settings.min_count, first_target, found)
    positions = np.arange(origin, last_target + 1, dtype=np.uint32)
    grams = GramLevels(tokens, positions, steps, settings.cross_documents, threads)
    for level in grams.levels(settings.max_order):
        order = level.length
        if order >= settings.min_order:
            note_hits(
                level.positions, level.names, level.counts, origin, order, first_target, found
            )
        if settings.min_order <= order + 1 <= settings.max_order:
            totals = level.counts
            if steps[1]:
                totals = np.empty_like(level.counts)
                context_totals(level.positions, level.names, level.counts, origin, steps, totals)
            note_totals(
                tokens,
                level.positions,
                totals,
                order + 1,
                settings.min_count,
                settings.cross_documents,
                first_target,
                found,
            )
        done = (last_target - origin) * order // settings.max_order
        progress(done - (last_target - origin) * (order - 1) // settings.max_order)
    return found


@njit(cache=True, nogil=True)
def note_order_1(origin, plan, min_count, first_target, found):
    """Order 1 has no context: its total is the number of targets counted before."""
    orders, _, totals = found
    for i in range(orders.size):
        target = first_target + i
        total = target - origin - 1
        if plan[1]:
            total = max(segment_first(target, plan[0], plan[1]) - origin - 1, 0)
        if total >= min_count:
            orders[i] = 1
            totals[i] = total
