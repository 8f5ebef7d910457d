"""What the empirical-Bayes gate reads of the counts: contexts and shares of a block of targets.

Counts depend on the text alone, not on the model or on what was learned. So they are gathered for
`BLOCK` targets before these are mixed, and look-ups do not wait for one another.
"""

from typing import NamedTuple

import numpy as np

from fairway.compiled import borrowing
from fairway.document_counts import (
    DOCUMENT_TOKENS,
    DocumentCounts,
    forget_document,
    observe_document,
    read_document,
    read_document_hits,
)
from fairway.grams import slot_shift
from fairway.lanes import WIDTH
from fairway.shards import BOS
from fairway.successors import SuccessorTree, fetch_ahead, observe, read_contexts, read_hits

BLOCK = 16  # targets whose counts are gathered at once: few enough to stay in the near cache
TOTALS, DISTINCT = 16, 6  # values of a context's feature: log2 of both together


class Levels(NamedTuple):
    """Where in the order of mixing each source's levels come, uint64 arrays.

    text, document: (orders,), by order from 1; cache: (orders,), by order from the one in column
    `first_column` (1,) of the exact cache's counts. new_column: (1,), of the order whose hits say
    whether a gram is new to the continuation counts.
    """

    text: np.ndarray
    document: np.ndarray
    cache: np.ndarray
    first_column: np.ndarray
    new_column: np.ndarray


class Trees(NamedTuple):
    """The counts that the gate keeps itself."""

    text: SuccessorTree
    document: DocumentCounts


class Block(NamedTuple):
    """Counts of some targets; arrays (targets, lanes), a lane per level, unless said otherwise.

    total, distinct, hits: uint32; 0 where a context never occurred. share: float64, hits/total.
    column: int32, the value of the feature (total, distinct). last: int64 (targets,), the highest
    level with total > 0, or −1; vectors: int64 (targets,), of `WIDTH` levels each, up to that.
    lengths: int64 (targets,), how many levels of the text and of the document have total > 0, as
    one number.
    """

    total: np.ndarray
    distinct: np.ndarray
    hits: np.ndarray
    share: np.ndarray
    column: np.ndarray
    last: np.ndarray
    vectors: np.ndarray
    lengths: np.ndarray


def new_block(targets: int, lanes: int) -> Block:
    """Room for the counts of `targets` targets."""
    shape = targets, lanes
    return Block(
        *np.zeros((3, *shape), dtype=np.uint32),
        np.zeros(shape),
        np.zeros(shape, dtype=np.int32),
        *np.zeros((3, targets), dtype=np.int64),
    )


@borrowing
def log2_bucket(value, buckets):
    """The whole part of log2(value), value ≥ 1 (0 gives 0), at most buckets − 1."""
    exponent = (np.float32(value).view(np.int32) >> np.int32(23)) - np.int32(127)
    return min(max(exponent, np.int32(0)), np.int32(buckets - 1))


@borrowing
def read_row(trees, counts, source_row, levels, block, row):
    """The contexts of the next target, from the trees and a row of the exact cache's counts."""
    read_contexts(trees.text, levels.text, block.total, block.distinct, row)
    read_document(trees.document, levels.document, block.total, block.distinct, row)
    for k in range(levels.cache.size):
        level, column = levels.cache[k], levels.first_column[0] + np.uint64(k)
        block.total[row, level] = counts[0][source_row, column]
        block.distinct[row, level] = counts[2][source_row, column]


@borrowing
def read_token(trees, token, levels, block, row):
    """How often `token` followed the trees' contexts: fills hits, changes no state."""
    read_hits(trees.text, levels.text, token, block.hits, row)
    read_document_hits(trees.document, levels.document, token, block.hits, row)


@borrowing
def gather_counts(tokens, counts, first, stop, levels, trees, block):
    """Counts of targets first … stop−1 before each; the trees then hold them."""
    text, document = trees
    hits = counts[1]
    shift = slot_shift(text.table)
    if levels.text.size > 1:
        fetch_ahead(text, tokens, first, stop)
    for i in range(first, stop):
        row = i - first
        read_row(trees, counts, i, levels, block, row)
        for k in range(levels.cache.size):
            column = levels.first_column[0] + np.uint64(k)
            block.hits[row, levels.cache[k]] = hits[i, column]
        is_new = hits[i, levels.new_column[0]] == 0
        observe(text, tokens[i], is_new, shift, levels.text, block.hits, row)
        if tokens[i] == BOS or document.used[1] >= DOCUMENT_TOKENS:
            read_document_hits(document, levels.document, tokens[i], block.hits, row)
            forget_document(document)
        else:
            observe_document(document, tokens[i], levels.document, block.hits, row)


@borrowing
def describe(block, targets, levels):
    """Shares, columns, vectors and lengths of the first `targets` rows, from their counts."""
    lanes = block.total.shape[1]
    for row in range(targets):
        active, last = 0, -1
        for level in range(lanes):
            total = block.total[row, level]
            of_total = np.int32(DISTINCT) * log2_bucket(total, TOTALS)
            of_distinct = log2_bucket(block.distinct[row, level], DISTINCT)
            block.column[row, level] = of_total + of_distinct
            active += total > 0
            last = max(last, level if total > 0 else -1)
        of_document = 0
        for k in range(levels.document.size):
            of_document += block.total[row, levels.document[k]] > 0
        block.last[row] = last
        block.vectors[row] = (last + WIDTH) // WIDTH
        block.lengths[row] = (active - of_document) * (levels.document.size + 1) + of_document
        share_hits(block, row)


@borrowing
def share_hits(block, row):
    """Shares of a row, from its hits."""
    for level in range(WIDTH * block.vectors[row]):
        total = max(block.total[row, level], np.uint32(1))
        block.share[row, level] = np.float64(block.hits[row, level]) / np.float64(total)


def lanes_of(levels: Levels) -> int:
    """Levels, rounded up to whole vectors."""
    count = len(levels.text) + len(levels.document) + len(levels.cache)
    return -(-count // WIDTH) * WIDTH
