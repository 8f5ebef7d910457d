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

from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np

from fairway.compiled import compiled
from fairway.counts import Found, empty_found
from fairway.grams import MAX_TOKENS, ONCE, run_last, run_stop
from fairway.levels import GramLevels, Level
from fairway.order_counts import OrderCounts, OrderCountsWriter
from fairway.segments import segment_first, segment_last
from fairway.shards import BOS
from fairway.stage import StageError
from fairway.threads import run_threads, split


@compiled
def context_totals(positions, names, counts, origin, plan, part):
    """Turn entries' counts into the totals of the targets after them (see the module's head).

    An entry's segment is its position's. The target after it lies in the same segment, unless the
    entry is the last of it: then all of the segment's earlier equal grams count as well.
    part: (start, stop), of the entries; both must be where runs start.
    """
    start = part[0]
    while start < part[1]:
        stop = run_stop(positions, start, origin, plan)
        position = np.int64(positions[start])
        first = max(segment_first(position, plan[0], plan[1]), origin + 1)
        last = run_last(position, origin, plan)
        before = ONCE  # the name of the gram that ends right before the segment
        if start > 0 and position > origin and np.int64(positions[start - 1]) == first - 1:
            before = names[start - 1]
        for i in range(start, stop):
            if names[i] == ONCE:
                continue
            if np.int64(positions[i]) == last:
                for earlier in range(start, i):
                    counts[i] += names[earlier] == names[i]
            elif names[i] == before:
                counts[i] -= 1
        start = stop


@compiled
def note_hits(positions, names, counts, no_target, order, first_target, found, part):
    """Set the hits of the targets that are at `order`, the length of these grams.

    no_target: name of the grams one of which ends where no target is; it is no hit.
    part: (start, stop), of the entries.
    """
    orders, hits, _ = found
    for i in range(part[0], part[1]):
        target = np.int64(positions[i]) - first_target
        if target >= 0 and orders[target] == order:
            hits[target] = counts[i] - (names[i] == no_target)


@compiled
def note_totals(
    tokens, positions, totals, order, min_count, cross_documents, first_target, found, part
):
    """Move the target after each entry up to `order` if its context was seen often enough.

    part: (start, stop), of the entries.
    """
    orders, hits, target_totals = found
    for i in range(part[0], part[1]):
        target = np.int64(positions[i]) + 1 - first_target
        if not 0 <= target < orders.size or totals[i] < min_count:
            continue
        if order > 2 and not cross_documents and tokens[positions[i]] == BOS:
            continue
        orders[target] = order
        target_totals[target] = totals[i]
        hits[target] = 0


@compiled
def distinct_successors(contexts, grams, no_target, plan, first_target, seen, distinct):
    """How many different tokens had followed the context of each target when it was looked up.

    contexts: (positions, names) of grams of some length, which end before the targets; grams: the
    same of grams one longer, which end at the targets. no_target: as in `note_hits`. seen: uint32
    zeros, one per context entry. distinct: uint32, by target from first_target on; those whose
    context occurs once are left as they are.
    """
    positions, names = contexts
    gram_positions, gram_names = grams
    gram = start = 0
    while start < positions.size:
        stop = start + 1  # the contexts of one segment's targets
        if plan[1]:
            last = segment_last(np.int64(positions[start]) + 1, plan[0], plan[1])
            while stop < positions.size and np.int64(positions[stop]) < last:
                stop += 1
        for i in range(start, stop):
            target = np.int64(positions[i]) + 1 - first_target
            if names[i] != ONCE and 0 <= target < distinct.size:
                distinct[target] = seen[names[i]]
        for i in range(start, stop):
            target = np.int64(positions[i]) + 1
            while gram < gram_positions.size and np.int64(gram_positions[gram]) < target:
                gram += 1
            new = True  # a gram that is not listed, occurs once or is its group's first
            if gram < gram_positions.size and np.int64(gram_positions[gram]) == target:
                name = gram_names[gram]
                if name == no_target:
                    no_target = -1  # its first is no target, so this one, its second, is new
                elif name != ONCE:
                    new = name == gram
            if names[i] != ONCE and new:
                seen[names[i]] += 1
        start = stop


class Order(NamedTuple):
    """What was found at one order.

    found: (orders uint8, hits uint32, totals uint32), by target; hits and totals are this order's
    where `orders` says so, and a lower one's elsewhere. contexts, grams: the levels of the grams
    that end before the targets and at them.
    """

    order: int
    found: Found
    contexts: Level
    grams: Level


class ExactCounts:
    """The exact counts of one stretch of text.

    tokens: uint16 (N+1,), read-only; plan: the `WindowPlan`; settings: `CacheSettings` of kind
    exact. Targets first_target … last_target are reported. With prefill every earlier target is
    counted too; without, counting starts at first_target.
    Raises StageError for a text longer than 2^31 tokens.
    """

    def __init__(
        self, tokens, plan, settings, first_target: int, last_target: int, threads: int = 1
    ) -> None:
        if len(tokens) > MAX_TOKENS:
            raise StageError(f"tokens: {len(tokens)}; exact counts take at most {MAX_TOKENS}")
        self.tokens, self.settings, self.threads = tokens, settings, threads
        self.first_target, self.last_target = first_target, last_target
        self.origin = 0 if settings.prefill else first_target - 1
        self.plan = plan.length, plan.stride if settings.update == "segment" else 0

    def orders(self, min_count: int, progress: Callable[[int], None]) -> Iterator[Order]:
        """Yield what was found at every order, lowest order first, in the same arrays.

        An order is noted at a target if its context was seen at least min_count times.
        progress: called with the number of targets just finished, once per order.
        """
        low, high = self.settings.min_order, self.settings.max_order
        positions = np.arange(self.origin, self.last_target + 1, dtype=np.uint32)
        found, contexts = empty_found(self.last_target + 1 - self.first_target), None
        ends = self.tokens[self.origin : self.last_target + 1]
        for level in self.levels(positions, ends, min(low - 1, 1)):
            if level.length >= low:
                self._note_hits(level, found)
                yield Order(level.length, found, contexts, level)
                progress(positions.size - 1)
            if low <= level.length + 1 <= high:
                self._note_totals(level, min_count, found)
            contexts = level

    def levels(self, positions, ends, shortest: int) -> Iterator[Level]:
        """Levels of the grams at these positions, from `shortest` (0 or 1) to the top order."""
        settings = self.settings
        grams = GramLevels(
            self.tokens, positions, ends, self.plan, settings.cross_documents, self.threads
        )
        return grams.levels(shortest, settings.max_order)

    def distinct(self, order: Order) -> np.ndarray:
        """Different tokens seen after each target's context, uint32; set where order is noted."""
        seen = np.zeros(order.contexts.positions.size, dtype=np.uint32)
        distinct = np.empty(self.last_target + 1 - self.first_target, dtype=np.uint32)
        contexts = order.contexts.positions, order.contexts.names
        grams = order.grams.positions, order.grams.names
        no_target = self.no_target(order.grams)
        distinct_successors(
            contexts, grams, no_target, self.plan, self.first_target, seen, distinct
        )
        return distinct

    def _note_hits(self, level: Level, found: Found) -> None:
        parts, no_target = split(level.positions.size, self.threads), self.no_target(level)

        def note(thread: int) -> None:
            note_hits(
                level.positions,
                level.names,
                level.counts,
                no_target,
                level.length,
                self.first_target,
                found,
                parts[thread],
            )

        run_threads(note, self.threads)

    def no_target(self, level: Level) -> int:
        """Name of the gram at the position before the first counted target, −1 if not listed.

        That position ends a context but is no target, so its gram must not count as a hit.
        """
        listed = level.positions.size and level.positions[0] == self.origin
        return 0 if listed else -1

    def _note_totals(self, level: Level, min_count: int, found: Found) -> None:
        positions = level.positions
        stops = [
            stop and run_stop(positions, stop - 1, self.origin, self.plan)
            for _, stop in split(positions.size, self.threads)
        ]
        starts = [0, *stops[:-1]]

        def note(thread: int) -> None:
            part = starts[thread], stops[thread]
            if self.plan[1]:
                context_totals(positions, level.names, level.counts, self.origin, self.plan, part)
            note_totals(
                self.tokens,
                positions,
                level.counts,
                level.length + 1,
                min_count,
                self.settings.cross_documents,
                self.first_target,
                found,
                part,
            )

        run_threads(note, self.threads)


def count_exact(
    tokens: np.ndarray,
    plan,
    settings,
    first_target: int,
    last_target: int,
    threads: int,
    progress: Callable[[int], None],
) -> Found:
    """Orders, hits and totals of targets first_target … last_target (see `ExactCounts`)."""
    counts = ExactCounts(tokens, plan, settings, first_target, last_target, threads)
    for order in counts.orders(settings.min_count, progress):
        found = order.found
    return found


def count_exact_orders(
    tokens: np.ndarray,
    plan,
    settings,
    shares: list[tuple[int, int]],
    threads: int,
    progress: Callable[[int], None],
) -> Iterator[OrderCounts]:
    """Counts of every order for each share (first, last target); shares follow one another."""
    first_target = shares[0][0]
    counts = ExactCounts(tokens, plan, settings, first_target, shares[-1][1], threads)
    writers = [
        OrderCountsWriter(first, last + 1 - first, settings.min_order) for first, last in shares
    ]
    parts = [slice(first - first_target, last + 1 - first_target) for first, last in shares]
    for order in counts.orders(1, progress):
        arrays = *order.found, counts.distinct(order)

        def add(thread: int, order=order.order, arrays=arrays) -> None:
            for writer, part in list(zip(writers, parts, strict=True))[thread::threads]:
                writer.add(order, *(array[part] for array in arrays))

        run_threads(add, threads)
    for writer, part in zip(writers, parts, strict=True):
        yield writer.finish(order.found[0][part])
