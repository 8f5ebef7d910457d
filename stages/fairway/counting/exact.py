"""The exact n-gram cache: how often a context, and a context with a token, really occurred.

All counts are read off groups of targets with equal contexts (`fairway.counting.context_groups`):
nothing is hashed, so nothing collides. Contexts may reach back before the first target that is
counted.

The groups of one token of context are cut into pieces. Whatever becomes of a piece's groups stays
in its part of memory, so threads take pieces as they come, without locks. For the highest order
alone a piece is refined to the end while it is near; for every order all pieces are refined by one
token at a time, and what was found is packed before the next.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from threading import Lock

import numpy as np

from fairway.counting.context_groups import (
    FIRST,
    MAX_TOKENS,
    VOCABULARY,
    Rules,
    Scratch,
    count_tokens,
    cut_between_groups,
    group_by_last_token,
    new_scratch,
    refine,
    refine_fully,
)
from fairway.counting.counts import Found, empty_found
from fairway.counting.order_counts import OrderCounts, OrderCountsWriter
from fairway.counting.segments import CountedText
from fairway.kernels.threads import run_threads, share_out, split
from fairway.stage import StageError

PIECES = 64  # of the text's groups, about, for threads to share


@dataclass
class Piece:
    """Some groups. entries: uint32, as `context_groups` has them; spare: as many more."""

    entries: np.ndarray
    spare: np.ndarray

    def refine(self, tokens, width: int, rules: Rules, scratch: Scratch, cells) -> None:
        """Look up the groups, of `width`, and split them."""
        kept = refine(tokens, self.entries, width, rules, scratch, self.spare, cells)
        self.entries, self.spare = self.spare[:kept], self.entries[:kept]


class ExactCounts:
    """The exact counts of one stretch of text.

    settings: `CacheSettings` of kind exact. Targets first_target … last_target are reported. With
    prefill every earlier target is counted too, the memory's first; without, counting starts at
    first_target.

    cells: uint32 (targets, 4), by target from first_target on: the order noted last, 0 for none,
    and its hits, its total and its distinct successors. They stand together because they are
    written at random places.
    Raises StageError for a text longer than 2^31 tokens.
    """

    def __init__(
        self, text: CountedText, settings, first_target: int, last_target: int, threads: int
    ) -> None:
        if len(text.tokens) > MAX_TOKENS:
            raise StageError(f"tokens: {len(text.tokens)}; exact counts take at most {MAX_TOKENS}")
        first, self.last = text.offset + first_target, text.offset + last_target
        self.tokens = np.array(text.tokens[: self.last + 1])  # read at random, not from a file
        self.settings, self.threads = settings, threads
        every_order = settings.output == "orders"
        self.rules = Rules(
            first,
            settings.min_order - 1,
            settings.max_order - 1,
            text.segments,
            settings.update == "token",
            1 if every_order else settings.min_count,
            every_order,
            settings.cross_documents,
        )
        self.first = 1 if settings.prefill else first
        self.cells = np.zeros((last_target + 1 - first_target, 4), dtype=np.uint32)

    def match(self, progress: Callable[[int], None]) -> None:
        """Note at every target the highest order whose context was seen often enough.

        progress: called with the number of targets just finished, added up over orders.
        """
        orders = self.settings.orders
        if self.settings.min_order == 1:
            self._note_first_order()
            progress(self.last + 1 - self.first)
            orders -= 1
        if orders == 0:
            return
        pieces, scratch = self._pieces()
        lock = Lock()

        def count(thread: int, piece: Piece) -> None:
            entries, spare = piece.entries, piece.spare
            refine_fully(self.tokens, entries, spare, self.rules, scratch[thread], self.cells)
            with lock:
                progress(len(entries) * orders)

        share_out(count, pieces, self.threads)

    def orders(self, progress: Callable[[int], None]) -> Iterator[int]:
        """Note every order of known contexts, lowest first; yields an order when it is complete.

        The cells hold it where they say so, and lower ones elsewhere.
        progress: called with the number of targets just finished at one order.
        """
        if self.settings.min_order == 1:
            self._note_first_order()
            progress(self.last + 1 - self.first)
            yield 1
        pieces, scratch = self._pieces() if self.settings.max_order > 1 else ([], [])
        for width in range(1, self.settings.max_order):

            def count(thread: int, piece: Piece, width=width) -> None:
                piece.refine(self.tokens, width, self.rules, scratch[thread], self.cells)

            share_out(count, pieces, self.threads)
            if width >= self.rules.narrowest:
                progress(self.last + 1 - self.first)
                yield width + 1

    def _note_first_order(self) -> None:
        """Order 1: all targets are one group, of the empty context."""
        entries = np.arange(self.first, self.last + 1, dtype=np.uint32)
        entries[0] |= FIRST
        whole, scratch = Piece(entries, entries[:0]), new_scratch(len(entries))
        whole.refine(self.tokens, 0, self.rules._replace(widest=0), scratch, self.cells)

    def _pieces(self) -> tuple[list[Piece], list[Scratch]]:
        """Groups of one token of context, the largest piece first, and memory for each thread."""
        targets = self.last + 1 - self.first
        counts = np.zeros((self.threads, VOCABULARY), dtype=np.int64)
        parts = split(targets, self.threads)

        def count(thread: int) -> None:
            start, stop = parts[thread]
            count_tokens(
                self.tokens, self.first - 1 + start, self.first - 2 + stop, counts[thread]
            )

        run_threads(count, self.threads)
        ends = np.cumsum(counts.sum(axis=0))
        begin = np.concatenate([[0], ends[:-1]])
        tokens = np.searchsorted(ends, [stop for _, stop in parts[:-1]], side="right").tolist()
        entries, spare = np.empty((2, targets), dtype=np.uint32)

        def group(thread: int) -> None:
            lowest, highest = [0, *tokens, VOCABULARY][thread : thread + 2]
            group_by_last_token(
                self.tokens, self.first, self.last, lowest, highest, begin, entries
            )

        run_threads(group, self.threads)
        cuts = np.empty(2 * PIECES + 3, dtype=np.int64)
        cut = cut_between_groups(entries, targets // PIECES + 1, cuts)
        bounds = zip(cuts[:cut].tolist(), cuts[1 : cut + 1].tolist(), strict=True)
        pieces = [Piece(entries[low:high], spare[low:high]) for low, high in bounds]
        pieces.sort(key=lambda piece: -len(piece.entries))
        return pieces, [new_scratch(len(pieces[0].entries)) for _ in range(self.threads)]


def count_exact(
    text: CountedText,
    settings,
    first_target: int,
    last_target: int,
    threads: int,
    progress: Callable[[int], None],
) -> Found:
    """Orders, hits and totals of targets first_target … last_target (see `ExactCounts`)."""
    counts = ExactCounts(text, settings, first_target, last_target, threads)
    counts.match(progress)
    found = empty_found(len(counts.cells))
    parts = split(len(counts.cells), threads)

    def copy(thread: int) -> None:
        part = slice(*parts[thread])
        for column, array in enumerate(found):
            array[part] = counts.cells[part, column]

    run_threads(copy, threads)
    return found


def count_exact_orders(
    text: CountedText,
    settings,
    shares: list[tuple[int, int]],
    threads: int,
    progress: Callable[[int], None],
) -> Iterator[OrderCounts]:
    """Counts of every order for each share (first, last target); shares follow one another."""
    first_target = shares[0][0]
    counts = ExactCounts(text, settings, first_target, shares[-1][1], threads)
    writers = [
        OrderCountsWriter(first, last + 1 - first, settings.min_order) for first, last in shares
    ]
    parts = [
        counts.cells[first - first_target : last + 1 - first_target] for first, last in shares
    ]
    for order in counts.orders(progress):

        def add(_, pair, order=order) -> None:
            writer, cells = pair
            writer.add(order, cells)

        share_out(add, zip(writers, parts, strict=True), threads)
    for writer, cells in zip(writers, parts, strict=True):
        yield writer.finish(cells[:, 0])
