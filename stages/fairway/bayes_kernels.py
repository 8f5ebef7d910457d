"""Compiled steps of the empirical-Bayes gate; `fairway.bayes` says what they compute.

One target is: weigh (how far each level is trusted, blind to the target), chain (the probability
of one token), then, once it has been scored, learn. Scoring a text and the distribution over the
whole vocabulary run the same steps, on counts that `fairway.bayes_counts` gathered.

What is learned and what it makes of a context are float32, eight levels at a time; the chain is
float64, so that probabilities sum to 1.
"""

from typing import NamedTuple

import numpy as np

from fairway.bayes_counts import (
    DISTINCT,
    TOTALS,
    describe,
    gather,
    log2_bucket,
    read_row,
    read_token,
)
from fairway.compiled import borrowing
from fairway.document_counts import has_room
from fairway.lanes import (
    WIDTH,
    exponential,
    inverse_root,
    load,
    same,
    store,
    store_whole,
    where_positive,
    within,
)

# How many values each feature of a context has, and where its weights begin.
_ENTROPIES = 16  # of the model, in halves of a nat
_HELPS = 16  # how much the level helped lately
_STREAKS, _GAINS = 8, 16  # of the gate, both together: log2, halves of a nat
_ENTROPY_AT = TOTALS * DISTINCT
_HELP_AT = _ENTROPY_AT + _ENTROPIES
_GATE_AT = _HELP_AT + _HELPS
LENGTHS_AT = _GATE_AT + _STREAKS * _GAINS  # how many levels of the text and of the document
FEATURES = (0, _ENTROPY_AT, _HELP_AT, _GATE_AT, LENGTHS_AT)

_LARGEST_LOGIT = 15.0  # keeps every κ/total above 3e-7, so that no probability becomes 0
_LEVEL_MEMORY = 0.95  # of how much a level helped, per use
_GATE_MEMORY = 0.9  # of how much the gate helped, per target
_STEEPEST = 1e30  # of the slopes, so that they fit a float32


class Learned(NamedTuple):
    """What the gate learned, changed in place.

    weights: float32 (feature values, lanes), summed up to s; squares: the same shape, AdaGrad's
    sums of squared gradients; helped: float32 (lanes,), how much each level raised the probability
    lately, −1 to 1; recent: float64 (2,), nats per target that the gate gained lately, and how
    many targets on end the last level expected. A lane is a level; lanes beyond stay as they are.
    """

    weights: np.ndarray
    squares: np.ndarray
    helped: np.ndarray
    recent: np.ndarray


class Workspace(NamedTuple):
    """Scratch of one target, arrays (lanes,) unless said otherwise; a level's when it is active.

    shared: int64 (3,), where the weights of the features that all levels share begin. help: int32,
    the feature how much the level helped. own: float32 (3, lanes), of the two features that each
    level has for itself the sum of weights, and both sums of squares. steps: float32 (2, lanes),
    of their weights. trust: float32, total/(total + κ). before: float64, the probability before
    the level; slope: float64, d ln p / d probability after the level, 0 for levels not active.
    """

    shared: np.ndarray
    help: np.ndarray
    own: np.ndarray
    steps: np.ndarray
    trust: np.ndarray
    before: np.ndarray
    slope: np.ndarray


def new_workspace(lanes: int) -> Workspace:
    """Room for one target."""
    return Workspace(
        np.zeros(3, dtype=np.int64),
        np.zeros(lanes, dtype=np.int32),
        np.zeros((3, lanes), dtype=np.float32),
        np.zeros((2, lanes), dtype=np.float32),
        np.zeros(lanes, dtype=np.float32),
        *np.zeros((2, lanes)),
    )


@borrowing
def _bucket(value, buckets):
    """The whole part of `value`, within 0 … buckets − 1."""
    return int(min(max(value, 0.0), buckets - 1.0))


@borrowing
def _find_weights(entropy, block, row, learned, work):
    """Which weights the features of the context choose."""
    lanes = learned.helped.size
    streak = log2_bucket(2.0 * learned.recent[1] + 1.0, _STREAKS)
    gate = streak * _GAINS + _bucket(2.0 * learned.recent[0] + 4.0, _GAINS)
    work.shared[0] = lanes * (_ENTROPY_AT + _bucket(2.0 * entropy, _ENTROPIES))
    work.shared[1] = lanes * (_GATE_AT + gate)
    work.shared[2] = lanes * (LENGTHS_AT + block.lengths[row])
    eight, first, last = same(8.0), same(float(_HELP_AT)), same(float(_HELP_AT + _HELPS - 1))
    for at in range(0, lanes, WIDTH):
        bucket = eight * load(learned.helped, at) + eight + first
        store_whole(work.help, at, within(bucket, first, last))
    for k in range(block.count[row]):
        level = block.active[row, k]
        of_total, of_help = block.column[row, level], work.help[level]
        work.own[0, level] = learned.weights[of_total, level] + learned.weights[of_help, level]
        work.own[1, level] = learned.squares[of_total, level]
        work.own[2, level] = learned.squares[of_help, level]


@borrowing
def _weigh(entropy, block, row, learned, work):
    """How far each level is trusted."""
    _find_weights(entropy, block, row, learned, work)
    one, zero, most = same(1.0), same(0.0), same(_LARGEST_LOGIT)
    for at in range(0, learned.helped.size, WIDTH):
        logit = (
            load(work.own, at)
            + load(learned.weights, work.shared[0] + at)
            + load(learned.weights, work.shared[1] + at)
            + load(learned.weights, work.shared[2] + at)
        )
        logit = within(logit, zero - most, most)
        store(work.trust, at, one / (one + exponential(zero - logit)))


@borrowing
def _chain(model, block, row, work):
    """The probability of the token of the shares, mixed level by level into the model's."""
    probability = model
    for k in range(block.count[row]):
        level = block.active[row, k]
        work.before[level] = probability
        trust = np.float64(work.trust[level])
        probability = trust * block.share[row, level] + (1.0 - trust) * probability
    return probability


@borrowing
def _learn(probability, gain, block, row, learned, rate, work):
    """One AdaGrad step on −ln p of the scored target, and what helped it.

    gain: nats that it cost the model more than the gate.
    """
    slope, count = min(1.0 / probability, _STEEPEST), block.count[row]
    for k in range(count - 1, -1, -1):
        level = block.active[row, k]
        work.slope[level] = slope
        slope *= 1.0 - np.float64(work.trust[level])
    _step(block.share, row * learned.helped.size, learned, rate, work)
    for k in range(count):
        level = block.active[row, k]
        of_total, of_help = block.column[row, level], work.help[level]
        learned.weights[of_total, level] += work.steps[0, level]
        learned.weights[of_help, level] += work.steps[1, level]
        learned.squares[of_total, level] = work.own[1, level]
        learned.squares[of_help, level] = work.own[2, level]
        work.slope[level] = 0.0
    learned.recent[0] += (1.0 - _GATE_MEMORY) * (gain - learned.recent[0])
    last = block.share[row, block.active[row, count - 1]] if count else 0.0
    if last > 0.5:
        learned.recent[1] += 1.0
    else:
        learned.recent[1] = learned.recent[1] // 2.0 if last > 0.0 else 0.0


@borrowing
def _step(share, share_at, learned, rate, work):
    """The steps of all levels' weights, eight at a time; a slope of 0 makes a step of 0.

    The weights of shared features are changed at once, those of a level's own features are left
    in work.steps, with their new sums of squares in work.own.
    """
    lanes, one = learned.helped.size, same(1.0)
    pace, rate = same(1.0 - _LEVEL_MEMORY), same(rate)
    for at in range(0, lanes, WIDTH):
        after, before = load(share, share_at + at), load(work.before, at)
        trust, slope = load(work.trust, at), load(work.slope, at)
        ascent = slope * (after - before) * trust * (one - trust)  # d ln p / d s
        square, stride = ascent * ascent, rate * ascent
        for k in range(3):
            place = work.shared[k] + at
            squares = load(learned.squares, place) + square
            store(learned.squares, place, squares)
            weights = load(learned.weights, place) + stride * inverse_root(squares)
            store(learned.weights, place, weights)
        for k in range(2):
            squares = load(work.own, (k + 1) * lanes + at) + square
            store(work.own, (k + 1) * lanes + at, squares)
            store(work.steps, k * lanes + at, stride * inverse_root(squares))
        helped = load(learned.helped, at)
        moved = helped + pace * ((after - before) / (after + before) - helped)
        store(learned.helped, at, where_positive(slope, moved, helped))


@borrowing
def mix_targets(tokens, nll, entropy, counts, levels, learned, trees, scratch, rate, nats):
    """Score targets in order and learn from each: fills nats, float64 (targets,).

    tokens: the targets' own, (targets,); counts: totals, hits and distinct of the exact cache;
    trees: the text's with room for the targets; scratch: a block and a workspace. Returns how many
    were scored: it stops before the document's tree runs out of room.
    """
    block, work = scratch
    for first in range(0, tokens.size, block.count.size):
        stop = min(first + block.count.size, tokens.size)
        if not has_room(trees.document, stop - first):
            return first
        gather(tokens, counts, first, stop, levels, trees, block)
        describe(block, stop - first, levels)
        for i in range(first, stop):
            row = i - first
            _weigh(np.float64(entropy[i]), block, row, learned, work)
            probability = _chain(np.exp(-np.float64(nll[i])), block, row, work)
            nats[i] = -np.log(probability)
            _learn(probability, nll[i] - nats[i], block, row, learned, rate, work)
    return tokens.size


@borrowing
def distribution_at(model, entropy, counts, levels, learned, trees, scratch, mixed):
    """Fill mixed, float64 (vocabulary,), with p(v) of the next target; changes no state.

    model: the model's probabilities, (vocabulary,); counts: of the exact cache at this target,
    totals and distinct (1, orders), hits (orders, vocabulary).
    """
    block, work = scratch
    read_row(trees, counts, 0, levels, block, 0)
    describe(block, 1, levels)
    _weigh(np.float64(entropy), block, 0, learned, work)
    for token in range(model.size):
        read_token(trees, token, levels, block, 0)
        for k in range(levels.cache.size):
            hits = counts[1][levels.first_column[0] + k, token]
            block.hits[0, levels.cache[k]] = hits
        describe(block, 1, levels)
        mixed[token] = _chain(np.float64(model[token]), block, 0, work)
