"""The runs of one configuration, in order, and the search for how many cameras this machine sustains."""

from __future__ import annotations

import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Final

from anonymize.bench import machine, measure
from anonymize.bench.histogram import merged, summary
from anonymize.bench.plan import RunPlan
from anonymize.bench.priority import real_time
from anonymize.bench.recorder import Recorder
from anonymize.bench.scenes import Scene
from anonymize.pipeline import MAX_CAMERAS, Engine

LOWER_RATES: Final = (25.0, 20.0, 15.0, 10.0, 5.0, 2.0, 1.0)
TRIES: Final = 2  # a step that misses a deadline is tried once more: a single disturbance is no limit
LEAD_S: Final = 0.1
STEP_S: Final = 4.0  # of a step; the confirming run takes what the plan says

Try = Callable[[int, float, bool], dict[str, Any]]  # cameras, frames a second, the longer run


def whole_run(engine: Engine, scene: Scene, plan: RunPlan) -> dict[str, Any]:
    """Flat out, paced, and the pass for memory, as far as the plan asks for them."""
    settled = measure.settle(engine, scene, plan)
    values: dict[str, Any] = {"settled": settled, "modes": {}}
    if plan.flat_s > 0:
        values["modes"]["flat"] = measure.flat_out(engine, scene, plan)
    if plan.paced_s > 0:
        values["modes"]["paced"] = measure.paced(engine, scene, plan, settled["fastest_ms"])
    values["last_fault"] = engine.last_fault
    values["memory"] = memory(scene)
    if plan.allocation_frames:
        values["allocations"] = measure.growth(engine, scene, plan)
    return values


def memory(scene: Scene) -> dict[str, Any]:
    """What this process holds, MB, and what of it are the frames to show."""
    return {
        "peak_mb": machine.peak_memory_mb(),
        "resident_mb": machine.memory_mb(),
        "benchmark_frames_mb": round(scene.held_bytes / 1e6, 1),
    }


def search(engine: Engine, scene: Scene, plan: RunPlan) -> dict[str, Any]:
    """How many cameras are sustained: engines beside one another, each with `threads`, up to one for each core."""
    from anonymize.bench.worker import make_engine

    measure.settle(engine, scene, plan)
    most = max(1, machine.cores() // plan.threads)
    engines = [engine]

    def attempt(cameras: int, fps: float, confirming: bool) -> dict[str, Any]:
        while len(engines) < min(most, cameras):
            engines.append(make_engine(plan))
        seconds = plan.paced_s if confirming else min(STEP_S, plan.paced_s)
        changed = plan.with_(fps=fps, deadline_ms=deadline_ms(plan, fps), paced_s=seconds)
        step = run_cameras(engines[: min(most, cameras)], scene, changed, cameras)
        tell(step)
        return step

    steps, found = find(attempt, fps=plan.fps, most=most * MAX_CAMERAS)
    return {"steps": steps, "limit": found}


def deadline_ms(plan: RunPlan, fps: float) -> float:
    """The deadline at another rate: the time between two frames, or what the plan asks for if that is longer."""
    return plan.deadline_ms if fps == plan.fps else max(plan.deadline_ms, 1000 / fps)


def find(attempt: Try, *, fps: float, most: int) -> tuple[list[dict[str, Any]], dict[str, Any] | None]:
    """Raise the number of cameras until a deadline falls, then confirm; where one is too many, lower the rate.

    Returns
    -------
    All steps in order, and the largest load that was confirmed (None where there is none).
    """
    steps: list[dict[str, Any]] = []

    def sustained(cameras: int, rate: float, *, confirming: bool = False) -> dict[str, Any] | None:
        for _ in range(TRIES):
            steps.append(attempt(cameras, rate, confirming))
            if not steps[-1]["misses"]:
                return steps[-1]
        return None

    good, bad, more = 0, most + 1, 1
    while good < most and bad > most:  # double until one fails
        cameras = min(good + more, most)
        if sustained(cameras, fps):
            good, more = cameras, 2 * more if good else 1
        else:
            bad = cameras
    while bad - good > 1:  # then halve what lies between
        cameras = (good + bad) // 2
        good, bad = (cameras, bad) if sustained(cameras, fps) else (good, cameras)
    while good:  # a longer run has the last word
        if confirmed := sustained(good, fps, confirming=True):
            return steps, confirmed
        good -= max(1, good // 8)
    for rate in (rate for rate in LOWER_RATES if rate < fps):
        if confirmed := sustained(1, rate, confirming=True):
            return steps, confirmed
    return steps, None


def run_cameras(engines: Sequence[Engine], scene: Scene, plan: RunPlan, cameras: int) -> dict[str, Any]:
    """`cameras` cameras for `paced_s` seconds, shared out to engines that work beside one another."""
    from anonymize.bench.worker import warm_up

    counts = [len(range(place, cameras, len(engines))) for place in range(len(engines))]
    shares = [tuple(f"camera-{number}" for number in range(count)) for count in counts]
    for engine, share in zip(engines, shares, strict=True):
        warm_up(engine, scene, share)
        for camera in share:  # its first frame asks for the canary
            engine.process(scene.frame(0, plan.fps, camera))
    start_s = time.monotonic() + LEAD_S
    around = measure.Surroundings()
    ticks = max(1, round(plan.paced_s * plan.fps))
    recorders = [Recorder(start_s, plan.paced_s, plan.deadline_ms) for _ in engines]
    jobs = [
        partial(
            measure.follow_cameras,
            engine,
            scene,
            plan,
            share,
            recorder=recorder,
            start_s=start_s,
            ticks=ticks,
        )
        for engine, share, recorder in zip(engines, shares, recorders, strict=True)
    ]
    with real_time(plan.priority):
        work(jobs)
    return {
        "cameras": cameras,
        "fps": plan.fps,
        "deadline_ms": round(plan.deadline_ms, 3),
        "engines": len(engines),
        "frames": sum(len(recorder.missed) for recorder in recorders),
        "misses": sum(sum(recorder.missed) for recorder in recorders),
        "dropped": dict(sum((recorder.dropped for recorder in recorders), start=Counter())),
        "latency_ms": summary(merged(recorder.latency() for recorder in recorders)),
        **around.values(),
    }


def work(jobs: Sequence[Callable[[], None]]) -> None:
    """Do all jobs at once, the last one in this thread; the first fault is raised."""
    faults: list[BaseException] = []

    def guarded(job: Callable[[], None]) -> None:
        try:
            job()
        except BaseException as fault:  # noqa: BLE001 - raised again below, in the thread that asked
            faults.append(fault)

    threads = [threading.Thread(target=guarded, args=(job,)) for job in jobs[:-1]]
    for thread in threads:
        thread.start()
    guarded(jobs[-1])
    for thread in threads:
        thread.join()
    if faults:
        raise faults[0]


def tell(step: dict[str, Any]) -> None:
    """A line of progress, for whoever waits."""
    p99 = step["latency_ms"]["p99"]
    words = f"{p99:.1f} ms" if p99 is not None else "never"
    cameras = f"{step['cameras']} camera" + "s" * (step["cameras"] > 1)
    print(
        f"  {cameras} at {step['fps']:g} frames/s: p99 {words}, {step['misses']} of {step['frames']} frames missed "
        f"{step['deadline_ms']:.1f} ms",
        file=sys.stderr,
        flush=True,
    )
