"""SAFETY 7 with the real network: a stolen core or a stopped process makes frames late, and never lets one through."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

REPOSITORY = Path(__file__).parents[2]
# Plays a drawn street in real time; says of each frame what became of it and whether a drawn plate can be seen.
PLAYER = """
import json, sys, time
from fractions import Fraction
from anonymize import CapturedFrame, Dropped, Engine, Label, Settings
from anonymize.deadline import Budget
from anonymize.drawing import draw_street

PERIOD_S = 0.06
picture, objects = draw_street(640, 360)

def frame(number):
    return CapturedFrame((picture.copy(),), "rgb24", pts=number, time_base=Fraction(3, 50))

(reference,) = Engine().process(frame(0))
# what was drawn and not what was found: the flat body round a plate may have the colour of its own veil
plates = [tuple(int(v) for v in one.xyxy) for one in objects if one.label is Label.PLATE]
changed = (reference.planes[0] != picture).any(axis=2)
plates = [(x1, y1, x2, y2) for x1, y1, x2, y2 in plates if changed[y1:y2, x1:x2].mean() > 0.5]

def shows(pixels, x1, y1, x2, y2):
    same = (pixels[y1:y2, x1:x2] == picture[y1:y2, x1:x2]).all(axis=2)
    return same[changed[y1:y2, x1:x2]].mean() > 0.1

assert all(shows(picture, *plate) for plate in plates)
for line in sys.stdin:
    late, frames = line.split()
    engine = Engine(settings=Settings(budget=Budget(40.0, late)))
    engine.warm_up(width=640, height=360, pixel_format="rgb24")
    print("ready", flush=True)
    start_s = time.monotonic()
    told = []
    for number in range(int(frames)):
        time.sleep(max(0.0, start_s + number * PERIOD_S - time.monotonic()))
        captured = frame(number)
        begun_s = time.monotonic()
        (out,) = engine.process(captured)
        took_s = time.monotonic() - begun_s
        if isinstance(out, Dropped):
            told.append([str(out.reason), took_s, False])
            continue
        seen = any(shows(out.planes[0], *plate) for plate in plates)
        told.append(["late" if out.reason else "looked at", took_s, bool(seen)])
    print(json.dumps({"told": told, "late": engine.dropped["late"], "plates": len(plates),
                      "misses": engine.deadline_misses["front"]}), flush=True)
"""


@pytest.fixture(scope="module")
def player() -> Iterator[subprocess.Popen[str]]:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    process = subprocess.Popen(
        [sys.executable, "-c", PLAYER],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=REPOSITORY, env=environment, text=True,
    )  # fmt: skip
    yield process
    process.kill()
    process.communicate()


def play(
    player: subprocess.Popen[str], late: str, frames: int, disturb: Callable[[int], None]
) -> dict[str, Any]:
    """What the player tells of so many frames, with `disturb(pid)` called while it plays."""
    player.stdin.write(f"{late} {frames}\n")
    player.stdin.flush()
    assert player.stdout.readline() == "ready\n"
    disturb(player.pid)
    return json.loads(player.stdout.readline())


def check_contract(report: dict, frames: int) -> None:
    told = report["told"]
    assert report["plates"] > 0  # there is something to be seen
    assert len(told) == frames
    assert not any(seen for _, _, seen in told)  # no frame shows a plate
    assert {word for word, _, _ in told} <= {"late", "looked at"}
    assert sum(word == "late" for word, _, _ in told) == report["late"]
    assert report["misses"] <= sum(took_s > 0.040 for _, took_s, _ in told)


@pytest.mark.parametrize("late", ["drop", "hide", "predict"])
def test_a_stopped_process_makes_frames_late_and_lets_none_through(player, late):
    def stop_for_a_while(pid: int) -> None:
        for _ in range(6):  # at whatever stage the frame is
            time.sleep(0.13)
            os.kill(pid, signal.SIGSTOP)
            time.sleep(0.09)
            os.kill(pid, signal.SIGCONT)

    check_contract(play(player, late, 30, stop_for_a_while), 30)


def test_stolen_cores_make_frames_late_and_let_none_through(player):
    thieves: list[subprocess.Popen[bytes]] = []

    def steal(_: int) -> None:
        burn = [sys.executable, "-c", "while True: pass"]
        thieves.extend(subprocess.Popen(burn) for _ in range(4 * (os.cpu_count() or 1)))

    try:
        check_contract(play(player, "hide", 40, steal), 40)
    finally:
        for thief in thieves:
            thief.kill()
            thief.wait()
