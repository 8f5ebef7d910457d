"""Many match gates at once give what each gives by itself."""

import numpy as np
import pytest

from fairway.gates.match import match_gate
from fairway.gates.match_grid import masses, summed_nats

TARGETS, VOCABULARY = 20_000, 12


def settings() -> list[dict]:
    """Gates of every kind, with extreme numbers among them."""
    adaptive = {"kind": "order_adaptive", "threshold_low_order": 4.5}
    found = [adaptive | {"threshold_high_order": high, "slope": slope}
             for high in (-1e9, 0.0, 2.5) for slope in (-3.0, 0.0, 1e9)]  # fmt: skip
    found += [{"kind": "fixed", "alpha": alpha} for alpha in (0.0, 0.3, 1 - 1e-12)]
    return [*found, {"kind": "entropy", "threshold": 4.0}]


@pytest.fixture
def targets() -> tuple[np.ndarray, ...]:
    """nll, entropy, order, hits, total; some nll beyond what a double's exp can hold together."""
    generator = np.random.default_rng(3)
    nll = generator.gamma(2.0, 1.5, TARGETS).astype(np.float32)
    nll[::50] = 600
    entropy = generator.uniform(0, 6, TARGETS).astype(np.float32)
    order = generator.integers(0, 7, TARGETS).astype(np.uint8)
    total = generator.integers(1, 40, TARGETS).astype(np.uint32)
    hits = generator.integers(0, 45, TARGETS).astype(np.uint32)  # more than total, as hashes give
    hits[::3] = hits[::50] = 0
    return nll, entropy, order, hits, total


@pytest.mark.parametrize("hashed", [False, True])
@pytest.mark.parametrize("threads", [1, 3])
def test_sums_are_those_of_each_gate(targets, hashed, threads):
    gates = [match_gate(found, 7, hashed) for found in settings()]
    expected = [gate.nats(*targets).sum() for gate in gates]
    found = summed_nats(gates, *targets, threads)
    np.testing.assert_allclose(found, expected, rtol=1e-12)


def test_nothing_matched_or_nothing_there(targets):
    gates = [match_gate(settings()[-1], 7, False)]
    nll, entropy, order, hits, total = targets
    alone = summed_nats(gates, nll, entropy, order * 0, hits, total)
    assert alone == pytest.approx(nll.sum(dtype=np.float64), rel=1e-12)
    assert summed_nats(gates, *(array[:0] for array in targets)) == 0


def test_masses_are_those_of_whole_distributions(targets):
    generator = np.random.default_rng(4)
    gates = [match_gate(found, 7, hashed=True) for found in settings()]
    model = generator.dirichlet(np.full(VOCABULARY, 0.01), 30)  # some below the floor
    entropy, order, total = targets[1][:30], targets[2][:30], targets[4][:30]
    hits = generator.integers(0, 45, (30, VOCABULARY)).astype(np.uint32)
    found = masses(gates, model, entropy, order, hits, total, threads=2)
    for gate, line in zip(gates, found, strict=True):
        whole = [gate.full_distribution(*at).sum()
                 for at in zip(model, entropy, order, hits, total, strict=True)]  # fmt: skip
        np.testing.assert_allclose(line, whole, rtol=1e-13)
