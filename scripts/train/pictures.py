"""The working copy of the training pictures: one zip file, and the boxes that go with it.

``pack`` writes it; ``travel`` writes what an accelerator needs of it in parts.
Boxes of teachers stand in JSON files beside it, so they can be redone at any time.
"""

from __future__ import annotations

import io
import json
import re
import zipfile
import zlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from network import CLASSES
from numpy.typing import NDArray

FACE, PLATE = 0, 1
HELD_BACK_SHARE = 0.10


@dataclass
class Picture:
    """One training picture: where it lies in the pack and what stands in it."""

    name: str
    source: str
    width_px: int
    height_px: int
    labelled: tuple[int, ...]
    held_back: bool
    boxes: NDArray[np.float32] = field(default_factory=lambda: np.zeros((0, 4), np.float32))  # xyxy
    class_id: NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, np.int64))
    ignore: NDArray[np.bool_] = field(default_factory=lambda: np.zeros(0, np.bool_))
    hardly_found: NDArray[np.float32] = field(
        default_factory=lambda: np.zeros((0, 4), np.float32)
    )  # by ``mine``
    false_hits: NDArray[np.float32] = field(default_factory=lambda: np.zeros((0, 4), np.float32))


def is_held_back(source: str, name: str) -> bool:
    """Tell whether a picture serves the choice of thresholds instead of training.

    Whole scenes where the name tells the scene (drives, runs of numbers), else one
    picture in ten by a hash of its name.
    """
    number = int(re.findall(r"\d+", name.rsplit(".", 1)[0])[-1]) if re.search(r"\d", name) else 0
    if source == "romania_dashcam":
        return number >= 560 if name.startswith("day") else number >= 140
    if source == "openlpr":
        return number >= 1360
    if source in ("roadsigns_cc0", "lund_walk", "lums_road"):
        return False
    return zlib.crc32(name.encode()) % 1000 < HELD_BACK_SHARE * 1000


def read_coco(path: Path) -> list[Picture]:
    """Return the pictures of a COCO file with their boxes."""
    document = json.loads(path.read_text())
    pictures = {
        image["id"]: Picture(
            image["file_name"],
            image["source"],
            image["width"],
            image["height"],
            tuple(CLASSES.index(name) for name in image["labelled"] if name in CLASSES),
            is_held_back(image["source"], Path(image["file_name"]).name),
        )
        for image in document["images"]
    }
    rows: dict[int, list[tuple[list[float], int, bool]]] = {}
    for entry in document.get("annotations", []):
        x, y, w, h = entry["bbox"]
        row = ([x, y, x + w, y + h], entry["category_id"] - 1, bool(entry["iscrowd"]))
        rows.setdefault(entry["image_id"], []).append(row)
    for key, entries in rows.items():
        set_boxes(pictures[key], entries)
    return list(pictures.values())


def set_boxes(picture: Picture, rows: list[tuple[list[float], int, bool]]) -> None:
    """Put rows of (xyxy, class, ignore) in the place of a picture's boxes."""
    picture.boxes = np.array([r[0] for r in rows], np.float32).reshape(-1, 4)
    picture.class_id = np.array([r[1] for r in rows], np.int64)
    picture.ignore = np.array([r[2] for r in rows], np.bool_)


def rows_of(picture: Picture) -> list[tuple[list[float], int, bool]]:
    """Return a picture's boxes as rows of (xyxy, class, ignore)."""
    columns = zip(picture.boxes.tolist(), picture.class_id.tolist(), picture.ignore.tolist(), strict=True)
    return [(list(b), int(c), bool(i)) for b, c, i in columns]


def to_json(picture: Picture) -> dict[str, Any]:
    """Return a picture as what ``from_json`` reads."""
    return {
        "name": picture.name,
        "source": picture.source,
        "size": [picture.width_px, picture.height_px],
        "labelled": list(picture.labelled),
        "held_back": picture.held_back,
        "rows": rows_of(picture),
    }


def from_json(entry: dict[str, Any]) -> Picture:
    """Return the picture that ``to_json`` wrote."""
    width, height = entry["size"]
    labelled = tuple(entry["labelled"])
    picture = Picture(entry["name"], entry["source"], width, height, labelled, entry["held_back"])
    set_boxes(picture, [(row[0], row[1], row[2]) for row in entry["rows"]])
    return picture


def pack(data: Path, target: Path, *, side_px: int, jpeg_quality: int) -> int:
    """Write all training pictures, at most ``side_px`` on the longer side, into one zip file."""
    index: list[dict[str, Any]] = []
    partial = target.with_suffix(".tmp")
    with zipfile.ZipFile(partial, "w", zipfile.ZIP_STORED) as archive:
        for folder, file in (("train", "annotations.json"), ("train_unlabelled", "images.json")):
            for picture in read_coco(data / folder / file):
                encoded = (data / folder / picture.name).read_bytes()
                picture.name = f"{folder}/{picture.name}"
                longer_px = max(picture.width_px, picture.height_px)
                if longer_px > side_px:
                    encoded = shrink(encoded, picture, side_px / longer_px, jpeg_quality)
                archive.writestr(picture.name, encoded)
                index.append(to_json(picture))
        archive.writestr("index.json", json.dumps(index))
    partial.replace(target)
    return len(index)


def shrink(encoded: bytes, picture: Picture, scale: float, jpeg_quality: int) -> bytes:
    """Return the picture scaled down and encoded anew; its boxes and size follow."""
    pixels = cv2.imdecode(np.frombuffer(encoded, np.uint8), cv2.IMREAD_COLOR)
    size = (round(picture.width_px * scale), round(picture.height_px * scale))
    pixels = cv2.resize(pixels, size, interpolation=cv2.INTER_AREA)
    picture.boxes *= scale
    picture.width_px, picture.height_px = size
    return cv2.imencode(".jpg", pixels, [cv2.IMWRITE_JPEG_QUALITY, jpeg_quality])[1].tobytes()


def pack_for_travel(source: Path, folder: Path, part_bytes: int) -> int:
    """Write the pack without what is held back, in parts for a machine that takes so much at once.

    Returns the number of parts; ``cat pictures.zip.*`` puts them together there.
    """
    folder.mkdir(parents=True, exist_ok=True)
    buffer = io.BytesIO()
    with zipfile.ZipFile(source) as given, zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as taken:
        index = [entry for entry in json.loads(given.read("index.json")) if not entry["held_back"]]
        for entry in index:
            taken.writestr(entry["name"], given.read(entry["name"]))
        taken.writestr("index.json", json.dumps(index))
    whole = buffer.getvalue()
    parts = [whole[at : at + part_bytes] for at in range(0, len(whole), part_bytes)]
    for k, part in enumerate(parts):
        (folder / f"pictures.zip.{k}").write_bytes(part)
    return len(parts)


class Pack:
    """Reader of the zip file; decoded pictures (BGR) stay in memory when ``keep`` is set."""

    def __init__(self, path: Path, *, keep: bool = False) -> None:
        self._archive = zipfile.ZipFile(path)
        self._kept: dict[str, NDArray[np.uint8]] | None = {} if keep else None
        self.pictures = [from_json(entry) for entry in json.loads(self._archive.read("index.json"))]

    def pixels(self, picture: Picture) -> NDArray[np.uint8]:
        """Return the decoded picture, (height, width, 3), BGR."""
        if self._kept is not None and picture.name in self._kept:
            return self._kept[picture.name]
        encoded = np.frombuffer(self._archive.read(picture.name), np.uint8)
        decoded = np.asarray(cv2.imdecode(encoded, cv2.IMREAD_COLOR), np.uint8)
        if self._kept is not None:
            self._kept[picture.name] = decoded
        return decoded


def merge_teachers(pictures: list[Picture], files: list[Path]) -> None:
    """Add what the teachers said: replaced rows and completed classes, by picture name."""
    for file in files:
        if not file.exists():
            continue
        said = json.loads(file.read_text())
        for picture in pictures:
            if picture.name in said:
                entry = said[picture.name]
                class_id = entry["class_id"]
                rows = [r for r in rows_of(picture) if r[1] != class_id]
                set_boxes(picture, rows + [(r[0], r[1], r[2]) for r in entry["rows"]])
                picture.labelled = tuple(sorted({*picture.labelled, class_id}))


def drop_reviewed(pictures: list[Picture], file: Path) -> None:
    """Drop the ignore boxes that a person saw to be no face: hard negatives from now on."""
    seen = json.loads(file.read_text())
    for picture in pictures:
        known = np.array(seen.get(picture.name, []), np.float32).reshape(-1, 4)
        if len(known):
            gone = [
                r[1] == FACE and r[2] and bool((np.abs(known - np.array(r[0])) < 1).all(axis=1).any())
                for r in rows_of(picture)
            ]
            set_boxes(picture, [r for r, drop in zip(rows_of(picture), gone, strict=True) if not drop])


def ignore_reviewed(pictures: list[Picture], file: Path) -> None:
    """Add ignore boxes where a person saw that a false hit may be an object that nobody marked."""
    seen = json.loads(file.read_text())
    for picture in pictures:
        if picture.name in seen:
            rows = [(row["box"], CLASSES.index(row["class"]), True) for row in seen[picture.name]]
            set_boxes(picture, rows_of(picture) + rows)


def note_hard(pictures: list[Picture], file: Path) -> None:
    """Note the boxes that ``mine`` found, if it ran."""
    if not file.exists():
        return
    said = json.loads(file.read_text())
    for picture in pictures:
        rows = said.get(picture.name, [])
        for is_object, name in ((True, "hardly_found"), (False, "false_hits")):
            boxes = [row["box"] for row in rows if row["object"] == is_object]
            setattr(picture, name, np.array(boxes, np.float32).reshape(-1, 4))
