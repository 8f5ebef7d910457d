"""Counts of what followed the contexts of the current document: exact, and forgotten at its end.

A tree of grams (`fairway.gates.trees`). Most grams of a document occur once, and what follows such
a gram is known from its place alone. So a context has no children until it is followed for the
second time:

    total 0    it was not followed yet
    total 1    its only successor is the token at place `first` of the document
    total ≥ 2  its successors are its children, in a dictionary of (node, token) pairs

Nothing collides. A gram without a node occurred at most once and was never followed. The empty
context alone always has its children: order 1 counts by continuation (Kneser and Ney, 1995), a
token once per different token before it.
"""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from fairway.gates.trees import (
    CHILD,
    DISTINCT,
    NO_NODE,
    ONE_HIT,
    SLOTS_PER_NODE,
    TOTAL,
    child_of,
    hits_of,
)
from fairway.kernels.compiled import borrowing, compiled
from fairway.kernels.dictionary import gram_key, scramble, slot_shift

DOCUMENT_TOKENS = 1 << 18  # a longer document is counted anew, which bounds the memory
FEWEST_NODES = 1 << 11  # room for a short document
_FIRST = 2  # column of a node, after those of every tree
_NODES, _TOKENS, _DOCUMENT = 0, 1, 2  # of `used`
_KEY_BITS = np.uint64(40)  # of (node, token); the bits above number the document
_KEY = np.uint64((1 << 40) - 1)
_DOCUMENTS = 1 << 24  # so many numbers


class DocumentCounts(NamedTuple):
    """Arrays of the tree; kernels change them in place.

    table: uint64 (slots, 2), the dictionary: (number of the document, node, token) and (hits,
    child); what bears another document's number is as good as empty. nodes: uint32 (nodes, 3),
    total, distinct, first. tokens: uint16 (DOCUMENT_TOKENS,). context: uint32 (depth,), at n−1 the
    node of the last n−1 tokens, the context of order n, or NO_NODE. used: int64 (3,), nodes in
    use, tokens since the start, number of the document.
    """

    table: np.ndarray
    nodes: np.ndarray
    tokens: np.ndarray
    context: np.ndarray
    used: np.ndarray

    def content(self) -> Iterator[bytes]:
        """All that the counts depend on; free room and the document's number do not matter."""
        live = self.table[self.table[:, 0] >> _KEY_BITS == self.used[_DOCUMENT]]
        entries = np.zeros((self.used[_NODES], 2), dtype=np.uint64)
        entries[live[:, 1] & CHILD] = live & (_KEY, ~np.uint64(0))
        yield entries.tobytes()
        yield self.nodes[: self.used[_NODES]].tobytes()
        yield self.tokens[: self.used[_TOKENS]].tobytes()
        yield self.context.tobytes()


def new_document(depth: int, nodes: int = FEWEST_NODES) -> DocumentCounts:
    """An empty tree for contexts of 0 … depth−1 tokens, with room for `nodes`, a power of two."""
    context = np.full(depth, NO_NODE, dtype=np.uint32)
    context[:1] = 0
    return DocumentCounts(
        np.zeros((SLOTS_PER_NODE * nodes, 2), dtype=np.uint64),
        np.zeros((nodes, 3), dtype=np.uint32),
        np.zeros(DOCUMENT_TOKENS, dtype=np.uint16),
        context,
        np.array([1, 0, 1], dtype=np.int64),
    )


def fitted(document: DocumentCounts, tokens: int) -> DocumentCounts:
    """The tree with room to count `tokens` more, and not far too much: near memory is faster.

    The same arrays, or larger or smaller copies of them.
    """
    depth, nodes = len(document.context), len(document.nodes)
    needed = max(FEWEST_NODES, int(document.used[_NODES]) + 2 * depth * tokens)
    if needed <= nodes < 8 * needed:
        return document
    nodes = 1 << (2 * needed - 1).bit_length() - 1
    other = new_document(depth, nodes)._replace(
        tokens=document.tokens, context=document.context, used=document.used
    )
    _copy(document, other)
    return other


@borrowing
def has_room(document, tokens):
    """Whether `tokens` more can be counted: each adds two nodes per order at most."""
    needed = document.used[_NODES] + 2 * document.context.size * tokens
    return needed <= document.nodes.shape[0]


@borrowing
def _find(table, key, shift):
    """The slot that holds `key`, or the free one where it belongs."""
    last = np.uint64(table.shape[0] - 1)
    slot = scramble(key & _KEY) >> shift
    while table[slot, 0] != key and table[slot, 0] >> _KEY_BITS == key >> _KEY_BITS:
        slot = (slot + np.uint64(1)) & last
    return slot


@borrowing
def _child_key(document, node, token):
    return np.uint64(document.used[_DOCUMENT]) << _KEY_BITS | gram_key(node, token)


@borrowing
def _add(document, slot, key, hits, total, first):
    """Put a new child into a free slot."""
    child = np.uint32(document.used[_NODES])
    document.table[slot, 0] = key
    document.table[slot, 1] = hits | np.uint64(child)
    document.nodes[child, TOTAL] = total
    document.nodes[child, DISTINCT] = total
    document.nodes[child, _FIRST] = first
    document.used[_NODES] += 1
    return child


@borrowing
def _give_children(document, node, shift):
    """Store the only successor so far as a child; the token after that one follows it."""
    first = document.nodes[node, _FIRST]
    key = _child_key(document, node, document.tokens[first])
    _add(document, _find(document.table, key, shift), key, ONE_HIT, 1, first + 1)


@borrowing
def _count(document, node, total, token, shift):
    """Count `token` after a context that is a node: its hits before, and its node or NO_NODE.

    total: of the node.
    """
    nodes, place = document.nodes, document.used[_TOKENS]
    nodes[node, TOTAL] = total + 1
    if total == 0:
        nodes[node, DISTINCT], nodes[node, _FIRST] = 1, place
        return np.uint64(0), NO_NODE
    if total == 1:
        _give_children(document, node, shift)
    key = _child_key(document, node, token)
    slot = _find(document.table, key, shift)
    if document.table[slot, 0] == key:
        entry = document.table[slot, 1]
        document.table[slot, 1] = entry + ONE_HIT
        return hits_of(entry), child_of(entry)
    nodes[node, DISTINCT] += 1
    return np.uint64(0), _add(document, slot, key, ONE_HIT, 0, 0)


@borrowing
def _count_first(document, token, pair_is_new, shift):
    """Count `token` at order 1, where the pair with the token before it is new."""
    key = _child_key(document, 0, token)
    slot = _find(document.table, key, shift)
    if document.table[slot, 0] != key:
        _add(document, slot, key, np.uint64(0), 0, 0)
    entry = document.table[slot, 1]
    once = np.uint64(pair_is_new)  # a number, as no processor guesses this branch
    document.table[slot, 1] = entry + once * ONE_HIT
    document.nodes[0, TOTAL] += once
    document.nodes[0, DISTINCT] += once & np.uint64(entry < ONE_HIT)
    return hits_of(entry), child_of(entry)


@borrowing
def _hits_of_token(document, node, token, shift):
    """How often `token` followed a context that is a node with children."""
    key = _child_key(document, node, token)
    slot = _find(document.table, key, shift)
    return hits_of(document.table[slot, 1]) if document.table[slot, 0] == key else np.uint64(0)


@borrowing
def _only_successor(document, node):
    return document.tokens[document.nodes[node, _FIRST]]


@borrowing
def read_document_hits(document, levels, token, hits, row):
    """Fill how often `token` followed the context of order n at [row, levels[n−1]]."""
    shift = slot_shift(document.table)
    for i in range(levels.size):
        node = document.context[i]
        hits[row, levels[i]] = 0
        if node == NO_NODE or document.nodes[node, TOTAL] == 0:
            continue
        if i > 0 and document.nodes[node, TOTAL] == 1:
            hits[row, levels[i]] = _only_successor(document, node) == token
        else:
            hits[row, levels[i]] = _hits_of_token(document, node, token, shift)


@borrowing
def read_document_successors(document, order, hits):
    """Fill how often each token, (vocabulary,), followed the context of this order, total ≥ 1."""
    shift, node = slot_shift(document.table), document.context[order - 1]
    if order > 1 and document.nodes[node, TOTAL] == 1:
        hits[:] = 0
        hits[_only_successor(document, node)] = 1
    else:
        for token in range(hits.size):
            hits[token] = _hits_of_token(document, node, token, shift)


@borrowing
def observe_document(document, token, levels, block, row):
    """Count `token` after the current contexts and make it part of them.

    Fills the block's total, distinct and hits before that, of order n at [row, levels[n−1]].
    """
    document.tokens[document.used[_TOKENS]] = token
    shift, seen = slot_shift(document.table), np.uint64(0)
    for order in range(levels.size, 0, -1):
        node, level, child = document.context[order - 1], levels[order - 1], NO_NODE
        if node == NO_NODE:
            block.total[row, level], seen = 0, np.uint64(0)
        else:
            total = document.nodes[node, TOTAL]
            block.total[row, level] = total
            block.distinct[row, level] = document.nodes[node, DISTINCT]
            if order == 1:
                seen, child = _count_first(document, token, seen == 0, shift)
            else:
                seen, child = _count(document, node, total, token, shift)
        block.hits[row, level] = seen
        if order < levels.size:
            document.context[order] = child
    document.used[_TOKENS] += 1


@borrowing
def forget_document(document):
    """Empty the tree: the next document gets another number."""
    document.nodes[0] = 0
    document.context[1:] = NO_NODE
    document.used[_NODES], document.used[_TOKENS] = 1, 0
    document.used[_DOCUMENT] += 1
    if document.used[_DOCUMENT] == _DOCUMENTS:
        document.table[:] = 0
        document.used[_DOCUMENT] = 1


@compiled
def _copy(document, larger):
    shift, live = slot_shift(larger.table), np.uint64(document.used[_DOCUMENT])
    for old in range(document.table.shape[0]):
        key = document.table[old, 0]
        if key >> _KEY_BITS == live:
            slot = _find(larger.table, key, shift)
            larger.table[slot, 0] = key
            larger.table[slot, 1] = document.table[old, 1]
    larger.nodes[: document.used[_NODES]] = document.nodes[: document.used[_NODES]]
