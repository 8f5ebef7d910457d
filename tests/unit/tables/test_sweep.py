"""A sweep's table and pictures: what hashed settings are worth, the best, lines and heat maps."""

import itertools
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from fairway.audit.evidence import sample_targets
from fairway.corpus.windows import WindowPlan
from fairway.counting.caches import CacheSettings, count_targets, distributions_at
from fairway.gates.match import match_gate
from fairway.gates.match_grid import masses, summed_nats
from fairway.rows.grid import Axis
from fairway.tables.report.style import file_png, file_svg, styled
from fairway.tables.statistics import Difference
from fairway.tables.sweep import BEST, HALVES, Swept, hashed_columns, note, noted, scores
from fairway.tables.sweep_figure import sweep_figure

SETTINGS = [{"kind": "entropy", "threshold": 2.0, "slope": slope} for slope in (2.0, 3.0)]


def worth(targets: int, vocabulary: int, buckets: int, sampled: int = 200) -> pd.DataFrame:
    """Hashed settings on uniform tokens of two bytes, and a model that knows that they are."""
    generator = np.random.default_rng(5)
    tokens = generator.integers(0, vocabulary, targets + 1).astype(np.uint16)
    nats = np.full(targets, np.log(vocabulary), np.float32)
    plan = WindowPlan(targets, 64, 16)
    hashed = CacheSettings("hashed", max_order=7, buckets=buckets)
    found = [count_targets(tokens, plan, 1, targets, cache) for cache in
             (hashed, CacheSettings("exact", max_order=7))]  # fmt: skip
    gates = [[match_gate(one, 7, is_hashed) for one in SETTINGS] for is_hashed in (True, False)]
    bpb, exact = (
        scores(summed_nats(of, nats, nats, c.order, c.hits, c.total)[:, None], [2 * targets])[
            "bpb"
        ]
        for of, c in zip(gates, found, strict=True)
    )
    places = sample_targets(targets, sampled, np.random.default_rng(1))
    at = distributions_at(tokens, plan, places, hashed, vocabulary)
    model = np.full((len(places), vocabulary), 1 / vocabulary)
    mass = masses(gates[0], model, nats[: len(places)], at.orders, at.hits, at.totals)
    orders = (counts.order for counts in found)
    return pd.DataFrame({"bpb": bpb} | hashed_columns(bpb, mass, exact, *orders, 2 * targets))


def test_random_tokens_look_compressible_until_they_are_normalised():
    """15,155 random tokens in 1,024 buckets, the load of the record; 10 bits in two bytes."""
    for line in worth(15_155, 1024, 1024).itertuples():
        assert line.bpb < 1.5 and 300 < line.z_mean < 600
        assert line.bpb_normalized_error < 0.1
        assert line.bpb_normalized > 5.0 - 3 * line.bpb_normalized_error
        assert line.collision_fraction > 0.99 and line.bpb_exact > 5.0


@pytest.mark.parametrize(("sampled", "error"), [(300, 0.0), (1, np.nan)])
def test_the_error_is_that_of_the_sample(sampled, error):
    np.testing.assert_array_equal(worth(300, 16, 64, sampled)["bpb_normalized_error"], error)


def test_large_tables_give_the_exact_score():
    small, large = (worth(3000, 16, buckets, 20).iloc[0] for buckets in (1 << 8, 1 << 22))
    assert small["bpb_exact"] == large["bpb_exact"]
    assert large["bpb"] == pytest.approx(large["bpb_exact"], abs=0.02)
    assert small["bpb"] < large["bpb"] - 1 and small["z_mean"] > 2 > large["z_mean"]


def made_up(
    axes: list[Axis], columns: tuple[str, ...] = ("bpb",), gain: Difference | None = None
) -> Swept:
    """A sweep whose figures rise from setting to setting; the last setting is the row's own."""
    points = list(itertools.product(*(axis.values for axis in axes)))
    figures = {key: np.linspace(1, 2 + place, len(points)) for place, key in enumerate(columns)}
    table = noted(axes, points, points[-1], pd.DataFrame(figures))
    return Swept("s", "some_row", 7, axes, table, 1.7, gain)


THRESHOLD, SLOPE = Axis("gate", "threshold", [1.0, 2.5, 4.0]), Axis("gate", "slope", [1.0, 2.0])
BUCKETS = Axis("cache", "buckets", [1 << 12, 1 << 16, 1 << 20])
HASHED = ("bpb", "z_mean", "bpb_normalized", "bpb_normalized_error", "bpb_exact")


@pytest.mark.parametrize(
    ("axes", "columns"),
    [
        ([BUCKETS], HASHED),
        ([THRESHOLD], ("bpb",)),
        ([THRESHOLD], ("bpb", *HALVES)),
        ([SLOPE, THRESHOLD], ("bpb", *HALVES)),
        ([SLOPE, THRESHOLD, BUCKETS], HASHED),
    ],
)
def test_pictures_are_small_and_always_the_same(axes, columns):
    swept = made_up(axes, columns)
    files = []
    for _ in range(2):
        with styled():
            figure = sweep_figure(swept)
        files.append((file_svg(figure), file_png(figure)))
    assert files[0] == files[1]
    svg, png = files[0]
    assert b"some_row, seed 7" in svg and len(png) < 100_000


@pytest.mark.parametrize(
    ("gain", "cell", "words"),
    [
        (Difference(-0.1, -0.3, 0.1, 0.3), "| -0.1000 ≈ |", "-0.3000 to +0.1000 (≈: within noise"),
        (Difference(-0.1, np.nan, np.nan, np.nan), "| -0.1000 |", "too few documents"),
        (None, "|  |", "The row's own setting is the best."),
    ],
)
def test_the_note_says_what_may_be_chance(gain, cell, words):
    text = note(made_up([THRESHOLD], gain=gain))
    assert cell in next(line for line in text.splitlines() if BEST in line) and words in text


@pytest.mark.parametrize("columns", [("bpb",), HASHED])
def test_a_row_without_a_model_has_no_seed_and_no_noise_of_training(columns):
    gain = Difference(-0.1, -0.3, -0.05, 0.3)
    swept = replace(made_up([BUCKETS], columns, gain=gain), seed=None, model_bpb=None)
    with styled():
        svg = file_svg(sweep_figure(swept))
    text = note(swept)
    assert "some_row: 3 settings" in text and b"some_row: 3 settings" in svg
    assert "seed" not in text and "(beyond noise)." in text and b"model alone" not in svg


def test_the_note_has_the_rows_own_and_the_best():
    text = note(made_up([SLOPE, THRESHOLD], gain=Difference(-1.0, -1.1, -0.9, 0.001)))
    assert "| the row's own | 2 | 4 | 2.0000 |  |" in text
    assert f"| {BEST} | 1 | 1 | 1.0000 | -1.0000 |" in text and "beyond noise" in text
    assert "some_row, seed 7: 6 settings, of slope, threshold" in text
    assert "It enters no other table." in text


def test_whole_settings_have_all_their_digits():
    buckets = Axis("cache", "buckets", [1 << 22, 1 << 24])
    text = note(made_up([buckets, Axis("gate", "threshold", [2.1234567])]))
    assert f"| {BEST} | 4,194,304 | 2.12346 |" in text
    assert "| the row's own | 16,777,216 | 2.12346 |" in text


def test_whole_settings_have_all_their_digits_in_pictures():
    axis = Axis("cache", "min_count", [2, 98_765])
    with styled():
        svg = file_svg(sweep_figure(made_up([axis], HASHED)))
    assert b"98,765" in svg
