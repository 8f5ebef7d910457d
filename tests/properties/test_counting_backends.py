"""All compiled ways of counting give what plain Python does, for any text, windows and ranks."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from fairway.counting.caches import count_ranks, count_targets
from support.counting_backends import BACKENDS, NAMES, plain
from support.counting_cases import cases
from support.counting_reference import match_all

KINDS = {"hashed": {}, "exact": {"output": "match"}}


@pytest.mark.parametrize("kind", KINDS)
@hypothesis_settings(max_examples=60, deadline=None)
@given(st.data())
def test_every_backend_counts_as_plain_python_does(kind, data):
    case = data.draw(cases(kind, **KINDS[kind]))
    expected = plain(*case)
    for backend, count in BACKENDS.items():
        for name, found, wanted in zip(NAMES, count(*case), expected, strict=True):
            np.testing.assert_array_equal(found, wanted, f"{backend}: {name}")


@pytest.mark.parametrize("kind", KINDS)
@hypothesis_settings(max_examples=40, deadline=None)
@given(st.data())
def test_any_range_of_targets_can_be_counted_alone(kind, data):
    tokens, plan, settings, _, threads, memory = data.draw(cases(kind, **KINDS[kind]))
    first = data.draw(st.integers(1, plan.targets))
    last = data.draw(st.integers(first, plan.targets))
    counts = count_targets(tokens, plan, first, last, settings, threads, memory=memory)
    expected = match_all(tokens, plan, settings, first, last, memory)
    for name, wanted in zip(NAMES, expected, strict=True):
        np.testing.assert_array_equal(getattr(counts, name), wanted, name)


@pytest.mark.parametrize("kind", KINDS)
@hypothesis_settings(max_examples=20, deadline=None)
@given(st.data())
def test_progress_adds_up_to_all_targets_and_orders(kind, data):
    tokens, plan, settings, ranks, threads, memory = data.draw(cases(kind, **KINDS[kind]))
    done = []
    list(count_ranks(tokens, plan, ranks, settings, threads, done.append, memory))
    assert sum(done) == (len(memory) + plan.targets) * settings.orders
