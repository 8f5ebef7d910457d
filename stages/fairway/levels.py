"""Gram levels: the lists of grams that may repeat, for one length after another.

Drives the kernels of `fairway.grams` on any number of threads. Reads tokens and positions, yields
a `Level` per gram length.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from fairway.grams import ASKS, CHUNK, FULLEST, doubled, name_grams, survivors
from fairway.threads import run_threads, split

MIN_SLOTS = 1 << 12  # of a dictionary


@dataclass(frozen=True)
class Level:
    """All positions whose gram of some length may repeat, in text order.

    positions: uint32, where the grams end; names, counts: as `name_grams` gives them. shorter,
    front: names of the grams without their first token, and that token. Overwritten by the level
    after the next.
    """

    length: int
    positions: np.ndarray
    shorter: np.ndarray
    front: np.ndarray
    names: np.ndarray
    counts: np.ndarray

    @classmethod
    def empty(cls, entries: int) -> "Level":
        """Memory for a level of so many entries."""
        kinds = np.uint32, np.uint32, np.uint16, np.uint32, np.uint32
        return cls(-1, *(np.empty(entries, dtype=kind) for kind in kinds))

    def cut(self, length: int, entries: int) -> "Level":
        """The first so many entries, as a level of grams of `length`."""
        arrays = self.positions, self.shorter, self.front, self.names, self.counts
        return Level(length, *(array[:entries] for array in arrays))


class GramLevels:
    """The levels of growing gram length over one stretch of text.

    tokens: uint16, read-only; positions: uint32, sorted, the first being `origin`, the position
    before the first counted target; ends: uint16, the last token of the gram at each position;
    plan: (length, stride), stride 0 to count per token.

    Memory is taken once and used again at every length: touching fresh memory costs more than
    working on it.
    """

    def __init__(self, tokens, positions, ends, plan, cross_documents, threads=1) -> None:
        self.tokens, self.plan, self.cross_documents = tokens, plan, cross_documents
        self.threads, self.origin = threads, int(positions[0])
        self.space = Level.empty(positions.size), Level.empty(positions.size)
        self.space[1].positions[:], self.space[1].front[:] = positions, ends
        self.space[1].shorter[:] = 0
        asking = np.count_nonzero(positions >= ASKS)
        self.scratch = CHUNK + min(positions.size, max(plan) + asking)
        self.tables = [np.zeros((MIN_SLOTS, 2), dtype=np.uint64) for _ in range(threads)]
        self.slots = [MIN_SLOTS] * threads  # how many of a table's the last length used

    def levels(self, shortest: int, longest: int) -> Iterator[Level]:
        """Yield a Level for every gram length; `shortest` is 0, the empty gram, or 1."""
        entries = self.space[1].positions.size
        if shortest == 0:
            level = self.space[0].cut(0, entries)
            level.positions[:], level.shorter[:], level.front[:] = self.space[1].positions, 0, 0
            self._name(level)
            yield level
        for length in range(1, longest + 1):
            level = self.space[length % 2].cut(length, entries)
            self._name(level)
            yield level
            entries = self._survivors(level, self.space[1 - length % 2])

    def _name(self, level: Level) -> None:
        def fill(thread: int) -> None:
            entries = level.positions.size
            most = 1 << int(entries / self.threads / FULLEST).bit_length()
            slots = min(self.slots[thread], max(most, MIN_SLOTS))
            table, start, used = self.tables[thread][:slots], 0, 0
            table[:] = 0
            buffers = np.empty(self.scratch, np.int64), np.empty(self.scratch, np.uint64)
            while True:
                start, used = name_grams(
                    (level.positions, level.shorter, level.front),
                    table,
                    used,
                    self.origin,
                    self.plan,
                    (thread, self.threads),
                    start,
                    buffers,
                    level.names,
                    level.counts,
                )
                if start == entries:
                    break
                table = doubled(table)
            self.slots[thread] = len(table)
            if len(table) > len(self.tables[thread]):
                self.tables[thread] = table

        run_threads(fill, self.threads)

    def _survivors(self, level: Level, space: Level) -> int:
        parts = split(level.positions.size, self.threads)
        out = space.positions, space.shorter, space.front
        kept = [0] * self.threads

        def fill(thread: int) -> None:
            kept[thread] = survivors(
                self.tokens,
                level.positions,
                level.names,
                level.length + 1,
                self.origin,
                self.cross_documents,
                parts[thread],
                out,
            )

        run_threads(fill, self.threads)

        def close_gaps(thread: int) -> None:
            for array in out[thread :: self.threads]:
                total = kept[0]
                for (start, _), count in zip(parts[1:], kept[1:], strict=True):
                    array[total : total + count] = array[start : start + count]
                    total += count

        if self.threads > 1:
            run_threads(close_gaps, self.threads)
        return sum(kept)
