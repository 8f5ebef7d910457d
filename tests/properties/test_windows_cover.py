"""Windows cover every target exactly once, whatever the sizes and the number of ranks."""

from hypothesis import assume, given
from hypothesis import strategies as st

from fairway.corpus.windows import WindowPlan


@st.composite
def plans(draw) -> WindowPlan:
    length = draw(st.integers(1, 40))
    return WindowPlan(draw(st.integers(length, 400)), length, draw(st.integers(1, length)))


@given(plans())
def test_each_target_is_scored_once_with_all_the_context_it_can_have(plan):
    scored = []
    for index in range(len(plan)):
        window = plan.window(index)
        assert 0 <= window.start < window.stop <= plan.targets
        assert window.stop - window.start <= plan.length
        # a scored target has at least length − stride inputs before its own, or all there are
        context = window.first_target - window.start
        assert window.start == 0 or context >= plan.length - plan.stride + 1
        targets = range(window.first_target, window.last_target + 1)
        assert len(targets) >= 1
        assert all(plan.window_of(target) == index for target in targets)
        scored.extend(targets)
    assert scored == list(range(1, plan.targets + 1))


@given(plans(), st.integers(1, 20))
def test_ranks_are_contiguous_and_near_equal(plan, ranks):
    assume(ranks <= len(plan))
    windows = [plan.rank_windows(rank, ranks) for rank in range(ranks)]
    assert [index for part in windows for index in part] == list(range(len(plan)))
    sizes = [len(part) for part in windows]
    assert min(sizes) >= 1 and max(sizes) - min(sizes) <= 1
    last = 0
    for rank in range(ranks):
        first, stop = plan.rank_targets(rank, ranks)
        assert first == last + 1 and stop >= first
        assert plan.rank_of(first, ranks) == plan.rank_of(stop, ranks) == rank
        last = stop
    assert last == plan.targets
