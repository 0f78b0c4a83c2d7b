"""Interruptions that wait, and processes that do not hear them."""

import os
import signal
import subprocess
import sys
import threading

import pytest

from mitotools.interruption import deaf_processes, uninterrupted


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_interruptions_wait_for_the_end_of_a_block(number):
    events = []
    before = signal.signal(number, lambda *_: events.append("interrupted"))
    try:
        with uninterrupted():
            signal.raise_signal(number)
            signal.raise_signal(number)
            events.append("end")
        assert events == ["end", "interrupted"]
        signal.raise_signal(number)
        assert events == ["end", "interrupted", "interrupted"]
    finally:
        signal.signal(number, before)


def test_an_error_ends_a_block_and_gives_interruptions_back():
    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(ValueError, match="wrong"), uninterrupted():
        raise ValueError("wrong")
    assert signal.getsignal(signal.SIGINT) is before


def test_a_block_that_fails_after_an_interruption_was_interrupted():
    def fail():
        signal.raise_signal(signal.SIGINT)
        raise ValueError("a process that heard it too is gone")

    with pytest.raises(KeyboardInterrupt), uninterrupted():
        fail()


def test_other_threads_have_no_signals_to_wait_for():
    done = []

    def work():
        with uninterrupted():
            done.append(1)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert done == [1]


def test_what_a_thread_of_the_block_starts_does_not_hear_ctrl_c_and_we_do():
    ends_well = [sys.executable, "-c", "import os, signal; os.kill(os.getpid(), signal.SIGINT)"]
    statuses = []

    def work():
        statuses.append(subprocess.run(ends_well, check=False, stderr=subprocess.DEVNULL).returncode)

    with deaf_processes():
        thread = threading.Thread(target=work)
        thread.start()
    thread.join()
    work()
    assert statuses == [0, -signal.SIGINT]
    with pytest.raises(KeyboardInterrupt):
        os.kill(os.getpid(), signal.SIGINT)
