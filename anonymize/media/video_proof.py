"""The proof that a written video is what was meant: every hidden area holds its fill, every copied picture is whole.

What the encoder gives is decoded at once and compared with the hidden frame, so that nothing piles up over a long
film; of each packet a digest is taken before it goes into the file. When the file is complete its packets are read
back: the same pictures at the same times, and the first of each run, decoded by what the file itself says, is bit
for bit the one compared (or, of a copied run, the source's). For copied runs the parameter sets in force are the
source's, so that the same slices decode to the same pictures.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import numpy.typing as npt

from anonymize.errors import MediaError, VerificationError
from anonymize.frames import LAYOUTS, Box, CapturedFrame, ReleasedFrame
from anonymize.media.nal import join_units
from anonymize.media.video_av import foreign_errors, load_av, open_input
from anonymize.media.video_check import compare_times
from anonymize.media.video_encoders import ffmpeg_format
from anonymize.media.video_facts import NATIVE, VideoFacts
from anonymize.media.video_planes import planes_of, writable_planes
from anonymize.media.video_read_back import ReadBack, Record, Run, add_to, new_digest, picture_bytes

if TYPE_CHECKING:
    import av
    from av.packet import Packet

CheckFrame = Callable[[CapturedFrame, tuple[Box, ...]], None]
# Levels of 8 bit between the fill and what the file shows: the mean over a plane of an area, and over the worst cell
# of it; an area smaller than a cell is one. `bench/archive.py --fill` at the default qualities: 2.8 and 13.8 at most
# (AV1; H.264 1.0 and 2.7), with boxes in the colour of their surroundings 4.6 and 15.4, at CRF 34 of HEVC 9.5 and 16.6;
# what had lain there: 18 and 37 (medians).
MEAN_TOLERANCE: Final = 12.0
CELL_TOLERANCE: Final = 24.0
CELL_PX: Final = 8  # samples; a transform block
ENCODED_SAMPLE_S: Final = 2  # between frames of encoded groups that are looked at once more
COPIED_SAMPLE_S: Final = 10  # the same of copied groups
_DECODERS: Final = {"av1": ("libdav1d", "libaom-av1")}  # FFmpeg's own of that name needs a graphics processor
_MAX_PATCH: Final = 1 << 16  # samples kept of one area's plane; of larger ones every second or fourth line


@dataclass(frozen=True, slots=True)
class _Patch:
    """A hidden area of one plane, as it was hidden."""

    plane: int
    place: tuple[slice, slice]
    samples: npt.NDArray[Any]


class Proof:
    """Collects what is to be proved of one file while it is written, and then asks the file.

    Parameters
    ----------
    path : Path
    codec : str
        Key of `ENCODERS`: of what is encoded, and of what is copied.
    facts : VideoFacts
    check_frame : callable or None
        Given a sample of the output's frames, and the boxes hidden in them.
    check_stop : callable
        Raises to end, while the file is read back.

    Attributes
    ----------
    frames_compared, areas_compared : int
    worst_mean, worst_cell : float
        Largest mean difference of an area's plane, and of a cell of one, levels of 8 bit.
    pictures_decoded : int
        First pictures of runs, decoded from the file.
    record : Record
        What was written so far.
    """

    def __init__(
        self,
        path: Path,
        codec: str,
        facts: VideoFacts,
        *,
        check_frame: CheckFrame | None = None,
        check_stop: Callable[[], None] = lambda: None,
    ) -> None:
        self.frames_compared = self.areas_compared = self.pictures_decoded = 0
        self.worst_mean = self.worst_cell = 0.0
        self._path = path
        self.record = Record(path, codec, facts.time_base)
        self._facts = facts
        self._check_frame = check_frame
        self._check_stop = check_stop
        self._expected: dict[int, tuple[tuple[Box, ...], list[_Patch]]] = {}
        self._decoder: Any = None
        self._in_run = False
        self._digest = new_digest()
        self._next_sample = -(2**62)

    # -- while the file is written ------------------------------------------------------------------------------

    def expect(self, frame: ReleasedFrame, pts: int) -> None:
        """This hidden frame is encoded next."""
        boxes = [box.hidden_xyxy for box in frame.boxes]
        if frame.hidden_whole:
            boxes = [(0, 0, frame.width, frame.height)]
        self._expected[pts] = frame.boxes, _patches(frame, boxes)

    def see(self, packet: Packet[Any], encoder: Any) -> None:
        """A packet of the encoder: decode it and compare what comes out."""
        if self._decoder is None:
            self._decoder = decoder_of(self.record.codec, bytes(encoder.extradata or b""))
        if not self._in_run:
            self._begin_run(Run(copied=False))
            self._in_run = True
        self._note(bytes(packet), 0)
        for picture in self._decode(packet):
            self._compare(picture)

    def end_run(self) -> None:
        """The encoder is empty: every frame that was hidden has been seen."""
        if self._in_run:
            for picture in self._decode(None):
                self._compare(picture)
            self._decoder.flush_buffers()
        self._in_run = False
        if self._expected:
            raise VerificationError(
                f"{self._path}: {len(self._expected)} encoded frames did not come out of a decoder again, "
                f"the first at pts {min(self._expected)}"
            )

    def copy(self, slices: list[bytes], first_picture: Callable[[], av.VideoFrame] | None = None) -> None:
        """A copied packet's slices; with the first of a run, what decodes it from the source."""
        if first_picture is not None:
            self._begin_run(Run(copied=True, first_picture=self.digest_of(first_picture())))
        self._note(join_units(slices, start_codes=True), 0)

    def _begin_run(self, run: Run) -> None:
        self.record.runs.append(run)
        self._digest = new_digest()

    def _note(self, content: bytes, length_bytes: int) -> None:
        run = self.record.runs[-1]
        run.packets += 1
        add_to(self._digest, picture_bytes(self.record.codec, content, length_bytes))
        run.digest = self._digest.digest()

    def _decode(self, packet: Packet[Any] | None) -> list[av.VideoFrame]:
        try:
            with foreign_errors(self._path, "what was encoded cannot be decoded"):
                frames: list[av.VideoFrame] = self._decoder.decode(packet)
        except MediaError as error:
            raise VerificationError(str(error)) from error
        return frames

    def _compare(self, picture: av.VideoFrame) -> None:
        pts = picture.pts
        if picture.is_corrupt or pts is None or pts not in self._expected:
            raise VerificationError(
                f"{self._path}: an encoded frame came out damaged, or twice, at pts {pts}"
            )
        boxes, patches = self._expected.pop(pts)
        run = self.record.runs[-1]
        run.first_picture = run.first_picture or self.digest_of(picture)
        picture = self.as_written(picture)
        planes = planes_of(picture, self._facts.pixel_format)
        for patch in patches:
            self._compare_patch(patch, planes[patch.plane], pts)
        self.frames_compared += 1
        self._sample(picture, pts, boxes, ENCODED_SAMPLE_S)

    def _compare_patch(self, patch: _Patch, plane: npt.NDArray[Any], pts: int) -> None:
        scale = 1 << LAYOUTS[self._facts.pixel_format].bits - 8
        difference = np.abs(plane[patch.place].astype(np.float32) - patch.samples) / scale
        mean, worst = float(difference.mean()), _worst_cell(difference)
        if worst is None:
            mean, worst = 0.0, mean
        self.worst_mean, self.worst_cell = max(self.worst_mean, mean), max(self.worst_cell, worst)
        self.areas_compared += patch.plane == 0
        if mean > MEAN_TOLERANCE or worst > CELL_TOLERANCE:
            rows, columns = patch.place
            raise VerificationError(
                f"{self._path}: plane {patch.plane} at pts {pts}, rows {rows.start}-{rows.stop}, columns "
                f"{columns.start}-{columns.stop}, differs from its fill by {mean:.1f} levels, {worst:.1f} in the worst "
                f"cell; wanted at most {MEAN_TOLERANCE:g} and {CELL_TOLERANCE:g}"
            )

    def _sample(self, picture: av.VideoFrame, pts: int, boxes: tuple[Box, ...], every_s: int) -> None:
        if self._check_frame is None or pts < self._next_sample:
            return
        self._next_sample = pts + int(every_s / self._facts.time_base)
        self._check_frame(_captured(picture, pts, self._facts), boxes)

    def is_due(self, pts: int) -> bool:
        """Whether a picture of a copied run at this time is wanted."""
        return self._check_frame is not None and pts >= self._next_sample

    def look(self, picture: av.VideoFrame, pts: int) -> None:
        """A picture of a copied run, where one is due."""
        self._sample(self.as_written(picture), pts, (), COPIED_SAMPLE_S)

    def digest_of(self, picture: av.VideoFrame) -> bytes:
        """Of every shown sample."""
        pixel_format = NATIVE.get(picture.format.name)
        if pixel_format is None:
            raise VerificationError(f"{self._path}: a picture came out as {picture.format.name}")
        digest = new_digest()
        for plane in planes_of(picture, pixel_format):
            digest.update(np.ascontiguousarray(plane).data)
        return digest.digest()

    def as_written(self, picture: av.VideoFrame) -> av.VideoFrame:
        """The picture in the format in which it was hidden: NV12 comes out of a decoder as three planes."""
        facts = self._facts
        if (picture.width, picture.height) != (facts.width, facts.height):
            raise VerificationError(
                f"{self._path}: a picture came out as {picture.width} x {picture.height} px; "
                f"wanted {facts.width} x {facts.height}"
            )
        if NATIVE.get(picture.format.name) is facts.pixel_format:
            return picture
        return picture.reformat(format=ffmpeg_format(facts.pixel_format))

    def passed(self) -> tuple[str, ...]:
        """What the file has passed, in words; to be asked when it is complete."""
        copied = sum(run.packets for run in self.record.runs if run.copied)
        worst = f"largest difference {self.worst_mean:.1f} levels, {self.worst_cell:.1f} in a cell"
        lines = [
            f"{self.frames_compared + copied:,} pictures read back from the file, bytes and times as written",
            f"{self.areas_compared:,} hidden areas in {self.frames_compared:,} frames hold their fill ({worst})",
            f"{self.pictures_decoded:,} pictures decoded from the file, pixels as written",
        ]
        if copied:
            lines.append(f"{copied:,} copied pictures have the source's slices and parameter sets")
        return tuple(lines)

    # -- when the file is complete --------------------------------------------------------------------------------

    def check_file(self, descriptor: int, path: Path, written: array[int], time_base: Fraction) -> Fraction:
        """The step in seconds to which the container rounded the times; see `check_times`.

        Raises
        ------
        VerificationError
            The file does not hold what was seen while it was written.
        """
        found = array("q")
        try:
            with foreign_errors(path, "cannot be read back"), open_input(descriptor, path) as container:
                stream = container.streams.video[0]
                reading = ReadBack(self.record, stream, self)
                self._next_sample = -(2**62)
                for packet in container.demux(stream):
                    self._check_stop()
                    time = packet.dts if packet.pts is None else packet.pts  # AVI has decoding times alone
                    if packet.size and time is not None and not packet.is_discard:
                        found.append(time)
                        reading.take(packet)
                reading.end()
                self.pictures_decoded = reading.pictures_decoded
            return compare_times(path, found, stream.time_base or Fraction(1), written, time_base)
        except VerificationError:
            raise
        except MediaError as error:
            raise VerificationError(str(error)) from error


def decoder_of(codec: str, record: bytes) -> Any:
    """A decoder of its own, one thread, for packets that such a record describes."""
    av = load_av()
    names = [name for name in _DECODERS.get(codec, ()) if name in av.codecs_available]
    context: Any = av.CodecContext.create(names[0] if names else codec, "r")
    context.thread_count = 1
    if record:
        context.extradata = record
    return context


def _captured(picture: av.VideoFrame, pts: int, facts: VideoFacts) -> CapturedFrame:
    return CapturedFrame(
        writable_planes(picture, facts.pixel_format),
        facts.pixel_format,
        pts,
        facts.time_base,
        rotation_deg=facts.rotation_deg,
        mirrored=facts.mirrored,
        color_range=facts.color_range,
        color_matrix=facts.color_matrix,
    )


def _patches(frame: ReleasedFrame, boxes: list[tuple[int, int, int, int]]) -> list[_Patch]:
    """The areas as they are hidden, plane by plane: pixels of the fill, none of the source."""
    layout = LAYOUTS[frame.pixel_format]
    patches = []
    for x1, y1, x2, y2 in boxes:
        for index, plane in enumerate(frame.planes):
            right, down = (layout.chroma_shift_x, layout.chroma_shift_y) if index else (0, 0)
            x_from, x_until = max(0, -(-x1 >> right)), min(plane.shape[1], x2 >> right)
            y_from, y_until = max(0, -(-y1 >> down)), min(plane.shape[0], y2 >> down)
            if x_from >= x_until or y_from >= y_until:
                continue
            step = 1
            while (y_until - y_from) * (x_until - x_from) > _MAX_PATCH * step * step:
                step *= 2
            place = slice(y_from, y_until, step), slice(x_from, x_until, step)
            patches.append(_Patch(index, place, plane[place].copy()))
    return patches


def _worst_cell(difference: npt.NDArray[np.float32]) -> float | None:
    """Largest mean of a cell, of the cells that lie whole in the area; None where none does."""
    rows, columns = difference.shape[0] // CELL_PX, difference.shape[1] // CELL_PX
    if not rows or not columns:
        return None
    whole = difference[: rows * CELL_PX, : columns * CELL_PX]
    cells = whole.reshape(rows, CELL_PX, columns, CELL_PX, *difference.shape[2:])
    return float(cells.mean(axis=(1, 3)).max())
