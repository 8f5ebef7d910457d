"""Compiled steps of the empirical-Bayes gate; `fairway.gates.bayes` says what they compute.

One target is: weigh (how far each level is trusted, blind to the target), chain (the probability
of one token), then, once it has been scored, learn. Scoring a text and the distribution over the
whole vocabulary run the same steps, on counts that `fairway.gates.bayes_counts` gathered.

What is learned and what it makes of a context are float32, eight levels at a time; the chain is
float64, so that probabilities sum to 1.
"""

from typing import NamedTuple

import numpy as np

from fairway.gates.bayes_counts import describe, gather_counts, read_row, read_vocabulary
from fairway.gates.document_counts import has_room
from fairway.gates.kin_counts import has_kin_room
from fairway.kernels.compiled import borrowing
from fairway.kernels.lane_chains import mix_lanes, multiply_back
from fairway.kernels.lane_memory import gather, load, scatter, store, store_whole
from fairway.kernels.lanes import (
    WIDTH,
    exponential,
    inverse_root,
    same,
    where_positive,
    whole_log2,
    within,
)

# How many values each feature of a context has, and where its weights begin.
_TOTALS, _DISTINCT = 16, 6  # log2 of both together
_ENTROPIES = 16  # of the model, in halves of a nat
_HELPS = 16  # how much the level helped lately
_STREAKS, _GAINS = 8, 16  # of the gate, both together: log2, halves of a nat
_ENTROPY_AT = _TOTALS * _DISTINCT
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
    """Scratch of one target, a lane per level.

    shared: int64 (3,), where the weights of the features that all levels share begin. counted,
    help: int32 (lanes,), the features (total, distinct) and how much the level helped. trust:
    float32 (lanes,), total/(total + κ), 0 where total is. before: float32 (lanes,), the
    probability before the level.
    """

    shared: np.ndarray
    counted: np.ndarray
    help: np.ndarray
    trust: np.ndarray
    before: np.ndarray


def new_workspace(lanes: int) -> Workspace:
    """Room for one target."""
    return Workspace(
        np.zeros(3, dtype=np.int64),
        *np.zeros((2, lanes), dtype=np.int32),
        *np.zeros((2, lanes), dtype=np.float32),
    )


@borrowing
def log2_bucket(value, buckets):
    """The whole part of log2(value), value ≥ 1, at most buckets − 1."""
    exponent = (np.float32(value).view(np.int32) >> np.int32(23)) - np.int32(127)
    return min(max(exponent, np.int32(0)), np.int32(buckets - 1))


@borrowing
def _bucket(value, buckets):
    """The whole part of `value`, within 0 … buckets − 1."""
    return int(min(max(value, 0.0), buckets - 1.0))


@borrowing
def _find_shared(entropy, lengths, learned, work):
    """Which weights those features choose that do not depend on the level."""
    lanes = learned.helped.size
    streak = log2_bucket(2.0 * learned.recent[1] + 1.0, _STREAKS)
    gate = streak * _GAINS + _bucket(2.0 * learned.recent[0] + 4.0, _GAINS)
    work.shared[0] = lanes * (_ENTROPY_AT + _bucket(2.0 * entropy, _ENTROPIES))
    work.shared[1] = lanes * (_GATE_AT + gate)
    work.shared[2] = lanes * (LENGTHS_AT + lengths)


@borrowing
def _find_own(block, row, at, learned, work):
    """Which weights the features choose that eight levels have each for itself."""
    zero, place = same(0.0), row * learned.helped.size + at
    total = within(whole_log2(load(block.total, place)), zero, same(_TOTALS - 1.0))
    distinct = within(whole_log2(load(block.distinct, place)), zero, same(_DISTINCT - 1.0))
    store_whole(work.counted, at, same(float(_DISTINCT)) * total + distinct)
    eight, first, last = same(8.0), same(float(_HELP_AT)), same(float(_HELP_AT + _HELPS - 1))
    helped = eight * load(learned.helped, at) + eight + first
    store_whole(work.help, at, within(helped, first, last))


@borrowing
def _weigh(entropy, block, row, learned, work):
    """How far each level is trusted."""
    _find_shared(entropy, block.lengths[row], learned, work)
    lanes, one, zero, most = learned.helped.size, same(1.0), same(0.0), same(_LARGEST_LOGIT)
    for vector in range(block.vectors[row]):
        at = vector * WIDTH
        _find_own(block, row, at, learned, work)
        logit = (  # last what the target before decides, so that the rest need not wait
            gather(learned.weights, work.counted, at)
            + load(learned.weights, work.shared[0] + at)
            + load(learned.weights, work.shared[2] + at)
            + gather(learned.weights, work.help, at)
            + load(learned.weights, work.shared[1] + at)
        )
        trust = one / (one + exponential(within(zero - logit, zero - most, most)))
        total = load(block.total, row * lanes + at)
        store(work.trust, at, where_positive(total, trust, zero))


@borrowing
def _chain(model, block, row, work):
    """The probability of the token of the shares, mixed level by level into the model's."""
    probability, lanes = model, work.trust.size
    for vector in range(block.vectors[row]):
        at = vector * WIDTH
        before, probability = mix_lanes(
            load(work.trust, at), block.share, row * lanes + at, probability
        )
        store(work.before, at, before)
    return probability


@borrowing
def _learn(probability, gain, block, row, learned, rate, work):
    """One AdaGrad step on −ln p of the scored target, and what helped it.

    gain: nats that it cost the model more than the gate.
    """
    slope = np.float32(min(1.0 / probability, _STEEPEST))  # of ln p, by p after the level
    vectors, one = block.vectors[row], same(1.0)
    for vector in range(vectors - 1, -1, -1):
        kept = one - load(work.trust, vector * WIDTH)
        slopes, slope = multiply_back(kept, slope)
        _step(slopes, vector * WIDTH, block, row, learned, rate, work)
    learned.recent[0] += (1.0 - _GATE_MEMORY) * (gain - learned.recent[0])
    last = block.share[row, block.last[row]] if vectors else 0.0
    if last > 0.5:
        learned.recent[1] += 1.0
    else:
        learned.recent[1] = learned.recent[1] // 2.0 if last > 0.0 else 0.0


@borrowing
def _step(slopes, at, block, row, learned, rate, work):
    """The steps of the weights of eight levels; where total is 0, trust is, and no step made."""
    lanes, one = learned.helped.size, same(1.0)
    pace, rate = same(1.0 - _LEVEL_MEMORY), same(rate)
    trust, before = load(work.trust, at), load(work.before, at)
    share = load(block.share, row * lanes + at)
    ascent = slopes * (share - before) * trust * (one - trust)  # d ln p / d s
    square, stride = ascent * ascent, rate * ascent
    for k in range(3):
        place = work.shared[k] + at
        squares = load(learned.squares, place) + square
        store(learned.squares, place, squares)
        weights = load(learned.weights, place) + stride * inverse_root(squares)
        store(learned.weights, place, weights)
    _step_own(work.counted, at, square, stride, learned)
    _step_own(work.help, at, square, stride, learned)
    helped = load(learned.helped, at)
    moved = helped + pace * ((share - before) / (share + before) - helped)
    store(learned.helped, at, where_positive(trust, moved, helped))


@borrowing
def _step_own(columns, at, square, stride, learned):
    """The same for a feature that each level has for itself."""
    squares = gather(learned.squares, columns, at) + square
    scatter(learned.squares, columns, at, squares)
    weights = gather(learned.weights, columns, at)
    weights = weights + stride * inverse_root(squares)
    scatter(learned.weights, columns, at, weights)


@borrowing
def mix_targets(tokens, nll, entropy, counts, levels, learned, trees, scratch, rate, nats):
    """Score targets in order and learn from each: fills nats, float64 (targets,).

    tokens: the targets' own, (targets,); counts: totals, hits and distinct of the exact cache;
    trees: the text's with room for the targets; scratch: a block and a workspace. Returns how many
    were scored: it stops before the tree of the document or of its kin runs out of room.
    """
    block, work = scratch
    for first in range(0, tokens.size, block.lengths.size):
        stop = min(first + block.lengths.size, tokens.size)
        targets = stop - first
        if levels.kin.size and not has_kin_room(trees.kin, targets):
            return first
        if not has_room(trees.document, targets):
            return first
        gather_counts(tokens, counts, first, stop, levels, trees, block)
        describe(block, stop - first, levels)
        for i in range(first, stop):
            row = i - first
            _weigh(np.float64(entropy[i]), block, row, learned, work)
            probability = _chain(np.exp(-np.float64(nll[i])), block, row, work)
            nats[i] = -np.log(probability)
            _learn(probability, nll[i] - nats[i], block, row, learned, rate, work)
    return tokens.size


@borrowing
def _mix_level(trust, total, hits, mixed):
    """One level of the chain, for all tokens at once."""
    kept, each = 1.0 - trust, trust / total
    for token in range(mixed.size):
        mixed[token] = kept * mixed[token] + each * hits[token]


@borrowing
def distribution_at(entropy, counts, levels, learned, trees, scratch, hits, mixed):
    """The model's probabilities `mixed`, float64 (vocabulary,), become p(v) of the next target.

    counts: of the exact cache at this target, totals and distinct (1, orders), hits (orders,
    vocabulary); hits: scratch, uint32 (vocabulary,). Changes no state.
    """
    block, work = scratch
    read_row(trees, counts, 0, levels, block, 0)
    describe(block, 1, levels)
    _weigh(np.float64(entropy), block, 0, learned, work)
    for level in range(block.last[0] + 1):
        total = block.total[0, level]
        if total:
            read_vocabulary(trees, counts, level, levels, hits)
            _mix_level(np.float64(work.trust[level]), total, hits, mixed)
