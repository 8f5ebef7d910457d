"""The empirical-Bayes gate piece by piece: its trust, its gradient, its features, its state."""

import numpy as np
import pytest

from fairway.corpus.shards import BOS
from fairway.gates.bayes import CHUNK, BayesGate
from fairway.gates.bayes_kernels import FEATURES, log2_bucket
from fairway.stage import StageError
from support.tiny_mixing import CACHE, model_scores, order_counts, rows, text


def unlearned_trust() -> float:
    """total/(total + κ) while all weights are at their start, to the last bit of its float32.

    Seen in a target that the only level expects with certainty: p = trust + (1 − trust)·model.
    """
    cache = CACHE | {"min_order": 1, "max_order": 1}
    gate, tokens = BayesGate(1, 1, 1e-12, 0, 0), np.array([BOS] + 9 * [2], np.uint16)
    nll, entropy = np.full(9, 3.0), np.ones(9)
    last = gate.nats(gate.start(), tokens[1:], nll, entropy, order_counts(tokens, cache))[-1]
    model = np.exp(-nll[-1])
    return float(np.float32((np.exp(-last) - model) / (1 - model)))


def test_the_trust_before_learning_is_that_of_its_logit():
    assert unlearned_trust() == pytest.approx(1 / (1 + np.exp(2.0)), rel=1.2e-7)


def test_a_step_follows_the_gradient_of_the_loss():
    """Finite differences of the nats of one target against the step its weights take."""
    tokens = text(300)
    _, nll, entropy = model_scores(tokens)
    counts = order_counts(tokens)
    gate = BayesGate(2, 4)
    last = slice(299, 300)
    checked = 0
    before, after = gate.start(), gate.start()
    for state in (before, after):
        gate.nats(state, tokens[1:300], nll[:299], entropy[:299], rows(counts, slice(0, 299)))
    one = tokens[300:301], nll[last], entropy[last], rows(counts, last)
    gate.nats(after, *one)
    moved = np.argwhere(before.learned.weights != after.learned.weights)
    for place in map(tuple, moved[:: max(1, len(moved) // 12)]):
        losses = []
        for shift in 2.0**-6 * np.array([1, -1, 2, -2]):
            state = gate.start()
            gate.nats(state, tokens[1:300], nll[:299], entropy[:299], rows(counts, slice(0, 299)))
            state.learned.weights[place] += shift
            losses.append(gate.nats(state, *one)[0])
        slope = (8 * (losses[0] - losses[1]) - (losses[2] - losses[3])) * 2.0**6 / 12
        squares = before.learned.squares[place] + slope**2
        step = (after.learned.weights - before.learned.weights)[place]
        assert step == pytest.approx(-gate.learning_rate * slope / np.sqrt(squares), rel=1e-4)
        checked += 1
    assert checked >= 5


def test_what_helped_lately_is_remembered():
    """One level only, so that its share and the probability before it are known."""
    tokens = text(500)
    _, nll, entropy = model_scores(tokens)
    cache = CACHE | {"min_order": 1, "max_order": 1}
    counts = order_counts(tokens, cache)
    gate = BayesGate(1, 1, document_orders=0, continuation_orders=0)
    state = gate.start()
    nats = gate.nats(state, tokens[1:], nll, entropy, counts)
    helped, gained, streak = 0.0, 0.0, 0
    for j in range(500):
        gained += 0.1 * (nll[j] - nats[j] - gained)
        share = 0.0
        if counts.totals[j, 0]:
            share, before = counts.hits[j, 0] / counts.totals[j, 0], np.exp(-nll[j])
            helped += 0.05 * ((share - before) / (share + before) - helped)
        streak = streak + 1 if share > 0.5 else streak // 2 if share else 0
    assert state.learned.helped[0] == pytest.approx(helped)
    assert state.learned.recent == pytest.approx([gained, streak])


def test_every_feature_takes_several_values_and_learns():
    tokens = text(6000, vocabulary=40)
    _, nll, entropy = model_scores(tokens, vocabulary=40)
    gate = BayesGate(2, 4)
    state = gate.start()
    gate.nats(state, tokens[1:], nll, entropy, order_counts(tokens))
    moved = (state.learned.weights != gate.start().learned.weights).any(axis=1)
    for first, last in zip(FEATURES, [*FEATURES[1:], len(moved)], strict=True):
        assert moved[first:last].sum() >= 3


@pytest.mark.parametrize(
    ("value", "bucket"),
    [(1, 0), (2, 1), (3, 1), (4, 2), (255, 7), (256, 8), (65535, 15), (4_000_000_000, 15)],
)
def test_counts_fall_into_buckets_by_powers_of_two(value, bucket):
    assert log2_bucket(np.uint32(value), 16) == bucket
    assert log2_bucket(np.uint32(value), 6) == min(bucket, 5)


def test_learning_pays_on_text_that_repeats_and_costs_little_on_noise():
    generator = np.random.default_rng(5)
    for tokens, most in (
        (text(6000, vocabulary=40), 0.75),
        (generator.integers(2, 40, 6001).astype(np.uint16), 1.02),
    ):
        nll = np.full(6000, np.log(40.0))
        gate = BayesGate(2, 4)
        nats = gate.nats(gate.start(), tokens[1:], nll, nll, order_counts(tokens))
        assert nats[3000:].sum() < most * nll[3000:].sum()


def test_any_division_into_pieces_gives_the_same_bits():
    tokens = text(2 * CHUNK + 700)
    _, nll, entropy = model_scores(tokens)
    counts = order_counts(tokens)
    gate = BayesGate(2, 4)
    whole = gate.start()
    nats = gate.nats(whole, tokens[1:], nll, entropy, counts)
    pieces = gate.start()
    parts = [slice(0, 1), slice(1, 900), slice(900, CHUNK + 950), slice(CHUNK + 950, None)]
    found = [
        gate.nats(pieces, tokens[1:][part], nll[part], entropy[part], rows(counts, part))
        for part in parts
    ]
    assert np.concatenate(found).tobytes() == nats.tobytes()
    assert pieces.digest() == whole.digest()


def test_the_state_notices_every_target():
    tokens = text(50)
    _, nll, entropy = model_scores(tokens)
    counts = order_counts(tokens)
    gate, digests = BayesGate(2, 4), set()
    state = gate.start()
    for j in range(50):
        part = slice(j, j + 1)
        gate.nats(state, tokens[1:][part], nll[part], entropy[part], rows(counts, part))
        digests.add(state.digest())
    assert len(digests) == 50


@pytest.mark.parametrize(
    ("numbers", "message"),
    [
        ({"learning_rate": 0.0}, "learning_rate: 0.0; expected more than 0"),
        ({"document_orders": -1}, "document_orders: -1; expected 0 to"),
        ({"continuation_orders": 4}, "continuation_orders: 4; expected 0 to 3"),
        ({"kin": 1}, "kin: 1; expected true or false"),
    ],
)
def test_bad_settings_are_one_line(numbers, message):
    with pytest.raises(StageError, match=message):
        BayesGate.from_settings({"kind": "empirical_bayes", **numbers}, CACHE)


def test_continuation_needs_the_order_above_it():
    with pytest.raises(StageError, match="continuation_orders: 2; the cache's min_order, 4"):
        BayesGate.from_settings({"kind": "empirical_bayes"}, CACHE | {"min_order": 4})


def test_counts_of_every_order_are_needed():
    with pytest.raises(StageError, match="kind exact, output match; expected"):
        BayesGate.from_settings({"kind": "empirical_bayes"}, CACHE | {"output": "match"})
