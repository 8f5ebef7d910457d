"""Rows beside rows and given scores: which test is used, and what is within noise."""

import math

import numpy as np
import pandas as pd
import pytest

from fairway.rows.profile import Profile
from fairway.tables.comparisons import comparisons, noise_of_delta
from fairway.tables.statistics import better_p, paired_difference, welch_difference

SIZES = np.full(40, 1000)


def profile(bpb: float, spread: float = 0.0) -> Profile:
    """Documents of 1,000 bytes around a score."""
    nats = (bpb + spread * np.random.default_rng(1).normal(size=40)) * SIZES * math.log(2)
    empty = np.zeros(0)
    return Profile("s", nats, SIZES, nats, SIZES, empty, empty, empty)


def table(scores: dict[str, dict[int, float]]) -> pd.DataFrame:
    """Seeds' table: bits per byte by row and seed; two bytes and one token a target."""
    return pd.DataFrame(
        {"row": row, "seed": seed, "bpb": bpb, "nats": bpb * 2 * math.log(2) * 1000}
        | {"targets": 1000}
        for row, of_row in scores.items()
        for seed, bpb in of_row.items()
    )


SCORES = {
    "a": {1: 1.700, 2: 1.703, 3: 1.698},
    "b": {1: 1.600, 2: 1.604, 3: 1.597},
    "c": {1: 1.6001, 2: 1.6039, 3: 1.597},
}


def compared(scores=SCORES, profiles=None, references=None) -> pd.DataFrame:
    generator = np.random.default_rng(0)
    found = comparisons(table(scores), profiles or {}, references or {}, generator)
    return found.set_index(["row", "against"])


def test_the_first_row_has_an_interval_and_no_difference():
    line = compared().iloc[0]
    assert line["bpb_low"] < line["bpb_mean"] < line["bpb_high"] and line["seeds"] == 3
    assert math.isnan(line["difference"])


def test_a_row_alone_is_compared_with_nothing():
    name = next(iter(SCORES))
    assert noise_of_delta(compared({name: SCORES[name]}).reset_index()) == {}


def test_rows_of_the_same_seeds_are_paired():
    line = compared().loc[("b", "a")]
    expected = paired_difference(list(SCORES["b"].values()), list(SCORES["a"].values()))
    assert (line["difference"], line["low"], line["paired_p"]) == pytest.approx(
        (expected.mean, expected.low, expected.p)
    )
    assert line["noise"] == "" and line["better_p"] < 0.01 and line["seeds_needed"] == 2
    per_token = [[bpb * 2 * math.log(2) for bpb in SCORES[row].values()] for row in "ba"]
    assert line["margin_p"] == pytest.approx(better_p(*per_token, 0.005))


def test_a_difference_of_seeds_noise_is_marked():
    line = compared().loc[("c", "b")]
    assert line["noise"] == "seeds" and line["low"] < 0 < line["high"]


def test_rows_without_common_seeds_go_by_welch():
    line = compared({"a": SCORES["a"], "b": {7: 1.6, 8: 1.602}}).loc[("b", "a")]
    expected = welch_difference([1.6, 1.602], list(SCORES["a"].values()))
    assert math.isnan(line["paired_p"])
    assert (line["difference"], line["low"]) == pytest.approx((expected.mean, expected.low))


def test_documents_give_an_interval_where_seeds_do_not():
    one = {row: {1: scores[1]} for row, scores in SCORES.items()}
    profiles = {"a": profile(1.70), "b": profile(1.6, 0.02), "c": profile(1.6001, 0.001)}
    found = compared(one, profiles)
    assert found.loc[("b", "a"), "noise"] == "" and math.isnan(found.loc[("b", "a"), "low"])
    assert found.loc[("b", "a"), "document_mean"] == pytest.approx(-0.1, abs=0.01)
    assert found.loc[("c", "b"), "noise"] == "documents"
    assert compared(one).loc[("c", "b"), "noise"] == "one seed"


def test_a_reference_is_compared_by_welch():
    found = compared(references={"published": [1.59, 1.61], "single": [1.65]})
    line = found.loc[("b", "published")]
    assert line["welch_p"] == pytest.approx(
        welch_difference(list(SCORES["b"].values()), [1.59, 1.61]).p
    )
    assert line["noise"] == "seeds"
    assert found.loc[("b", "single"), "noise"] == "" and len(found) == 9
