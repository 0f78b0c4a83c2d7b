"""Blocks on threads: in order, a bounded number of them, errors passed on."""

from __future__ import annotations

import threading
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mitotools.run.engine import available_threads, ordered_map
from mitotools.run.running import Running, print_nothing, silent


@settings(deadline=None, max_examples=50)
@given(items=st.lists(st.integers(), max_size=30), threads=st.integers(1, 8))
def test_results_come_in_the_order_of_the_items(items, threads):
    assert list(ordered_map(lambda item: item * 2, items, threads)) == [(item, item * 2) for item in items]


def test_results_come_in_order_when_the_first_takes_longest():
    released = threading.Event()

    def work(item):
        if item == 0:
            assert released.wait(10)
        if item == 3:
            released.set()
        return item

    assert [item for item, _ in ordered_map(work, range(8), 4)] == list(range(8))


@pytest.mark.parametrize("threads", [1, 2, 3])
def test_as_many_items_as_threads_are_worked_on_at_once(threads):
    meeting = threading.Barrier(threads)

    def work(item):
        meeting.wait(10)
        return item

    assert len(list(ordered_map(work, range(4 * threads), threads))) == 4 * threads


@pytest.mark.parametrize("threads", [1, 2, 3])
def test_no_more_than_two_items_a_thread_wait_for_a_slow_reader(threads):
    started = []
    for taken, _ in enumerate(ordered_map(started.append, range(40), threads), start=1):
        time.sleep(0.002)
        assert len(started) <= taken + 2 * threads - 1


def test_items_are_drawn_as_they_are_needed():
    drawn = []

    def items():
        for item in range(1000):
            drawn.append(item)
            yield item

    results = ordered_map(str, items(), 2)
    next(results)
    assert len(drawn) == 4
    results.close()


def test_an_error_comes_after_the_results_before_it_and_stops_the_rest():
    done = []

    def work(item):
        if item == 3:
            raise ValueError("item 3")
        done.append(item)
        return item

    results = ordered_map(work, range(1000), 2)
    assert [next(results)[0] for _ in range(3)] == [0, 1, 2]
    with pytest.raises(ValueError, match="item 3"):
        next(results)
    assert len(done) < 10
    assert [thread for thread in threading.enumerate() if "ThreadPool" in thread.name] == []


def test_a_reader_that_stops_early_leaves_no_threads_behind():
    results = ordered_map(str, range(1000), 4)
    next(results)
    results.close()
    assert [thread for thread in threading.enumerate() if "ThreadPool" in thread.name] == []


def test_all_processors_are_used_unless_told_otherwise():
    assert Running().threads == available_threads() >= 1


def test_running_is_silent_unless_told_otherwise(capsys):
    running = Running()
    assert list(running.track(range(3), 3, "label", "blocks")) == [0, 1, 2]
    running.status("working")
    assert capsys.readouterr() == ("", "")
    assert (running.track, running.status, running.force) == (silent, print_nothing, False)
