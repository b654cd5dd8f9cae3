"""Network sizes: half size where 16 px objects may become 8 px, never enlarged, padded right and below."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from anonymize.detect.input_size import network_size
from anonymize.errors import UsageError

SIDES = st.integers(1, 16_384)


@pytest.mark.parametrize(
    ("picture", "network", "area"),
    [
        ((1920, 1080), (960, 544), (960, 540)),
        ((1080, 1920), (544, 960), (540, 960)),
        ((1280, 720), (640, 384), (640, 360)),
        ((3840, 2160), (1920, 1088), (1920, 1080)),
        ((1000, 600), (640, 384), (640, 384)),  # half would be 500: its longer side stays 640
        ((640, 480), (640, 480), (640, 480)),
        ((32, 28), (32, 32), (32, 28)),
        ((1, 1), (32, 32), (1, 1)),
        ((16_384, 1), (8192, 32), (8192, 1)),
        ((1921, 1081), (992, 544), (961, 541)),
    ],
)
def test_sizes(picture, network, area):
    size = network_size(*picture)
    assert (size.width, size.height) == network
    assert (size.picture_width, size.picture_height) == area
    assert size.padding == (network[0] - area[0], network[1] - area[1])


def test_scope_sets_the_scale():
    assert network_size(1920, 1080, scope_px=8).picture_width == 1920
    assert network_size(3840, 2160, scope_px=24).picture_width == 1280
    assert network_size(3840, 2160, scope_px=4).scale == 1.0  # never enlarged


def test_the_longest_side_wins():
    size = network_size(1920, 1080, max_long_side=640)
    assert (size.width, size.height, size.picture_height) == (640, 384, 360)
    assert network_size(600, 400, max_long_side=320).picture_width == 320


@given(SIDES, SIDES, st.sampled_from([8, 16, 32]), st.sampled_from([None, 320, 1280]))
def test_rules_hold_for_every_size(width, height, multiple, longest):
    size = network_size(width, height, multiple=multiple, max_long_side=longest)
    assert size.width % multiple == size.height % multiple == 0
    assert 0 <= size.padding[0] < multiple and 0 <= size.padding[1] < multiple
    assert 1 <= size.picture_width <= width and 1 <= size.picture_height <= height
    if longest is None:
        assert max(size.picture_width, size.picture_height) >= min(640, max(width, height))
    else:
        assert max(size.picture_width, size.picture_height) <= longest
    assert size.scale_x * width == pytest.approx(size.picture_width)
    assert abs(size.scale * width - size.picture_width) <= 0.5 or size.picture_width == 1
    assert abs(size.scale * height - size.picture_height) <= 0.5 or size.picture_height == 1


@pytest.mark.parametrize(
    "wrong",
    [{"width": 0}, {"height": -1}, {"scope_px": 0}, {"keep_px": -1}, {"multiple": 0}, {"max_long_side": 0}],
)
def test_senseless_values_are_refused(wrong):
    with pytest.raises(UsageError, match=next(iter(wrong))):
        network_size(**{"width": 64, "height": 64, **wrong})
