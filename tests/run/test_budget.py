"""From a budget to blocks: whole chunks where there is room for them, and never more than the budget."""

from __future__ import annotations

import math
import time
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import psutil
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mitotools.errors import MachineError
from mitotools.run.budget import CLUSTER_BYTES, MIB, SLACK, WORKER_BYTES, Demand, Layout, plan_blocks, written
from mitotools.run.memory import free_bytes, resident_bytes

GIB = 2**30
MUCH = 64 * GIB


def demand(size, unit, *sources, **more):
    return Demand(size, unit, **{"bytes_per_voxel": 2, "thread_bytes": MIB, "sources": sources, **more})


def memory_for(blocks, voxels, threads=1, **more):
    """Return the budget with room for that many blocks of so many voxels, in that many threads."""
    return math.ceil((threads * MIB + blocks * voxels * 2 + 1) / SLACK)


def least_of(needed, threads, processes=0):
    """Return the least budget that the error over a smaller one names, in bytes."""
    with pytest.raises(MachineError, match=r"1M is too little for this\. The least is") as caught:
        plan_blocks(needed, 1, threads, processes)
    text = str(caught.value).removesuffix(".").rpartition(" ")[2]
    return int(text[:-1]) * {"M": MIB, "G": GIB}[text[-1]]


def reads(size, block, layout):
    """Count the chunks that are decoded for all blocks, over the chunks that there are, one by one."""
    times = 1.0
    for length, step, chunk, offset in zip(size, block, layout.chunks, layout.offset, strict=True):
        pairs = {(i // step, (i + offset) // chunk) for i in range(length)}
        times *= len(pairs) / len({(i + offset) // chunk for i in range(length)})
    return times


def test_slices_become_blocks_of_whole_slices_as_thick_as_the_chunks_written():
    """A source of slices is decoded a slice at a time: narrower blocks would decode each slice again."""
    slices = Layout((1, 512, 512))
    plan = plan_blocks(demand((64, 512, 512), (16, 64, 64), slices), memory_for(1, 16 * 512 * 512), 1)
    assert plan.block == (16, 512, 512)
    assert plan.cost == 1


def test_less_memory_cuts_slices_into_strips_along_the_rows():
    slices = Layout((1, 512, 512))
    plan = plan_blocks(demand((64, 512, 512), (16, 64, 64), slices), memory_for(1, 16 * 256 * 512), 1)
    assert math.prod(plan.block) == 16 * 256 * 512
    assert plan.cost == 2  # each slice is decoded for each of two strips


def test_blocks_hold_whole_chunks_of_a_source_that_is_cut_otherwise():
    """Chunks of 24 read, of 16 written: 48 is the least that both fit."""
    plan = plan_blocks(demand((480, 48, 48), (16, 48, 48), Layout((24, 48, 48))), memory_for(1, 48**3), 1)
    assert plan.block == (48, 48, 48)
    assert plan.cost == 1


def test_blocks_of_a_crop_follow_the_chunks_written():
    """Blocks start at multiples of 16, chunks end at 8, 24, 40: one chunk at an edge is read twice."""
    layout = Layout((16, 16, 16), offset=(8, 0, 0))
    plan = plan_blocks(demand((32, 16, 16), (16, 16, 16), layout), memory_for(1, 16**3), 1)
    assert plan.block == (16, 16, 16)
    assert plan.cost == pytest.approx(4 / 3)  # 3 chunks lie there, 2 + 2 are decoded


def test_what_is_cut_alike_needs_no_more_than_one_chunk_a_block():
    layout = Layout((16, 16, 16))
    needed = demand((64, 64, 64), (16, 16, 16), layout)
    plan = plan_blocks(needed, memory_for(1, 16**3), 1)
    assert (plan.block, plan.slots, plan.cost) == ((16, 16, 16), 1, 1)


def test_every_thread_has_a_block_where_there_is_room():
    plan = plan_blocks(demand((640, 64, 64), (16, 64, 64)), memory_for(4, 16 * 64 * 64, threads=4), 4)
    assert (plan.block, plan.slots, plan.threads) == ((16, 64, 64), 4, 4)


def test_fewer_blocks_at_once_are_preferred_to_decoding_twice():
    """Two blocks of half a slice would read every slice twice; both threads read one of whole slices."""
    slices = Layout((1, 512, 512))
    memory = memory_for(1, 16 * 512 * 512, threads=2)
    plan = plan_blocks(demand((64, 512, 512), (16, 64, 64), slices), memory, 2)
    assert (plan.block, plan.slots, plan.threads) == ((16, 512, 512), 1, 2)


def test_with_too_little_memory_for_all_threads_there_are_fewer():
    """Of a hundred threads, 1 MiB each, 5.5 MiB hold three with a block of half a MiB each."""
    plan = plan_blocks(demand((640, 64, 64), (64, 64, 64)), memory_for(1, 64**3, threads=5), 100)
    assert (plan.slots, plan.threads) == (3, 3)
    assert plan.memory_bytes == 3 * (MIB + 2 * 64**3)


def test_the_processes_of_workers_count():
    needed = demand((64, 64, 64), (64, 64, 64), base_bytes=100 * MIB)
    fixed = 100 * MIB + CLUSTER_BYTES + 3 * WORKER_BYTES
    assert least_of(needed, 3, 3) == pytest.approx((fixed + 3 * (MIB + 2 * 64**3)) / SLACK, abs=MIB)
    plan = plan_blocks(needed, MUCH, 3, 3)
    assert plan.slots >= 3
    assert plan.memory_bytes == fixed + 3 * (MIB + 2 * 64**3)


def test_a_block_is_no_larger_than_progress_and_memory_like():
    plan = plan_blocks(demand((500, 4096, 4096), (32, 128, 128)), MUCH, 8)
    assert 32 * MIB <= 2 * math.prod(plan.block) <= 128 * MIB


def test_a_volume_smaller_than_a_chunk_is_one_block():
    plan = plan_blocks(demand((3, 4, 5), (32, 128, 128), Layout((64, 64, 64))), MUCH, 8)
    assert plan.block == (3, 4, 5)


LENGTHS = st.tuples(*[st.integers(1, 90)] * 3)
CHUNKS = st.tuples(*[st.integers(1, 40)] * 3)
LAYOUTS = st.builds(Layout, CHUNKS, st.tuples(*[st.integers(0, 60)] * 3))
DEMANDS = st.builds(
    Demand,
    size=LENGTHS,
    unit=CHUNKS,
    bytes_per_voxel=st.sampled_from([0.5, 1, 2, 3, 12.0, 1000]),
    sources=st.lists(LAYOUTS, max_size=3).map(tuple),
    thread_bytes=st.integers(1, 64 * MIB),
    base_bytes=st.integers(0, GIB),
)


@settings(deadline=None, max_examples=300)
@given(
    needed=DEMANDS,
    memory=st.one_of(st.integers(1, 4 * GIB), st.integers(1, 64 * MIB), st.just(0)),
    threads=st.integers(1, 70),
    processes=st.integers(0, 9),
)
def test_whatever_the_volume_and_the_budget(needed, memory, threads, processes):
    least = least_of(needed, threads, processes)
    memory = memory or least  # what the error names is enough
    try:
        plan = plan_blocks(needed, memory, threads, processes)
    except MachineError:
        assert memory < least
        return
    assert memory > least - MIB
    assert plan.memory_bytes <= memory
    smallest = tuple(min(u, n) for u, n in zip(needed.unit, needed.size, strict=True))
    assert all(
        b == n or b % u == 0 for b, u, n in zip(plan.block, needed.unit, needed.size, strict=True)
    )  # so that two blocks never share a chunk written
    assert all(s <= b <= n for s, b, n in zip(smallest, plan.block, needed.size, strict=True))
    assert max(processes, 1) <= plan.slots <= plan.threads <= max(threads, processes, 1)
    times = [max([1.0, *(reads(needed.size, b, s) for s in needed.sources)]) for b in (plan.block, smallest)]
    assert times[0] <= times[1] * 1.01
    assert times[0] == pytest.approx(plan.cost)


@settings(deadline=None, max_examples=50)
@given(needed=DEMANDS, threads=st.integers(1, 8))
def test_with_memory_for_all_of_it_nothing_is_decoded_twice(needed, threads):
    assert plan_blocks(needed, 2**60, threads).cost <= 1.01


@pytest.mark.parametrize("size", [(500, 4096, 4096), (10**5, 10**5, 10**5), (1, 1, 10**15)], ids=str)
@pytest.mark.parametrize("threads", [1, 128])
def test_planning_takes_no_time(size, threads):
    needed = demand(size, (32, 128, 128), Layout((1, size[1], size[2])), Layout((7, 100, 33), (1, 2, 3)))
    times = []
    for _ in range(3):
        start = time.perf_counter()
        plan_blocks(needed, 2**60, threads)
        times.append(time.perf_counter() - start)
    assert min(times) < 0.05


def test_resident_memory_grows_with_what_is_held():
    before = resident_bytes()
    held = [np.ones(MIB, np.uint8) for _ in range(64)]
    assert resident_bytes() - before > 60 * MIB
    held.clear()
    assert resident_bytes() - before < 10 * MIB


@pytest.mark.parametrize(
    ("amount", "text"),
    [(1, "1M"), (MIB, "1M"), (MIB + 1, "2M"), (1.5 * GIB, "1536M"), (10 * GIB, "10G"), (10 * GIB + 1, "11G")],
)
def test_an_amount_is_written_as_the_option_takes_it_and_never_too_small(amount, text):
    assert written(amount) == text


FREE = 10 * GIB


@pytest.fixture
def groups(tmp_path, monkeypatch):
    """A machine with 10 GiB free, and a way to say in which control groups its process is."""
    monkeypatch.setattr(psutil, "virtual_memory", lambda: SimpleNamespace(available=FREE))

    def free(own, files):
        for name, content in files.items():
            path = tmp_path / "groups" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(f"{content}\n")
        (tmp_path / "own").write_text(own)
        return free_bytes(tmp_path / "groups", tmp_path / "own")

    return free


def test_without_control_groups_it_is_the_machines_memory_that_is_free(tmp_path, groups):
    assert free_bytes(tmp_path / "nowhere", tmp_path / "nothing") == FREE
    assert groups("0::/job\n", {}) == FREE
    assert groups("nonsense\n", {}) == FREE


def test_a_control_group_leaves_what_its_limit_and_its_use_differ_by(groups):
    files = {"job/memory.max": 2 * GIB, "job/memory.current": GIB, "job/memory.stat": "anon 5"}
    assert groups("0::/job\n", files) == GIB


def test_a_group_without_a_limit_may_be_in_one_with(groups):
    files = {
        "jobs/memory.max": 3 * GIB, "jobs/memory.current": GIB, "jobs/memory.stat": "",
        "jobs/7/memory.max": "max", "jobs/7/memory.current": GIB, "jobs/7/memory.stat": "",
    }  # fmt: skip
    assert groups("0::/jobs/7\n", files) == 2 * GIB


def test_files_that_the_kernel_keeps_are_no_memory_in_use(groups):
    files = {
        "memory.max": 2 * GIB,
        "memory.current": 2 * GIB,
        "memory.stat": f"anon {GIB}\ninactive_file {GIB}\nactive_file 7",
    }
    assert groups("0::/\n", files) == GIB


def test_control_groups_of_version_1_count_too(groups):
    files = {
        "memory/slurm/job/memory.limit_in_bytes": 2 * GIB,
        "memory/slurm/job/memory.usage_in_bytes": GIB,
        "memory/slurm/job/memory.stat": f"inactive_file 0\ntotal_inactive_file {GIB // 2}",
    }
    assert groups("9:cpu:/\n4:cpu,memory:/slurm/job\n0::/\n", files) == GIB + GIB // 2


def test_a_group_that_uses_more_than_its_limit_leaves_nothing(groups):
    files = {"memory.max": GIB, "memory.current": 2 * GIB, "memory.stat": ""}
    assert groups("0::/\n", files) == 0


def test_a_group_beyond_the_machine_leaves_the_machines(groups):
    files = {"memory.max": 2**62, "memory.current": 0, "memory.stat": ""}
    assert groups("0::/\n", files) == FREE


@pytest.mark.skipif(not Path("/proc/self/cgroup").is_file(), reason="this system has no control groups")
def test_this_machine_has_some_memory_free():
    assert 0 < free_bytes() <= psutil.virtual_memory().total
