"""Real-time priority in paced runs: who gets it, who does not, and what is said where it is not granted."""

from __future__ import annotations

import os
import threading
import time
from types import SimpleNamespace

import pytest

from anonymize.bench import measure
from anonymize.bench.companions import companions
from anonymize.bench.plan import RunPlan
from anonymize.bench.priority import real_time
from anonymize.cli.main import main
from anonymize.detect.bounded_run import BoundedRun
from anonymize.errors import UsageError


def may_be_real_time() -> bool:
    before = os.sched_getscheduler(0)
    try:
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(3))
    except OSError:
        return False
    os.sched_setscheduler(0, before, os.sched_param(0))
    return True


needs_the_right = pytest.mark.skipif(
    not may_be_real_time(), reason="this user may not have real-time priority"
)


def of_thread(thread: int = 0) -> tuple[int, int]:
    return os.sched_getscheduler(thread), os.sched_getparam(thread).sched_priority


@needs_the_right
def test_the_callers_thread_comes_before_the_others_and_all_are_ordinary_afterwards():
    done, started = threading.Event(), threading.Event()
    other = threading.Thread(target=lambda: (started.set(), done.wait()))
    other.start()
    started.wait()
    with real_time(7):
        assert of_thread() == (os.SCHED_FIFO, 7)
        assert of_thread(other.native_id) == (os.SCHED_FIFO, 6)
    assert of_thread() == of_thread(other.native_id) == (os.SCHED_OTHER, 0)
    done.set()
    other.join()


def test_none_changes_nothing(monkeypatch):
    monkeypatch.setattr(os, "sched_setscheduler", lambda *_: pytest.fail("was set"))
    with real_time(None):
        pass


def test_who_lacks_the_right_is_told_which(monkeypatch):
    asked = []

    def refuse(thread, policy, _param):
        asked.append(policy)
        if policy == os.SCHED_FIFO:
            raise PermissionError

    monkeypatch.setattr(os, "sched_setscheduler", refuse)
    with pytest.raises(UsageError, match=r"--priority 10 is not granted.*ulimit -r"), real_time(10):
        pytest.fail("was run")
    assert asked[0] == os.SCHED_FIFO


@needs_the_right
def test_the_load_stays_an_ordinary_process():
    with real_time(5), companions(load=1, control_work_ms=0.1) as beside:
        (process,) = beside._processes
        assert of_thread(process.pid) == (os.SCHED_OTHER, 0)
    assert of_thread() == (os.SCHED_OTHER, 0)


@needs_the_right
def test_a_paced_run_is_followed_at_the_priority(monkeypatch):
    seen = []
    monkeypatch.setattr(measure, "follow_cameras", lambda *_, **__: seen.append(of_thread()))

    engine = SimpleNamespace(deadline_misses={"front": 0})
    measure.paced(engine, None, RunPlan(priority=4, paced_s=0.1, control="off"), 1.0)
    assert seen == [(os.SCHED_FIFO, 4)]


@needs_the_right
def test_the_networks_thread_goes_one_behind_the_applications():
    run, seen = BoundedRun(), []
    with real_time(9):
        run.start(lambda: seen.append(of_thread()))
        run.wait(time.monotonic() + 5)
    run.close()
    assert seen == [(os.SCHED_FIFO, 8)]


def test_a_sandbox_without_these_calls_does_not_end_the_networks_thread(monkeypatch):
    def refuse(*_):
        raise PermissionError

    monkeypatch.setattr(os, "sched_getscheduler", refuse)
    run, seen = BoundedRun(), []
    run.start(lambda: seen.append(True))
    run.wait(time.monotonic() + 5)
    run.close()
    assert seen == [True]


@needs_the_right
def test_a_fault_of_the_run_itself_is_not_taken_for_a_refused_priority():
    with pytest.raises(PermissionError), real_time(5):
        raise PermissionError("of a file")
    assert of_thread() == (os.SCHED_OTHER, 0)


@pytest.mark.parametrize(
    ("words", "said"),
    [(["--priority", "1"], "wanted 2 to 90"), (["--priority", "9", "--mode", "flat"], "paced")],
)
def test_what_cannot_be_is_refused(capsys, words, said):
    assert main(["bench", *words]) == 2
    assert said in capsys.readouterr().err
