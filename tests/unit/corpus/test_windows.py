"""The window plan: by hand on small texts, and its errors."""

import pytest

from fairway.corpus.windows import Window, WindowPlan
from fairway.stage import StageError


def test_windows_by_hand():
    plan = WindowPlan(targets=11, length=4, stride=3)
    assert [plan.window(index) for index in range(len(plan))] == [
        Window(0, 4, 1),
        Window(3, 7, 5),
        Window(6, 10, 8),
        Window(9, 11, 11),  # cut short by the end of the text
    ]
    assert plan.window(3).last_target == 11


def test_text_of_one_window():
    plan = WindowPlan(targets=4, length=4, stride=1)
    assert len(plan) == 1 and plan.window(0) == Window(0, 4, 1)


def test_stride_as_long_as_the_window():
    plan = WindowPlan(targets=8, length=4, stride=4)
    assert [plan.window(index) for index in range(len(plan))] == [Window(0, 4, 1), Window(4, 8, 5)]


def test_record_size():
    plan = WindowPlan(targets=62_021_632 - 1, length=2048, stride=64)
    assert plan.rank_targets(0, 8)[0] == 1
    assert plan.rank_targets(7, 8)[1] == 62_021_631
    sizes = [len(plan.rank_windows(rank, 8)) for rank in range(8)]
    assert sum(sizes) == len(plan) == 969_057 and max(sizes) - min(sizes) == 1


def test_text_shorter_than_a_window_is_refused():
    with pytest.raises(StageError, match=r"255 targets; expected at least one window .* of 256"):
        WindowPlan(targets=255, length=256, stride=64)


@pytest.mark.parametrize("stride", [0, -1, 5])
def test_stride_out_of_range_is_refused(stride):
    with pytest.raises(StageError, match=rf"windows\.stride: {stride}; expected 1 to .*4"):
        WindowPlan(targets=11, length=4, stride=stride)


def test_more_ranks_than_windows_is_refused():
    plan = WindowPlan(targets=11, length=4, stride=3)
    assert [list(plan.rank_windows(rank, 4)) for rank in range(4)] == [[0], [1], [2], [3]]
    with pytest.raises(StageError, match=r"ranks: 5; the validation text has only 4 windows"):
        plan.rank_windows(0, 5)


@pytest.mark.parametrize("rank", [-1, 2])
def test_rank_out_of_range_is_refused(rank):
    with pytest.raises(StageError, match=rf"rank {rank}: expected 0 to 1"):
        WindowPlan(targets=11, length=4, stride=3).rank_windows(rank, 2)


@pytest.mark.parametrize("target", [0, 12])
def test_target_out_of_range_is_refused(target):
    with pytest.raises(StageError, match=rf"target {target}: expected 1 to 11"):
        WindowPlan(targets=11, length=4, stride=3).window_of(target)
