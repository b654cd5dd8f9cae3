"""Checkpoint to ONNX, thresholds, manifest entry and model card."""

from __future__ import annotations

import hashlib
import json
import os
import platform
import time
import tomllib
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import measure
import numpy as np
import onnx
import settings
import torch
from card import card_text, manifest_entry
from detect import open_session
from network import CLASSES, LEVELS, BothSizes, Detector, fold, parameter_count
from pictures import Pack, Picture, read_coco
from thorough import look_thoroughly
from torch import nn

Look = Callable[..., measure.Found]  # (model, pictures, read, *, threads)
OPSET = 17
AGREEMENT = 2e-3  # largest difference of a raw output between onnxruntime and PyTorch, float32
HELD_BACK_UNIT = 0.625  # held-back pictures are 640 px where a camera's are about 1024
ENLARGED = 1.6  # the thresholds must hold at that size too: what is large and sharp is taken for more


def load_average(config: dict[str, Any], checkpoint: Path) -> tuple[Detector, dict[str, Any]]:
    """Return the averaged network of a checkpoint and how far it was trained."""
    document = torch.load(checkpoint, map_location="cpu", weights_only=True)
    network = Detector(settings.shape(config))
    network.load_state_dict(document["average"])
    return network, {key: document[key] for key in ("step", "used_s", "batch", "machine", "learner_of")}


def write_onnx(network: nn.Module, target: Path) -> None:
    """Write the folded network with free height and width."""
    names = list(LEVELS)
    axes = {"images": {2: "height", 3: "width"}}
    axes |= {name: {2: f"height_{name}", 3: f"width_{name}"} for name in names}
    partial = target.with_suffix(".tmp")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the older exporter needs no further package
        torch.onnx.export(
            BothSizes(fold(network)).eval(),
            (torch.zeros(1, 3, 128, 160),),
            str(partial),
            input_names=["images"],
            output_names=names,
            dynamic_axes=axes,
            opset_version=OPSET,
            dynamo=False,
        )
    model = onnx.load(partial)
    onnx.checker.check_model(model, full_check=True)
    model.doc_string = ""
    for node in model.graph.node:
        node.doc_string = ""
    onnx.save(model, partial)
    partial.replace(target)


def disagreement(network: nn.Module, model: Path) -> float:
    """Return the largest raw difference between onnxruntime and PyTorch over several sizes."""
    session, network = open_session(model), BothSizes(network).eval()
    rng = np.random.default_rng(7)
    worst = 0.0
    for height, width in ((384, 640), (736, 1280), (32, 64), (544, 960)):
        images = rng.random((1, 3, height, width), np.float32)
        with torch.no_grad():
            expected = network(torch.from_numpy(images))
        for ours, theirs in zip(session.run(None, {"images": images}), expected, strict=True):
            worst = max(worst, float(np.abs(ours - theirs.numpy()).max()))
    return worst


def fastest_ms(model: Path, height: int, width: int, runs: int = 40) -> float:
    """Return the time of the fastest of several passes with one thread, in ms: the machine may be shared."""
    session = open_session(model)
    images = np.random.default_rng(7).random((1, 3, height, width), np.float32)
    times = []
    for _ in range(runs):
        begun_s = time.perf_counter()
        session.run(None, {"images": images})
        times.append(time.perf_counter() - begun_s)
    return round(min(times) * 1e3, 2)


def held_back_pictures(work: Path) -> tuple[list[Picture], measure.Reader]:
    """Return the pictures kept out of training and what reads them."""
    pack = Pack(work / "pictures.zip")
    return [p for p in pack.pictures if p.held_back], pack.pixels


def held_back(
    look: Look, model: Path, given: tuple[list[Picture], measure.Reader], *, threads: int
) -> list[tuple[measure.Found, float]]:
    """Return what is found in the pictures kept out of training, as they are and enlarged, with the sizes' units."""
    pictures, read = given
    larger, read_larger = measure.enlarged(pictures, read, ENLARGED)
    return [
        (look(model, pictures, read, threads=threads), HELD_BACK_UNIT),
        (look(model, larger, read_larger, threads=threads), HELD_BACK_UNIT * ENLARGED),
    ]


def choose(looks: list[tuple[measure.Found, float]], aim: dict[str, float]) -> tuple[float, float]:
    """Return the thresholds of faces and plates for their aims of the false rate."""
    face, plate = (measure.choose_threshold(looks, c, aim[name]) for c, name in enumerate(CLASSES))
    return face, plate


def export(
    config: dict[str, Any], work: Path, run: str, *, folder: Path, threads: int, test: bool
) -> dict[str, Any]:
    """Write weights, manifest entry and card into ``folder``; return the entry's facts."""
    folder.mkdir(parents=True, exist_ok=True)
    network, progress = load_average(config, work / run / "checkpoint.pt")
    staged = work / run / f"{config['network']['name']}.onnx"
    write_onnx(network, staged)
    worst = disagreement(network, staged)
    if worst > AGREEMENT:
        raise ValueError(
            f"onnxruntime and PyTorch differ by {worst:.2e}, wanted at most {AGREEMENT:.0e}, in {staged}"
        )
    given = held_back_pictures(work)
    looks = held_back(measure.look_at, staged, given, threads=threads)
    thresholds = choose(looks, config["export"]["false_rate"])
    cautious = choose(looks, config["export"]["cautious_false_rate"])
    thorough = choose(
        held_back(look_thoroughly, staged, given, threads=threads), config["export"]["false_rate"]
    )
    facts: dict[str, Any] = {
        "name": config["network"]["name"],
        "sha256": hashlib.sha256(staged.read_bytes()).hexdigest(),
        "parameters": parameter_count(network),
        "threshold": dict(zip(CLASSES, thresholds, strict=True)),
        "threshold_cautious": dict(zip(CLASSES, cautious, strict=True)),
        "threshold_thorough": dict(zip(CLASSES, thorough, strict=True)),
        "disagreement": worst,
        "progress": progress,
        "began_with": began_with(config),
        "held_back": measure.by_source(looks[0][0], thresholds, HELD_BACK_UNIT),
        "time_ms": {f"{w}x{h}": fastest_ms(staged, h, w) for h, w in ((384, 640), (544, 960), (736, 1280))},
        "machine": f"{platform.machine()}, {os.cpu_count()} cores, one thread, fastest of 40 passes",
    }
    if test:
        data = settings.data_folder(config)
        facts["test"] = measure.measure_test(staged, data, thresholds, scale=1.0, threads=threads)
        install(staged, folder, facts)  # the rest takes minutes where the machine is shared
        facts["test_half"] = measure.measure_test(staged, data, thresholds, scale=0.5, threads=threads)
        pictures = read_coco(data / "test/annotations.json")
        found = look_thoroughly(staged, pictures, measure.reader(data / "test"), threads=threads)
        facts["test_thorough"] = {"rates": measure.by_source(found, thorough)}
    install(staged, folder, facts)
    (work / run / "facts.json").write_text(json.dumps(facts, indent=1))
    return facts


def began_with(config: dict[str, Any]) -> str:
    """Return how the weights that the run began with had been trained; empty for random ones."""
    model = settings.installed(config)
    if model is None:
        return ""
    entries = tomllib.loads(model.with_name("manifest.toml").read_text())
    return next(entry["training"] for entry in entries.values() if entry["file"] == model.name)


def install(staged: Path, folder: Path, facts: dict[str, Any]) -> None:
    """Put weights, manifest entry and card in their places; the weights last, all atomically."""
    manifest = folder / "manifest.toml"
    others = manifest.read_text() if manifest.exists() else ""
    text = replace_entry(others, facts["name"], manifest_entry(facts))
    tomllib.loads(text)
    for path, content in (
        (folder / staged.name, staged.read_bytes()),
        (folder / f"{staged.stem}.md", card_text(facts).encode()),
        (manifest, text.encode()),
    ):
        partial = path.with_name(f".{path.name}.tmp")
        partial.write_bytes(content)
        partial.replace(path)


def replace_entry(text: str, name: str, entry: str) -> str:
    """Return the manifest with this model's tables replaced where they stand, everyone else's untouched."""
    before, after, met, skipping = [], [], False, False
    for line in text.splitlines():
        if line.startswith("["):
            skipping = line.strip("[] ").split("]")[0].split(".")[0] == name
            met = met or skipping
        if not skipping:
            (after if met else before).append(line)
    parts = ("\n".join(lines).strip() for lines in (before, entry.splitlines(), after))
    return "\n\n".join(part for part in parts if part) + "\n"
