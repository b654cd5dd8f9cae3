"""A network on a thread of its own, and a real one that is too slow."""

from __future__ import annotations

import threading
import time

import pytest

from anonymize.detect.bounded_run import BoundedRun
from anonymize.errors import LateError


def test_a_job_that_is_done_in_time_is_waited_for():
    done = []
    run = BoundedRun()
    run.start(lambda: done.append(1))
    run.wait(time.monotonic() + 10)
    assert done == [1] and not run.busy


def test_a_job_that_is_not_done_in_time_is_late_and_blocks_the_next_until_it_is():
    gate = threading.Event()
    run = BoundedRun()
    run.start(lambda: gate.wait(20))
    begun_s = time.monotonic()
    with pytest.raises(LateError):
        run.wait(begun_s + 0.05)
    assert time.monotonic() - begun_s < 5
    with pytest.raises(LateError, match="busy"):
        run.start(lambda: None)
    gate.set()
    run.wait(time.monotonic() + 10)
    run.start(lambda: None)
    run.wait(time.monotonic() + 10)


def test_what_a_job_raises_comes_to_who_waits_and_only_once():
    def fail():
        raise ZeroDivisionError("in the job")

    run = BoundedRun()
    run.start(fail)
    with pytest.raises(ZeroDivisionError):
        run.wait(time.monotonic() + 10)
    run.start(lambda: None)
    run.wait(time.monotonic() + 10)


def test_the_thread_ends_when_it_is_closed():
    run = BoundedRun()
    run.start(lambda: None)
    run.wait(time.monotonic() + 10)
    thread = run._thread
    run.close()
    thread.join(10)
    assert not thread.is_alive()
