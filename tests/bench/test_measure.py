"""Pacing, losses, the control loop and the search, with an engine whose delays a test chose."""

from __future__ import annotations

import math
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from anonymize.bench import control, measure, runs, worker
from anonymize.bench.companions import companions
from anonymize.bench.plan import RunPlan
from anonymize.bench.recorder import Recorder
from anonymize.bench.scenes import Scene, draw_scene
from anonymize.frames import CapturedFrame, Dropped, Reason, ReleasedFrame

FPS = 50.0


class Clock:
    """Time that passes only where someone sleeps, so that a busy machine changes nothing."""

    process_time = staticmethod(time.process_time)
    perf_counter = staticmethod(time.perf_counter)

    def __init__(self) -> None:
        self.now_s = 100.0

    def monotonic(self) -> float:
        return self.now_s

    def sleep(self, seconds: float) -> None:
        self.now_s += seconds


class Paused:
    """An engine that takes a pause for each frame, and drops where it is told to."""

    def __init__(
        self,
        seal: Callable[[CapturedFrame], ReleasedFrame],
        pauses_s: dict[int, float],
        clock: Clock | None = None,
    ) -> None:
        self._seal, self._pauses_s, self.clock = seal, pauses_s, clock or Clock()
        self.last_fault = ""
        self.drop: Reason | None = None
        self.arrived_s: list[float | None] = []

    def process(self, frame: CapturedFrame, *, arrived_s: float | None = None) -> list[Any]:
        self.arrived_s.append(arrived_s)
        self.clock.sleep(self._pauses_s.get(frame.pts, 0.0))
        return [self._seal(frame) if self.drop is None else Dropped(self.drop)]


@pytest.fixture(scope="module")
def scene() -> Scene:
    return draw_scene(64, 64, "gray8", 0)


@pytest.fixture
def follow(monkeypatch, scene):
    """Follows the cameras of a paused engine for some ticks of 20 ms."""

    def start(
        engine: Paused, ticks: int, cameras: Sequence[str] = ("front",)
    ) -> tuple[Recorder, dict[str, Any]]:
        clock = engine.clock
        monkeypatch.setattr(measure, "time", clock)
        plan = RunPlan(fps=FPS, deadline_ms=1000 / FPS)
        start_s = clock.now_s + 0.05
        recorder = Recorder(start_s, ticks / FPS, plan.deadline_ms)
        measure.follow_cameras(engine, scene, plan, cameras, recorder=recorder, start_s=start_s, ticks=ticks)
        return recorder, recorder.values(clock.now_s - start_s)

    return start


def test_a_slow_frame_makes_those_behind_it_late(released, follow):
    """Coordinated omission: a loop that waits for the slow frame would see one late frame of thirty."""
    recorder, values = follow(Paused(released, {4: 0.05}), 30)
    assert values["frames"] == 30
    assert [n for n, missed in enumerate(recorder.missed) if missed] == [
        4,
        5,
    ]  # 5 was done 30 ms after it was due
    assert values["misses"] == 2
    latency = sorted(recorder.latency().counts.items())
    assert values["durations_ms"]["latency"]["max"] == pytest.approx(50, abs=0.1)
    assert len(latency) >= 3  # 50, 30 and 10 ms, and the rest
    assert values["durations_ms"]["service"]["p90"] < 1  # one frame alone was slow in itself


def test_the_engines_deadline_counts_from_when_a_frame_was_due(released, follow):
    engine = Paused(released, {1: 0.05})
    follow(engine, 4)
    steps_s = [arrived_s - engine.arrived_s[0] for arrived_s in engine.arrived_s]
    assert steps_s == pytest.approx([number / FPS for number in range(4)])


@pytest.mark.parametrize(("late", "kind"), [("drop", "dropped"), ("hide", "hidden_whole")])
def test_late_gives_the_engine_the_deadline(late, kind):
    """No network looks at a picture within half a millisecond."""
    plan = RunPlan(late=late, deadline_ms=0.5, paced_s=0.4, fps=FPS, control="off")
    street = draw_scene(320, 320, "gray8", 0)
    engine = worker.make_engine(plan)
    worker.warm_up(engine, street)
    values = measure.paced(engine, street, plan, 1.0)
    engine.close()
    assert values[kind]["late"] > 0
    assert values[kind]["late"] + values["dropped"].get("queue_full", 0) == values["frames"]
    assert values["misses_counted_by_engine"] > 0
    assert plan.key()["late"] == late
    assert "late" not in RunPlan().key()  # an older report stays comparable


def test_frames_that_waited_two_periods_are_lost_and_counted(released, follow):
    recorder, values = follow(Paused(released, {4: 0.205}), 40)
    assert values["dropped"] == {"queue_full": 8}  # 5 to 12, due 185 to 45 ms before frame 4 was done
    assert values["delivered"] + 8 == values["frames"] == 40
    assert [n for n, missed in enumerate(recorder.missed) if missed] == list(range(4, 14))
    assert values["durations_ms"]["latency"]["max"] is None  # never
    assert values["durations_ms"]["service"]["max"] == pytest.approx(205, abs=0.1)


def test_drops_are_named_and_never_count_as_fast(released, follow):
    engine = Paused(released, {})
    engine.drop = Reason.DETECTOR_BLIND
    _, values = follow(engine, 10)
    assert values["dropped"] == {"detector_blind": 10}
    assert values["delivered"] == 0
    assert values["misses"] == 10
    assert values["durations_ms"]["latency"]["p50"] is None


def test_cameras_expose_in_turn(released, follow):
    seen = []
    engine = Paused(released, {})
    process = engine.process
    engine.process = lambda frame, **more: seen.append((frame.camera, frame.pts)) or process(frame)
    follow(engine, 3, cameras=("a", "b"))
    assert seen == [("a", 0), ("b", 0), ("a", 1), ("b", 1), ("a", 2), ("b", 2)]


def test_windows_hold_every_frame(released, follow):
    recorder, values = follow(Paused(released, {}), 60)
    assert sum(window["frames"] for window in values["windows"]) == 60
    assert len(values["windows"]) >= 4
    assert recorder.latency().total == 60
    assert all(window["cpu_ms"] >= 0 for window in values["windows"])


def test_only_misses_while_the_control_was_on_time_are_ours():
    missed = [0, 1, 1, 1, 0]
    finished_ms = [5.0, 5.0, 40.0, -1.0, 40.0]
    values = measure.against_control(missed, finished_ms, 4.0, 33.3)
    assert values["misses_while_on_time"] == 1
    assert values["late"] == 3
    assert values["durations_ms"]["max"] is None
    short = measure.against_control(missed, [5.0], 4.0, 33.3)
    assert short["late"] == 4  # ticks that it did not reach
    assert measure.against_control(missed, None, 0.0, 33.3) is None


def test_the_control_loop_keeps_the_schedule():
    with companions(load=0, control_work_ms=2.0) as beside:
        start_s = time.monotonic() + 0.1
        beside.go(
            {"start_s": start_s, "period_s": 0.02, "ticks": 20, "lost_after_s": 60.0, "end_s": start_s + 0.4}
        )
        finished_ms = beside.finished_ms()
    assert len(finished_ms) == 20
    assert all(value >= 1.0 for value in finished_ms)  # 2 ms of work, measured on another occasion


def test_the_control_loop_skips_ticks_that_are_lost():
    with companions(load=0, control_work_ms=0.5) as beside:
        start_s = time.monotonic() - 100
        beside.go({"start_s": start_s, "period_s": 0.02, "ticks": 5, "lost_after_s": 0.04, "end_s": start_s})
        assert beside.finished_ms() == [-1.0] * 5


def processor_ticks(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text("utf-8").rsplit(")", 1)[1].split()[11])


def test_burnt_cores_are_burnt_and_let_go():
    with companions(load=1) as beside:
        now_s = time.monotonic()
        beside.go({"start_s": now_s, "period_s": 1.0, "ticks": 0, "lost_after_s": 1.0, "end_s": now_s + 60})
        process = beside._processes[0]
        while processor_ticks(process.pid) < 10 and time.monotonic() < now_s + 30:
            time.sleep(0.05)
        assert processor_ticks(process.pid) >= 10  # 0.1 s burnt
        assert beside.finished_ms() is None
    assert process.poll() is not None


@pytest.mark.parametrize("work_ms", [0, 1])
def test_a_burnt_core_ends_with_whoever_asked_for_it(work_ms):
    program = (
        "import json, os, subprocess, sys, time\n"
        f"p = subprocess.Popen([sys.executable, {control.__file__!r}], stdin=subprocess.PIPE, text=True,"
        " stdout=subprocess.DEVNULL)\n"
        f"p.stdin.write(json.dumps({{'work_ms': {work_ms}, 'burn': True}}) + '\\n')\n"
        "now_s = time.monotonic()\n"
        "plan = {'start_s': now_s, 'period_s': 0.05, 'ticks': 1000, 'lost_after_s': 0.1, 'end_s': now_s + 60}\n"
        "p.stdin.write(json.dumps(plan) + '\\n'); p.stdin.flush()\n"
        "print(p.pid, flush=True); time.sleep(1.5); os._exit(0)\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60)
    entry = Path(f"/proc/{int(done.stdout)}")
    end_s = time.monotonic() + 30
    while (
        entry.exists()
        and entry.joinpath("stat").read_text("utf-8").split()[2] != "Z"
        and time.monotonic() < end_s
    ):
        time.sleep(0.1)
    assert time.monotonic() < end_s


@pytest.mark.parametrize(("fits", "most"), [(1, 32), (2, 32), (3, 32), (7, 32), (20, 32), (32, 32), (5, 4)])
def test_the_search_finds_how_many_fit(fits, most):
    asked = []

    def attempt(cameras: int, fps: float, confirming: bool) -> dict[str, Any]:
        asked.append((cameras, confirming))
        return {"cameras": cameras, "fps": fps, "misses": int(cameras > fits), "confirming": confirming}

    steps, found = runs.find(attempt, fps=30.0, most=most)
    assert found == {"cameras": min(fits, most), "fps": 30.0, "misses": 0, "confirming": True}
    assert len(steps) == len(asked) <= 2 * (2 * math.ceil(math.log2(most)) + 2)


def test_the_search_forgives_one_disturbance_and_believes_the_longer_run():
    disturbed = iter([1, 0])

    def once(cameras: int, fps: float, confirming: bool) -> dict[str, Any]:
        return {"cameras": cameras, "misses": next(disturbed, 0) if cameras == 1 else int(cameras > 2)}

    assert runs.find(once, fps=30.0, most=8)[1]["cameras"] == 2

    def stricter(cameras: int, fps: float, confirming: bool) -> dict[str, Any]:
        return {"cameras": cameras, "misses": int(cameras > (2 if confirming else 4))}

    assert runs.find(stricter, fps=30.0, most=8)[1]["cameras"] == 2


def test_the_search_lowers_the_rate_where_one_camera_is_too_many():
    def attempt(cameras: int, fps: float, confirming: bool) -> dict[str, Any]:
        return {"cameras": cameras, "fps": fps, "misses": int(fps > 12)}

    assert runs.find(attempt, fps=30.0, most=4)[1] == {"cameras": 1, "fps": 10.0, "misses": 0}
    assert runs.find(lambda c, f, _: {"misses": 1}, fps=30.0, most=4)[1] is None


def test_deadlines_at_lower_rates_follow_the_rate():
    assert runs.deadline_ms(RunPlan(fps=30.0, deadline_ms=20.0), 30.0) == 20.0
    assert runs.deadline_ms(RunPlan(fps=30.0, deadline_ms=20.0), 10.0) == 100.0


def test_work_raises_what_a_thread_raised():
    def broken() -> None:
        raise ValueError("broken")

    with pytest.raises(ValueError, match="broken"):
        runs.work([broken, lambda: None])


def test_growth_sees_memory_that_stays(released, scene):
    engine = Paused(released, {})
    plan = RunPlan(allocation_frames=40)
    calm = measure.growth(engine, scene, plan)
    kept: list[bytes] = []
    process = engine.process
    engine.process = lambda frame, **more: kept.append(bytes(10_000)) or process(frame)
    leaking = measure.growth(engine, scene, plan)
    assert calm["growth_bytes"] < 40 * 200
    assert leaking["growth_bytes"] > 40 * 10_000
    assert leaking["rounds"] == 3
