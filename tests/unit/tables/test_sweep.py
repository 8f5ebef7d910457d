"""The bucket sweep: the whole cache's counts and Z order by order, and the picture's numbers."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from fairway.audit.evidence import sample_targets
from fairway.corpus.windows import WindowPlan
from fairway.counting.caches import CacheSettings, count_targets, distributions_at
from fairway.gates.match import match_gate
from fairway.tables.sweep import Text, exact_counterpart, mass_at, sweep_line
from fairway.tables.sweep_figure import sweep_figure

VOCABULARY = 1024
CACHE = CacheSettings("hashed", max_order=6, buckets=256)
ADAPTIVE = {"kind": "order_adaptive", "threshold_low_order": 4.5, "threshold_high_order": 2.5}
GATE = match_gate(ADAPTIVE, 6, hashed=True)


def random_text(targets: int, vocabulary: int = VOCABULARY) -> Text:
    """i.i.d. uniform tokens of two bytes each, and a model that knows that they are."""
    tokens = np.random.default_rng(5).integers(0, vocabulary, targets + 1).astype(np.uint16)
    nats = np.full(targets, np.log(vocabulary), np.float32)
    return Text(tokens, WindowPlan(targets, 64, 16), vocabulary, nats, nats, 2 * targets)


def silent(targets: int) -> None:
    pass


@pytest.mark.parametrize("cache", [CACHE, exact_counterpart(CACHE)], ids=["hashed", "exact"])
def test_mass_is_that_of_all_orders_at_once(cache):
    text = random_text(1500, vocabulary=24)
    counts = count_targets(text.tokens, text.plan, 1, 1500, cache)
    assert len(np.unique(counts.order)) > 3
    targets = sample_targets(1500, 60, np.random.default_rng(1))
    mass = mass_at(text, cache, GATE, counts, targets)
    found = distributions_at(text.tokens, text.plan, targets, cache, text.vocabulary)
    model = np.full(text.vocabulary, 1 / text.vocabulary)
    expected = [
        GATE.full_distribution(model, text.entropy[target - 1], *at).sum()
        for target, *at in zip(targets, found.orders, found.hits, found.totals, strict=True)
    ]
    np.testing.assert_allclose(mass, expected, rtol=1e-12)
    if cache.kind == "exact":
        np.testing.assert_allclose(mass, 1, atol=1e-9)


def test_random_tokens_look_compressible_until_they_are_normalised():
    """15,155 random tokens in 1,024 buckets: a load of 14.8, the record's."""
    text = random_text(15_155)
    cache = replace(CACHE, max_order=7, buckets=1024)
    exact = count_targets(text.tokens, text.plan, 1, 15_155, exact_counterpart(cache))
    gate = match_gate({"kind": "entropy", "threshold": 4.0}, 7, hashed=True)
    targets = sample_targets(15_155, 200, np.random.default_rng(1))
    line = sweep_line(text, cache, gate, targets, exact, silent)
    assert line["load"] == pytest.approx(14.8, abs=0.01)
    assert line["bpb_neural"] == pytest.approx(5.0)  # 10 bits in two bytes
    assert line["bpb_reported"] < 1.5
    assert 300 < line["z_mean"] < 600
    error = line["bpb_normalized_error"]
    assert error < 0.1 and line["bpb_normalized"] > 5.0 - 3 * error
    assert line["collision_fraction"] > 0.99
    assert line["bpb_exact"] > 5.0


def test_large_tables_give_the_exact_score():
    text = random_text(3000, vocabulary=16)
    exact = count_targets(text.tokens, text.plan, 1, 3000, exact_counterpart(CACHE))
    targets = sample_targets(3000, 20, np.random.default_rng(1))
    small, large = (
        sweep_line(text, replace(CACHE, buckets=size), GATE, targets, exact, silent)
        for size in (1 << 8, 1 << 22)
    )
    assert small["bpb_exact"] == large["bpb_exact"]
    assert large["bpb_reported"] == pytest.approx(large["bpb_exact"], abs=0.02)
    assert small["bpb_reported"] < large["bpb_reported"] - 1
    assert small["z_mean"] > 2 > large["z_mean"]


def test_figure_is_small_and_deterministic():
    table = pd.DataFrame(
        {
            "buckets": [1 << 12, 1 << 14],
            "z_mean": [500.0, 200.0],
            "bpb_reported": [0.5, 0.9],
            "bpb_normalized": [3.5, 3.3],
            "bpb_normalized_error": [0.1, 0.1],
            "bpb_exact": [1.5, 1.5],
            "bpb_neural": [2.0, 2.0],
        }
    )
    image = sweep_figure(table, "a row")
    assert image.startswith(b"\x89PNG") and len(image) < 100_000
    assert sweep_figure(table, "a row") == image
    assert sweep_figure(table * 2, "a row") != image
