"""Counts of what followed short contexts, kept while reading on: exact, and cheap to forget.

A tree of grams: node 0 is the empty context, and the child of a context by a token is the context
one token longer. A node knows how often it was counted (hits, as a successor), how often anything
was counted after it (total) and after how many different tokens (distinct). Children are found
through one dictionary of exact (node, token) pairs, so nothing collides.

The empirical-Bayes gate keeps two: one over the whole text that counts by *continuation* (a gram
counts once per different token before it, the lower-order counts of Kneser and Ney, 1995), and one
of the current document, cleared at every BOS.
"""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from fairway.compiled import compiled
from fairway.grams import find_slot, gram_key, scramble, slot_shift

ABSENT = -1  # the node of a context of more tokens than came yet
TOTAL, DISTINCT, HITS = 0, 1, 2  # columns of a node's counts
_SLOTS_PER_NODE = 2


class SuccessorTree(NamedTuple):
    """Arrays of the tree; kernels change them in place.

    table: uint64 (slots, 2), the dictionary of `fairway.grams` from (node, token) to the child.
    slot: int64 (nodes,), a node's place there. counts: uint32 (nodes, 3), total, distinct, hits.
    context: int64 (depth,), at n−1 the node of the last n−1 tokens, the context of order n, or
    ABSENT where so few tokens came yet. used: int64 (2,), nodes in use and tokens since the start.
    """

    table: np.ndarray
    slot: np.ndarray
    counts: np.ndarray
    context: np.ndarray
    used: np.ndarray

    @property
    def depth(self) -> int:
        return len(self.context)

    def content(self) -> Iterator[bytes]:
        """All that the counts depend on; free room does not matter."""
        nodes = int(self.used[0])
        yield self.table[self.slot[1:nodes], 0].tobytes()
        yield self.counts[:nodes].tobytes()
        yield self.context.tobytes() + self.used.tobytes()


def new_tree(depth: int, nodes: int = 1 << 12) -> SuccessorTree:
    """An empty tree for contexts of 0 … depth−1 tokens, with room for `nodes`, a power of two."""
    context = np.full(depth, ABSENT, dtype=np.int64)
    context[:1] = 0
    return SuccessorTree(
        np.zeros((_SLOTS_PER_NODE * nodes, 2), dtype=np.uint64),
        np.zeros(nodes, dtype=np.int64),
        np.zeros((nodes, 3), dtype=np.uint32),
        context,
        np.array([1, 0], dtype=np.int64),
    )


def with_room(tree: SuccessorTree, tokens: int) -> SuccessorTree:
    """The tree, or a larger copy of it, with room to observe `tokens` more."""
    needed = int(tree.used[0]) + tokens * tree.depth
    nodes = len(tree.slot)
    if needed <= nodes:
        return tree
    while nodes < needed:
        nodes *= 2
    larger = new_tree(tree.depth, nodes)
    _copy(tree, larger)
    return larger


@compiled
def read_contexts(tree, levels, total, distinct):
    """Fill total and distinct of the current context of order n at index levels[n−1]."""
    for i in range(levels.size):
        node = tree.context[i]
        total[levels[i]] = 0 if node == ABSENT else tree.counts[node, TOTAL]
        distinct[levels[i]] = 0 if node == ABSENT else tree.counts[node, DISTINCT]


@compiled
def read_hits(tree, levels, token, hits):
    """Fill how often `token` was counted after the context of order n at index levels[n−1]."""
    shift = slot_shift(tree.table)
    for i in range(levels.size):
        hits[levels[i]] = 0
        if tree.context[i] != ABSENT:
            key = gram_key(tree.context[i], token)
            slot = find_slot(tree.table, key, scramble(key), shift)
            if tree.table[slot, 0]:
                hits[levels[i]] = tree.counts[tree.table[slot, 1], HITS]


@compiled
def observe(tree, token, plain_order, longer_is_new):
    """Count `token` after the current contexts, then make it part of them.

    Orders from plain_order up count every occurrence; lower ones count by continuation, only
    where the gram one token longer is new (for the highest order: where longer_is_new).
    """
    shift = slot_shift(tree.table)
    for order in range(tree.context.size, 0, -1):
        context = tree.context[order - 1]
        node, is_new = np.int64(ABSENT), True
        if context != ABSENT:
            key = gram_key(context, token)
            slot = find_slot(tree.table, key, scramble(key), shift)
            is_new = tree.table[slot, 0] == 0
            if is_new:
                tree.table[slot, 0] = key
                tree.table[slot, 1] = np.uint64(tree.used[0])
                tree.slot[tree.used[0]] = slot
                tree.used[0] += 1
            node = np.int64(tree.table[slot, 1])
            if order >= plain_order or longer_is_new:
                tree.counts[context, DISTINCT] += np.uint32(tree.counts[node, HITS] == 0)
                tree.counts[context, TOTAL] += np.uint32(1)
                tree.counts[node, HITS] += np.uint32(1)
        longer_is_new = is_new
        if order < tree.context.size:
            tree.context[order] = node
    tree.used[1] += 1


@compiled
def forget(tree):
    """Empty the tree, in time proportional to what is in it."""
    tree.counts[0] = 0
    for node in range(1, tree.used[0]):
        tree.table[tree.slot[node], 0] = 0
        tree.counts[node] = 0
    tree.context[1:] = ABSENT
    tree.used[0], tree.used[1] = 1, 0


@compiled
def _copy(tree, larger):
    nodes, shift = tree.used[0], slot_shift(larger.table)
    for node in range(1, nodes):
        key = tree.table[tree.slot[node], 0]
        slot = find_slot(larger.table, key, scramble(key), shift)
        larger.table[slot, 0] = key
        larger.table[slot, 1] = np.uint64(node)
        larger.slot[node] = slot
    larger.counts[:nodes] = tree.counts[:nodes]
    larger.context[:] = tree.context
    larger.used[:] = tree.used
