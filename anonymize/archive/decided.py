"""What is to be hidden in each frame of a film, decided as the film goes: found, linked in time, corrected."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Final

import numpy as np

from anonymize.archive.spool import SpoolReader, first_of, last_of
from anonymize.archive.work import Corrections
from anonymize.boxes import CLASS_IDS, ORIGINS
from anonymize.errors import MediaError
from anonymize.frames import Label, Origin
from anonymize.track.object_track import LOOK_AHEAD_S
from anonymize.track.persistent import count_persistent
from anonymize.track.seen_frame import Boxes, LinkedFrame, SeenFrame
from anonymize.track.two_sided import link

SAME_OVERLAP: Final = (
    0.5  # intersection over union: with as much, a box is the one that a person called a false hit
)
_ADDED_TRACKS: Final = -1_000_000  # of boxes that a person added, so that their colours do not flicker


def linked_frames(
    spool: SpoolReader, before: SpoolReader | None, after: SpoolReader | None
) -> Iterator[LinkedFrame]:
    """The frames of `spool`, with tracks that come from the end of the spool before and go on in the one after."""
    size = (spool.header.width, spool.header.height)
    with_neighbours = _in_a_row(spool, before, after)
    for linked in link(count_persistent(with_neighbours, size, spool.header.thresholds), size):
        if linked.number >= 0:
            yield linked


def fits(spool: SpoolReader, other: SpoolReader) -> bool:
    """Whether tracks can go from one film to the other: one size of picture, one way of looking at it."""
    ours, theirs = spool.header, other.header
    same_look = (ours.settings_sha256, ours.thresholds) == (theirs.settings_sha256, theirs.thresholds)
    return same_look and (ours.width, ours.height) == (theirs.width, theirs.height) and other.frames > 0


def _in_a_row(
    spool: SpoolReader, before: SpoolReader | None, after: SpoolReader | None
) -> Iterator[SeenFrame]:
    """The films as one, on the clock of `spool`; frames of its neighbours have the number -1."""
    if before is not None:
        later_s = spool.first_s - before.last_s - _step_s(before)
        for seen in last_of(before, LOOK_AHEAD_S):
            yield replace(seen, number=-1, time_s=seen.time_s + later_s)
    yield from spool
    if after is not None:
        later_s = spool.last_s - after.first_s + _step_s(spool)
        for seen in first_of(after, LOOK_AHEAD_S):
            yield replace(seen, number=-1, time_s=seen.time_s + later_s)


def _step_s(spool: SpoolReader) -> float:
    """The usual time between two frames, s: what passes from the last of a film to the first of the next."""
    return (spool.last_s - spool.first_s) / (spool.frames - 1) if spool.frames > 1 else 0.04


def corrected(linked: LinkedFrame, corrections: Corrections) -> LinkedFrame:
    """The frame with what a person said of it: false hits taken out where they match, boxes added."""
    if linked.reason is not None:
        return linked  # it is hidden as a whole
    now = linked.time_s
    kept = np.ones(len(linked.boxes), bool)
    for hit in corrections.released:
        if hit.from_s <= now <= hit.until_s:
            of_class = linked.class_ids == CLASS_IDS[Label(hit.label)]
            kept &= ~(of_class & (_overlap(linked.boxes, np.array(hit.xyxy, np.float32)) >= SAME_OVERLAP))
    added = [(n, box) for n, box in enumerate(corrections.added) if box.from_s <= now <= box.until_s]
    if kept.all() and not added:
        return linked
    places = np.array([box.xyxy for _, box in added], np.float32)
    labels = [CLASS_IDS[Label(box.label)] for _, box in added]
    numbers = [_ADDED_TRACKS - n for n, _ in added]
    return replace(
        linked,
        boxes=np.concatenate([linked.boxes[kept], places.reshape(-1, 4)]),
        class_ids=np.concatenate([linked.class_ids[kept], np.array(labels, np.int32)]),
        track_ids=np.concatenate([linked.track_ids[kept], np.array(numbers, np.int64)]),
        scores=np.concatenate([linked.scores[kept], np.ones(len(added), np.float32)]),
        origins=np.concatenate(
            [linked.origins[kept], np.full(len(added), ORIGINS.index(Origin.STATIC), np.int32)]
        ),
    )


def _overlap(boxes: Boxes, box: Boxes) -> Boxes:
    """Intersection over union of each of `boxes` (N, 4) with `box` (4,)."""
    sides = np.minimum(boxes[:, 2:], box[2:]) - np.maximum(boxes[:, :2], box[:2])
    both = np.clip(sides, 0, None).prod(axis=1)
    areas = (boxes[:, 2:] - boxes[:, :2]).prod(axis=1) + (box[2:] - box[:2]).prod()
    return np.asarray(both / (areas - both))


class Decided:
    """Answers by number of frame, of a stream; memory holds one frame, and a byte for each that was asked about.

    Parameters
    ----------
    path : Path
        Of the source, for messages.
    begin : callable
        The film's frames from the first on: once for both questions, which are asked one after the other, and again
        where a number is asked for that has gone by.
    """

    def __init__(self, path: Path, begin: Callable[[], Iterator[LinkedFrame]]) -> None:
        self._path, self._begin = path, begin
        self._marks = bytearray()
        self._to_mark = begin()
        self._stream, self._next = begin(), 0

    def has_boxes(self, number: int) -> bool:
        """Whether anything is hidden in a frame."""
        while len(self._marks) <= number:
            linked = self._following(self._to_mark, len(self._marks))
            self._marks.append(linked.reason is not None or len(linked.boxes) > 0)
        return bool(self._marks[number])

    def take(self, number: int) -> LinkedFrame:
        """What is to be hidden in a frame; best asked in rising order."""
        if number < self._next:
            self._stream, self._next = self._begin(), 0
        while True:
            linked = self._following(self._stream, self._next)
            self._next += 1
            if self._next > number:
                return linked

    def _following(self, stream: Iterator[LinkedFrame], number: int) -> LinkedFrame:
        linked = next(stream, None)
        if linked is None:
            raise MediaError(f"{self._path}: frame {number} came; wanted no more than were searched before")
        return linked
