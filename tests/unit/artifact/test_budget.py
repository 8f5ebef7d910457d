"""Bits that fill bytes: never more than the budget, nearly all of it, in few tries."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fairway.artifact.budget import CLOSE, MOST_TRIES, fill
from fairway.stage import StageError

BITS, WEIGHTS = (0.9, 7.0), 1_000_000


def packed(bits: float, over: float, share: float, bend: float) -> int:
    """Bytes: `over` of all that is no integer; integers take `share` more than they should."""
    return round(over + WEIGHTS / 8 * (bits * (1 + share) + bend * (bits - 4) ** 2))


SHAPES = (st.floats(0, 300_000), st.floats(-0.05, 0.1), st.floats(-0.02, 0.02))


@given(st.integers(200_000, 1_500_000), *SHAPES)
def test_the_budget_is_kept_and_filled(budget, over, share, bend):
    most = packed(BITS[1], over, share, bend)
    if packed(BITS[0], over, share, bend) > budget:
        with pytest.raises(StageError, match=f"packed_bytes: {budget:,}; the model takes"):
            fill(lambda bits: packed(bits, over, share, bend), int, WEIGHTS, BITS, budget)
        return
    found = fill(lambda bits: packed(bits, over, share, bend), int, WEIGHTS, BITS, budget)
    assert found.made <= budget and found.made in [size for _, size in found.tries]
    assert found.made >= min(most, (1 - CLOSE) * budget) and len(found.tries) <= MOST_TRIES
    assert all(BITS[0] <= bits <= BITS[1] for bits, _ in found.tries)


@given(st.integers(200_000, 1_500_000), st.floats(0.4, 2.5))
def test_an_eighth_of_a_byte_per_bit_may_be_wrong(budget, share):
    """Where a bit more of each weight takes 0.4 to 2.5 eighths of a byte."""
    sizes = [round(WEIGHTS / 8 * share * bits) for bits in BITS]
    if sizes[0] > budget:
        return
    found = fill(lambda bits: round(WEIGHTS / 8 * share * bits), int, WEIGHTS, BITS, budget)
    assert min(sizes[1], (1 - CLOSE) * budget) <= found.made <= budget


@given(st.integers(200_000, 800_000), st.floats(100, 3000))
def test_sizes_may_go_up_and_down(budget, wobble):
    found = fill(
        lambda bits: round(WEIGHTS / 8 * bits + wobble * math.sin(1e4 * bits)),
        int,
        WEIGHTS,
        BITS,
        budget,
    )
    assert found.made == max(size for _, size in found.tries if size <= budget)
    assert found.made > budget - 3 * wobble - CLOSE * budget


def test_steps_too_coarse_to_fill_it_end_in_the_most_that_fits():
    """Sizes that go up in leaps: 90,000, 100,000, …"""
    found = fill(lambda bits: int(bits * 10) * 10_000, int, 800_000, BITS, 405_000)
    assert found.made == 400_000 and len(found.tries) <= MOST_TRIES


@pytest.mark.parametrize("leap", [3.9, 2.0, 0.95])
def test_a_leap_over_the_budget_is_left_behind(leap):
    """Just too large for a long way down: what is below the leap is found all the same."""
    found = fill(lambda bits: 405_100 if bits >= leap else 390_000, int, 800_000, BITS, 405_000)
    assert found.made == 390_000 and len(found.tries) <= MOST_TRIES


def test_what_fits_at_the_most_bits_is_tried_once():
    assert fill(lambda bits: round(1e5 * bits), int, WEIGHTS, BITS, 2_000_000).tries == [
        (7.0, 700_000)
    ]
