"""Counts of what followed short contexts in the whole text, by continuation: exact, growing.

A tree of grams (`fairway.gates.trees`) whose children are found through one dictionary of exact
(node, token) pairs, so nothing collides. A gram counts once per different token before it, which
makes these the lower-order counts of Kneser and Ney (1995).

A tree may begin with a memory, as if it had been the beginning of the text.
"""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from fairway.gates.trees import (
    DISTINCT,
    NO_NODE,
    ONE_HIT,
    SLOTS_PER_NODE,
    TOTAL,
    child_of,
    hits_of,
)
from fairway.kernels.compiled import borrowing, compiled
from fairway.kernels.dictionary import FULLEST, doubled, find_slot, gram_key, scramble, slot_shift
from fairway.kernels.prefetch import prefetch

_MEMORY_TOKENS = 1 << 16  # of a memory, counted before there must be room for more


class SuccessorTree(NamedTuple):
    """Arrays of the tree; kernels change them in place.

    table: uint64 (slots, 2), a `fairway.kernels.dictionary` from (node, token) to (hits,
    child), hits: how often the child counted as a successor. slot: int64 (nodes,), a node's place
    there. nodes: uint32 (nodes, 2), how often anything was counted after it (total), and after
    how many different tokens (distinct). context: uint32 (depth,), at n−1 the node of the last n−1
    tokens, the context of order n, or NO_NODE where so few tokens came yet. used: int64 (2,),
    nodes in use and tokens since the start.
    """

    table: np.ndarray
    slot: np.ndarray
    nodes: np.ndarray
    context: np.ndarray
    used: np.ndarray

    @property
    def depth(self) -> int:
        return len(self.context)

    def content(self) -> Iterator[bytes]:
        """All that the counts depend on; free room does not matter."""
        nodes = int(self.used[0])
        yield self.table[self.slot[1:nodes]].tobytes()
        yield self.nodes[:nodes].tobytes()
        yield self.context.tobytes() + self.used.tobytes()


def new_tree(depth: int, nodes: int = 1 << 12) -> SuccessorTree:
    """An empty tree for contexts of 0 … depth−1 tokens, with room for `nodes`, a power of two."""
    context = np.full(depth, NO_NODE, dtype=np.uint32)
    context[:1] = 0
    return SuccessorTree(
        np.zeros((SLOTS_PER_NODE * nodes, 2), dtype=np.uint64),
        np.zeros(nodes, dtype=np.int64),
        np.zeros((nodes, 2), dtype=np.uint32),
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


@borrowing
def read_successors(tree, order, hits):
    """Fill how often each token, (vocabulary,), was counted after the context of this order."""
    shift, context = slot_shift(tree.table), tree.context[order - 1]
    for token in range(hits.size):
        key = gram_key(context, token)
        slot = find_slot(tree.table, key, scramble(key), shift)
        hits[token] = hits_of(tree.table[slot, 1]) if tree.table[slot, 0] else 0


@borrowing
def fetch_ahead(tree, tokens, first, stop):
    """Ask for the entries of order 2 at `tokens`, first … stop−1: the tree's only far memory."""
    shift = slot_shift(tree.table)
    for i in range(max(first, 1), stop):
        key = gram_key(0, tokens[i - 1])
        slot = find_slot(tree.table, key, scramble(key), shift)
        key = gram_key(child_of(tree.table[slot, 1]), tokens[i])
        prefetch(tree.table, np.uint64(2) * (scramble(key) >> shift))


@borrowing
def observe(tree, token, longer_is_new, shift, levels, block, row):
    """Count `token` after the current contexts, then make it part of them.

    Only where the gram one token longer is new (for the highest order: where longer_is_new).
    shift: slot_shift(tree.table). Fills the block's total, distinct and hits before that, of order
    n at [row, levels[n−1]]. Returns the node of the last `depth` tokens, or NO_NODE.
    """
    longest = NO_NODE
    for order in range(levels.size, 0, -1):
        context = tree.context[order - 1]
        child, is_new = NO_NODE, True
        seen, total, distinct = np.uint32(0), np.uint32(0), np.uint32(0)
        if context != NO_NODE:
            key = gram_key(context, token)
            slot = find_slot(tree.table, key, scramble(key), shift)
            is_new = tree.table[slot, 0] == 0
            if is_new:
                _add(tree, slot, key)
            entry = tree.table[slot, 1]
            child = child_of(entry)
            seen = np.uint32(hits_of(entry))
            total, distinct = tree.nodes[context, TOTAL], tree.nodes[context, DISTINCT]
            once = np.uint64(longer_is_new)  # a number, as no processor guesses this branch
            tree.nodes[context, DISTINCT] = distinct + (once & np.uint64(seen == 0))
            tree.nodes[context, TOTAL] = total + once
            tree.table[slot, 1] = entry + once * ONE_HIT
        level, longer_is_new = levels[order - 1], is_new
        block.total[row, level] = total
        block.distinct[row, level] = distinct
        block.hits[row, level] = seen
        if order < levels.size:
            tree.context[order] = child
        else:
            longest = child
    tree.used[1] += 1
    return longest


@compiled
def _observe_memory(tree, tokens, longest, grams, levels, block):
    """Count `tokens`, with room for them. grams: a dictionary of grams one token longer than any
    of the tree, by the node of all but the last. Returns `longest`, as `observe` does."""
    shift, gram_shift = slot_shift(tree.table), slot_shift(grams)
    for token in tokens:
        is_new = True
        if longest != NO_NODE:
            key = gram_key(longest, token)
            slot = find_slot(grams, key, scramble(key), gram_shift)
            is_new = grams[slot, 0] == 0
            grams[slot, 0] = key
            grams[slot, 1] = 1
        longest = observe(tree, token, is_new, shift, levels, block, 0)
    return longest


def tree_of(memory: np.ndarray, depth: int, levels: np.ndarray, block) -> SuccessorTree:
    """The tree of a gate that has come to the end of a memory; its first token is no target.

    levels: uint64 (depth,), and block: scratch, where `observe` puts what was there before.
    """
    tree, longest = new_tree(depth), NO_NODE
    grams, used = np.zeros((2 * _MEMORY_TOKENS, 2), dtype=np.uint64), 0
    for start in range(1, len(memory) if depth else 0, _MEMORY_TOKENS):
        part = memory[start : start + _MEMORY_TOKENS]
        tree = with_room(tree, len(part))
        while used + len(part) > FULLEST * len(grams):
            grams = doubled(grams)
        longest = _observe_memory(tree, part, longest, grams, levels, block)
        used = np.count_nonzero(grams[:, 0])
    return tree


@borrowing
def _add(tree, slot, key):
    tree.table[slot, 0] = key
    tree.table[slot, 1] = np.uint64(tree.used[0])
    tree.slot[tree.used[0]] = slot
    tree.used[0] += 1


@compiled
def _copy(tree, larger):
    nodes, shift = tree.used[0], slot_shift(larger.table)
    for node in range(1, nodes):
        old = tree.slot[node]
        key = tree.table[old, 0]
        slot = find_slot(larger.table, key, scramble(key), shift)
        larger.table[slot, 0] = key
        larger.table[slot, 1] = tree.table[old, 1]
        larger.slot[node] = slot
    larger.nodes[:nodes] = tree.nodes[:nodes]
    larger.context[:] = tree.context
    larger.used[:] = tree.used
