"""SAFETY 21: a network in int8 is asked on this processor whether it says what its float twin says."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import onnx
import pytest

from anonymize.canary import draw_canary
from anonymize.detect import load_packaged, read_manifest
from anonymize.detect.detector import _largest_score_difference
from anonymize.detect.session import load_runtime
from anonymize.errors import ModelError
from anonymize.frames import CapturedFrame
from anonymize.pipeline import Engine
from tests.detect.networks import constant_network

KIND = {"width": 640, "height": 360, "pixel_format": "nv12"}


def test_a_network_that_saturates_is_replaced_by_its_float_twin():
    wrong = replace(constant_network(-20.0), twin=load_packaged())
    engine = Engine(wrong, guard_process=False)
    engine.warm_up(**KIND)  # the canary is found: by the twin
    (said,) = engine.fallbacks
    assert said.startswith("int8 is wrong by 0.") and said.endswith("float32 is used")


def test_a_network_that_agrees_stays():
    right = replace(load_packaged(), twin=load_packaged())
    engine = Engine(right, guard_process=False)
    engine.warm_up(**KIND)
    assert engine.fallbacks == () and engine._detector._model is right


def test_the_packaged_int8_network_is_given_the_same_picture_as_its_twin():
    """Bytes against normalised floats: 0.02 with VNNI; another picture would differ by all the canary's confidence."""
    detector = Engine(load_packaged("drive-int8"), guard_process=False)._detector
    blank = CapturedFrame(
        [np.zeros((360, 640, 3), np.uint8)], "rgb24", pts=0, time_base=Fraction(1, 30), rotation_deg=0
    )
    canary = draw_canary(blank, detector.size_for(blank).scale).frame
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("anonymize.detect.detector.SCORE_TOLERANCE", -1.0)
        detector.compare_with_float(canary)
    (said,) = detector.fallbacks
    assert float(said.split()[4]) < 0.5, said


@pytest.mark.skipif(
    "vnni" not in Path("/proc/cpuinfo").read_text(), reason="this processor may compute int8 wrongly"
)
@pytest.mark.parametrize(
    "size", [(640, 360), (1280, 720), (720, 1280), (1920, 1080), (1024, 768), (512, 512), (3840, 2160)]
)
def test_a_processor_that_computes_int8_right_keeps_it_at_every_size(size):
    engine = Engine(load_packaged("drive-int8"), guard_process=False)
    engine.warm_up(width=size[0], height=size[1], pixel_format="nv12")
    assert engine.fallbacks == ()


def test_differences_are_of_confidences_and_nan_is_never_agreement():
    exact = np.zeros((1, 6, 2, 2), np.float32)
    ours = exact.copy()
    ours[0, 3] = 5.0  # sides are not compared
    assert _largest_score_difference(ours, exact, 2) == 0.0
    ours[0, 1, 0, 0] = np.log(3.0)
    assert _largest_score_difference(ours, exact, 2) == pytest.approx(0.25)
    ours[0, 1, 0, 0] = np.nan
    assert not _largest_score_difference(ours, exact, 2) <= 1.0


def test_the_packaged_int8_network_runs_with_channels_last_throughout(tmp_path):
    """What breaks it (a quantiser's `Resize`, a transpose that does not cancel) costs a tenth of the time."""
    runtime = load_runtime()
    options = runtime.SessionOptions()
    options.optimized_model_filepath = str(tmp_path / "as_run.onnx")
    options.log_severity_level = 3
    content = load_packaged("drive-int8").onnx
    runtime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    nodes = onnx.load(tmp_path / "as_run.onnx").graph.node
    operators = Counter(node.op_type for node in nodes)
    assert operators["QLinearConv"] == 37  # both sizes, and the quarter itself
    assert operators["MatMulIntegerToFloat"] == 6  # the heads of both
    for in_float in ("Conv", "Resize", "QuantizeLinear", "DequantizeLinear"):
        assert operators[in_float] == 0
    assert operators["Transpose"] == 6  # of the heads' outputs


def test_every_float_twin_is_packaged_and_reads_the_same():
    from anonymize.detect import packaged_manifest

    entries = read_manifest(packaged_manifest())
    for entry in entries.values():
        if entry.float_twin:
            twin = entries[entry.float_twin]
            assert not twin.float_twin
            for name in ("adapter", "labels", "channel_order", "mean", "std", "size_multiple", "threshold"):
                assert getattr(entry, name) == getattr(twin, name)
            assert load_packaged(entry.name).twin.entry.name == twin.name


def test_a_network_that_is_its_own_twin_is_refused(tmp_path):
    manifest = tmp_path / "manifest.toml"
    manifest.write_text(
        '[a]\nfile = "a.onnx"\nsha256 = ""\nadapter = "anonymize-v1"\nlabels = ["face"]\n'
        'threshold = { face = 0.3 }\nlicence = "MIT"\nprovenance = "drawn"\nfloat_twin = "a"\n'
    )
    with pytest.raises(ModelError, match="itself as its float_twin"):
        read_manifest(manifest)
