"""From planes to boxes: the network behind a small seam, its input in one kernel pass, its output decoded."""

from anonymize.detect.detector import DetectionSettings, Detector
from anonymize.detect.geometry import to_stored, upright_size
from anonymize.detect.manifest import (
    ARCHIVE_MODEL,
    DEFAULT_MODEL,
    INT8_MODEL,
    Model,
    ModelEntry,
    load_foreign,
    load_packaged,
    packaged_manifest,
    read_manifest,
)

__all__ = [
    "ARCHIVE_MODEL",
    "DEFAULT_MODEL",
    "INT8_MODEL",
    "DetectionSettings",
    "Detector",
    "Model",
    "ModelEntry",
    "load_foreign",
    "load_packaged",
    "packaged_manifest",
    "read_manifest",
    "to_stored",
    "upright_size",
]
