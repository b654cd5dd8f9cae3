"""The preprocess kernels equal the area average of their twin, and cv2's; run with the JIT on and off."""

from __future__ import annotations

from types import SimpleNamespace

import numba
import numpy as np
import pytest
from anonymize_kernels import preprocess
from anonymize_reference import preprocess as twin
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from anonymize.detect.color import rgb_from_yuv
from anonymize.detect.geometry import InputGeometry
from anonymize.detect.input_size import network_size
from anonymize.frames import ColorMatrix, ColorRange

JIT = not numba.config.DISABLE_JIT
LEVEL_TOLERANCE = 0.002  # of 255: sums are exact, the rest is float32 rounding of a few operations
EXAMPLES = settings(
    max_examples=150 if JIT else 25,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
    derandomize=True,
)
ALLOCATED = ["plain", "padded", "read-only", "reversed"]


@pytest.fixture(scope="module", autouse=True)
def compiled():
    preprocess.compile_all()


def wrap(plane, kind):
    """The same pixels in memory of another kind."""
    if kind == "plain":
        return np.ascontiguousarray(plane)
    if kind == "reversed":
        return np.ascontiguousarray(plane[::-1])[::-1]
    room = np.full((plane.shape[0], plane.shape[1] + 5, *plane.shape[2:]), 99, plane.dtype)
    room[:, : plane.shape[1]] = plane
    room.flags.writeable = kind != "read-only"
    return room[:, : plane.shape[1]]


def lines_of(plane):
    return plane.reshape(plane.shape[0], -1)


def table_for(color):
    if color == "rgb":
        return preprocess.conversion_table(
            np.eye(3)[::-1], np.zeros(3), [103.5, 116.3, 123.7], [57.4, 57.1, 58.4]
        )
    return preprocess.conversion_table(*rgb_from_yuv(*color), [0, 0, 0], [255, 255, 255])


def scratch(width, columns):
    return np.zeros(preprocess.sums_length(width), np.int32), np.zeros(
        (preprocess.LINES, columns), np.float32
    )


def run(kernel, planes, shape, size, table, out=None):
    """The kernel's (3, h, w) in levels of 255, for a picture `size` (H, W) px and a network area `shape` (h, w)."""
    out = np.full((3, *shape), np.nan, np.float32) if out is None else out
    sums, lines = scratch(size[1], shape[1])
    kernel(*planes, out, table, sums, lines)
    return (out - table[:, 5, None, None]) / table[:, 4, None, None]


def expected(values, table):
    return (values - table[:, 5, None, None].astype(float)) / table[:, 4, None, None].astype(float)


@st.composite
def scenes(draw):
    """A picture of 1 to 48 px a side and a network area no larger, of whole ratios as often as of others."""
    ratio = draw(st.sampled_from([None, None, 1, 2, 3, 4, 1.5]))
    if ratio is None:
        size = draw(st.integers(1, 48)), draw(st.integers(1, 48))
        shape = draw(st.integers(1, size[0])), draw(st.integers(1, size[1]))
    else:
        shape = draw(st.integers(1, 12)), draw(st.integers(1, 12))
        size = tuple(max(1, int(side * ratio)) for side in shape)
    scene = SimpleNamespace(size=size, shape=shape, random=np.random.default_rng(draw(st.integers(0, 2**32))))
    scene.kind = draw(st.sampled_from(ALLOCATED))
    scene.color = draw(st.sampled_from([(m, r) for m in ColorMatrix for r in ColorRange]))
    return scene


def noise(scene, shape, bits=8):
    """Random samples, often the darkest and the brightest."""
    top = (1 << bits) - 1
    plane = scene.random.integers(-top // 2, top + top // 2, shape).clip(0, top)
    return plane.astype(np.uint8 if bits == 8 else np.uint16)


@EXAMPLES
@given(scenes())
def test_packed_equals_twin(scene):
    picture, table = noise(scene, (*scene.size, 3)), table_for("rgb")
    planes = [lines_of(wrap(picture, scene.kind))]
    ours = run(preprocess.packed_to_input, planes, scene.shape, scene.size, table)
    theirs = expected(twin.packed_to_input(picture, scene.shape, table), table)
    np.testing.assert_allclose(ours, theirs, atol=LEVEL_TOLERANCE)


@EXAMPLES
@given(scenes())
def test_gray_equals_twin(scene):
    luma = noise(scene, scene.size)
    table = preprocess.conversion_table([[1, 0, 0]] * 3, np.zeros(3), [0, 0, 0], [255, 255, 255])
    ours = run(preprocess.gray_to_input, [wrap(luma, scene.kind)], scene.shape, scene.size, table)
    theirs = expected(twin.gray_to_input(luma, scene.shape, table), table)
    np.testing.assert_allclose(ours, theirs, atol=LEVEL_TOLERANCE)


@EXAMPLES
@given(scenes())
def test_nv12_equals_twin(scene):
    half = tuple(-(-side // 2) for side in scene.size)
    luma, chroma, table = noise(scene, scene.size), noise(scene, (*half, 2)), table_for(scene.color)
    planes = [wrap(luma, scene.kind), lines_of(wrap(chroma, scene.kind))]
    ours = run(preprocess.nv12_to_input, planes, scene.shape, scene.size, table)
    theirs = expected(twin.nv12_to_input(luma, chroma, scene.shape, table), table)
    np.testing.assert_allclose(ours, theirs, atol=LEVEL_TOLERANCE)


@EXAMPLES
@given(scenes(), st.sampled_from([(0, 0), (0, 1), (1, 1)]), st.sampled_from([8, 10]))
def test_planar_equals_twin(scene, shifts, bits):
    small = tuple(-(-side >> shift) for side, shift in zip(scene.size, shifts, strict=True))
    planes = [noise(scene, shape, bits) for shape in (scene.size, small, small)]
    table = table_for(scene.color)
    kernel = preprocess.planar_to_input
    ours = run(
        lambda *rest: kernel(*rest[:3], shifts[1], shifts[0], bits, *rest[3:]),
        [wrap(plane, scene.kind) for plane in planes],
        scene.shape,
        scene.size,
        table,
    )
    theirs = expected(twin.planar_to_input(*planes, shifts, bits, scene.shape, table), table)
    np.testing.assert_allclose(ours, theirs, atol=LEVEL_TOLERANCE)


@pytest.mark.parametrize("mirrored", [False, True])
@pytest.mark.parametrize("rotation_deg", [0, 90, 180, 270])
def test_every_orientation_fills_the_upright_input(rotation_deg, mirrored):
    """The kernel writes through a turned view; the network sees what turning the whole picture would give."""
    width, height = 45, 70
    picture = np.random.default_rng(3).integers(0, 256, (height, width, 3), np.uint8)
    upright = np.rot90(picture[:, ::-1] if mirrored else picture, -(rotation_deg // 90))
    size = network_size(upright.shape[1], upright.shape[0], min_long_side=1)
    geometry = InputGeometry(width, height, rotation_deg, mirrored, size)
    tensor = np.full((3, size.height, size.width), -1.0, np.float32)
    table = preprocess.conversion_table(np.eye(3), np.zeros(3), np.zeros(3), np.ones(3))
    view = geometry.stored_view(tensor)
    run(preprocess.packed_to_input, [lines_of(picture)], view.shape[1:], picture.shape, table, view)
    shape = size.picture_height, size.picture_width
    theirs = twin.packed_to_input(upright, shape, table)
    np.testing.assert_allclose(tensor[:, : shape[0], : shape[1]], theirs, atol=LEVEL_TOLERANCE)
    assert (tensor[:, shape[0] :] == -1).all() and (tensor[:, :, shape[1] :] == -1).all()


@pytest.mark.parametrize("mirrored", [False, True])
@pytest.mark.parametrize("rotation_deg", [0, 90, 180, 270])
@pytest.mark.parametrize("planar", [False, True])
def test_an_input_of_bytes_is_the_rounded_one(planar, rotation_deg, mirrored):
    """Three interleaved channels, as a network reads them, or three planes; YUV that has to be clipped both ways."""
    width, height = 150, 90
    random = np.random.default_rng(8)
    luma = random.integers(0, 256, (height, width), np.uint8)
    chroma = random.integers(0, 256, (height // 2, width // 2, 2), np.uint8)
    matrix, offset = rgb_from_yuv(ColorMatrix.BT709, ColorRange.LIMITED)
    turned = (height, width) if rotation_deg % 180 else (width, height)
    geometry = InputGeometry(width, height, rotation_deg, mirrored, network_size(*turned, min_long_side=1))
    side = geometry.size.height, geometry.size.width
    exact = np.full((3, *side), 7.0, np.float32)
    of_bytes = np.full((3, *side) if planar else (*side, 3), 7, np.uint8)
    channels = of_bytes if planar else of_bytes.transpose(2, 0, 1)
    for tensor, mean in ((exact, np.zeros(3)), (channels, np.full(3, -0.5))):
        out = geometry.stored_view(tensor)
        table = preprocess.conversion_table(matrix, offset, mean, np.ones(3))
        preprocess.nv12_to_input(luma, lines_of(chroma), out, table, *scratch(width, out.shape[2]))
    assert exact.min() == 0 and exact.max() == 255
    assert np.abs(exact - channels).max() <= 0.5 + LEVEL_TOLERANCE


@pytest.mark.parametrize("shape", [(36, 64), (54, 96), (108, 192), (50, 90), (41, 77)])
def test_opencv_agrees_on_area(shape):
    """cv2.INTER_AREA rounds to whole levels: half a level, and its weights are float32."""
    cv2 = pytest.importorskip("cv2")
    picture = np.random.default_rng(4).integers(0, 256, (108, 192, 3), np.uint8)
    table = preprocess.conversion_table(np.eye(3), np.zeros(3), np.zeros(3), np.ones(3))
    ours = run(preprocess.packed_to_input, [lines_of(picture)], shape, picture.shape, table)
    theirs = cv2.resize(picture, shape[::-1], interpolation=cv2.INTER_AREA)
    np.testing.assert_allclose(ours, theirs.transpose(2, 0, 1), atol=0.51)


def test_opencv_agrees_on_colour():
    """cv2 converts NV12 with BT.601, limited range, in fixed point: within 1.5 levels where nothing is clipped."""
    cv2 = pytest.importorskip("cv2")
    random = np.random.default_rng(5)
    luma = random.integers(60, 180, (24, 32), np.uint8)
    chroma = random.integers(108, 148, (12, 16, 2), np.uint8)
    theirs = cv2.cvtColorTwoPlane(luma, chroma, cv2.COLOR_YUV2RGB_NV12)
    table = preprocess.conversion_table(
        *rgb_from_yuv(ColorMatrix.BT601, ColorRange.LIMITED), np.zeros(3), np.ones(3)
    )
    ours = run(preprocess.nv12_to_input, [luma, lines_of(chroma)], luma.shape, luma.shape, table)
    np.testing.assert_allclose(ours, theirs.transpose(2, 0, 1), atol=1.5)


def test_worked_by_hand():
    """Three samples 10, 20, 60 to two px: (10 + 20 / 2) / 1.5 and (20 / 2 + 60) / 1.5, then (v - 4) / 2."""
    table = preprocess.conversion_table(np.eye(3), np.zeros(3), [4, 4, 4], [2, 2, 2])
    line = np.repeat(np.array([[10, 20, 60]], np.uint8), 3, axis=1)
    out = np.zeros((3, 1, 2), np.float32)
    preprocess.packed_to_input(line, out, table, *scratch(3, 2))
    np.testing.assert_allclose(out[0, 0], [(20 / 1.5 - 4) / 2, (70 / 1.5 - 4) / 2], rtol=1e-6)


@pytest.mark.parametrize("bits", [8, 10])
def test_white_is_white_at_the_largest_sums(bits):
    """All white, 4,096 x 4,096 px into one: the total of 2**34 at 10 bits does not wrap; 1023 / 4 clips to 255."""
    side = 4096 if JIT else 64
    top = (1 << bits) - 1
    plane = np.full((side, side), top, np.uint8 if bits == 8 else np.uint16)
    table = preprocess.conversion_table([[1, 0, 0]] * 3, np.zeros(3), np.zeros(3), np.ones(3))
    out = np.zeros((3, 1, 1), np.float32)
    preprocess.planar_to_input(plane, plane, plane, 0, 0, bits, out, table, *scratch(side, 1))
    np.testing.assert_allclose(out, 255, rtol=1e-6)


def test_samples_beyond_ten_bits_stay_finite():
    """uint16 samples of a broken source may be anything: the input stays within the clip."""
    plane = np.full((48, 48), 65535, np.uint16)
    table = preprocess.conversion_table(
        *rgb_from_yuv(ColorMatrix.BT709, ColorRange.LIMITED), np.zeros(3), np.ones(3)
    )
    for shape in ((48, 48), (24, 24), (16, 16), (17, 31)):
        out = np.zeros((3, *shape), np.float32)
        preprocess.planar_to_input(plane, plane, plane, 0, 0, 10, out, table, *scratch(48, shape[1]))
        assert np.isfinite(out).all() and out.min() >= 0 and out.max() <= 255


@pytest.mark.skipif(not JIT, reason="the JIT is off")
def test_one_compilation_serves_every_layout():
    table, plane = table_for("rgb"), np.zeros((12, 18, 3), np.uint8)
    for kind in ALLOCATED:
        for turn in range(4):
            out = np.rot90(np.zeros((3, 6, 6), np.float32), turn, axes=(1, 2))
            preprocess.packed_to_input(lines_of(wrap(plane, kind)), out, table, *scratch(18, 6))
    assert len(preprocess.packed_to_input.signatures) == len(preprocess.INPUT_DTYPES)
    with pytest.raises(TypeError):
        preprocess.packed_to_input(plane.reshape(12, -1).astype(np.float32), out, table, *scratch(18, 6))
