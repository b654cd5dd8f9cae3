"""Training canvases: crops of pictures at random scale, mosaics, pasted faces, drawn plates.

Every canvas is a pure function of the seed and its number, so a resumed run goes on with
the canvases it would have seen.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import cv2
import drawn
import numpy as np
from boxes import area, intersection_matrix
from numpy.typing import NDArray
from pictures import FACE, PLATE, Pack, Picture
from weather import spoil, tint

Pixels = NDArray[np.uint8]
Row = tuple[list[float], int, bool]  # xyxy in px of the canvas, class, ignore
Chosen = tuple[Picture, float, float, NDArray[np.float32] | None]  # scale, stretch, box to keep inside
PLATE_WIDTH_PX = (22.0, 270.0)
FACE_HEIGHT_PX = (8.0, 150.0)
# shorter side an object of the picture is brought to; two of three plates are 16 to 64 px at native size
ANCHOR_PX = {FACE: (7.0, 170.0), PLATE: (7.0, 100.0)}
CLOSE_PX = (60.0, 230.0)  # close-ups: one chosen object in five
CLOSE_SHARE = 0.20
HARD_PX = (9.0, 110.0)  # what an earlier network got wrong
# degrees by which a region is turned at most, and the share that is; motorcycles lean on their stands
TURN = {"egypt_moto": (38.0, 0.55)}
TURN_OTHERS = (12.0, 0.2)
SCALE_RANGE = (0.22, 2.6)
SHARPENED_SHARE = 0.6  # of the enlarged windows: real pictures of that size are not soft
MIN_VISIBLE = 0.5  # share of a box that must lie inside the crop to be asked for


@dataclass
class Region:
    """A rectangle of the canvas with its rows, in px of the region."""

    pixels: Pixels
    rows: list[Row]

    def free(self, box: list[float]) -> bool:
        """Tell whether the box touches none of the region's boxes."""
        others = np.array([r[0] for r in self.rows if not whole(r[0], self.pixels)], np.float32).reshape(
            -1, 4
        )
        return not intersection_matrix(np.array([box], np.float32), others).any()


def whole(box: list[float], pixels: Pixels) -> bool:
    """Tell whether a box is as large as the region, that is, a class nobody marked there."""
    return box[0] <= 0 and box[1] <= 0 and box[2] >= pixels.shape[1] and box[3] >= pixels.shape[0]


def log_uniform(rng: np.random.Generator, low: float, high: float) -> float:
    """Return a number whose logarithm is evenly spread."""
    return float(np.exp(rng.uniform(np.log(low), np.log(high))))


class Canvases:
    """Makes canvas number k."""

    def __init__(self, pack: Pack, config: dict[str, Any]) -> None:
        self.pack = pack
        self.seed = int(config["seed"])
        self.options = dict(config["crops"])
        self.pictures = [p for p in pack.pictures if not p.held_back]
        weight = np.array([self.options["source_weight"].get(p.source, 0.0) for p in self.pictures])
        self.share = np.cumsum(weight / weight.sum())
        self.hardly_found = [(p, box) for p in self.pictures for box in p.hardly_found]
        self.false_hits = [(p, box) for p in self.pictures for box in p.false_hits]
        self.faces = [
            (p, box)
            for p in self.pictures
            for box, c, i in zip(p.boxes, p.class_id, p.ignore, strict=True)
            if c == FACE and not i and min(box[2] - box[0], box[3] - box[1]) >= 18
        ]

    def calm_down(self) -> None:
        """Change to the options of the schedule's end: canvases nearer to real pictures."""
        self.options |= self.options["late"]

    def make(self, number: int) -> tuple[Pixels, list[Row]]:
        """Return the canvas (side, side, 3), RGB, and its rows."""
        rng = np.random.default_rng((self.seed, number))
        side = int(self.options["side_px"])
        canvas = np.empty((side, side, 3), np.uint8)
        rows: list[Row] = []
        for x0, y0, x1, y1 in self._tiles(rng, side):
            region = self._region(rng, x1 - x0, y1 - y0)
            canvas[y0:y1, x0:x1] = region.pixels
            for box, class_id, ignore in region.rows:
                rows.append(([box[0] + x0, box[1] + y0, box[2] + x0, box[3] + y0], class_id, ignore))
        return np.asarray(cv2.cvtColor(spoil(canvas, rng), cv2.COLOR_BGR2RGB), np.uint8), rows

    def _tiles(self, rng: np.random.Generator, side: int) -> list[tuple[int, int, int, int]]:
        if rng.random() >= self.options["mosaic"]:
            return [(0, 0, side, side)]
        x, y = (int(v) for v in rng.uniform(0.3, 0.7, 2) * side)
        kind = rng.random()
        if kind < 0.2:
            return [(0, 0, x, side), (x, 0, side, side)]
        if kind < 0.4:
            return [(0, 0, side, y), (0, y, side, side)]
        return [(0, 0, x, y), (x, 0, side, y), (0, y, x, side), (x, y, side, side)]

    def _region(self, rng: np.random.Generator, width: int, height: int) -> Region:
        o = self.options
        if rng.random() < o["plain_scenes"]:
            region = Region(drawn.plain_scene(width, height, rng), [])
            for _ in range(int(rng.integers(1, 4))):
                draw_plate(region, rng)
        else:
            picture, scale, anchor = self._choose(rng)
            stretch = float(np.exp(rng.normal(0, 0.07)))
            used = (
                fitted(picture.width_px * scale * stretch, width),
                fitted(picture.height_px * scale / stretch, height),
            )
            if used != (width, height):
                return self._beside(rng, (picture, scale, stretch, anchor), used, (width, height))
            region = self._crop(rng, (picture, scale, stretch, anchor), width, height)
        return self._dress(region, rng)

    def _beside(
        self, rng: np.random.Generator, chosen: Chosen, used: tuple[int, int], size: tuple[int, int]
    ) -> Region:
        """Return a region that a small picture shares with others."""
        region = self._dress(self._crop(rng, chosen, *used), rng)
        if used[0] < size[0]:
            region = joined(region, self._region(rng, size[0] - used[0], used[1]), axis=1)
        if used[1] < size[1]:
            region = joined(region, self._region(rng, size[0], size[1] - used[1]), axis=0)
        return region

    def _dress(self, region: Region, rng: np.random.Generator) -> Region:
        """Return the region with drawn and pasted things, another light, small boxes ignored."""
        o = self.options
        if rng.random() < o["replaced_plates"]:
            replace_plates(region, rng)
        if rng.random() < o["drawn_plates"]:
            draw_plate(region, rng)
        if rng.random() < o["drawn_signs"]:
            draw_sign(region, rng)
        region.pixels = tint(region.pixels, rng)
        if rng.random() < o["pasted_faces"]:
            for _ in range(int(rng.integers(1, 4))):
                self._paste_face(region, rng)
        region.rows = [self._by_size(row) for row in region.rows]
        return region

    def _by_size(self, row: Row) -> Row:
        box, class_id, ignore = row
        shorter = min(box[2] - box[0], box[3] - box[1])
        fits = self.options["min_object_px"] <= shorter <= self.options["max_object_px"]
        return box, class_id, ignore or not fits

    def _choose(self, rng: np.random.Generator) -> tuple[Picture, float, NDArray[np.float32] | None]:
        """Return a picture, its scale, and a box that the window keeps."""
        wanted = rng.random() - self.options["hardly_found"]
        hard = self.hardly_found if wanted < 0 else self.false_hits
        if hard and wanted < self.options["false_hits"]:
            picture, box = hard[int(rng.integers(len(hard)))]
            size = float(min(box[2] - box[0], box[3] - box[1]))
            return picture, float(np.clip(log_uniform(rng, *HARD_PX) / size, *SCALE_RANGE)), box
        picture = self.pictures[int(np.searchsorted(self.share, rng.random()))]
        return picture, *self._scale(rng, picture)

    def _scale(self, rng: np.random.Generator, picture: Picture) -> tuple[float, NDArray[np.float32] | None]:
        asked = np.flatnonzero(~picture.ignore)
        if len(asked) and rng.random() < 0.8:
            chosen = int(rng.choice(asked))
            box = picture.boxes[chosen]
            size = max(float(min(box[2] - box[0], box[3] - box[1])), 3.0)
            wanted = CLOSE_PX if rng.random() < CLOSE_SHARE else ANCHOR_PX[int(picture.class_id[chosen])]
            return float(np.clip(log_uniform(rng, *wanted) / size, *SCALE_RANGE)), box
        return log_uniform(rng, 0.4, 1.6), None

    def _crop(self, rng: np.random.Generator, chosen: Chosen, width: int, height: int) -> Region:
        picture, scale, stretch, anchor = chosen
        sx, sy = scale * stretch, scale / stretch
        span = np.array([width / sx, height / sy])  # of the window, in px of the picture
        limit = np.array([picture.width_px, picture.height_px], float)
        free = limit - span
        low, high = np.minimum(free, 0), np.maximum(free, 0)
        corner = rng.uniform(low, high)
        if anchor is not None:
            around = np.stack([anchor[2:] - span, anchor[:2]]).astype(float)
            a, b = np.maximum(around.min(0), low), np.minimum(around.max(0), high)
            corner = rng.uniform(np.minimum(a, b), np.maximum(a, b))
        pixels = window(self.pack.pixels(picture), corner, (sx, sy), (width, height), rng)
        rows = clip_rows(picture, corner, np.array([sx, sy]), width, height)
        most_deg, share = TURN.get(picture.source, TURN_OTHERS)
        if rng.random() < share:
            pixels, rows = turn(pixels, rows, float(rng.uniform(-most_deg, most_deg)))
        if rng.random() < 0.5:
            pixels = np.asarray(cv2.flip(pixels, 1), np.uint8)
            rows = [([width - b[2], b[1], width - b[0], b[3]], c, i) for b, c, i in rows]
        for class_id in (FACE, PLATE):
            if class_id not in picture.labelled:
                rows.append(([0.0, 0.0, float(width), float(height)], class_id, True))
        return Region(pixels, rows)

    def _paste_face(self, region: Region, rng: np.random.Generator) -> None:
        picture, box = self.faces[int(rng.integers(len(self.faces)))]
        source = self.pack.pixels(picture)
        centre, size = (box[:2] + box[2:]) / 2, box[2:] - box[:2]
        low = np.maximum(centre - size * (0.85, 0.80), 0).astype(int)
        high = np.minimum(centre + size * (0.85, 0.80), (picture.width_px, picture.height_px)).astype(int)
        patch = source[low[1] : high[1], low[0] : high[0]]
        scale = min(log_uniform(rng, *FACE_HEIGHT_PX) / float(size[1]), 1.6)
        width, height = int(patch.shape[1] * scale), int(patch.shape[0] * scale)
        limit_y, limit_x = region.pixels.shape[:2]
        if min(width, height) < 6 or width >= limit_x or height >= limit_y:
            return
        x, y = int(rng.integers(limit_x - width)), int(rng.integers(limit_y - height))
        if not region.free([x, y, x + width, y + height]):
            return
        patch = tint(cv2.resize(patch, (width, height), interpolation=cv2.INTER_AREA), rng, night=0.0)
        new = [
            float(v)
            for v in np.concatenate([(box[:2] - low) * scale + (x, y), (box[2:] - low) * scale + (x, y)])
        ]
        if rng.random() < 0.5:
            patch = patch[:, ::-1]
            new[0], new[2] = 2 * x + width - new[2], 2 * x + width - new[0]
        blend(region.pixels, patch, oval(width, height), x, y)
        region.rows.append((new, FACE, False))


def fitted(wanted_px: float, limit_px: int) -> int:
    """Return the part of a side a picture takes: all of it unless 96 px or more would be left."""
    return limit_px if limit_px - wanted_px < 96 else max(48, int(wanted_px))


def joined(a: Region, b: Region, *, axis: int) -> Region:
    """Return b below (axis 0) or to the right (axis 1) of a."""
    shift = (a.pixels.shape[1], 0) if axis == 1 else (0, a.pixels.shape[0])
    moved = [
        ([r[0] + shift[0], r[1] + shift[1], r[2] + shift[0], r[3] + shift[1]], c, i) for r, c, i in b.rows
    ]
    return Region(np.concatenate([a.pixels, b.pixels], axis=axis), a.rows + moved)


def oval(width: int, height: int) -> Pixels:
    """Return a soft oval mask for a head."""
    mask = np.zeros((height, width), np.uint8)
    cv2.ellipse(mask, (width // 2, height // 2), (int(width * 0.44), int(height * 0.46)), 0, 0, 360, 255, -1)
    soft = max(1, min(width, height) // 10) * 2 + 1
    return cv2.GaussianBlur(mask, (soft, soft), 0)


def blend(pixels: Pixels, patch: Pixels, mask: Pixels, x: int, y: int) -> None:
    """Lay the patch over the picture at (x, y), by the mask."""
    height, width = mask.shape
    region = pixels[y : y + height, x : x + width]
    alpha = mask[..., None].astype(np.float32) / 255
    region[:] = (region + (patch.astype(np.float32) - region) * alpha).astype(np.uint8)


def window(
    source: Pixels,
    corner: NDArray[np.float64],
    scale: tuple[float, float],
    size: tuple[int, int],
    rng: np.random.Generator,
) -> Pixels:
    """Return the window at ``corner``, scaled; what lies outside the picture gets one even colour."""
    width, height = size
    x0, y0 = np.floor(np.maximum(corner, 0)).astype(int)
    x1 = min(source.shape[1], int(np.ceil(corner[0] + width / scale[0])))
    y1 = min(source.shape[0], int(np.ceil(corner[1] + height / scale[1])))
    part = source[y0:y1, x0:x1]
    left, top = (round(max(-float(c), 0.0) * s) for c, s in zip(corner, scale, strict=True))
    w = min(width - left, max(1, round((x1 - x0) * scale[0])))
    h = min(height - top, max(1, round((y1 - y0) * scale[1])))
    method = cv2.INTER_AREA if scale[0] < 0.9 else (cv2.INTER_LINEAR, cv2.INTER_CUBIC)[int(rng.integers(2))]
    if scale[0] < 0.9 and rng.random() < 0.3:
        method = cv2.INTER_LINEAR  # the engine's own scaling may alias
    scaled = cv2.resize(part, (w, h), interpolation=method)
    if scale[0] > 1.1 and rng.random() < SHARPENED_SHARE:
        scaled = sharpened(scaled, scale[0], float(rng.uniform(0.5, 2.5)))
    if (w, h) == (width, height):
        return scaled
    ground = (114, 114, 114) if rng.random() < 0.5 else tuple(int(v) for v in rng.integers(0, 256, 3))
    canvas = np.full((height, width, 3), ground, np.uint8)
    canvas[top : top + h, left : left + w] = scaled
    return canvas


def sharpened(pixels: Pixels, scale: float, amount: float) -> Pixels:
    """Return an enlarged window with its edges steepened (unsharp mask as wide as the enlargement)."""
    soft = cv2.GaussianBlur(pixels, (0, 0), 0.6 * scale)
    return np.asarray(cv2.addWeighted(pixels, 1 + amount, soft, -amount, 0), np.uint8)


def clip_rows(
    picture: Picture, corner: NDArray[np.float64], scale: NDArray[np.float64], width: int, height: int
) -> list[Row]:
    """Return the picture's boxes in px of the region; boxes cut in half are ignored."""
    if not len(picture.boxes):
        return []
    moved = ((picture.boxes.reshape(-1, 2, 2) - corner) * scale).reshape(-1, 4)
    limit = np.array([width, height, width, height], float)
    inside = np.clip(moved, 0, limit)
    visible = area(inside) / np.maximum(area(moved), 1e-6)
    return [
        ([float(v) for v in box], int(c), bool(i) or share < MIN_VISIBLE)
        for box, c, i, share in zip(inside, picture.class_id, picture.ignore, visible, strict=True)
        if share > 0
    ]


def turn(pixels: Pixels, rows: list[Row], angle_deg: float) -> tuple[Pixels, list[Row]]:
    """Return the region turned about its centre; a box becomes the hull of its oval or corners."""
    height, width = pixels.shape[:2]
    matrix = cv2.getRotationMatrix2D((width / 2, height / 2), angle_deg, 1.0)
    turned = cv2.warpAffine(pixels, matrix, (width, height), borderMode=cv2.BORDER_REPLICATE)
    c, s = abs(matrix[0, 0]), abs(matrix[0, 1])
    out: list[Row] = []
    for box, class_id, ignore in rows:
        x, y = matrix @ np.array([(box[0] + box[2]) / 2, (box[1] + box[3]) / 2, 1.0])
        w, h = (box[2] - box[0]) / 2, (box[3] - box[1]) / 2
        if class_id == FACE:
            half_w, half_h = np.hypot(w * c, h * s), np.hypot(w * s, h * c)
        else:
            half_w, half_h = w * c + h * s, w * s + h * c
        moved = [x - half_w, y - half_h, x + half_w, y + half_h]
        new = [max(moved[0], 0), max(moved[1], 0), min(moved[2], width), min(moved[3], height)]
        if new[2] - new[0] < 1 or new[3] - new[1] < 1:
            continue
        share = (new[2] - new[0]) * (new[3] - new[1]) / ((moved[2] - moved[0]) * (moved[3] - moved[1]))
        out.append(([float(v) for v in new], class_id, ignore or share < MIN_VISIBLE))
    return turned, out


def lay(
    region: Region, patch: Pixels, mask: Pixels, width_px: float, rng: np.random.Generator, tilt: float
) -> list[float] | None:
    """Lay a drawn thing of the given width into the region, slanted; return its box, or None without room."""
    height, width = patch.shape[:2]
    limit_y, limit_x = region.pixels.shape[:2]
    w = min(width_px, 0.8 * limit_x)
    h = w * height / width
    if h > 0.8 * limit_y or h < 4:
        return None
    angle = np.deg2rad(rng.normal(0, tilt))
    corners = np.array([[-w, -h], [w, -h], [w, h], [-w, h]]) / 2
    corners = corners @ np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    corners += rng.normal(0, 0.04, (4, 2)) * h
    corners[:, 1] += corners[:, 0] * rng.normal(0, 0.05)
    span = np.abs(corners).max(axis=0)
    if (2 * span + 4 >= (limit_x, limit_y)).any():
        return None
    corners += rng.uniform(span + 1, np.array([limit_x, limit_y]) - span - 1)
    box = [float(v) for v in np.concatenate([corners.min(0), corners.max(0)])]
    if not region.free(box):
        return None
    shrink = max(1.0, 1.5 * w)  # area-scale first: warping a large drawing down would alias
    if shrink < width:
        size = (int(shrink), max(2, int(shrink * height / width)))
        patch, mask = (cv2.resize(v, size, interpolation=cv2.INTER_AREA) for v in (patch, mask))
        height, width = patch.shape[:2]
    x0, y0 = (int(v) for v in np.floor(box[:2]))
    size = (int(np.ceil(box[2])) - x0 + 1, int(np.ceil(box[3])) - y0 + 1)
    size = (min(size[0], limit_x - x0), min(size[1], limit_y - y0))
    source = np.array([[0, 0], [width, 0], [width, height], [0, height]], np.float32)
    matrix = cv2.getPerspectiveTransform(source, (corners - (x0, y0)).astype(np.float32))
    warped = cv2.warpPerspective(patch, matrix, size, borderMode=cv2.BORDER_REPLICATE)
    blend(region.pixels, warped, cv2.warpPerspective(mask, matrix, size), x0, y0)
    return box


def draw_plate(region: Region, rng: np.random.Generator) -> None:
    """Draw one plate into the region, often in a frame."""
    pixels = drawn.plate(rng)
    if rng.random() < 0.6:
        pixels = (pixels * rng.uniform(0.35, 1.0)).astype(np.uint8)
    edge = 0
    if rng.random() < 0.4:  # a plate holder or recess; the box is the plate's, without it
        edge = int(rng.integers(3, 26))
        colour = drawn.vary((45, 45, 45), rng, 40)
        pixels = cv2.copyMakeBorder(pixels, edge, edge, edge, edge, cv2.BORDER_CONSTANT, value=colour)
    mask = np.full(pixels.shape[:2], 255, np.uint8)
    box = lay(region, pixels, mask, log_uniform(rng, *PLATE_WIDTH_PX), rng, tilt=4.0)
    if box is None:
        return
    dx = (box[2] - box[0]) * edge / pixels.shape[1]
    dy = (box[3] - box[1]) * edge / pixels.shape[0]
    region.rows.append(([box[0] + dx, box[1] + dy, box[2] - dx, box[3] - dy], PLATE, False))


def replace_plates(region: Region, rng: np.random.Generator) -> None:
    """Lay drawn plates over the region's real ones: other countries' layouts where plates hang on cars."""
    for box, class_id, ignore in region.rows:
        x0, y0, x1, y1 = (int(v) for v in (box[0], box[1], np.ceil(box[2]), np.ceil(box[3])))
        width, height = x1 - x0, y1 - y0
        if class_id != PLATE or ignore or height < 8 or not 1.0 < width / height < 6.0:
            continue
        pixels = drawn.plate(rng)
        ratio = pixels.shape[1] / pixels.shape[0] * height / width
        if not 0.6 < ratio < 1.6:
            continue
        light = region.pixels[y0:y1, x0:x1].mean() / max(float(pixels.mean()), 1.0)
        lit = np.clip(pixels * np.clip(light * rng.uniform(0.8, 1.2), 0.1, 1.3), 0, 255).astype(np.uint8)
        patch = cv2.resize(lit, (width, height), interpolation=cv2.INTER_AREA)
        blend(region.pixels, patch, np.full((height, width), 255, np.uint8), x0, y0)


def draw_sign(region: Region, rng: np.random.Generator) -> None:
    """Draw one sign into the region; no row: it is background."""
    pixels, mask = drawn.sign(rng)
    lay(region, pixels, mask, log_uniform(rng, 14, 160), rng, tilt=3.0)
