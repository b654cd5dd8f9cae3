"""SAFETY 1, 2, 5, 6, 7: release is a type, memory is owned, a blind or overfull detector lets nothing through."""

from __future__ import annotations

import subprocess
import sys
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from anonymize.cameras import CameraGroup, WorkerError
from anonymize.canary import draw_canary, planes_from_rgb
from anonymize.drawing import draw_street
from anonymize.errors import UsageError
from anonymize.frames import (
    CapturedFrame,
    ColorMatrix,
    ColorRange,
    Dropped,
    PixelFormat,
    Reason,
    ReleasedFrame,
)
from anonymize.pipeline import Engine
from anonymize.settings import Settings
from tests.detect.networks import constant_network

REPOSITORY = Path(__file__).parents[2]
WRITES_A_RAW_FRAME = """
from pathlib import Path
from anonymize.frames import AnonymizedFrame, CapturedFrame, ReleasedFrame
from anonymize.media.pictures import write_picture
from anonymize.media.metadata import PictureMetadata

def store(frame: {kind}, metadata: PictureMetadata) -> None:
    write_picture(Path("a.png"), frame, metadata)
"""


def street_frame(pixel_format: str = "nv12", *, pts: int = 0) -> CapturedFrame:
    rgb, _ = draw_street(640, 360)
    planes = planes_from_rgb(
        rgb, PixelFormat(pixel_format), color_matrix=ColorMatrix.BT709, color_range=ColorRange.LIMITED
    )
    return CapturedFrame(planes, pixel_format, pts=pts, time_base=Fraction(1, 30))


@pytest.mark.parametrize(
    ("kind", "accepted"), [("ReleasedFrame", True), ("CapturedFrame", False), ("AnonymizedFrame", False)]
)
def test_writing_any_other_frame_fails_the_type_check(tmp_path, kind, accepted):
    """SAFETY 1."""
    file = tmp_path / "store.py"
    file.write_text(WRITES_A_RAW_FRAME.format(kind=kind))
    check = subprocess.run(
        [
            sys.executable,
            "-m",
            "mypy",
            "--config-file",
            str(REPOSITORY / "pyproject.toml"),
            "--strict",
            str(file),
        ],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
    )
    assert (check.returncode == 0) is accepted, check.stdout + check.stderr
    if not accepted:
        assert f'has incompatible type "{kind}"; expected "ReleasedFrame"' in check.stdout


def test_a_blind_network_lets_nothing_through():
    """SAFETY 5: constant scores raise nothing and find nothing."""
    engine = Engine(constant_network(-20.0), guard_process=False)
    for pts in range(3):
        assert engine.process(street_frame(pts=pts)) == [Dropped(Reason.DETECTOR_BLIND)]


def test_a_network_that_is_sure_of_everything_hides_the_whole_frame():
    """SAFETY 6."""
    engine = Engine(
        constant_network(9.0), Settings(on_fault="hide", min_long_side_px=1920), guard_process=False
    )
    (frame,) = engine.process(street_frame())
    assert isinstance(frame, ReleasedFrame)
    assert (frame.hidden_whole, frame.reason) == (True, Reason.TOO_MANY)
    assert all(len(np.unique(plane)) == 1 for plane in frame.planes)


def test_a_network_that_turns_to_nan_lets_nothing_through():
    engine = Engine(constant_network(float("nan")), guard_process=False)
    assert engine.process(street_frame()) == [Dropped(Reason.DETECTOR_ERROR)]


def test_a_group_owns_what_waits_and_blanks_it_afterwards(monkeypatch):
    """SAFETY 2: the camera overwrites its buffer right after `submit`."""
    stored = []
    engine = Engine(settings=Settings(min_long_side_px=1920), in_place=True, guard_process=False)
    reference = Engine(settings=Settings(min_long_side_px=1920), guard_process=False)
    (wanted,) = reference.process(street_frame())
    frame = street_frame()
    with CameraGroup(engine, ["front"], lambda outcome: stored.append(outcome.copy())) as group:
        assert group.submit(frame)
        for plane in frame.planes:
            plane.fill(99)
    (out,) = stored
    assert len(out.boxes) >= 1
    assert all((a == b).all() for a, b in zip(out.planes, wanted.planes, strict=True))
    slot = group._slots["front"]._free[-1]
    assert all((plane == 0).all() for plane in slot)


def test_a_full_queue_drops_and_never_blocks():
    import threading

    gate = threading.Event()
    delivered = []

    def slow(outcome):
        gate.wait(30)
        delivered.append(type(outcome))

    engine = Engine(in_place=True, guard_process=False)
    engine.process(street_frame())  # compiled and awake
    with CameraGroup(engine, ["front", "rear"], slow, queue_frames=2) as group:
        taken = [group.submit(street_frame(pts=pts)) for pts in range(1, 8)]
        assert taken.count(False) >= 4
        assert group.dropped[Reason.QUEUE_FULL] == taken.count(False)
        gate.set()
    assert len(delivered) == taken.count(True)


def test_a_consumer_that_raises_ends_the_group_loudly():
    def full_disk(outcome):
        raise OSError("no space left on device")

    engine = Engine(in_place=True, guard_process=False)
    group = CameraGroup(engine, ["front"], full_disk)
    group.submit(street_frame())
    with pytest.raises(WorkerError, match="no space left"):
        group.close()
    with pytest.raises(WorkerError):
        group.submit(street_frame())


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"cameras": []}, "at least one"),
        ({"cameras": ["a", "a"]}, "different"),
        ({"queue_frames": 0}, "queue_frames"),
    ],
)
def test_a_group_of_nothing_is_refused(options, message):
    engine = Engine(in_place=True, guard_process=False)
    with pytest.raises(UsageError, match=message):
        CameraGroup(
            engine, options.get("cameras", ["front"]), print, queue_frames=options.get("queue_frames", 2)
        )
    with pytest.raises(UsageError, match="in_place"):
        CameraGroup(Engine(guard_process=False), ["front"], print)


def test_warming_up_in_place_leaves_the_canary_to_be_found_again():
    """SAFETY 5: else every frame drops as `detector_blind` from the second canary on, 30 s after the start."""
    engine = Engine(in_place=True, guard_process=False)
    engine.warm_up(width=640, height=384, pixel_format="nv12")
    canary = engine._cameras["front"].canary
    drawn = draw_canary(canary.frame, engine._detector.size_for(canary.frame).scale)
    for shown, fresh in zip(canary.frame.planes, drawn.frame.planes, strict=True):
        np.testing.assert_array_equal(shown, fresh)
