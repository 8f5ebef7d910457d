"""Exact counts that grow token by token, for an encoder and a decoder walking through a text.

The same numbers as `fairway.counting.exact`, but nothing is known ahead, and all tokens that
followed a context must be listed. So grams are kept as a tree: the child of a gram by token x is
the gram with x behind it. A node knows how often its gram ended at a counted target (count), how
often a counted target came next (followed), by how many different tokens (distinct), and its
children.

Two rows of pointers walk the tree, with one node for each context length:

    known     the contexts of the next target, among what is counted: to look up
    counted   the contexts of the next target to be counted; with updates per segment it waits at
              the segment's start until the segment is complete

Contexts followed as pointers into a tree are PPM's (Cleary and Witten, 1984). A memory is not put
into the tree, which would take a hundred times its size; its contexts are intervals in an index
(`fairway.counting.memory_index`), and what the two say is added up.
"""

import numpy as np

from fairway.corpus.shards import BOS
from fairway.counting.memory_index import MemoryIndex, add_followers, advance_intervals
from fairway.counting.segments import Segments, segment_last
from fairway.kernels.compiled import compiled
from fairway.kernels.dictionary import FULLEST, doubled, find_slot, gram_key, scramble, slot_shift
from fairway.stage import StageError

NONE = -1  # the node of a gram that is not in the tree
ROOT = 0  # the node of the empty gram
_TOKEN, _COUNT, _FOLLOWED, _DISTINCT, _CHILD, _SIBLING = range(6)  # what a node has
_START_NODES = 1 << 12


@compiled
def find_child(table, node, token):
    """The child of `node` by `token`, or NONE."""
    if node == NONE:
        return NONE
    key = gram_key(node, token)
    slot = find_slot(table, key, scramble(key), slot_shift(table))
    return np.int64(table[slot, 1]) if table[slot, 0] == key else NONE


@compiled
def add_child(table, nodes, used, node, token):
    """Give `node` a child by `token` that it lacks, as node number `used`."""
    key = gram_key(node, token)
    slot = find_slot(table, key, scramble(key), slot_shift(table))
    table[slot, 0] = key
    table[slot, 1] = np.uint64(used)
    nodes[used, _TOKEN] = token
    nodes[used, _SIBLING] = nodes[node, _CHILD]
    nodes[node, _CHILD] = used
    return used


@compiled
def advance_known(table, known, token, cross_documents):
    """Move the pointers over `token`, as far as its grams are in the tree."""
    for width in range(known.size - 1, 0, -1):
        known[width] = find_child(table, known[width - 1], token)
    if token == BOS and not cross_documents:
        known[2:] = NONE


@compiled
def advance_counted(table, nodes, used, counted, token, is_target, cross_documents):
    """Move the pointers over `token`, adding its grams to the tree; count them if it is a target.

    Returns the number of nodes in use. There must be room for one more per context length.
    """
    for width in range(counted.size - 1, -1, -1):
        node = counted[width]
        child = find_child(table, node, token)
        if node != NONE and child == NONE:
            child = add_child(table, nodes, used, node, token)
            used += 1
        if node != NONE and is_target:
            nodes[node, _DISTINCT] += nodes[child, _COUNT] == 0
            nodes[node, _FOLLOWED] += 1
            nodes[child, _COUNT] += 1
        if width + 1 < counted.size:
            counted[width + 1] = child
    if token == BOS and not cross_documents:
        counted[2:] = NONE
    return used


@compiled
def read_contexts(nodes, known, totals, distinct, hits):
    """Fill totals and distinct (contexts,) and hits (contexts, vocabulary), all uint32."""
    hits[:] = 0
    for row in range(known.size):
        totals[row] = distinct[row] = 0
        if known[row] == NONE:
            continue
        totals[row] = nodes[known[row], _FOLLOWED]
        distinct[row] = nodes[known[row], _DISTINCT]
        child = nodes[known[row], _CHILD]
        while child:
            hits[row, nodes[child, _TOKEN]] = nodes[child, _COUNT]
            child = nodes[child, _SIBLING]


class MemoryContexts:
    """The contexts of the next target in a memory, as the tokens after it come."""

    def __init__(self, index: MemoryIndex, settings) -> None:
        self.index, self.settings = index, settings
        self.intervals = np.zeros((settings.max_order, 2), dtype=np.int64)
        self.intervals[0, 1] = len(index.tokens)

    def push(self, token: int) -> None:
        """Take the next token."""
        advance_intervals(self.index, self.intervals, token)
        if token == BOS and not self.settings.cross_documents:
            self.intervals[2:] = 0

    def add(self, totals: np.ndarray, hits: np.ndarray, distinct: np.ndarray) -> None:
        """Add what followed the contexts to counts as `OnlineCounts.read` gives them."""
        narrowest = self.settings.min_order - 1
        add_followers(self.index, narrowest, self.intervals, totals, distinct, hits)


class OnlineCounts:
    """What an exact cache knows of the next target, while tokens are pushed one by one.

    settings: `CacheSettings` of kind exact; plan: the `WindowPlan` of the text; vocabulary: token
    ids are below it; memory: index of the tokens before the text, if there are any, to the depth
    of max_order. One rank has the whole text. Takes about 60 bytes per token and order.
    Raises StageError for a hashed cache.
    """

    def __init__(self, settings, plan, vocabulary: int, memory: MemoryIndex | None = None) -> None:
        if settings.kind != "exact":
            raise StageError(f"cache.kind: {settings.kind}; counts of one token need exact")
        self.settings, self.vocabulary = settings, vocabulary
        self.segments = Segments(plan.length, plan.stride, 0)
        self.next_target = 0
        self.pending: list[int] = []  # tokens of a segment that is not complete
        orders = settings.max_order + 1 - settings.min_order
        self._totals, self._distinct = np.zeros((2, orders), dtype=np.uint32)
        self._hits = np.zeros((orders, vocabulary), dtype=np.uint32)
        self.nodes = np.zeros((_START_NODES, 6), dtype=np.uint32)
        self.table = np.zeros((_START_NODES, 2), dtype=np.uint64)
        self.used = 1  # the root
        self.known = np.full(settings.max_order, NONE, dtype=np.int64)
        self.known[0] = ROOT
        self.counted = self.known.copy()
        self.memory = None
        if memory is not None:
            self.memory = MemoryContexts(memory, settings)
            for token in memory.tokens[-settings.max_order :].tolist():  # reached by contexts
                self.memory.push(token)
                self._count(token, is_target=False)

    def push(self, token: int) -> None:
        """Take the next token of the text; the first is the one before target 1.

        Raises StageError for a token that is not below the vocabulary.
        """
        if not 0 <= token < self.vocabulary:
            raise StageError(f"token {token}: expected 0 to {self.vocabulary - 1}")
        target, self.next_target = self.next_target, self.next_target + 1
        if self.memory is not None:
            self.memory.push(token)
        if target == 0:
            self._count(token, is_target=self.memory is not None)
            self.known[:] = self.counted
            return
        self.pending.append(token)
        last = target
        if self.settings.update == "segment":
            last = segment_last(target, self.segments)
        if target == last:
            for seen in self.pending:
                self._count(seen, is_target=True)
            self.pending.clear()
            self.known[:] = self.counted
        else:
            advance_known(self.table, self.known, token, self.settings.cross_documents)

    def read(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Totals (orders,), hits (orders, vocabulary) and distinct (orders,) of the next target.

        uint32, row k is order min_order + k; overwritten by the next call.
        """
        rows = self.known[self.settings.min_order - 1 :]
        read_contexts(self.nodes, rows, self._totals, self._distinct, self._hits)
        if self.memory is not None:
            self.memory.add(self._totals, self._hits, self._distinct)
        return self._totals, self._hits, self._distinct

    def read_match(self) -> tuple[int, int, np.ndarray]:
        """Order (0 for none), total and hits (vocabulary,) at the highest order known enough."""
        totals, hits, _ = self.read()
        known = np.flatnonzero(totals >= self.settings.min_count)
        if known.size == 0:
            return 0, 0, np.zeros(self.vocabulary, dtype=np.uint32)
        return self.settings.min_order + int(known[-1]), int(totals[known[-1]]), hits[known[-1]]

    def _count(self, token: int, is_target: bool) -> None:
        room = self.used + self.settings.max_order
        if room > len(self.nodes):
            self.nodes = np.concatenate([self.nodes, np.zeros_like(self.nodes)])
        if room > FULLEST * len(self.table):
            self.table = doubled(self.table)
        self.used = advance_counted(
            self.table,
            self.nodes,
            self.used,
            self.counted,
            token,
            is_target,
            self.settings.cross_documents,
        )
