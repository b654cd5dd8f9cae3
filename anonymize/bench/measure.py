"""The kinds of run: flat out, paced as a camera is, and a slow pass that looks for memory that grows.

Paced frames are due at fixed times whether the engine is ready or not, and their latency counts from when they were
due: a slow frame makes those behind it late too, as it does behind a camera. A frame that was not begun two periods
after it was due is lost as `queue_full`, for two frames wait in a live queue at most; it counts as never hidden.
"""

from __future__ import annotations

import gc
import math
import resource
import time
import tracemalloc
from collections.abc import Sequence
from typing import Any, Final

from anonymize.bench import machine
from anonymize.bench.companions import companions
from anonymize.bench.histogram import Histogram, summary
from anonymize.bench.plan import QUEUE_FRAMES, RunPlan
from anonymize.bench.priority import real_time
from anonymize.bench.recorder import Recorder
from anonymize.bench.scenes import Scene
from anonymize.frames import Dropped
from anonymize.pipeline import Engine

SETTLE_FRAMES: Final = 20
SETTLE_S: Final = 5.0
ALLOCATION_ROUNDS: Final = 3
ALLOCATION_S: Final = 20.0  # the pass ends after this, however slow the machine is
LEAD_S: Final = 0.1  # from telling the companions to the first tick
CONTROL_SHARE: Final = 0.8  # the control loop is never longer than this share of the deadline


class Surroundings:
    """What the machine did during a run: power, stolen time, switches away from us."""

    def __init__(self) -> None:
        self._energy, self._stolen_s, self._start_s = machine.Energy(), machine.stolen_s(), time.monotonic()
        self._switches = resource.getrusage(resource.RUSAGE_SELF).ru_nivcsw

    def values(self) -> dict[str, Any]:
        """For JSON; None where the system does not tell."""
        stolen_s = machine.stolen_s()
        if stolen_s is not None and self._stolen_s is not None:
            stolen_s = round(stolen_s - self._stolen_s, 2)
        return {
            "watts": self._energy.watts(time.monotonic() - self._start_s),
            "stolen_s": stolen_s,
            "switched_away": resource.getrusage(resource.RUSAGE_SELF).ru_nivcsw - self._switches,
        }


def settle(engine: Engine, scene: Scene, plan: RunPlan) -> dict[str, Any]:
    """Some frames before anything is measured: the fastest, ms, which the control loop imitates, and drops."""
    times_ms: list[float] = []  # processor time where that is less: what other work took is not in it
    dropped: list[str] = []
    end_s = time.monotonic() + SETTLE_S
    for number in range(SETTLE_FRAMES):
        frame = scene.frame(number, plan.fps)
        start_s, cpu_s = time.perf_counter(), time.process_time()
        outcome = engine.process(frame)[0]
        spent_s = min(time.perf_counter() - start_s, time.process_time() - cpu_s)
        times_ms.append(spent_s * 1000)
        if isinstance(outcome, Dropped):
            dropped.append(f"{outcome.reason}: {engine.last_fault}")
        if time.monotonic() > end_s:
            break
    return {"fastest_ms": round(min(times_ms), 3), "frames": len(times_ms), "dropped": dropped}


def flat_out(engine: Engine, scene: Scene, plan: RunPlan) -> dict[str, Any]:
    """One frame after the other for `flat_s` seconds; a frame is due when it is begun."""
    with companions(load=plan.load) as beside:
        start_s = time.monotonic()
        end_s = start_s + plan.flat_s
        beside.go({"start_s": start_s, "period_s": 1.0, "ticks": 0, "lost_after_s": 1.0, "end_s": end_s + 60})
        around, recorder, number, began_s = Surroundings(), Recorder(start_s, plan.flat_s), 0, start_s
        while began_s < end_s:
            frame = scene.frame(number, plan.fps)
            began_s = time.monotonic()
            outcomes = engine.process(frame)
            recorder.take(outcomes, began_s, began_s, time.monotonic())
            number += 1
        return {**recorder.values(time.monotonic() - start_s), **around.values()}


def has_control(plan: RunPlan) -> bool:
    """Whether the control loop runs: with `auto` where it takes no core from the engine or rides on the load."""
    if plan.control == "auto":
        return plan.load > 0 or machine.cores() > plan.threads
    return plan.control == "on"


def paced(engine: Engine, scene: Scene, plan: RunPlan, fastest_ms: float) -> dict[str, Any]:
    """At the camera's rate for `paced_s` seconds, with the control loop in the same schedule."""
    period_s = 1 / plan.fps
    ticks = max(1, round(plan.paced_s * plan.fps))
    work_ms = min(fastest_ms, CONTROL_SHARE * plan.deadline_ms) if has_control(plan) else 0.0
    with companions(load=plan.load, control_work_ms=work_ms) as beside:
        start_s = time.monotonic() + LEAD_S
        end_s = start_s + ticks * period_s
        beside.go(
            {
                "start_s": start_s,
                "period_s": period_s,
                "ticks": ticks,
                "lost_after_s": QUEUE_FRAMES * period_s,
                "end_s": end_s,
            }
        )
        around = Surroundings()
        counted = engine.deadline_misses["front"]
        recorder = Recorder(start_s, plan.paced_s, plan.deadline_ms)
        with real_time(plan.priority):
            follow_cameras(engine, scene, plan, ["front"], recorder=recorder, start_s=start_s, ticks=ticks)
        values = {**recorder.values(max(time.monotonic(), end_s) - start_s), **around.values()}
        values["misses_counted_by_engine"] = engine.deadline_misses["front"] - counted if plan.late else None
        values["control"] = against_control(recorder.missed, beside.finished_ms(), work_ms, plan.deadline_ms)
    return values


def follow_cameras(
    engine: Engine,
    scene: Scene,
    plan: RunPlan,
    cameras: Sequence[str],
    *,
    recorder: Recorder,
    start_s: float,
    ticks: int,
) -> None:
    """Process the frames of cameras that expose in turn, evenly apart, each at its time; too old ones are lost."""
    period_s, clock, sleep = 1 / plan.fps, time.monotonic, time.sleep
    for number in range(ticks):
        for place, camera in enumerate(cameras):
            due_s = start_s + (number + place / len(cameras)) * period_s
            frame = scene.frame(number, plan.fps, camera)
            now_s = clock()
            if now_s < due_s:
                sleep(due_s - now_s)
            elif now_s > due_s + QUEUE_FRAMES * period_s:
                recorder.lose("queue_full", now_s)
                continue
            began_s = clock()
            outcomes = engine.process(frame, arrived_s=due_s)
            recorder.take(outcomes, due_s, began_s, clock())


def against_control(
    missed: Sequence[int], finished_ms: Sequence[float] | None, work_ms: float, deadline_ms: float
) -> dict[str, Any] | None:
    """Our misses beside the control loop's, tick by tick; None without a control.

    The loop was on time in a tick if it was done before the same deadline. A tick that it did not reach at all is
    one in which it was late.
    """
    if finished_ms is None:
        return None
    on_time = [0 <= finished <= deadline_ms for finished in finished_ms]
    on_time += [False] * (len(missed) - len(on_time))
    latencies = Histogram()
    for finished in finished_ms:
        latencies.add(finished if finished >= 0 else math.inf)
    return {
        "work_ms": round(work_ms, 3),
        "late": on_time.count(False),
        "misses_while_on_time": sum(
            1 for ours, control in zip(missed, on_time, strict=True) if ours and control
        ),
        "durations_ms": summary(latencies),
    }


def growth(engine: Engine, scene: Scene, plan: RunPlan) -> dict[str, Any]:
    """Memory that stays from frame to frame; measured apart, for being watched makes the engine slow.

    Free lists of Python and numba fill during the first rounds, so the smallest of three rounds counts: what leaks
    with each frame leaks in every round.
    """
    number, end_s = 0, time.monotonic() + ALLOCATION_S

    def drive() -> int:
        nonlocal number
        for done in range(plan.allocation_frames):
            engine.process(scene.frame(number, plan.fps))
            number += 1
            if time.monotonic() > end_s:
                return done + 1
        gc.collect()
        return plan.allocation_frames

    rounds: list[tuple[int, int, int, float]] = []
    tracemalloc.start()
    try:
        drive()
        while len(rounds) < ALLOCATION_ROUNDS and (not rounds or time.monotonic() < end_s):
            before, resident_mb = tracemalloc.get_traced_memory()[0], machine.memory_mb() or 0.0
            tracemalloc.reset_peak()
            frames = drive()
            after, peak = tracemalloc.get_traced_memory()
            rounds.append((after - before, peak - before, frames, (machine.memory_mb() or 0.0) - resident_mb))
    finally:
        tracemalloc.stop()
    grown, peak, frames, resident_grown_mb = min(rounds)
    return {
        "complete": len(rounds) == ALLOCATION_ROUNDS and frames == plan.allocation_frames,
        "rounds": len(rounds),
        "frames": frames,
        "growth_bytes": grown,
        "peak_bytes": peak,
        "resident_growth_mb": round(resident_grown_mb, 2),
    }
