"""A labelled set in COCO JSON, with `labelled` per picture and `iscrowd` boxes that count neither way."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from anonymize.errors import UsageError
from anonymize.evaluate.overlap import Boxes, as_boxes
from anonymize.frames import Label

CLASSES = (Label.FACE, Label.PLATE)
ANNOTATIONS = "annotations.json"


@dataclass(frozen=True, slots=True, eq=False)
class LabelledPicture:
    """One picture and what is known of it; boxes xyxy px of the upright picture.

    Attributes
    ----------
    labelled : frozenset of str
        Classes of which every object is marked.
    boxes : (N, 4)
    classes : (N,) str
    ignored : (N,) bool
    """

    path: Path
    name: str
    source: str
    width: int
    height: int
    labelled: frozenset[str]
    boxes: Boxes
    classes: npt.NDArray[np.str_]
    ignored: npt.NDArray[np.bool_]

    def asked(self, label: str) -> Boxes:
        """Objects of a class that must be hidden."""
        return np.asarray(self.boxes[(self.classes == label) & ~self.ignored])

    def left_out(self, label: str) -> Boxes:
        """Objects of a class that count neither way."""
        return np.asarray(self.boxes[(self.classes == label) & self.ignored])


def read_dataset(path: Path) -> list[LabelledPicture]:
    """The pictures of a COCO file, or of `annotations.json` in a folder, by size, so that engines are reused.

    Raises
    ------
    UsageError
        The file cannot be read, or is no COCO detection file.
    """
    file = path / ANNOTATIONS if path.is_dir() else path
    try:
        values = json.loads(file.read_text("utf-8"))
    except (OSError, UnicodeDecodeError, json.JSONDecodeError) as fault:
        raise UsageError(f"{file}: cannot be read as a COCO file (JSON): {fault}") from None
    try:
        names = {int(category["id"]): str(category["name"]) for category in values["categories"]}
        by_picture: dict[int, list[Mapping[str, Any]]] = {int(image["id"]): [] for image in values["images"]}
        for annotation in values["annotations"]:
            by_picture[int(annotation["image_id"])].append(annotation)
        pictures = [
            _picture(file.parent, image, by_picture[int(image["id"])], names) for image in values["images"]
        ]
    except (KeyError, TypeError, ValueError, AttributeError) as fault:
        raise UsageError(
            f"{file}: is no COCO detection file: {type(fault).__name__} {fault}; wanted images, annotations "
            "(image_id, category_id, bbox) and categories"
        ) from None
    return sorted(pictures, key=lambda picture: (picture.width, picture.height, picture.name))


def _picture(
    folder: Path, image: Mapping[str, Any], annotations: list[Mapping[str, Any]], names: Mapping[int, str]
) -> LabelledPicture:
    sides = as_boxes([annotation["bbox"] for annotation in annotations])
    if not np.isfinite(sides).all() or (sides[:, 2:] <= 0).any():
        raise ValueError(f"a box of {image['file_name']!r} has no area")
    sides[:, 2:] += sides[:, :2]
    width, height = int(image["width"]), int(image["height"])
    limits = np.array([width, height] * 2, np.float64)
    return LabelledPicture(
        path=folder / str(image["file_name"]),
        name=str(image["file_name"]),
        source=str(image.get("source", "all pictures")),
        width=width,
        height=height,
        labelled=frozenset(map(str, image.get("labelled", names.values()))),
        boxes=np.clip(sides, 0.0, limits),
        classes=np.array([names[int(annotation["category_id"])] for annotation in annotations], np.str_),
        ignored=np.array([bool(annotation.get("iscrowd", 0)) for annotation in annotations], bool),
    )
