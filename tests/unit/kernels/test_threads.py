"""Work on several threads: every item once, in the order that was promised, errors raised."""

import threading
import time

import pytest

from fairway.kernels.threads import run_line, share_out, split


@pytest.mark.parametrize("threads", [1, 2, 5])
def test_items_are_shared_out_once_each(threads):
    seen = []
    share_out(lambda thread, item: seen.append((item, thread)), iter(range(40)), threads)
    assert sorted(item for item, _ in seen) == list(range(40))
    assert {thread for _, thread in seen} <= set(range(threads))


def test_a_free_thread_takes_what_a_busy_one_has_not_begun():
    others_done = threading.Event()
    taken = []

    def work(thread, item):
        if item == 0:
            assert others_done.wait(timeout=30)
        taken.append(item)
        if len(taken) == 9:
            others_done.set()

    share_out(work, range(10), 2)
    assert taken[-1] == 0


def test_an_error_in_shared_out_work_is_raised():
    with pytest.raises(ZeroDivisionError):
        share_out(lambda thread, item: 1 // item, [1, 0, 2], 2)


@pytest.mark.parametrize("threads", [1, 2, 3])
@pytest.mark.parametrize("items", [0, 1, 7])
def test_items_pass_down_the_line_in_order_and_not_too_many_at_once(threads, items):
    events = []

    def work(thread, item):
        events.append((thread, item, "begins"))
        time.sleep(0.001 * (thread == item % 3))
        events.append((thread, item, "ends"))

    run_line(work, items, threads)
    place = {event: index for index, event in enumerate(events)}
    assert len(place) == 2 * threads * items
    for thread in range(threads):
        for item in range(items):
            begin = place[thread, item, "begins"]
            if thread:
                assert begin > place[thread - 1, item, "ends"]
            if item:
                assert begin > place[thread, item - 1, "ends"]
            if item >= threads:
                assert begin > place[threads - 1, item - threads, "ends"]


@pytest.mark.parametrize("failing", [0, 1, 2])
def test_an_error_anywhere_in_the_line_stops_it(failing):
    began = []

    def work(thread, item):
        began.append(item)
        if thread == failing and item == 3:
            raise ValueError("item 3")

    with pytest.raises(ValueError, match="item 3"):
        run_line(work, 1000, 3)
    assert max(began) < 10


def test_splitting_covers_the_range():
    assert split(10, 3) == [(0, 3), (3, 6), (6, 10)]
