"""The exported network in onnxruntime: picture in, boxes out, by the contract "anonymize-v2"."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

os.environ["ORT_DISABLE_TELEMETRY"] = "1"  # read when onnxruntime is imported

import cv2
import numpy as np
import onnxruntime
from boxes import nms, voted
from network import CLASSES, COARSE_STRIDES_PX, LEVELS, PAD_GREY, SIZE_MULTIPLE_PX
from numpy.typing import NDArray

NMS_IOU = 0.5
VOTING_FROM = 0.25  # confidence; as in the engine
RAW_LIMIT = 8.0
LEAST_COARSE_PX = 96  # shorter side of what counts from the coarse levels: the rest the others see better


@dataclass
class Detections:
    """Boxes (xyxy, px of the picture), confidences 0 to 1 and class numbers."""

    boxes: NDArray[np.float32]
    confidence: NDArray[np.float32]
    class_id: NDArray[np.int64]

    def at(self, class_id: int, threshold: float) -> NDArray[np.float32]:
        """Return the boxes of one class from a confidence on."""
        return self.boxes[(self.class_id == class_id) & (self.confidence >= threshold)]


def open_session(model: Path, threads: int = 1) -> Any:
    """Return a session on the CPU alone."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    return onnxruntime.InferenceSession(str(model), options, providers=["CPUExecutionProvider"])


def network_input(pixels: NDArray[np.uint8], scale: float) -> NDArray[np.float32]:
    """Return the BGR picture as (1, 3, H, W) RGB / 255, padded below and on the right with grey."""
    if scale != 1.0:
        method = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
        pixels = np.asarray(cv2.resize(pixels, None, fx=scale, fy=scale, interpolation=method), np.uint8)
    height, width = (-(-side // SIZE_MULTIPLE_PX) * SIZE_MULTIPLE_PX for side in pixels.shape[:2])
    padded = np.full((height, width, 3), PAD_GREY, np.uint8)
    padded[: pixels.shape[0], : pixels.shape[1]] = pixels
    return np.ascontiguousarray(padded[..., ::-1].transpose(2, 0, 1)[None], np.float32) / np.float32(255)


def feed(session: Any, pixels: NDArray[np.uint8], scale: float) -> dict[str, NDArray[Any]]:
    """Return the session's input for a BGR picture: an int8 network reads the bytes themselves."""
    asked, made = session.get_inputs()[0], network_input(pixels, scale)
    if asked.type == "tensor(uint8)":
        made = np.rint(255 * made).astype(np.uint8).transpose(0, 2, 3, 1)
    return {asked.name: np.ascontiguousarray(made)}


def decode(maps: list[NDArray[np.float32]], floor: float) -> Detections:
    """Return the boxes of all levels from a confidence on, before suppression."""
    boxes, confidence, class_id = [], [], []
    for raw, stride in zip(maps, LEVELS.values(), strict=True):
        score = 1 / (1 + np.exp(-raw[0, : len(CLASSES)]))
        c, y, x = np.nonzero(score >= floor)
        sides = stride * np.exp(np.minimum(raw[0, len(CLASSES) :, y, x], RAW_LIMIT))
        centre = (np.stack([x, y], 1) + 0.5) * stride
        found = np.concatenate([centre - sides[:, :2], centre + sides[:, 2:]], 1)
        least = LEAST_COARSE_PX if stride in COARSE_STRIDES_PX else 0
        counts = (found[:, 2:] - found[:, :2]).min(axis=1) >= least
        boxes.append(found[counts])
        confidence.append(score[c, y, x][counts])
        class_id.append(c[counts])
    return Detections(
        np.concatenate(boxes).astype(np.float32),
        np.concatenate(confidence).astype(np.float32),
        np.concatenate(class_id).astype(np.int64),
    )


def detect(session: Any, pixels: NDArray[np.uint8], *, scale: float = 1.0, floor: float = 0.05) -> Detections:
    """Return what the network finds in a BGR picture, suppressed by class."""
    found = decode(session.run(None, feed(session, pixels, scale)), floor)
    keep, boxes = [], []
    for class_id in range(len(CLASSES)):
        rows = np.flatnonzero(found.class_id == class_id)
        given, confidence = found.boxes[rows], found.confidence[rows]
        kept = nms(given, confidence, NMS_IOU)
        boxes.append(voted(given, confidence, kept, iou=NMS_IOU, voting_from=VOTING_FROM))
        keep.append(rows[kept])
    every = np.concatenate(keep)
    limit = np.array([pixels.shape[1], pixels.shape[0]] * 2, np.float32)
    clipped = np.clip(np.concatenate(boxes) / np.float32(scale), 0, limit)
    return Detections(clipped, found.confidence[every], found.class_id[every])
