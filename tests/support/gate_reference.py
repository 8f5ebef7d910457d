"""The empirical-Bayes gate token by token, in dictionaries and float64: the rule itself, slowly.

Written from what `fairway.gates.bayes` and `fairway.gates.kin_counts` say, to be compared with.
"""

import math
from collections import Counter, defaultdict

import numpy as np

from fairway.corpus.shards import BOS

ANCHOR, STRETCH, AHEAD = 8, 16, 3
_WORD = (1 << 64) - 1


class Successors:
    """What followed the contexts of one order, from token number `first` on.

    By continuation, with longer_first given, a gram counts once for each token before it; where
    that one has a number below longer_first, always.
    """

    def __init__(self, order: int, first: int, longer_first: int | None = None) -> None:
        self.order, self.first, self.longer_first = order, first, longer_first
        self.after, self.seen = defaultdict(Counter), set()

    def followers(self, x: list[int], j: int) -> Counter:
        """How often every token followed the context of token number j, which is not looked at."""
        return self.after[self._context(x, j)]

    def add(self, x: list[int], j: int) -> None:
        begin = j - self.order
        if self.longer_first is not None and begin >= self.longer_first:
            longer = tuple(x[begin : j + 1])
            if longer in self.seen:
                return
            self.seen.add(longer)
        if self._context(x, j) is not None:
            self.after[self._context(x, j)][x[j]] += 1

    def _context(self, x: list[int], j: int) -> tuple | None:
        begin = j - self.order + 1
        return tuple(x[begin:j]) if begin >= self.first else None


def scrambled(key: int) -> int:
    key = key * 0x9E3779B97F4A7C15 & _WORD
    return (key ^ key >> 32) * 0xD6E8FEB86659FD93 & _WORD


class Kin:
    """What came behind the same eight tokens in documents that have ended."""

    def __init__(self) -> None:
        self.tokens, self.start, self.index, self.meetings = [], 0, {}, 0
        self._forget()

    def followers(self, order: int) -> Counter:
        context = tuple(self.tokens[len(self.tokens) + 1 - order :])
        return self.after[order][context]

    def take(self, token: int) -> None:
        place = len(self.tokens)
        self.tokens.append(token)
        if token == BOS:
            for stop in filter(self._is_anchor, range(self.start + ANCHOR, place + 1)):
                self.index[tuple(self.tokens[stop - ANCHOR : stop])] = stop
            self.start = place
            self._forget()
        elif place + 1 - self.start >= ANCHOR and self._is_anchor(place + 1):
            met = self.index.get(tuple(self.tokens[-ANCHOR:]))
            if met is not None:
                self._meet(met)

    def meet_nobody(self) -> None:
        """As at the end of a memory: the last document goes on, and no kin of it is counted."""
        self._forget()

    def _forget(self) -> None:
        self.after = {2: defaultdict(Counter), 3: defaultdict(Counter)}
        self.counted = set()

    def _is_anchor(self, stop: int) -> bool:
        return scrambled(self.tokens[stop - 2] << 16 | self.tokens[stop - 1]) >> 62 == 0

    def _meet(self, place: int) -> None:
        self.meetings += 1
        for block in range(place // STRETCH, place // STRETCH + AHEAD):
            if block in self.counted:
                continue
            self.counted.add(block)
            for at in range(max(2, block * STRETCH), min((block + 1) * STRETCH, self.start)):
                first, second, token = self.tokens[at - 2 : at + 1]
                self.after[3][first, second][token] += 1
                if self.after[3][first, second][token] == 1:
                    self.after[2][(second,)][token] += 1
                if at >= place and token == BOS:
                    return


class PlainGate:
    """The gate over a text behind a memory; `gate`: its settings."""

    def __init__(self, gate, memory: np.ndarray) -> None:
        self.gate, self.x = gate, memory.tolist()
        highest = gate.continuation_orders
        self.whole = {n: Successors(n, 1, int(n < highest)) for n in range(1, highest + 1)}
        for n in range(max(highest + 1, gate.min_order), gate.max_order + 1):
            self.whole[n] = Successors(n, 0)
        self.kin, self.document = Kin(), None
        self.weights = defaultdict(float)
        self.squares = defaultdict(lambda: 0.01)
        self.helped = defaultdict(float)
        self.gained, self.streak = 0.0, 0

    def nats(self, tokens: np.ndarray, nll: np.ndarray, entropy: np.ndarray) -> np.ndarray:
        """−ln p of tokens 1 … of a text, (tokens,); nll, entropy: (targets,)."""
        first = len(self.x) + 1
        self.x += tokens.tolist()
        self.kin.tokens = [] if first == 1 else [self.x[0]]
        found = []
        for j in range(1, len(self.x)):
            if j >= first:
                if self.document is None or self.x[j - 1] == BOS:
                    orders = range(1, self.gate.document_orders + 1)
                    self.document = {n: Successors(n, j, j if n == 1 else None) for n in orders}
                found.append(self._score(j, float(nll[j - first]), float(entropy[j - first])))
            for source in (*self.whole.values(), *(self.document or {}).values()):
                source.add(self.x, j)
            self.kin.take(self.x[j])
        return np.array(found)

    def _levels(self, j: int) -> list[tuple[str, int, Counter]]:
        """(source, order, what followed) from low to high, without levels that have no counts."""
        levels = []
        for n in range(1, max(self.gate.max_order, self.gate.document_orders, 3) + 1):
            if n in self.whole:
                levels.append(("whole", n, self.whole[n].followers(self.x, j)))
            if self.gate.kin and n in (2, 3):
                levels.append(("kin", n, self.kin.followers(n)))
            if n in self.document:
                levels.append(("document", n, self.document[n].followers(self.x, j)))
        return [level for level in levels if level[2].total()]

    def _score(self, j: int, nll: float, entropy: float) -> float:
        levels = self._levels(j)
        shared = self._shared(levels, entropy)
        chain = [math.exp(-nll)]
        trusts, shares, cells = [], [], []
        for source, n, after in levels:
            own = (
                ("counts", _log2(after.total(), 16), _log2(len(after), 6)),
                (
                    "helped",
                    _bucket(8 * self.helped[source, n] + 8, 16),
                ),
            )
            cells.append([(feature, source, n) for feature in (*own, *shared)])
            logit = sum(self.weights[cell] for cell in cells[-1]) - 2.0
            trusts.append(1 / (1 + math.exp(-min(max(logit, -15.0), 15.0))))
            shares.append(after[self.x[j]] / after.total())
            chain.append(trusts[-1] * shares[-1] + (1 - trusts[-1]) * chain[-1])
        nats = -math.log(chain[-1])
        self._learn(levels, chain, trusts, shares, cells)
        self.gained += 0.1 * (nll - nats - self.gained)
        last = shares[-1] if shares else 0.0
        self.streak = self.streak + 1 if last > 0.5 else self.streak // 2 if last else 0
        return nats

    def _shared(self, levels: list, entropy: float) -> tuple:
        sources = Counter(source for source, _, _ in levels)
        return (
            ("entropy", _bucket(2 * entropy, 16)),
            ("lengths", sources["whole"], sources["document"]),
            ("gate", _log2(2 * self.streak + 1, 8), _bucket(2 * self.gained + 4, 16)),
        )

    def _learn(self, levels, chain, trusts, shares, cells) -> None:
        slope = 1 / chain[-1]
        for k in range(len(levels) - 1, -1, -1):
            before = chain[k]
            ascent = slope * (shares[k] - before) * trusts[k] * (1 - trusts[k])
            slope *= 1 - trusts[k]
            for cell in cells[k]:
                self.squares[cell] += ascent**2
                step = self.gate.learning_rate * ascent / math.sqrt(self.squares[cell])
                self.weights[cell] += step
            name = levels[k][:2]
            change = (shares[k] - before) / (shares[k] + before) - self.helped[name]
            self.helped[name] += 0.05 * change


def _log2(value: float, buckets: int) -> int:
    return min(int(math.log2(value)), buckets - 1)


def _bucket(value: float, buckets: int) -> int:
    return int(min(max(value, 0.0), buckets - 1.0))
