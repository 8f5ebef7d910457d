"""What the empirical-Bayes gate reads of the counts: contexts and shares of a block of targets.

Counts depend on the text alone, not on the model or on what was learned. So they are gathered for
`BLOCK` targets before these are mixed, and look-ups do not wait for one another.
"""

from typing import NamedTuple

import numpy as np

from fairway.corpus.shards import BOS
from fairway.gates.document_counts import (
    DOCUMENT_TOKENS,
    DocumentCounts,
    forget_document,
    observe_document,
    read_document_hits,
    read_document_successors,
)
from fairway.gates.kin_counts import (
    KinCounts,
    fetch_kin,
    observe_kin,
    read_kin_contexts,
    read_kin_hits,
    read_kin_successors,
)
from fairway.gates.successors import SuccessorTree, fetch_ahead, observe, read_successors
from fairway.gates.trees import read_contexts
from fairway.kernels.compiled import borrowing
from fairway.kernels.dictionary import slot_shift
from fairway.kernels.lane_chains import store_shares
from fairway.kernels.lane_memory import load
from fairway.kernels.lanes import WIDTH, larger, largest_lane, same, sum_of_lanes, where_positive

BLOCK = 16  # targets whose counts are gathered at once: few enough to stay in the near cache


class Levels(NamedTuple):
    """Where in the order of mixing each source's levels come, uint64 arrays.

    text, document: (orders,), by order from 1; kin: its orders, or none; cache: (orders,), by
    order from the one in column `first_column` (1,) of the exact cache's counts. new_column: (1,),
    of the order whose hits say whether a gram is new to the continuation counts. float32 (lanes,):
    lengths, what a level with total > 0 adds to a block's lengths; numbers, 0, 1, 2, …
    """

    text: np.ndarray
    kin: np.ndarray
    document: np.ndarray
    cache: np.ndarray
    first_column: np.ndarray
    new_column: np.ndarray
    lengths: np.ndarray
    numbers: np.ndarray


class Trees(NamedTuple):
    """The counts that the gate keeps itself."""

    text: SuccessorTree
    kin: KinCounts
    document: DocumentCounts


class Block(NamedTuple):
    """Counts of some targets; arrays (targets, lanes), a lane per level, unless said otherwise.

    total, distinct, hits: uint32; 0 where a context never occurred. share: float64, hits/total.
    last: int64 (targets,), the highest level with total > 0, or −1; vectors: int64 (targets,), of
    `WIDTH` levels each, up to that. lengths: int64 (targets,), how many levels of the text and of
    the document have total > 0, as one number.
    """

    total: np.ndarray
    distinct: np.ndarray
    hits: np.ndarray
    share: np.ndarray
    last: np.ndarray
    vectors: np.ndarray
    lengths: np.ndarray


def new_block(targets: int, lanes: int) -> Block:
    """Room for the counts of `targets` targets."""
    shape = targets, lanes
    return Block(
        *np.zeros((3, *shape), dtype=np.uint32),
        np.zeros(shape),
        *np.zeros((3, targets), dtype=np.int64),
    )


@borrowing
def read_row(trees, counts, source_row, levels, block, row):
    """The contexts of the next target, from the trees and a row of the exact cache's counts."""
    read_contexts(trees.text, levels.text, block.total, block.distinct, row)
    read_kin_contexts(trees.kin, levels.kin, block.total, block.distinct, row)
    read_contexts(trees.document, levels.document, block.total, block.distinct, row)
    for k in range(levels.cache.size):
        level, column = levels.cache[k], levels.first_column[0] + np.uint64(k)
        block.total[row, level] = counts[0][source_row, column]
        block.distinct[row, level] = counts[2][source_row, column]


@borrowing
def read_vocabulary(trees, counts, level, levels, hits):
    """Fill how often each token, (vocabulary,), followed the context of a level with total ≥ 1.

    counts: of the exact cache at this target, hits (orders, vocabulary) in the middle.
    """
    for i in range(levels.text.size):
        if levels.text[i] == level:
            read_successors(trees.text, i + 1, hits)
    for i in range(levels.kin.size):
        if levels.kin[i] == level:
            read_kin_successors(trees.kin, i, hits)
    for i in range(levels.document.size):
        if levels.document[i] == level:
            read_document_successors(trees.document, i + 1, hits)
    for i in range(levels.cache.size):
        if levels.cache[i] == level:
            column = levels.first_column[0] + np.uint64(i)
            for token in range(hits.size):
                hits[token] = counts[1][column, token]


@borrowing
def gather_counts(tokens, counts, first, stop, levels, trees, block):
    """Counts of targets first … stop−1 before each; the trees then hold them."""
    text, kin, document = trees
    totals, hits, distinct = counts
    shift = slot_shift(text.table)
    if levels.text.size > 1:
        fetch_ahead(text, tokens, first, stop)
    if levels.kin.size:
        fetch_kin(kin, tokens, first, stop)
    for i in range(first, stop):
        row = i - first
        for k in range(levels.cache.size):
            level, column = levels.cache[k], levels.first_column[0] + np.uint64(k)
            block.total[row, level] = totals[i, column]
            block.distinct[row, level] = distinct[i, column]
            block.hits[row, level] = hits[i, column]
        is_new = hits[i, levels.new_column[0]] == 0
        observe(text, tokens[i], is_new, shift, levels.text, block, row)
        if levels.kin.size:
            read_kin_contexts(kin, levels.kin, block.total, block.distinct, row)
            read_kin_hits(kin, levels.kin, tokens[i], block.total, block.hits, row)
            observe_kin(kin, tokens[i])
        if tokens[i] == BOS or document.used[1] >= DOCUMENT_TOKENS:
            read_contexts(document, levels.document, block.total, block.distinct, row)
            read_document_hits(document, levels.document, tokens[i], block.hits, row)
            forget_document(document)
        else:
            observe_document(document, tokens[i], levels.document, block, row)


@borrowing
def describe(block, targets, levels):
    """Shares, last levels, vectors and lengths of the first `targets` rows, from their counts."""
    lanes = block.total.shape[1]
    for row in range(targets):
        lengths, last, zero, none = same(0.0), same(-1.0), same(0.0), same(-1.0)
        for at in range(0, lanes, WIDTH):
            total = load(block.total, row * lanes + at)
            lengths = lengths + where_positive(total, load(levels.lengths, at), zero)
            last = larger(last, where_positive(total, load(levels.numbers, at), none))
        block.last[row] = np.int64(largest_lane(last))
        block.vectors[row] = (block.last[row] + WIDTH) // WIDTH
        block.lengths[row] = np.int64(sum_of_lanes(lengths))
        share_hits(block, row)


@borrowing
def share_hits(block, row):
    """Shares of a row, from its hits."""
    lanes = block.total.shape[1]
    for vector in range(block.vectors[row]):
        store_shares(block.share, block.hits, block.total, row * lanes + vector * WIDTH)


def new_levels(places: dict[str, list[int]], first_column: int, new_column: int) -> Levels:
    """From the levels of every source: text, kin, document and cache."""
    count = sum(map(len, places.values()))
    lengths = np.zeros(-(-count // WIDTH) * WIDTH, dtype=np.float32)
    lengths[places["text"] + places["cache"]] = len(places["document"]) + 1
    lengths[places["document"]] = 1
    numbers = np.arange(len(lengths), dtype=np.float32)
    columns = {"first_column": [first_column], "new_column": [new_column]}
    arrays = {name: np.array(found, np.uint64) for name, found in (places | columns).items()}
    return Levels(**arrays, lengths=lengths, numbers=numbers)
