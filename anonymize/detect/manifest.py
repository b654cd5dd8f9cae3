"""Models and what is known of them: a manifest entry, and bytes that match a hash from elsewhere.

The hashes of our own models are pinned here, in code, not beside the files; a foreign model brings its
hash in the configuration or on the command line (SAFETY 18).
"""

from __future__ import annotations

import hashlib
import math
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final

from anonymize.errors import ModelError
from anonymize.frames import Label

ADAPTERS: Final = ("anonymize-v1", "anonymize-v2", "centerface")
DEFAULT_MODEL: Final = "drive"
INT8_MODEL: Final = "drive-int8"
ARCHIVE_MODEL: Final = "archive"
PINNED_SHA256: Final[Mapping[str, str]] = {
    "drive": "f4d12afa42139d20c0ef71dd3989505c7e31b1e647160cbec766ea18212f54a1",
    "drive-int8": "d3e5f270c551f0fc5d0369a6c3c34cbcdd81c5794557ddf6f7d368959d3c2691",
    "archive": "4d0780713f1f1dfa4f477809f07412fd5da442d398e4aa64f6770cfd2fda8cc0",
}
MAX_MODEL_BYTES: Final = 512 * 2**20


@dataclass(frozen=True, slots=True)
class ModelEntry:
    """One table of `manifest.toml`: how a model is fed and read, and where it comes from.

    Attributes
    ----------
    mean, std : three floats, 0 to 255 units
        The network sees `(channel - mean) / std`, in the order of `channel_order`.
    pad : three floats, 0 to 255 units
        What lies in the input beside the picture.
    threshold, threshold_cautious : mapping of label to probability
        The second finds more and hides more that is nothing; where there is none it is the first.
    threshold_thorough : mapping of label to probability
        For several looks (`anonymize.detect.looks`); empty where it was not measured.
    measured : mapping
        Rates and the command that gave them, as the model's makers wrote them.
    float_twin : str
        For a network in int8: the packaged one that it was made from, empty otherwise.
    """

    name: str
    file: str
    sha256: str
    adapter: str
    labels: tuple[Label, ...]
    channel_order: str
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    pad: tuple[float, float, float]
    size_multiple: int
    nms_iou: float
    threshold: Mapping[Label, float]
    threshold_cautious: Mapping[Label, float]
    licence: str
    provenance: str
    parameters: int
    training: str
    measured: Mapping[str, Any]
    float_twin: str = ""
    threshold_thorough: Mapping[Label, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Model:
    """A model whose bytes were read once and match their hash."""

    entry: ModelEntry
    onnx: bytes
    twin: Model | None = (
        None  # in float, of a network in int8: it is asked whether this processor computes it right
    )

    def __repr__(self) -> str:
        return f"<Model {self.entry.name} sha256={self.entry.sha256[:12]}… {len(self.onnx)} bytes>"


def read_manifest(path: Path) -> dict[str, ModelEntry]:
    """Entries of a manifest by their names.

    Raises
    ------
    ModelError
        The file is missing, is no TOML, or an entry has a missing, unknown or impossible value.
    """
    try:
        tables = tomllib.loads(path.read_text("utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as fault:
        raise ModelError(f"{path}: cannot be read as a model manifest (TOML): {fault}") from None
    return {name: _entry(name, table, path) for name, table in tables.items()}


def _entry(name: str, table: Any, path: Path) -> ModelEntry:
    try:
        entry = ModelEntry(
            name=name,
            file=str(table["file"]),
            sha256=str(table["sha256"]).lower(),
            adapter=str(table["adapter"]),
            labels=tuple(Label(label) for label in table["labels"]),
            channel_order=str(table.get("channel_order", "rgb")),
            mean=_triple(table.get("mean", (0.0, 0.0, 0.0))),
            std=_triple(table.get("std", (1.0, 1.0, 1.0))),
            pad=_triple(table.get("pad", (0.0, 0.0, 0.0))),
            size_multiple=int(table.get("size_multiple", 32)),
            nms_iou=float(table.get("nms_iou", 0.5)),
            threshold=_thresholds(table["threshold"]),
            threshold_cautious=_thresholds(table.get("threshold_cautious", table["threshold"])),
            licence=str(table["licence"]),
            provenance=str(table["provenance"]),
            parameters=int(table.get("parameters", 0)),
            training=str(table.get("training", "")),
            measured=dict(table.get("measured", {})),
            float_twin=str(table.get("float_twin", "")),
            threshold_thorough=_thresholds(table.get("threshold_thorough", {})),
        )
    except KeyError as missing:
        raise ModelError(f"{path}: model {name!r} lacks the key {missing}") from None
    except (TypeError, ValueError, AttributeError) as fault:
        raise ModelError(f"{path}: model {name!r}: {fault}") from None
    _check_entry(entry, path)
    return entry


def _thresholds(table: Any) -> dict[Label, float]:
    return {Label(label): float(value) for label, value in table.items()}


def _fit(thresholds: Mapping[Label, float], labels: tuple[Label, ...]) -> bool:
    return set(thresholds) == set(labels) and all(0 < value < 1 for value in thresholds.values())


def _triple(values: Any) -> tuple[float, float, float]:
    first, second, third = (float(value) for value in values)
    return first, second, third


def _check_entry(entry: ModelEntry, path: Path) -> None:
    wrong = ""
    if entry.adapter not in ADAPTERS:
        wrong = f"adapter {entry.adapter!r}; wanted one of {', '.join(ADAPTERS)}"
    elif entry.channel_order not in ("rgb", "bgr"):
        wrong = f"channel_order {entry.channel_order!r}; wanted rgb or bgr"
    elif (
        not entry.labels
        or set(entry.labels) - {Label.FACE, Label.PLATE}
        or len(set(entry.labels)) < len(entry.labels)
    ):
        wrong = f"labels {entry.labels}; wanted face, plate or both"
    elif not _fit(entry.threshold, entry.labels) or not _fit(entry.threshold_cautious, entry.labels):
        wrong = f"threshold {dict(entry.threshold)}; wanted one in (0, 1) for each label"
    elif entry.threshold_thorough and not _fit(entry.threshold_thorough, entry.labels):
        wrong = f"threshold_thorough {dict(entry.threshold_thorough)}; wanted one in (0, 1) for each label"
    elif not all(map(math.isfinite, entry.mean + entry.std + entry.pad)) or 0.0 in entry.std:
        wrong = f"mean {entry.mean} and std {entry.std}; wanted finite numbers and no std of 0"
    elif entry.size_multiple < 1 or not 0 < entry.nms_iou < 1:
        wrong = f"size_multiple {entry.size_multiple}, nms_iou {entry.nms_iou}; wanted ≥ 1 and in (0, 1)"
    elif entry.float_twin == entry.name:
        wrong = "itself as its float_twin; wanted another"
    if wrong:
        raise ModelError(f"{path}: model {entry.name!r} has {wrong}")


def packaged_manifest() -> Path:
    """Where the manifest of our own models lies."""
    import anonymize_models

    return Path(anonymize_models.__file__).with_name("manifest.toml")


def load_packaged(name: str = DEFAULT_MODEL) -> Model:
    """One of our own models, its bytes checked against the hash pinned in this module.

    Raises
    ------
    ModelError
        There is no such model, or its file is missing or altered.
    """
    manifest = packaged_manifest()
    entries = read_manifest(manifest)
    if name not in entries or name not in PINNED_SHA256:
        raise ModelError(
            f"no model named {name!r} is installed; there are: {', '.join(sorted(entries)) or 'none'}"
        )
    model = load_model(manifest.with_name(entries[name].file), entries[name], PINNED_SHA256[name])
    twin = entries[name].float_twin
    return replace(model, twin=load_packaged(twin)) if twin else model


def load_foreign(path: Path, sha256: str, manifest: Path) -> Model:
    """A model of the user's own: its file, its hash from elsewhere, and the manifest that describes it.

    Raises
    ------
    ModelError
        The manifest has no entry for this file, or the file is missing or altered.
    """
    entries = [entry for entry in read_manifest(manifest).values() if Path(entry.file).name == path.name]
    if len(entries) != 1:
        raise ModelError(f"{manifest}: has {len(entries)} entries whose file is {path.name!r}; wanted one")
    return load_model(path, entries[0], sha256)


def load_model(path: Path, entry: ModelEntry, sha256: str) -> Model:
    """Read the file once and keep the bytes if their SHA-256 is `sha256` (64 hexadecimal digits)."""
    wanted = sha256.strip().lower()
    if len(wanted) != 64 or set(wanted) - set("0123456789abcdef"):
        raise ModelError(f"sha256 {sha256!r} for {path}; wanted 64 hexadecimal digits")
    try:
        with path.open("rb") as file:
            onnx = file.read(MAX_MODEL_BYTES + 1)
    except OSError as fault:
        raise ModelError(f"{path}: the model cannot be read: {fault.strerror}") from None
    if len(onnx) > MAX_MODEL_BYTES:
        raise ModelError(f"{path}: the model is larger than {MAX_MODEL_BYTES} bytes")
    came = hashlib.sha256(onnx).hexdigest()
    if came != wanted:
        raise ModelError(f"{path}: the model was altered: its sha256 is {came}, wanted {wanted}")
    return Model(entry, onnx)
