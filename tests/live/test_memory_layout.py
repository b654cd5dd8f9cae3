"""Where planes lie in foreign memory: what cannot be is refused, what is no picture is blanked."""

from __future__ import annotations

import numpy as np
import pytest

from anonymize.errors import FrameError, UsageError
from anonymize.frames import LAYOUTS, PixelFormat
from anonymize.live.gst_names import ORIENTATIONS, orientation
from anonymize.live.memory_layout import MemoryLayout
from anonymize.live.shared_header import layout_behind_header


@pytest.mark.parametrize("pixel_format", list(PixelFormat))
@pytest.mark.parametrize("size", [(1, 1), (3, 5), (642, 48)])
def test_planes_are_views_and_every_other_byte_is_blanked(pixel_format, size):
    layout = layout_behind_header(pixel_format, *size)
    memory = np.full(layout.size_bytes + 33, 7, np.uint8)
    planes = layout.planes(memory)
    assert [plane.shape for plane in planes] == list(LAYOUTS[pixel_format].shapes(*size))
    assert all(np.shares_memory(plane, memory) for plane in planes)
    layout.blank_gaps(memory)
    samples = sum(plane.nbytes for plane in planes)
    assert int((memory == 7).sum()) == samples
    for plane in planes:
        assert bool((plane.view(np.uint8) == 7).all())


@pytest.mark.parametrize(
    ("strides", "offsets"),
    [
        ((639, 640), (0, 640 * 48)),  # shorter than a line
        ((640, 640), (0, 640 * 47)),  # chroma inside luma
        ((640, 640), (-1, 640 * 48)),
        ((-640, 640), (0, 640 * 48)),  # bottom up
        ((640,), (0,)),
        ((640, 640), (640 * 24 - 1, 0)),
    ],
)
def test_layouts_that_cannot_be_are_refused(strides, offsets):
    with pytest.raises(FrameError, match="wanted"):
        MemoryLayout(PixelFormat.NV12, 640, 48, strides, offsets)


@pytest.mark.parametrize("size", [(0, 48), (640, 0), (16_385, 1), (1, 2**32 - 1)])
def test_sizes_out_of_range_are_refused(size):
    with pytest.raises(FrameError, match="wanted 1 to"):
        MemoryLayout(PixelFormat.GRAY8, *size, (2**31,), (0,))


def test_odd_strides_of_16_bit_are_refused():
    with pytest.raises(FrameError, match="steps of 2"):
        MemoryLayout(PixelFormat.YUV420P10LE, 4, 2, (9, 4, 4), (0, 20, 24))


def test_memory_that_is_one_byte_too_small_is_refused():
    layout = MemoryLayout(PixelFormat.NV12, 642, 48, (644, 644), (0, 644 * 48))
    with pytest.raises(FrameError, match=f"wanted {layout.size_bytes}"):
        layout.planes(bytes(layout.size_bytes - 1))
    assert layout.planes(bytes(layout.size_bytes))[1].shape == (24, 321, 2)


def test_read_only_memory_gives_read_only_planes():
    layout = MemoryLayout(PixelFormat.GRAY8, 4, 2, (4,), (0,))
    assert not layout.planes(bytes(8))[0].flags.writeable


def test_orientations_are_those_of_gstreamers_tag():
    assert len(ORIENTATIONS) == 8
    assert orientation("rotate-90") == (90, False)
    assert orientation("flip-rotate-270") == (270, True)
    with pytest.raises(UsageError, match="wanted auto"):
        orientation("rotate-45")
