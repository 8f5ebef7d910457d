"""What the two trees of grams have in common: the numbers of a node, the halves of an entry.

Node 0 is the empty context, and the child of a context by a token is the context one token longer.
A dictionary (`fairway.kernels.dictionary`) leads from (node, token) to an entry.
"""

import numpy as np

from fairway.kernels.compiled import borrowing

NO_NODE = np.uint32(0xFFFFFFFF)  # of a context that is not in the tree
TOTAL, DISTINCT = 0, 1  # columns of a node: how often anything was counted after it, of how many
SLOTS_PER_NODE = 2
ONE_HIT = np.uint64(1 << 32)  # an entry holds the hits above, the child below
CHILD = np.uint64((1 << 32) - 1)


@borrowing
def hits_of(entry):
    """How often the gram of this entry was counted."""
    return entry >> np.uint64(32)


@borrowing
def child_of(entry):
    """The node of this entry."""
    return np.uint32(entry & CHILD)


@borrowing
def read_contexts(tree, levels, total, distinct, row):
    """Fill total and distinct of the current context of order n at [row, levels[n−1]]."""
    for i in range(levels.size):
        node = tree.context[i]
        total[row, levels[i]] = 0 if node == NO_NODE else tree.nodes[node, TOTAL]
        distinct[row, levels[i]] = 0 if node == NO_NODE else tree.nodes[node, DISTINCT]
