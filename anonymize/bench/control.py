"""A process beside the measured one: a fixed busy loop in the same schedule (the control), a burnt core, or both.

Started as a file of its own, without this package: it needs nothing, and is there at once. What it is told comes in
two lines of JSON on its standard input, the second when the schedule is known.
"""

from __future__ import annotations

import json
import os
import sys
import time

ROUND = 2_000  # turns of the loop between two looks at the clock: below 0.2 ms
CALIBRATION_ROUNDS = 60


def spin(turns: int) -> int:
    """The busy loop: a fixed amount of work."""
    value = 0
    for number in range(turns):
        value ^= number
    return value


def turns_per_ms() -> float:
    """Turns of the loop in one ms of processor time, the fastest of many tries."""
    best_s = 1.0
    for _ in range(CALIBRATION_ROUNDS):
        start_s = time.thread_time()
        spin(ROUND)
        best_s = min(best_s, time.thread_time() - start_s)
    return ROUND / (best_s * 1000)


def wait(until_s: float, *, burn: bool) -> None:
    """Sleep, or burn the core, until then."""
    while burn and time.monotonic() < until_s:
        spin(ROUND)
    left_s = until_s - time.monotonic()
    if left_s > 0:
        time.sleep(left_s)


def follow(plan: dict[str, float], turns: int, parent: int, *, burn: bool) -> list[float]:
    """For each tick: ms from when it was due to when the loop was done; -1 for a tick that was skipped as lost."""
    finished_ms = []
    for tick in range(int(plan["ticks"])):
        due_s = plan["start_s"] + tick * plan["period_s"]
        wait(due_s, burn=burn)
        if os.getppid() != parent:  # whoever measured is gone
            break
        if time.monotonic() > due_s + plan["lost_after_s"]:
            finished_ms.append(-1.0)
            continue
        spin(turns)
        finished_ms.append(round((time.monotonic() - due_s) * 1000, 3))
    return finished_ms


def burn_until(end_s: float, parent: int) -> None:
    """Burn a core until then, or until whoever asked for it is gone."""
    while time.monotonic() < end_s and os.getppid() == parent:
        for _ in range(20):
            spin(ROUND)


def be_ordinary() -> None:
    """Whatever priority the measured process has: what runs beside it is an ordinary process."""
    if hasattr(os, "sched_getscheduler") and os.sched_getscheduler(0) != os.SCHED_OTHER:
        os.sched_setscheduler(0, os.SCHED_OTHER, os.sched_param(0))


def main() -> None:
    """Two lines in, one line out."""
    be_ordinary()
    parent = os.getppid()
    told = json.loads(sys.stdin.readline())
    turns = round(told["work_ms"] * turns_per_ms()) if told["work_ms"] else 0
    print("ready", flush=True)
    plan = json.loads(sys.stdin.readline())
    finished_ms = follow(plan, turns, parent, burn=told["burn"]) if told["work_ms"] else []
    if told["burn"]:
        burn_until(plan["end_s"], parent)
    print(json.dumps(finished_ms), flush=True)


if __name__ == "__main__":
    try:
        main()
    except (KeyboardInterrupt, BrokenPipeError, ValueError):  # stopped, or left alone
        sys.exit(1)
