"""What the engine keeps for one camera: memory of its own for the frame, tracks, hiding scratch, canary."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from anonymize.boxes import CLASS_IDS, CLASS_LABELS, MAX_BOXES, ORIGINS, BoxTable, Found
from anonymize.canary import Canary
from anonymize.deadline import Pace
from anonymize.detect import to_stored, upright_size
from anonymize.errors import FrameError, HideError, LateError, TooManyError
from anonymize.frames import Box, CapturedFrame, FrameMemory, Label, Origin, Planes
from anonymize.hide.hider import Hider
from anonymize.settings import Settings
from anonymize.track import CameraMotion, Tracker

# of a side: what enters crosses the picture in 0.67 s at most (a car beside, 1080p)
ENTERING_PER_S: Final = 1.5
# of a side; what may have entered farther than that since the last look: hide it all
WIDEST_STRIP: Final = 0.25

# a track of its own for each static area, so that its colour does not flicker; -1 would be remembered by nobody
STATIC_TRACKS: Final = -2 - np.arange(MAX_BOXES, dtype=np.int64)


class CameraState:
    """Everything of one camera that outlives a frame; allocated at its first frame of a size."""

    def __init__(self, settings: Settings, thresholds: Mapping[Label, float]) -> None:
        self.settings = settings
        self.memory = FrameMemory()
        self.planes: Planes | None = None
        self.canary: Canary | None = None
        self.canary_due_s = 0.0
        self.pace = Pace()
        self.hider = Hider(settings.styles)
        self.tracker = Tracker(thresholds={CLASS_IDS[label]: value for label, value in thresholds.items()})
        self.motion = CameraMotion()
        self.hidden = BoxTable()
        self._passed = BoxTable()
        self._seen = BoxTable()
        self._nothing = BoxTable()
        self._seen_at_s = 0.0
        self._own: Planes | None = None
        self._own_kind: tuple[object, ...] = ()
        self._static = np.array(settings.hide_always, np.float32).reshape(-1, 4)
        self._never = np.array(settings.never, np.float32).reshape(-1, 4)

    def own(self, captured: CapturedFrame, *, in_place: bool) -> CapturedFrame:
        """The frame in memory that nobody else writes; the planes handed out before are taken back.

        In place, that is the memory the caller gave, which must be writable.
        """
        self.memory.revoke()
        self.memory = FrameMemory()
        self.planes = None
        if in_place:
            if not all(plane.flags.writeable for plane in captured.planes):
                raise FrameError(
                    "planes are read-only; wanted writable ones (or an engine that is not in_place)"
                )
            self.planes = captured.planes
            return captured
        kind = (captured.pixel_format, captured.width, captured.height)
        if self._own is None or kind != self._own_kind:
            self._own = captured.layout.allocate(captured.width, captured.height)
            self._own_kind = kind
        for ours, theirs in zip(self._own, captured.planes, strict=True):
            np.copyto(ours, theirs)
        self.planes = self._own
        return replace(captured, planes=self._own)

    def owned(self, captured: CapturedFrame) -> CapturedFrame:
        """The frame in the memory that `own` has put it in.

        Raises
        ------
        FrameError
            It was not.
        """
        if self.planes is None:
            raise FrameError("the frame is not in memory that may be written")
        return replace(captured, planes=self.planes)

    def blank(self, captured: CapturedFrame, *, in_place: bool) -> None:
        """Put one flat colour over the whole frame, in our memory and in the caller's if it is hidden in place."""
        given = captured.planes if in_place and all(p.flags.writeable for p in captured.planes) else None
        if given is not None:
            self.hider.fill_whole(given, captured.layout)
        elif in_place:
            self.planes = None  # the caller's memory could not be blanked: nothing of it may be handed on
        if self.planes is not None and self.planes is not given:
            self.hider.fill_whole(self.planes, captured.layout)

    def forget(self) -> None:
        """The next frame belongs to another scene: no tracks, no motion, no held colours."""
        self.tracker.forget()
        self.motion.forget()
        self.hider.reset()

    def follow(
        self,
        found: BoxTable,
        picture: npt.NDArray[Any],
        px_per_network_px: tuple[float, float],
        frame: CapturedFrame,
    ) -> None:
        """Fill `hidden` with all boxes to hide in this frame, px of the stored picture.

        Parameters
        ----------
        found : BoxTable
            Detections, px of the upright picture.
        picture : (H, W) float32 or uint8
            One channel of the network's input, for the camera's motion.
        px_per_network_px : (float, float)
            Across, down.
        frame : CapturedFrame
        """
        size = upright_size(frame.width, frame.height, frame.rotation_deg)
        if self.settings.tracking:
            shift_x, shift_y = self.motion.shift(picture)
            shift = (shift_x * px_per_network_px[0], shift_y * px_per_network_px[1])
            followed = self.tracker.step(found, float(frame.pts * frame.time_base), shift=shift, size=size)
        else:
            followed = self._strong_only(found)
        self._seen_at_s = float(frame.pts * frame.time_base)
        self._put(followed, frame)

    def describe_found(
        self,
        found: BoxTable,
        picture: npt.NDArray[Any],
        px_per_network_px: tuple[float, float],
        frame: CapturedFrame,
    ) -> Found:
        """What the network found and how the camera moved, px of the stored picture; takes what `follow` takes."""
        shift_x, shift_y = self.motion.shift(picture)
        moved = np.array([[shift_x * px_per_network_px[0], shift_y * px_per_network_px[1]] * 2], np.float32)
        turn, mirrored = frame.rotation_deg, frame.mirrored
        way = np.empty_like(moved)
        to_stored(moved, way, (0, 0), rotation_deg=turn, mirrored=mirrored)  # it is turned, and has no place
        seen, count = self._seen, found.count
        size = (frame.width, frame.height)
        to_stored(found.boxes[:count], seen.boxes[:count], size, rotation_deg=turn, mirrored=mirrored)
        for name in ("class_ids", "scores", "strong"):
            getattr(seen, name)[:count] = getattr(found, name)[:count]
        seen.count = count
        return Found(seen, (float(way[0, 0]), float(way[0, 1])))

    def place(self, boxes: BoxTable, frame: CapturedFrame) -> None:
        """Fill `hidden` with boxes decided before, px of the stored picture, and the static areas."""
        hidden, count = self.hidden, boxes.count
        for name in ("boxes", "class_ids", "track_ids", "scores", "origins"):
            getattr(hidden, name)[:count] = getattr(boxes, name)[:count]
        hidden.count = count
        self._leave_out_never(hidden)
        self._add_areas(self._static, Origin.STATIC)

    def predict(self, frame: CapturedFrame) -> None:
        """Fill `hidden` for a frame that the network did not look at: where tracks lead, and a strip along the edges.

        The strip is as wide as what entered since the last look may have come; what appears elsewhere (from behind
        another car, or growing out of nothing far away) it does not cover.

        Raises
        ------
        LateError
            The last look is too long ago for that to mean anything.
        """
        now_s = float(frame.pts * frame.time_base)
        strip = ENTERING_PER_S * (now_s - self._seen_at_s)
        if not 0.0 < strip <= WIDEST_STRIP:
            raise LateError(
                f"the last look at this camera was {now_s - self._seen_at_s:.3f} s before this frame"
            )
        size = upright_size(frame.width, frame.height, frame.rotation_deg)
        self._put(self.tracker.step(self._nothing, now_s, size=size), frame)
        across, down = strip * frame.width, strip * frame.height
        w, h = float(frame.width), float(frame.height)
        strips = ((0.0, 0.0, w, down), (0.0, h - down, w, h), (0.0, 0.0, across, h), (w - across, 0.0, w, h))
        self._add_areas(np.array(strips, np.float32), Origin.PREDICTED, tracks_from=len(self._static))

    def _put(self, followed: BoxTable, frame: CapturedFrame) -> None:
        hidden = self.hidden
        count = followed.count
        to_stored(
            followed.boxes[:count], hidden.boxes[:count], (frame.width, frame.height),
            rotation_deg=frame.rotation_deg, mirrored=frame.mirrored,
        )  # fmt: skip
        for name in ("class_ids", "track_ids", "scores", "origins"):
            getattr(hidden, name)[:count] = getattr(followed, name)[:count]
        hidden.count = count
        self._leave_out_never(hidden)
        self._add_areas(self._static, Origin.STATIC)

    def hide(self, frame: CapturedFrame) -> None:
        """Hide the boxes of `hidden` in the frame's planes, in place."""
        boxes = self.hidden
        self.hider.hide(
            frame.planes, frame.layout, boxes.boxes, boxes.class_ids, boxes.track_ids, boxes.count
        )

    def _strong_only(self, found: BoxTable) -> BoxTable:
        rows = np.flatnonzero(found.strong[: found.count])
        passed = self._passed
        for name in ("boxes", "class_ids", "scores"):
            getattr(passed, name)[: len(rows)] = getattr(found, name)[rows]
        passed.origins[: len(rows)] = ORIGINS.index(Origin.DETECTED)
        passed.track_ids[: len(rows)] = -1
        passed.count = len(rows)
        return passed

    def _leave_out_never(self, hidden: BoxTable) -> None:
        if not len(self._never):
            return
        kept = np.flatnonzero(~self._in_never(hidden.boxes[: hidden.count]))
        for name in ("boxes", "class_ids", "track_ids", "scores", "origins"):
            getattr(hidden, name)[: len(kept)] = getattr(hidden, name)[kept]
        hidden.count = len(kept)

    def _in_never(self, boxes: npt.NDArray[np.float32]) -> npt.NDArray[np.bool_]:
        """Whether the centre of each box (N, 4) lies in a `never` area."""
        x, y = (boxes[:, 0] + boxes[:, 2]) / 2, (boxes[:, 1] + boxes[:, 3]) / 2
        x1, y1, x2, y2 = (self._never[:, c, None] for c in range(4))
        inside = (x >= x1) & (x < x2) & (y >= y1) & (y < y2)  # (areas, N)
        return np.asarray(inside.any(axis=0), np.bool_)

    def _add_areas(self, areas: npt.NDArray[np.float32], origin: Origin, tracks_from: int = 0) -> None:
        hidden = self.hidden
        first, last = hidden.count, hidden.count + len(areas)
        if last > MAX_BOXES:
            raise TooManyError(f"{last} boxes and areas in one picture; the limit is {MAX_BOXES}")
        hidden.boxes[first:last] = areas
        hidden.class_ids[first:last] = CLASS_IDS[Label.AREA]
        hidden.track_ids[first:last] = STATIC_TRACKS[tracks_from : tracks_from + len(areas)]
        hidden.scores[first:last] = 1.0
        hidden.origins[first:last] = ORIGINS.index(origin)
        hidden.count = last

    def check_covered(self, found: BoxTable, frame: CapturedFrame) -> None:
        """Compare the hidden areas with the network's own boxes, past tracker and table.

        Raises
        ------
        HideError
            A detection is not inside one hidden area.
        """
        rows = np.flatnonzero(found.strong[: found.count])
        boxes = np.empty((len(rows), 4), np.float32)
        size = (frame.width, frame.height)
        to_stored(found.boxes[rows], boxes, size, rotation_deg=frame.rotation_deg, mirrored=frame.mirrored)
        self._check_inside(boxes, frame)

    def check_placed(self, boxes: BoxTable, frame: CapturedFrame) -> None:
        """Compare the hidden areas with every box that was to be hidden; raises as `check_covered` does."""
        self._check_inside(boxes.boxes[: boxes.count], frame)

    def _check_inside(self, boxes: npt.NDArray[np.float32], frame: CapturedFrame) -> None:
        if len(self._never):
            boxes = boxes[~self._in_never(boxes)]
        limits = np.array([frame.width, frame.height] * 2, np.float32)
        boxes = np.clip(boxes, 0, limits)
        areas = self.hider.grown[: self.hidden.count].astype(np.float32)
        inside = (areas[:, None, :2] <= boxes[None, :, :2]) & (areas[:, None, 2:] >= boxes[None, :, 2:])
        empty = (boxes[:, 0] >= boxes[:, 2]) | (boxes[:, 1] >= boxes[:, 3])
        covered = inside.all(axis=2).any(axis=0) if len(areas) else np.zeros(len(boxes), bool)
        if not (covered | empty).all():
            raise HideError(f"{int((~(covered | empty)).sum())} of {len(boxes)} boxes are not hidden")

    def describe(self) -> tuple[Box, ...]:
        """The boxes of this frame as values."""
        hidden, grown = self.hidden, self.hider.grown
        return tuple(
            Box(
                label=CLASS_LABELS[hidden.class_ids[row]],
                xyxy=tuple(hidden.boxes[row].tolist()),
                confidence=float(hidden.scores[row]),
                origin=ORIGINS[hidden.origins[row]],
                hidden_xyxy=tuple(grown[row].tolist()),
                track=int(hidden.track_ids[row]),
            )
            for row in range(hidden.count)
        )
