"""What the element does with a mapped buffer, without GStreamer."""

from __future__ import annotations

import pytest

from anonymize.deadline import Budget
from anonymize.errors import InterlacedError, UsageError
from anonymize.frames import ColorMatrix, ColorRange, PixelFormat
from anonymize.live.element_road import ElementOptions, make_engine
from anonymize.live.gst_names import PictureKind, picture_kind

CAPS = {
    "color_range": "16-235", "color_matrix": "bt709", "interlace_mode": "progressive", "views": 1,
    "multiview_mode": None,
}  # fmt: skip


def test_the_properties_reach_the_engine():
    engine = make_engine(ElementOptions(style="solid", on_fault="hide", deadline_ms=50.0))
    assert engine.in_place
    assert engine.settings.budget == Budget(50.0, late="hide")
    assert engine.settings.on_fault == "hide"
    assert engine.settings.styles.face == engine.settings.styles.plate == "solid"
    assert make_engine(ElementOptions()).settings.budget == Budget()


@pytest.mark.parametrize(
    "wrong",
    [
        {"threads": 0},
        {"style": "mosaic"},
        {"on_fault": "pass"},
        {"deadline_ms": float("nan")},
        {"camera": ""},
    ],
)
def test_values_that_hide_less_or_make_no_sense_are_refused(wrong):
    with pytest.raises(UsageError, match="wanted"):
        ElementOptions(**wrong)


def test_caps_in_our_words():
    kind = picture_kind("I420", 642, 48, **CAPS)
    assert kind == PictureKind(PixelFormat.YUV420P, 642, 48, ColorRange.LIMITED, ColorMatrix.BT709)
    assert picture_kind("BGR", 642, 48, **{**CAPS, "color_matrix": "rgb"}).pixel_format == "bgr24"
    with pytest.raises(InterlacedError, match="deinterlace"):
        picture_kind("NV12", 642, 48, **{**CAPS, "interlace_mode": "mixed"})
    for wrong in ({"color_matrix": "rgb"}, {"views": 2}, {"multiview_mode": "side-by-side"}):
        with pytest.raises(UsageError, match="wanted"):
            picture_kind("NV12", 642, 48, **{**CAPS, **wrong})
    with pytest.raises(UsageError, match="wanted one of NV12"):
        picture_kind("YUY2", 642, 48, **CAPS)
