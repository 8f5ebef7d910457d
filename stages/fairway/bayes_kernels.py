"""Compiled steps of the empirical-Bayes gate; `fairway.bayes` says what they compute.

One target is: weigh (active levels and their concentrations, blind to the target), gather (hits
of one token), chain (its probability), then, once it has been scored, learn and observe. Scoring
a text and the distribution over the whole vocabulary run the same steps.
"""

from typing import NamedTuple

import numpy as np

from fairway.compiled import compiled
from fairway.shards import BOS
from fairway.successors import forget, observe, read_contexts, read_hits

DOCUMENT_TOKENS = 1 << 18  # a longer document is counted anew, which bounds the memory

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
_TRUST, _SHARE, _BEFORE = 0, 1, 2


class Levels(NamedTuple):
    """Where in the order of mixing each source's levels come, int64 arrays.

    text, document: (orders,), by order from 1; cache: (orders,), by order from the one in column
    `first_column` (1,) of the exact cache's counts.
    """

    text: np.ndarray
    document: np.ndarray
    cache: np.ndarray
    first_column: np.ndarray


class Learned(NamedTuple):
    """What the gate learned, float64, changed in place.

    weights: (levels, feature values, 2), summed up to s, and AdaGrad's sums of squared gradients;
    helped: (levels,), how much each level raised the probability lately, −1 to 1; recent: (2,),
    nats per target that the gate gained lately, and how many targets on end the last level
    expected.
    """

    weights: np.ndarray
    helped: np.ndarray
    recent: np.ndarray


class Workspace(NamedTuple):
    """Scratch of one target.

    total, distinct, hits: uint32 (levels,). columns: int64 (levels, 1 + features), of each active
    level its number and the places of its weights; numbers: float64 (levels, 3), of each active
    level trust total/(total + κ), share hits/total, and the probability before mixing.
    """

    total: np.ndarray
    distinct: np.ndarray
    hits: np.ndarray
    columns: np.ndarray
    numbers: np.ndarray


@compiled
def _new_workspace(levels):
    return Workspace(
        np.zeros(levels, dtype=np.uint32),
        np.zeros(levels, dtype=np.uint32),
        np.zeros(levels, dtype=np.uint32),
        np.zeros((levels, 1 + len(FEATURES)), dtype=np.int64),
        np.zeros((levels, 3), dtype=np.float64),
    )


@compiled
def log2_bucket(value, buckets):
    """The whole part of log2(value), value ≥ 1, at most buckets − 1."""
    value = min(np.int64(value), np.int64(0xFFFF))
    bucket = 0
    for half in (8, 4, 2, 1):
        if value >> half:
            value >>= half
            bucket += half
    return min(bucket, buckets - 1)


@compiled
def _bucket(value, buckets):
    """The whole part of `value`, within 0 … buckets − 1."""
    return int(min(max(value, 0.0), buckets - 1.0))


@compiled
def _read_levels(i, totals, distinct, levels, text, document, work):
    """Totals and distinct successors of all contexts at row i; 0 where one never occurred."""
    read_contexts(text, levels.text, work.total, work.distinct)
    read_contexts(document, levels.document, work.total, work.distinct)
    for k in range(levels.cache.size):
        column = levels.first_column[0] + k
        work.total[levels.cache[k]] = totals[i, column]
        work.distinct[levels.cache[k]] = distinct[i, column]


@compiled
def _weigh(entropy, levels, learned, work):
    """Find the active levels and how far each is trusted; returns how many there are."""
    active, of_document = 0, 0
    for level in range(work.total.size):
        if work.total[level]:
            work.columns[active, 0] = level
            active += 1
    for k in range(levels.document.size):
        of_document += work.total[levels.document[k]] > 0
    lengths = (active - of_document) * (levels.document.size + 1) + of_document
    streak = log2_bucket(2 * int(learned.recent[1]) + 1, _STREAKS)
    gate = streak * _GAINS + _bucket(2.0 * learned.recent[0] + 4.0, _GAINS)
    entropy_column = _ENTROPY_AT + _bucket(2.0 * entropy, _ENTROPIES)
    for i in range(active):
        level = work.columns[i, 0]
        of_total = log2_bucket(work.total[level], _TOTALS)
        of_distinct = log2_bucket(work.distinct[level], _DISTINCT)
        work.columns[i, 1] = _DISTINCT * of_total + of_distinct
        work.columns[i, 2] = entropy_column
        work.columns[i, 3] = _HELP_AT + _bucket(8.0 * learned.helped[level] + 8.0, _HELPS)
        work.columns[i, 4] = _GATE_AT + gate
        work.columns[i, 5] = LENGTHS_AT + lengths
        logit = 0.0
        for feature in range(1, 1 + len(FEATURES)):
            logit += learned.weights[level, work.columns[i, feature], 0]
        logit = min(max(logit, -_LARGEST_LOGIT), _LARGEST_LOGIT)
        work.numbers[i, _TRUST] = 1.0 / (1.0 + np.exp(-logit))
    return active


@compiled
def _gather(token, active, levels, text, document, work):
    """Shares of `token` among the successors of the active levels' contexts.

    The cache's hits must already be in work.hits.
    """
    read_hits(text, levels.text, token, work.hits)
    read_hits(document, levels.document, token, work.hits)
    for i in range(active):
        level = work.columns[i, 0]
        work.numbers[i, _SHARE] = work.hits[level] / work.total[level]


@compiled
def _chain(model, active, work):
    """The probability of the gathered token, mixed level by level into the model's."""
    probability = model
    for i in range(active):
        work.numbers[i, _BEFORE] = probability
        trust = work.numbers[i, _TRUST]
        probability = trust * work.numbers[i, _SHARE] + (1.0 - trust) * probability
    return probability


@compiled
def _learn(model, probability, active, learned, rate, work):
    """One AdaGrad step on −ln p of the scored target, and what helped it."""
    slope = -1.0 / probability  # of −ln p, by the probability after the level
    for i in range(active - 1, -1, -1):
        level, trust = work.columns[i, 0], work.numbers[i, _TRUST]
        share, before = work.numbers[i, _SHARE], work.numbers[i, _BEFORE]
        gradient = slope * (share - before) * trust * (1.0 - trust)
        for feature in range(1, 1 + len(FEATURES)):
            column = work.columns[i, feature]
            squares = learned.weights[level, column, 1] + gradient * gradient
            learned.weights[level, column, 0] -= rate * gradient / np.sqrt(squares)
            learned.weights[level, column, 1] = squares
        help_now = (share - before) / (share + before)
        learned.helped[level] += (1.0 - _LEVEL_MEMORY) * (help_now - learned.helped[level])
        slope *= 1.0 - trust
    gain = np.log(probability / model)
    learned.recent[0] += (1.0 - _GATE_MEMORY) * (gain - learned.recent[0])
    last = work.numbers[active - 1, _SHARE] if active else 0.0
    if last > 0.5:
        learned.recent[1] += 1.0
    else:
        learned.recent[1] = learned.recent[1] // 2.0 if last > 0.0 else 0.0


@compiled
def mix_targets(tokens, nll, entropy, counts, levels, learned, trees, rate, new_column, nats):
    """Score targets in order and learn from each: fills nats, float64 (targets,).

    tokens: the targets' own, (targets,); counts: totals, hits and distinct of the exact cache;
    trees: of the text and of the document, with room for the targets. new_column: of the order
    whose hits say whether a gram is new to the continuation counts.
    """
    totals, hits, distinct = counts
    text, document = trees
    work = _new_workspace(learned.helped.size)
    for i in range(tokens.size):
        _read_levels(i, totals, distinct, levels, text, document, work)
        active = _weigh(np.float64(entropy[i]), levels, learned, work)
        for k in range(levels.cache.size):
            work.hits[levels.cache[k]] = hits[i, levels.first_column[0] + k]
        _gather(tokens[i], active, levels, text, document, work)
        model = np.exp(-np.float64(nll[i]))
        probability = _chain(model, active, work)
        nats[i] = -np.log(probability)
        _learn(model, probability, active, learned, rate, work)
        observe(text, tokens[i], text.context.size + 1, hits[i, new_column] == 0)
        if tokens[i] == BOS or document.used[1] >= DOCUMENT_TOKENS:
            forget(document)
        else:
            observe(document, tokens[i], 2, True)


@compiled
def distribution_at(model, entropy, counts, levels, learned, trees, mixed):
    """Fill mixed, float64 (vocabulary,), with p(v) of the next target; changes no state.

    model: the model's probabilities, (vocabulary,); counts: of the exact cache at this target,
    totals and distinct (1, orders), hits (orders, vocabulary).
    """
    totals, hits, distinct = counts
    text, document = trees
    work = _new_workspace(learned.helped.size)
    _read_levels(0, totals, distinct, levels, text, document, work)
    active = _weigh(np.float64(entropy), levels, learned, work)
    for token in range(model.size):
        for k in range(levels.cache.size):
            work.hits[levels.cache[k]] = hits[levels.first_column[0] + k, token]
        _gather(token, active, levels, text, document, work)
        mixed[token] = _chain(np.float64(model[token]), active, work)
