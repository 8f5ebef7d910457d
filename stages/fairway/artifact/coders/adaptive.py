"""Symbols as the words of an ANS coder, by frequencies that encoder and decoder learn alike.

A model counts the symbols of one context. They are coded in blocks, each by the counts before
it; a block is an eighth as long as all that the model has seen, so that learning costs little and
a million symbols take a hundred calls. No parameters are stored: what they would cost, learning
does, and what is known before (how wide a context's integers are spread) is in the first counts.

The coder is constriction's (Bamler, arXiv:2201.01741), which takes probabilities as floats and
makes 24-bit integers of them. It is given integers that add up to what it wants, so that its
scale is exactly 1 and nothing is rounded: the words are the same on any machine.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import constriction
import numpy as np

from fairway.files.compression import PackedError

_TOTAL = 1 << 24
COUNT = 32  # what a symbol counts for
_LARGEST = 1 << 34  # counts are halved beyond: times _TOTAL they must fit 64 bits


@dataclass(frozen=True)
class Blocks:
    """How many symbols are coded by the same counts: at least `first`, and a `share`-th of all
    that were seen."""

    first: int = 8
    share: int = 8


class Model:
    """Counts of the symbols 0 … size−1 seen so far.

    counts: of each before it is seen, int64 (size,), 1 or more; mirror: for every symbol one that
    is as likely, a number's negative, and for which it counts as well.
    """

    def __init__(
        self, counts: np.ndarray, blocks: Blocks, mirror: np.ndarray | None = None
    ) -> None:
        self._counts, self._blocks, self._mirror = counts.astype(np.int64), blocks, mirror
        self._total = int(self._counts.sum())
        self.seen = 0

    def next_block(self) -> int:
        """How many symbols the present counts are to code."""
        return max(self._blocks.first, self.seen // self._blocks.share)

    def frequencies(self) -> np.ndarray:
        """Whole numbers, all but 1 of each symbol's share of 2²⁴; int64 (size,)."""
        free = _TOTAL - len(self._counts)
        result = self._counts * free // self._total
        result[result.argmax()] += free - result.sum()
        return result

    def add(self, symbols: np.ndarray) -> None:
        """Count symbols, integers (count,)."""
        new = COUNT * np.bincount(symbols, minlength=len(self._counts))
        self._counts += new
        if self._mirror is not None:
            self._counts += new[self._mirror]
        self._total += COUNT * len(symbols) * (1 if self._mirror is None else 2)
        if self._total > _LARGEST:
            self._counts = (self._counts + 1) // 2
            self._total = int(self._counts.sum())
        self.seen += len(symbols)


class Encoder:
    """Collects symbols; what comes first is decoded first."""

    def __init__(self) -> None:
        self._blocks: list[tuple[np.ndarray, np.ndarray]] = []

    def put(self, symbols: np.ndarray, model: Model) -> None:
        """Code integers (count,), and let the model learn them."""
        for block in _blocks(len(symbols), model):
            self._blocks.append((symbols[block], model.frequencies()))
            model.add(symbols[block])

    def finish(self) -> bytes:
        """Everything put, as little-endian words of 32 bits."""
        coder = constriction.stream.stack.AnsCoder()
        for symbols, frequencies in reversed(self._blocks):
            coder.encode_reverse(symbols.astype(np.int32), _categorical(frequencies))
        return coder.get_compressed().astype("<u4").tobytes()


class Decoder:
    """Gives back, in order, what an Encoder was given."""

    def __init__(self, code: bytes) -> None:
        """Raises PackedError for bytes that no Encoder gives."""
        if len(code) % 4:
            raise PackedError(f"{len(code)} bytes; expected whole words of 4")
        try:
            words = np.frombuffer(code, "<u4").astype(np.uint32)
            self._coder = constriction.stream.stack.AnsCoder(words)
        except ValueError as error:
            raise PackedError(str(error)) from None

    def take(self, count: int, model: Model) -> np.ndarray:
        """The next symbols, uint8 (count,), no model having more; the model learns them."""
        symbols = np.empty(count, np.uint8)
        for block in _blocks(count, model):
            length = block.stop - block.start
            symbols[block] = self._coder.decode(_categorical(model.frequencies()), length)
            model.add(symbols[block])
        return symbols

    def finish(self) -> None:
        """Raise PackedError unless all words are used up: others would give the same symbols."""
        if not self._coder.is_empty():
            raise PackedError("more words than its symbols take")


def _blocks(count: int, model: Model) -> Iterator[slice]:
    """Slices of 0 … count, longer and longer as the model learns between them."""
    start = 0
    while start < count:
        stop = min(count, start + model.next_block())
        yield slice(start, stop)
        start = stop


def _categorical(frequencies: np.ndarray) -> constriction.stream.model.Categorical:
    return constriction.stream.model.Categorical(frequencies.astype(np.float64), perfect=False)
