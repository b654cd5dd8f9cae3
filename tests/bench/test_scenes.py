"""Drawn frames: as many objects as said, whole in every frame, in every format."""

from __future__ import annotations

import numpy as np
import pytest

from anonymize.bench import scenes
from anonymize.bench.plan import FORMATS
from anonymize.errors import UsageError
from anonymize.frames import LAYOUTS, PixelFormat


def test_the_formats_are_those_of_the_engine():
    assert set(FORMATS) == {str(one) for one in PixelFormat}


@pytest.mark.parametrize("pixel_format", FORMATS)
@pytest.mark.parametrize("size", [(640, 360), (641, 361)])
def test_frames_have_the_format_and_size_asked_for(pixel_format, size):
    scene = scenes.draw_scene(*size, pixel_format, 4)
    shapes = LAYOUTS[PixelFormat(pixel_format)].shapes(*size)
    assert all(tuple(p.shape for p in frame.planes) == shapes for frame in scene.frames)
    assert scene.held_bytes == sum(p.nbytes for frame in scene.frames for p in frame.planes)


@pytest.mark.parametrize("objects", [0, 1, 2, 8, 17, 64])
@pytest.mark.parametrize("size", [(640, 360), (1280, 720), (480, 640)])
def test_every_object_is_whole_in_every_frame(objects, size):
    width, height = size
    wide = width + scenes.STEP_PX * (scenes.PHASES - 1)
    picture = scenes._street(wide, height)
    drawn = scenes._place_objects(picture, objects, left_px=wide - width, right_px=width)
    assert len(drawn) == objects
    for one in drawn:
        x1, y1, x2, y2 = one.xyxy
        assert wide - width <= x1 < x2 <= width  # inside every window of `width` columns
        assert 0 <= y1 < y2 <= height
    for number, one in enumerate(drawn):
        for other in drawn[:number]:
            apart = one.xyxy[0] >= other.xyxy[2] or other.xyxy[0] >= one.xyxy[2]
            assert apart or one.xyxy[1] >= other.xyxy[3] or other.xyxy[1] >= one.xyxy[3]


def test_too_many_objects_are_refused():
    with pytest.raises(UsageError, match="0 to 64"):
        scenes.draw_scene(640, 360, "nv12", 65)


def test_frames_are_shown_forwards_and_backwards():
    scene = scenes.draw_scene(64, 64, "gray8", 0)
    order = [
        next(i for i, f in enumerate(scene.frames) if f.planes[0] is scene.frame(n, 30.0).planes[0])
        for n in range(16)
    ]
    assert order == [0, 1, 2, 3, 4, 5, 6, 7, 6, 5, 4, 3, 2, 1, 0, 1]
    frame = scene.frame(45, 30.0, "rear")
    assert (float(frame.pts * frame.time_base), frame.camera) == (1.5, "rear")
    assert np.array_equal(
        scene.frames[0].planes[0][:, scenes.STEP_PX :], scene.frames[1].planes[0][:, : -scenes.STEP_PX]
    )
