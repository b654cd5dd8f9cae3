"""``python scripts/train/quantise.py``: the exported network in int8, beside the float one in one table.

Static QDQ, weights per channel and symmetric, activations uint8; it reads the picture as bytes (`bytes_in.py`), and
the outputs (1 x 1 convolutions of the heads) stay in float. Calibrated on training pictures as they are, dark and rainy
(`weather.py`), at full and at half size. Kept only where it is faster and loses at most half a point of coverage recall
at native size, where the aims are measured; the table has half size too, and says so either way.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import time
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import measure
import numpy as np
import onnx
import settings
from bytes_in import take_bytes
from card import manifest_entry
from detect import feed, network_input, open_session
from equalise import equalise
from export import replace_entry
from layout import keep_channels_last
from network import CLASSES, LEVELS
from numpy.typing import NDArray
from onnxruntime import quantization
from onnxruntime.quantization.shape_inference import quant_pre_process
from pictures import Pack
from rounding import round_anew, second_moments
from weather import spoil, tint

CALIBRATION = 320  # pictures
SEEN = 64  # of them: for the channels' ranges, and what the convolutions' patches are like
SIZES = ((384, 640), (544, 960))
NAME = "drive-int8"
FIRST = "network.stem.0.0"  # its weights, shared by both sizes
MOST_LOST = 0.005  # of coverage recall
CARD = """# drive-int8

`drive` in int8 (static QDQ; heads in float), by `scripts/train/quantise.py`; do not edit. Input `pixels` uint8
(1, H, W, 3), the picture as it is, RGB. Data, outputs, licence and limits are those of [drive](drive.md). At start its
answers are compared with the float network's on this processor; where they differ, that one is used. Measured on
data/test with the thresholds of `drive`:

"""


class Calibration(quantization.CalibrationDataReader):  # type: ignore[misc]
    """Network inputs from training pictures that are not held back, in all weathers."""

    def __init__(self, pack: Pack, count: int) -> None:
        rng = np.random.default_rng(11)
        usable = [p for p in pack.pictures if not p.held_back]
        chosen = rng.choice(len(usable), count, replace=False)
        self._inputs = iter(self._make(pack, [usable[k] for k in chosen], rng))

    def _make(self, pack: Pack, pictures: list[Any], rng: np.random.Generator) -> Iterator[dict[str, Any]]:
        for number, picture in enumerate(pictures):
            pixels = spoil(tint(pack.pixels(picture), rng, night=0.3), rng)
            yield {
                "images": network_input(pixels, (1.0, 0.5)[number % 2])
            }  # the live engine sees half the size

    def get_next(self) -> dict[str, NDArray[np.float32]] | None:
        """Return the next input, None at the end."""
        return next(self._inputs, None)


def quantise(model: Path, target: Path, pack: Pack, *, reduce_range: bool) -> None:
    """Write the int8 twin of a float network."""
    prepared, equal = target.with_suffix(".prepared.onnx"), target.with_suffix(".equal.onnx")
    some = list(iter(Calibration(pack, SEEN).get_next, None))
    equalise(model, equal, some)
    quant_pre_process(str(equal), str(prepared), skip_symbolic_shape=True)
    equal.unlink()
    nodes = onnx.load(prepared).graph.node
    in_float = [n.name for n in nodes if stays_in_float(n)]
    quantization.quantize_static(
        str(prepared),
        str(target),
        Calibration(pack, CALIBRATION),
        quant_format=quantization.QuantFormat.QDQ,
        activation_type=quantization.QuantType.QUInt8,
        weight_type=quantization.QuantType.QInt8,
        per_channel=True,
        reduce_range=reduce_range,
        calibrate_method=quantization.CalibrationMethod.MinMax,
        nodes_to_exclude=in_float,
        extra_options={"WeightSymmetric": True, "ActivationSymmetric": False},
    )
    moments = second_moments(prepared, some)
    written = onnx.load(target)
    round_anew(written, prepared, moments)
    prepared.unlink()
    take_bytes(written, f"{FIRST}.weight", moments[f"{FIRST}.weight"])
    keep_channels_last(written)
    onnx.save(written, target)


def stays_in_float(node: onnx.NodeProto) -> bool:
    """Tell whether a node is a head, or what `take_bytes` rewrites: the first convolutions and the smaller picture."""
    first, small = f"{FIRST}.weight" in node.input, node.op_type == "Resize" and "images" in node.input
    return first or small or node.op_type == "Pad" or bool(set(LEVELS) & set(node.output))


def times_ms(models: list[Path], height: int, width: int, runs: int = 60) -> list[tuple[float, float]]:
    """Return median and fastest time of each network with one thread, all in turn, ms."""
    sessions = [open_session(model) for model in models]
    pixels = np.random.default_rng(7).integers(0, 256, (height, width, 3), np.uint8)
    fed = [feed(session, pixels, 1.0) for session in sessions]
    times: list[list[float]] = [[] for _ in models]
    for _ in range(runs):
        for session, given, taken in zip(sessions, fed, times, strict=True):
            begun_s = time.perf_counter()
            session.run(None, given)
            taken.append(1e3 * (time.perf_counter() - begun_s))
    return [(float(np.median(taken)), min(taken)) for taken in times]


def measured(model: Path, data: Path, thresholds: tuple[float, float]) -> dict[str, Any]:
    """Return rates and hits on signs, at native and at half size, with the float network's thresholds."""
    return {
        "test": measure.measure_test(model, data, thresholds, scale=1.0, threads=1),
        "test_half": measure.measure_test(model, data, thresholds, scale=0.5, threads=1),
    }


def install(target: Path, folder: Path, facts: dict[str, Any], lines: list[str]) -> None:
    """Put the int8 network, its manifest entry and its card beside the float one."""
    content = target.read_bytes()
    facts = {
        **facts,
        "name": NAME,
        "float_twin": "drive",
        "layout": "nhwc",
        "sha256": hashlib.sha256(content).hexdigest(),
    }
    manifest = folder / "manifest.toml"
    text = replace_entry(manifest.read_text(), NAME, manifest_entry(facts))
    tomllib.loads(text)
    (folder / f"{NAME}.onnx").write_bytes(content)
    (folder / f"{NAME}.md").write_text(CARD + "\n".join(["```", *lines, "```"]) + "\n")
    manifest.write_text(text)


def main() -> None:
    """Quantise the packaged network, print the table, and install it where it is worth it."""
    folder = settings.REPOSITORY / "models/anonymize_models"
    config = settings.read()
    work = settings.work_folder(config)
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--reduce-range", action="store_true", help="7-bit weights, for processors without VNNI"
    )
    parser.add_argument(
        "--install", action="store_true", help="into the package, where the rule above allows it"
    )
    parser.add_argument(
        "--run", default="drive", help="checkpoint folder with the float network's facts.json"
    )
    arguments = parser.parse_args()
    model, target = folder / "drive.onnx", work / f"{NAME}.onnx"
    quantise(model, target, Pack(work / "pictures.zip"), reduce_range=arguments.reduce_range)
    entry = tomllib.loads((folder / "manifest.toml").read_text())["drive"]
    thresholds = (entry["threshold"][CLASSES[0]], entry["threshold"][CLASSES[1]])
    lines, faster = [], True
    for height, width in SIZES:
        (slow, slow_best), (fast, fast_best) = times_ms([model, target], height, width)
        faster &= fast < slow
        lines.append(
            f"{width} x {height}, one thread: float32 median {slow:.2f} ms (fastest {slow_best:.2f}), "
            f"int8 {fast:.2f} ({fast_best:.2f}), {slow / fast:.2f} times as fast"
        )
    data = settings.data_folder(config)
    float_rates, int8 = measured(model, data, thresholds), measured(target, data, thresholds)
    lost = 0.0
    for key, title in (("test", "native size"), ("test_half", "half size")):
        for name in CLASSES:
            before, after = (rates[key]["rates"][name]["all"] for rates in (float_rates, int8))
            if key == "test":
                lost = max(lost, before["coverage_recall"] - after["coverage_recall"])
            changes = ", ".join(
                f"{word} {before[field]:.4f} -> {after[field]:.4f}"
                for word, field in (
                    ("detection", "detection_rate"), ("false", "false_rate"), ("coverage", "coverage_recall"),
                )
            )  # fmt: skip
            lines.append(f"{name}s, {title}: {changes}")
    kept = faster and lost <= MOST_LOST
    lines.append(
        f"largest loss of coverage recall {lost:.4f}, allowed {MOST_LOST}: {'kept' if kept else 'not kept'}"
    )
    print("\n".join(lines))
    if arguments.install and kept:
        facts = json.loads((work / arguments.run / "facts.json").read_text())
        times = {f"{w}x{h}": round(times_ms([target], h, w)[0][1], 2) for h, w in SIZES}
        install(target, folder, {**facts, **int8, "time_ms": times}, lines)


if __name__ == "__main__":
    main()
