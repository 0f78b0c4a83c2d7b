"""Blocks on threads: in order or as they come, a bounded number of them, errors passed on."""

from __future__ import annotations

import concurrent.futures.thread
import itertools
import threading
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mitotools.run.engine import Pool, Threads, available_threads, ordered_map, shared_pool
from mitotools.run.running import Running, print_nothing, silent
from mitotools.stages.blocks.pieces import on_threads
from mitotools.volume.blocks import Box


def pool_threads():
    """Other tests may have left some that wait for work."""
    return {thread for thread in threading.enumerate() if "ThreadPool" in thread.name}


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
    before = pool_threads()
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
    assert pool_threads() <= before


def test_a_reader_that_stops_early_leaves_no_threads_behind():
    before = pool_threads()
    results = ordered_map(str, range(1000), 4)
    next(results)
    results.close()
    assert pool_threads() <= before


@settings(deadline=None, max_examples=50)
@given(items=st.lists(st.integers(), max_size=30, unique=True), slots=st.integers(1, 8))
def test_an_engine_returns_each_item_with_its_result_in_any_order(items, slots):
    results = list(Threads(4).map(lambda item: item * 2, items, slots))
    assert sorted(results) == sorted((item, item * 2) for item in items)


def test_an_engine_does_not_wait_for_the_first_block_to_hand_out_others():
    released = threading.Event()

    def work(item):
        if item == 0:
            assert released.wait(10)
        return item

    done = []
    for item, _ in Threads(2).map(work, range(8), 2):
        done.append(item)
        if len(done) == 7:
            released.set()
    assert done[-1] == 0


@pytest.mark.parametrize("slots", [1, 2, 3])
def test_an_engine_computes_as_many_blocks_at_once_as_it_has_slots(slots):
    meeting, most, now = threading.Barrier(slots), [], []

    def work(item):
        now.append(item)
        most.append(len(now))
        meeting.wait(10)
        now.remove(item)

    assert len(list(Threads(8).map(work, range(4 * slots), slots))) == 4 * slots
    assert max(most) <= slots


def test_an_engine_begins_no_block_before_the_caller_comes_back_for_the_next():
    """What is done is then on record, and what is in memory stays bounded."""
    begun = []
    for taken, _ in enumerate(Threads(2).map(begun.append, range(40), 2), start=1):
        time.sleep(0.002)
        assert len(begun) <= taken + 1


def test_an_error_in_an_engine_ends_its_blocks_and_its_threads():
    before = pool_threads()
    done = []

    def work(item):
        if item == 3:
            raise ValueError("item 3")
        time.sleep(0.01)
        done.append(item)

    with pytest.raises(ValueError, match="item 3"):
        list(Threads(2).map(work, range(1000), 2))
    count = len(done)
    assert count < 10
    assert pool_threads() <= before
    time.sleep(0.05)
    assert len(done) == count


def test_a_caller_that_stops_early_leaves_no_threads_of_an_engine_behind():
    before = pool_threads()
    results = Threads(4).map(str, range(1000), 4)
    next(results)
    results.close()
    assert pool_threads() <= before


@pytest.fixture
def first_call_is_lost(monkeypatch):
    """The first thread of a pool that is given work ends before it has begun it, as where memory is short."""
    begin = concurrent.futures.thread._WorkItem.run
    calls = itertools.count()

    def run(work):
        if next(calls) == 0:
            raise SystemError("error return without exception set")
        begin(work)

    monkeypatch.setattr(concurrent.futures.thread._WorkItem, "run", run)


@pytest.mark.parametrize("threads", [1, 2, 3])
@pytest.mark.parametrize(
    "results",
    [
        lambda threads: list(ordered_map(str, range(9), threads)),
        lambda threads: list(Threads(threads).map(str, range(9), threads)),
        lambda threads: on_threads(str, [Box((0, 0, 0), (1, 1, 1))] * 9, threads + 1),
    ],
    ids=["in order", "as they come", "pieces"],
)
def test_a_thread_that_is_lost_for_lack_of_memory_is_not_waited_for(first_call_is_lost, results, threads):
    shared_pool.cache_clear()
    with pytest.raises(MemoryError, match="a thread"):
        results(threads)
    shared_pool.cache_clear()


def test_threads_of_which_none_is_lost_may_take_their_time(monkeypatch):
    monkeypatch.setattr("mitotools.run.engine.LOOKED_AFTER", 0.01)
    with Pool(2) as pool:
        futures = [pool.submit(time.sleep, 0.1) for _ in range(4)]
        assert pool.wait(futures) == set(futures)
        assert [future.done() for future in futures] == [True] * 4


def test_pieces_have_one_pool_of_threads():
    assert shared_pool(3) is shared_pool(3)
    assert {future.result() for future in [shared_pool(3).submit(abs, -item) for item in range(9)]} == set(
        range(9)
    )


def test_an_engine_of_threads_is_one_process():
    with Running(threads=3).engine() as engine:
        assert (engine.threads, engine.processes) == (3, 0)
        assert engine.free_bytes > 0


def test_all_processors_are_used_unless_told_otherwise():
    assert Running().threads == available_threads() >= 1


def test_running_is_silent_unless_told_otherwise(capsys):
    running = Running()
    assert list(running.track(range(3), 3, "label", "blocks")) == [0, 1, 2]
    running.status("working")
    assert capsys.readouterr() == ("", "")
    assert (running.track, running.status, running.force) == (silent, print_nothing, False)
