"""What an engine is given wrongly, and the roads that no other test takes."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

import anonymize.pipeline
from anonymize.errors import DetectorError, UsageError
from anonymize.frames import Dropped, Reason, ReleasedFrame
from anonymize.hide import Styles
from anonymize.pipeline import Engine
from anonymize.settings import Settings


def test_an_engine_needs_a_thread():
    with pytest.raises(UsageError, match="threads is 0; wanted at least 1"):
        Engine(threads=0)


def test_an_engine_forbids_core_dumps_unless_told_otherwise(monkeypatch):
    asked = []
    monkeypatch.setattr(anonymize.pipeline, "forbid_core_dumps", lambda: asked.append(True))
    monkeypatch.setattr(anonymize.pipeline, "Detector", lambda *_, **__: None)
    Engine(SimpleNamespace(entry=None))
    assert asked == [True]
    Engine(SimpleNamespace(entry=None), guard_process=False)
    assert asked == [True]


@pytest.mark.parametrize("frame", [None, b"raw", object()])
def test_what_is_no_captured_frame_is_a_mistake_of_the_caller(scripted, frame):
    engine, _ = scripted()
    with pytest.raises(UsageError, match="wanted a CapturedFrame"):
        engine.process(frame)


def test_forgetting_a_camera_that_never_came_does_nothing(scripted):
    engine, _ = scripted()
    engine.reset("rear")
    assert not engine._cameras


@pytest.mark.parametrize("style", ["blur", "mosaic"])
def test_a_weak_style_on_video_is_refused_unless_allowed(scripted, style):
    """SAFETY 9: single pictures may take it, video with a word of its own."""
    styles = Styles(plate=style)
    with pytest.raises(UsageError, match="weak_on_video"):
        scripted(Settings(styles=styles))
    scripted(Settings(styles=styles, weak_on_video=True))
    scripted(Settings(styles=styles, tracking=False))


def test_a_fault_before_a_frame_is_owned_leaves_the_frame_before_alone(scripted, noise_frame, monkeypatch):
    """In place the planes of the frame before are the caller's again: nothing may be written there."""
    engine, _ = scripted(in_place=True)
    first, second = noise_frame(), noise_frame(pts=1)
    engine.process(first)
    kept = [plane.copy() for plane in first.planes]
    monkeypatch.setattr(engine._gate, "admit", lambda captured: False)
    engine.process(second)
    assert all((plane == before).all() for plane, before in zip(first.planes, kept, strict=True))
    assert all(len(np.unique(plane)) == 1 for plane in second.planes)


def test_what_really_runs_is_told(scripted):
    engine, _ = scripted()
    assert engine.provider == "ScriptedExecutionProvider" and engine.fallbacks == ("nothing is real here",)


def test_a_comparison_with_the_float_network_that_fails_is_made_again(scripted, noise_frame, monkeypatch):
    """SAFETY 21: without it no frame of int8 passes."""
    engine, detector = scripted()
    asked = []

    def fails_once(canary):
        asked.append(canary)
        if len(asked) == 1:
            raise DetectorError("driver lost")

    monkeypatch.setattr(detector, "compare_with_float", fails_once)
    assert engine.process(noise_frame()) == [Dropped(Reason.DETECTOR_ERROR)]
    assert isinstance(engine.process(noise_frame(pts=1))[0], ReleasedFrame)
    assert len(asked) == 2
