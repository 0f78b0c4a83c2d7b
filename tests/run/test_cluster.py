"""Blocks on processes: of this machine, and of a Dask cluster that runs already; some of them die."""

from __future__ import annotations

import logging
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from contextlib import contextmanager

import numpy as np
import psutil
import pytest
import zarr
from command_runs import (
    are_gone,
    children,
    command_line,
    environment,
    finished,
    journal_of,
    least_memory,
    lines,
    names_in,
    ran,
    started,
    succeeds,
    wait_until,
)

import mitotools
from mitotools.errors import InputError, MitotoolsError, UsageError
from mitotools.run import cluster
from mitotools.run.running import Running

distributed = pytest.importorskip("distributed")

RAW = np.random.default_rng(7).integers(0, 2**32, (64, 256, 256), dtype=np.uint32)
LABELS = RAW % 300
CONVERT = ["convert", "../raw.zarr", "v.zarr", "--chunks", "8,32,32"]


@pytest.fixture(scope="module")
def sources(tmp_path_factory):
    folder = tmp_path_factory.mktemp("cluster")
    for name, content in (("raw", RAW), ("labels", LABELS)):
        array = zarr.create_array(folder / f"{name}.zarr", shape=RAW.shape, chunks=(8, 64, 64), dtype="u4")
        array[:] = content
    succeeds(folder, "tile", "raw.zarr", "tiles", "--size", "32,128,128", "--halo", "0,8,8")
    return folder


@pytest.fixture
def folder(sources, request):
    path = sources / request.node.name.replace("/", "-")
    path.mkdir()
    return path


def free_port():
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]


class RunningCluster:
    """A scheduler and workers, started as a user starts them."""

    def __init__(self, folder):
        self._folder = folder
        self._processes = []
        self.address = ""
        self.file = folder / "scheduler.json"
        place = ("--host", "127.0.0.1", "--port", 0, "--scheduler-file", self.file)
        self.scheduler = self._start("scheduler", *place, "--no-dashboard")
        self.workers = []

    def _start(self, kind, *arguments):
        process = subprocess.Popen(
            [sys.executable, "-m", "dask", kind, *map(str, arguments)],
            cwd=self._folder,
            env=environment(self._folder),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        self._processes.append(process)
        return process

    def add_worker(self):
        place = ("--host", "127.0.0.1", "--local-directory", self._folder)
        worker = self._start("worker", self.address, *place, "--no-nanny", "--nthreads", 1, "--no-dashboard")
        self.workers.append(worker)

    def stop(self):
        for process in reversed(self._processes):
            process.kill()
        for process in self._processes:
            process.wait(10)


@contextmanager
def running_cluster(folder, workers=2):
    found = RunningCluster(folder)
    try:
        with distributed.Client(scheduler_file=found.file) as client:
            found.address = client.scheduler.address
            for _ in range(workers):
                found.add_worker()
            if workers:  # the least memory depends on how many there are
                client.wait_for_workers(workers, timeout=60)
        yield found
    finally:
        found.stop()


@pytest.fixture(scope="module")
def network(sources):
    """Two worker processes behind TCP, which know the volumes by their names alone."""
    place = sources / "network"
    place.mkdir()
    with running_cluster(place) as found:
        yield found


@pytest.fixture
def engine(network):
    """The engine of a stage, in this process."""
    with Running(scheduler=network.address).engine() as found:
        yield found


def voxels(target):
    return zarr.open_array(target / "0")[:]


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (CONVERT, RAW),
        (["merge", "../tiles", "v.zarr"], RAW),
        (["filter", "../labels.zarr", "v.zarr", "--min-size", "13990"], None),
    ],
    ids=["convert", "merge", "filter"],
)
def test_processes_behind_tcp_make_the_bits_that_threads_make(folder, network, arguments, expected):
    if expected is None:
        sizes = np.bincount(LABELS.ravel())
        kept = np.flatnonzero(sizes >= 13990)
        assert 0 < len(kept) < 299
        expected = np.where(np.isin(LABELS, kept), LABELS, 0)
    words = succeeds(folder, *arguments, "--scheduler", network.address, "--memory", "1G")
    assert words.count("\n") == 1
    assert np.array_equal(voxels(folder / "v.zarr"), expected)
    assert names_in(folder) == ["v.zarr"]


def test_results_come_with_their_items_each_once(engine):
    results = dict(engine.map(abs, range(-50, 0), 2))
    assert results == {item: -item for item in range(-50, 0)}
    assert (engine.threads, engine.processes) == (2, 2)
    assert list(engine.map(abs, [], 2)) == []


@pytest.mark.parametrize("later_s", [0.2, None], ids=["late", "never, for want of a thread"])
def test_results_come_each_once_though_dask_does_not_tell_of_them(engine, monkeypatch, later_s):
    def late(future, callback):
        if later_s:
            threading.Timer(later_s, callback, [future]).start()

    monkeypatch.setattr(cluster, "LOOK_EVERY_S", 0.05)
    monkeypatch.setattr(distributed.Future, "add_done_callback", late)
    assert sorted(engine.map(abs, range(-20, 0), 2)) == [(n, -n) for n in range(-20, 0)]


def test_the_function_goes_to_a_process_once_however_large_it_is(engine):
    """20 MB with each of 50 blocks would be 1 GB; nothing is said about its size either."""
    large = np.zeros(20 * 2**20, np.uint8)
    start = time.monotonic()
    results = list(engine.map(lambda item: int(large[item]), range(50), 2))
    assert len(results) == 50
    assert time.monotonic() - start < 10


def in_flight(engine):
    """Count the blocks that the scheduler knows of."""
    return engine.client.run_on_scheduler(
        lambda dask_scheduler: sum("_call" in str(key) for key in dask_scheduler.tasks)
    )


@pytest.mark.parametrize(("slots", "most"), [(1, 1), (2, 2 * cluster.AHEAD)])
def test_the_scheduler_holds_a_few_blocks_however_many_there_are(engine, slots, most):
    drawn = []

    def items():
        for item in range(10**6):
            drawn.append(item)
            yield item

    results = engine.map(abs, items(), slots)
    for _ in range(20):
        next(results)
        assert in_flight(engine) <= most + 1  # one that is done may not be forgotten yet
    assert len(drawn) <= 20 + most
    results.close()


class CountingClient:
    """Takes tasks and finishes none before it is asked."""

    def __init__(self):
        self.futures = []

    def submit(self, *_, **__):
        future = CountedFuture(len(self.futures))
        self.futures.append(future)
        return future

    def cancel(self, futures):
        self.cancelled = len(futures)

    def run(self, *_, **__):
        return {}


class CountedFuture:
    def __init__(self, key):
        self.key = key

    def add_done_callback(self, callback):
        callback(self)

    def result(self):
        return self.key


def test_no_more_than_ten_thousand_tasks_are_in_flight_with_any_number_of_threads():
    client = CountingClient()
    engine = cluster.Cluster(client, threads=100_000, processes=1000)
    results = engine.map(abs, range(10**6), 100_000)
    for finished_blocks in range(1, 4):
        next(results)
        assert len(client.futures) <= 1 + 10_000 + finished_blocks
    results.close()
    assert client.cancelled >= 9_990


def test_an_error_of_a_block_is_the_error_of_the_stage(engine):
    def broken(item):
        raise InputError(f"block {item}", "cannot be read")

    with pytest.raises(InputError, match="block 7: cannot be read"):
        list(engine.map(broken, [7], 2))


def test_when_a_block_fails_nobody_is_at_work_any_more(engine, tmp_path):
    """What else is begun is waited for: it would write into an output that is being removed."""

    def slow_or_broken(number):
        if number == 0:
            time.sleep(0.3)
            raise InputError("block 0", "is broken")
        time.sleep(1.0)
        (tmp_path / str(number)).write_text("late")

    with pytest.raises(InputError, match="block 0"):
        list(engine.map(slow_or_broken, range(40), 2))
    files = list(tmp_path.iterdir())
    assert 1 <= len(files) < 39
    time.sleep(1.5)
    assert list(tmp_path.iterdir()) == files


def test_a_run_that_stops_early_leaves_no_tasks_behind(engine):
    results = engine.map(time.sleep, [0.05] * 100, 2)
    next(results)
    results.close()
    wait_until(lambda: in_flight(engine) == 0)


def killed_in_the_middle(process, journal, victim, entries=2):
    """Kill another process when that many blocks are on record; return how the command ends."""
    wait_until(lambda: len(lines(journal)) >= entries, process)
    os.kill(victim(), signal.SIGKILL)
    return finished(process)


def in_small_blocks(folder, network):
    command = [*CONVERT, "--scheduler", network.address]
    return [*command, "--memory", f"{least_memory(folder, *command) + 3}M"]


def test_blocks_of_a_worker_that_is_killed_are_computed_by_the_others(folder):
    """Nothing is said: it is no concern of the user's."""
    (folder / "network").mkdir()
    with running_cluster(folder / "network") as network:
        process = started(folder, *in_small_blocks(folder, network))
        status, words = killed_in_the_middle(
            process, journal_of(folder / "v.zarr"), lambda: network.workers[0].pid
        )
        assert status == 0, words
        assert words == "mitotools convert: v.zarr: 64 x 256 x 256 uint32, voxel size unknown\n"
        assert np.array_equal(voxels(folder / "v.zarr"), RAW)


def workers_of(process):
    return [child for child in children(process) if "resource_tracker" not in command_line(child)]


def test_a_process_of_workers_that_is_killed_is_replaced(folder):
    least = least_memory(folder, *CONVERT, "--workers", "2")
    process = started(folder, *CONVERT, "--workers", "2", "--memory", f"{least + 5}M")
    wait_until(lambda: len(lines(journal_of(folder / "v.zarr"))) >= 1, process)
    all_of_them = children(process)
    assert len(workers_of(process)) == 2
    status, words = killed_in_the_middle(
        process, journal_of(folder / "v.zarr"), lambda: workers_of(process)[0].pid
    )
    assert status == 0, words
    assert words == "mitotools convert: v.zarr: 64 x 256 x 256 uint32, voxel size unknown\n"
    assert np.array_equal(voxels(folder / "v.zarr"), RAW)
    wait_until(lambda: are_gone(all_of_them))
    assert list((folder / "temporary").iterdir()) == []


def has_workers(process, _):
    return any("spawn_main" in command_line(child) for child in children(process))


def has_blocks(_, folder):
    return len(lines(journal_of(folder / "v.zarr"))) >= 1


@pytest.mark.parametrize("when", [has_workers, has_blocks])
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_what_a_terminal_sends_to_all_processes_ends_them_with_one_line(folder, when, number):
    least = least_memory(folder, *CONVERT, "--workers", "2")
    process = started(folder, *CONVERT, "--workers", "2", "--memory", f"{least + 5}M")
    wait_until(lambda: when(process, folder), process)
    all_of_them = children(process)
    os.killpg(process.pid, number)
    status, words = finished(process)
    *before, last = words.splitlines()
    assert (status, last) == (130, "mitotools convert: interrupted."), words
    assert all("--resume continues" in line for line in before), words
    wait_until(lambda: are_gone(all_of_them))


def die(item):
    os.kill(os.getpid(), signal.SIGKILL)


@pytest.mark.slow
def test_a_block_that_kills_every_worker_is_an_error():
    with Running(workers=1, threads=1).engine() as engine:
        with pytest.raises(MitotoolsError, match=r"4 workers died over 7\. Is there too little"):
            list(engine.map(die, [7], 1))
        started_here = psutil.Process().children(recursive=True)
        workers = [child for child in started_here if "spawn_main" in command_line(child)]
    wait_until(lambda: are_gone(workers))


def test_a_cluster_that_loses_all_workers_waits_for_others_and_says_so(folder, monkeypatch, caplog):
    monkeypatch.setattr(cluster, "LOOK_EVERY_S", 0.2)
    (folder / "network").mkdir()
    with (
        running_cluster(folder / "network", workers=1) as network,
        Running(scheduler=network.address).engine() as engine,
        caplog.at_level(logging.WARNING, "mitotools"),
    ):
        results = engine.map(time.sleep, [0.2] * 5, 1)
        next(results)
        network.workers[0].kill()
        time.sleep(1)
        network.add_worker()
        assert len(list(results)) == 4
        assert caplog.messages == ["the cluster has no workers left: waiting 120 s for others"]


def test_a_cluster_without_workers_for_too_long_is_an_error(folder, monkeypatch):
    monkeypatch.setattr(cluster, "LOOK_EVERY_S", 0.2)
    monkeypatch.setattr(cluster, "WITHOUT_WORKERS_S", 1.0)
    (folder / "network").mkdir()
    with (
        running_cluster(folder / "network", workers=1) as network,
        Running(scheduler=network.address).engine() as engine,
    ):
        results = engine.map(time.sleep, [0.2] * 5, 1)
        next(results)
        network.workers[0].kill()
        start = time.monotonic()
        with pytest.raises(MitotoolsError, match="the cluster: has had no workers for 1 s"):
            list(results)
        assert time.monotonic() - start < 10


@pytest.mark.slow
def test_a_scheduler_that_is_killed_is_an_error_and_what_is_done_is_continued(folder):
    (folder / "network").mkdir()
    with running_cluster(folder / "network") as network:
        command = in_small_blocks(folder, network)
        start = time.monotonic()
        status, words = killed_in_the_middle(
            started(folder, *command),
            journal_of(folder / "v.zarr"),
            lambda: network.scheduler.pid,
        )
        assert time.monotonic() - start < 40
        assert status == 1, words
        assert words.startswith("mitotools convert: the cluster: the scheduler is gone")
        assert words.endswith("--resume continues.\n")
        assert words.count("\n") == 1
    succeeds(folder, *CONVERT, "--resume")
    assert np.array_equal(voxels(folder / "v.zarr"), RAW)


@pytest.mark.parametrize("address", ["nonsense", "tcp://", "tcp://host", "host:port", "a b:1", "tcp://h:1/x"])
def test_what_is_no_address_is_wrong_usage_at_once(address):
    with pytest.raises(UsageError, match=f"'{address}' is no address"), Running(scheduler=address).engine():
        pass


def refused(**options):
    """Return why there is no such engine."""
    with pytest.raises(MitotoolsError) as caught, Running(**options).engine():
        pass
    return str(caught.value)


@pytest.mark.slow
def test_an_address_without_a_scheduler_is_one_line_within_seconds(folder):
    address = f"tcp://127.0.0.1:{free_port()}"
    start = time.monotonic()
    status, words = ran(folder, *CONVERT, "--scheduler", address)
    assert time.monotonic() - start < 20
    assert status == 1, words
    assert words.startswith(f"mitotools convert: --scheduler: {address} does not answer (")
    assert words.count("\n") == 1
    assert names_in(folder) == []


@pytest.mark.parametrize("address", ["tcp://127.0.0.1:{port}", "nowhere.invalid:{port}"])
def test_a_scheduler_that_does_not_answer_is_an_error(monkeypatch, address):
    monkeypatch.setattr(cluster, "CONNECT_S", 0.5)
    address = address.format(port=free_port())
    assert refused(scheduler=address).startswith(f"--scheduler: {address} does not answer (")


def test_a_scheduler_without_workers_is_an_error(folder, monkeypatch):
    monkeypatch.setattr(cluster, "FIRST_WORKER_S", 1)
    (folder / "network").mkdir()
    with running_cluster(folder / "network", workers=0) as network:
        assert "has no workers that know mitotools" in refused(scheduler=network.address)


def test_workers_with_another_mitotools_are_refused(network, monkeypatch):
    ours = mitotools.__version__
    monkeypatch.setattr("mitotools.__version__", "99")
    why = f"the workers of {network.address} have mitotools {ours}, not 99. Install the same everywhere"
    assert why in refused(scheduler=network.address)


@pytest.mark.parametrize(
    ("options", "name"), [({"workers": 2}, "--workers"), ({"scheduler": "tcp://a:1"}, "--scheduler")]
)
def test_without_dask_the_extra_is_named(monkeypatch, options, name):
    monkeypatch.delitem(sys.modules, "mitotools.run.cluster")
    monkeypatch.setitem(sys.modules, "distributed", None)
    why = refused(**options)
    assert why.startswith(f"{name}: needs Dask, which cannot be loaded")
    assert why.endswith("pip install 'mitotools[cluster]'.")


def test_what_workers_of_this_machine_listen_to_is_out_of_reach_of_others():
    before = places_listened_at()  # of schedulers of other tests, say
    with cluster.cluster(2, "", 2) as ours:
        assert ours.processes == 2
        places = places_listened_at() - before
    assert {address for address, _ in places} == {"127.0.0.1"}


def places_listened_at():
    """Return (address, port) of this process and of those that it started."""
    return {
        tuple(connection.laddr)
        for process in (psutil.Process(), *psutil.Process().children(recursive=True))
        for connection in process.net_connections("inet")
        if connection.status == psutil.CONN_LISTEN
    }
