"""What was hidden in a film, counted as it goes; memory does not grow with the film."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Final

from anonymize.archive.work import Moment
from anonymize.frames import Box, Label, Origin, ReleasedFrame

MOMENTS: Final = 24
_A_SLICE: Final = 3  # candidates kept in each of `MOMENTS` equal parts of the film, each of another object
_GONE_AFTER: Final = 300  # frames: an object is given out in each frame from its first to its last


@dataclass(slots=True)
class Tally:
    """Counts of one film of `frames` frames."""

    frames: int
    boxes: Counter[str] = field(default_factory=Counter)
    objects: Counter[str] = field(default_factory=Counter)
    origins: Counter[str] = field(default_factory=Counter)
    confidence: list[int] = field(default_factory=lambda: [0] * 10)
    hidden_whole: Counter[str] = field(default_factory=Counter)
    last_number: int = -1
    _seen_in: dict[int, int] = field(default_factory=dict)
    _slices: dict[int, dict[int, Moment]] = field(default_factory=dict)

    def count(self, frame: ReleasedFrame, number: int) -> None:
        """One frame of the output."""
        self.last_number = number
        if frame.hidden_whole:
            self.hidden_whole[str(frame.reason)] += 1
        for box in frame.boxes:
            self.boxes[box.label.value] += 1
            self.origins[box.origin.value] += 1
            if box.label is Label.AREA:
                continue
            if box.track not in self._seen_in:
                self.objects[box.label.value] += 1
            self._seen_in[box.track] = number
            if box.origin is not Origin.STATIC:  # what a person asked for is certain
                self.confidence[min(9, int(10 * box.confidence))] += 1
                self._note(box, number, float(frame.pts * frame.time_base))
        if number % _GONE_AFTER == 0:
            self._seen_in = {t: last for t, last in self._seen_in.items() if last >= number - _GONE_AFTER}

    def _note(self, box: Box, number: int, pts_s: float) -> None:
        part = self._slices.setdefault(MOMENTS * number // max(self.frames, 1), {})
        held = part.get(box.track)
        if held is not None and held.confidence <= box.confidence:
            return
        if held is None and len(part) == _A_SLICE:
            surest = max(part, key=lambda track: part[track].confidence)
            if part[surest].confidence <= box.confidence:
                return
            del part[surest]
        part[box.track] = Moment(pts_s, number, box.label.value, box.xyxy, box.confidence, box.origin.value)

    def certainty(self) -> tuple[Moment, ...]:
        """The least certain moments: of each part of the film and each object one, then others."""
        kept = [
            (moment, part, track) for part, held in self._slices.items() for track, moment in held.items()
        ]
        kept.sort(key=lambda row: (row[0].confidence, row[0].frame))
        spread: list[Moment] = []
        rest: list[Moment] = []
        parts: set[int] = set()
        tracks: set[int] = set()
        for moment, part, track in kept:
            if part in parts or track in tracks:
                rest.append(moment)
                continue
            spread.append(moment)
            parts.add(part)
            tracks.add(track)
        return tuple(sorted((spread + rest)[:MOMENTS], key=lambda moment: moment.confidence))
