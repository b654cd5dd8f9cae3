"""What the first pass found in a video, as a stream in one file: boxes, no pixel and no name.

    magic | u32 length, header as JSON | frame ... frame | end mark, u64 frames | SHA-256 of all before it

A frame is 20 bytes and 22 a box. The file appears under its name when it is whole (mode 0600), and is read only after
its sum was found right: one that is cut off or altered is refused before its first frame is used.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import os
import struct
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, BinaryIO, Final, Self

import numpy as np

from anonymize.boxes import MAX_BOXES
from anonymize.errors import MediaError
from anonymize.frames import Reason
from anonymize.media.output import new_file
from anonymize.track.seen_frame import SeenFrame

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

MAGIC: Final = b"anonymize spool 1\n"
_LENGTH: Final = struct.Struct("<I")
_FRAME: Final = struct.Struct("<BBHqff")  # mark, reason, boxes, pts, shift
_END: Final = struct.Struct("<BQqqq")  # mark, frames, first and last pts, longest step between two
_FRAME_MARK: Final = 1
_END_MARK: Final = 2
_DIGEST_BYTES: Final = 32
_BOX_BYTES: Final = 22
_LONGEST_HEADER: Final = 1 << 16
_REASONS: Final = (None, *Reason)  # by number; new reasons go to the end of `Reason`
_BUFFER_BYTES: Final = 1 << 18


@dataclass(frozen=True, slots=True, kw_only=True)
class SpoolHeader:
    """What a spool belongs to.

    Parameters
    ----------
    source_sha256, settings_sha256 : str
        Of the file's bytes, and `ArchiveSettings.digest`.
    time_base : Fraction
        Seconds per unit of the frames' times.
    width, height : int
        Of the stored picture, px: boxes are in px of it.
    thresholds : mapping of class id to confidence
        From which a find is strong.
    """

    source_sha256: str
    settings_sha256: str
    time_base: Fraction
    width: int
    height: int
    thresholds: dict[int, float]

    def as_bytes(self) -> bytes:
        """Canonical JSON."""
        plain = {**asdict(self), "time_base": str(self.time_base)}
        return json.dumps(plain, sort_keys=True, allow_nan=False).encode()

    @classmethod
    def from_bytes(cls, text: bytes) -> SpoolHeader:
        """The header again; the spool's sum was checked before."""
        plain = json.loads(text)
        plain["time_base"] = Fraction(plain["time_base"])
        plain["thresholds"] = {int(key): value for key, value in plain["thresholds"].items()}
        return cls(**plain)


class SpoolWriter:
    """Takes frames in the order of their times; made by `new_spool`."""

    def __init__(self, stream: BinaryIO, header: SpoolHeader) -> None:
        self._stream, self._sum = stream, hashlib.sha256()
        self._frames = 0
        self._first_pts = self._last_pts = self._longest_step = 0
        text = header.as_bytes()
        self._put(MAGIC + _LENGTH.pack(len(text)) + text)

    def add(self, seen: SeenFrame, pts: int) -> None:
        """One frame; its number and time are not kept: they follow from the order and from `pts`."""
        count = len(seen.boxes)
        if count > MAX_BOXES or (self._frames and pts <= self._last_pts):
            raise MediaError(f"frame {self._frames} has {count} boxes at {pts}, after {self._last_pts}")
        if self._frames:
            self._longest_step = max(self._longest_step, pts - self._last_pts)
        else:
            self._first_pts = pts
        self._last_pts = pts
        self._frames += 1
        head = _FRAME.pack(_FRAME_MARK, _REASONS.index(seen.reason), count, pts, *seen.shift_px)
        self._put(
            head
            + seen.boxes.astype("<f4").tobytes()
            + seen.scores.astype("<f4").tobytes()
            + seen.class_ids.astype("u1").tobytes()
            + seen.strong.astype("u1").tobytes()
        )

    def end(self) -> None:
        """The film is over."""
        self._put(_END.pack(_END_MARK, self._frames, self._first_pts, self._last_pts, self._longest_step))
        self._stream.write(self._sum.digest())

    def _put(self, content: bytes) -> None:
        self._sum.update(content)
        self._stream.write(content)


@contextlib.contextmanager
def new_spool(path: Path, header: SpoolHeader) -> Iterator[SpoolWriter]:
    """A spool that gets its name, over an old one, when the block ends without an exception."""
    with new_file(path, overwrite=True) as stream:
        os.fchmod(stream.fileno(), 0o600)
        writer = SpoolWriter(stream, header)
        yield writer
        writer.end()


class SpoolReader:
    """A whole spool; use it with `with`.

    Attributes
    ----------
    header : SpoolHeader
    frames : int
    first_s, last_s : float
        Times of the first and the last frame.
    longest_step_s : float
        Between two frames.

    Raises
    ------
    MediaError
        It is missing, cut off, altered or of another version.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            self._stream = path.open("rb", buffering=_BUFFER_BYTES)
        except OSError as error:
            raise MediaError(f"{path}: cannot be opened: {os.strerror(error.errno or 0)}") from error
        try:
            end = self._check_whole()
            self._stream.seek(len(MAGIC))
            (length,) = _LENGTH.unpack(self._stream.read(_LENGTH.size))
            self.header = SpoolHeader.from_bytes(self._stream.read(length))
        except BaseException:
            self._stream.close()
            raise
        self._frames_at = len(MAGIC) + _LENGTH.size + length
        _, self.frames, first, last, step = _END.unpack(end)
        base = self.header.time_base
        self.first_s, self.last_s = float(first * base), float(last * base)
        self.longest_step_s = float(step * base)

    def _check_whole(self) -> bytes:
        """The end record of a spool whose sum is right."""
        stream, size = self._stream, os.fstat(self._stream.fileno()).st_size
        left = size - _DIGEST_BYTES
        if stream.read(len(MAGIC)) != MAGIC or left < len(MAGIC) + _LENGTH.size + _END.size:
            raise MediaError(
                f"{self.path}: is no spool of this version, or cut off; wanted the look repeated"
            )
        checksum = hashlib.sha256(MAGIC)
        left -= len(MAGIC)
        tail = b""
        while left:
            block = stream.read(min(left, _BUFFER_BYTES))
            if not block:
                break
            checksum.update(block)
            left -= len(block)
            tail = (tail + block)[-_END.size :]
        if stream.read() != checksum.digest() or tail[0] != _END_MARK:
            raise MediaError(f"{self.path}: is cut off or altered; wanted the look repeated")
        return tail

    def __iter__(self) -> Iterator[SeenFrame]:
        """All frames, numbered from 0; every iteration reads for itself."""
        stream = io.BufferedReader(_ReadFrom(self._stream.fileno(), self._frames_at), _BUFFER_BYTES)
        base = self.header.time_base
        for number in range(self.frames):
            head = stream.read(_FRAME.size).ljust(_FRAME.size, b"\0")
            mark, reason, count, pts, *shift = _FRAME.unpack(head)
            body = stream.read(_BOX_BYTES * count)
            if mark != _FRAME_MARK or len(body) != _BOX_BYTES * count:
                raise MediaError(f"{self.path}: was altered while it was read; wanted the look repeated")
            yield SeenFrame(
                number,
                float(pts * base),
                np.frombuffer(body, "<f4", 4 * count).reshape(count, 4),
                np.frombuffer(body, "u1", count, 20 * count).astype(np.int32),
                np.frombuffer(body, "<f4", count, 16 * count),
                np.frombuffer(body, "u1", count, 21 * count).astype(bool),
                (shift[0], shift[1]),
                _REASONS[reason],
            )

    def close(self) -> None:
        """Let the file go."""
        self._stream.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class _ReadFrom(io.RawIOBase):
    """A file read from a place on, without moving the place of others that read it."""

    def __init__(self, descriptor: int, at: int) -> None:
        self._descriptor, self._at = descriptor, at

    def readable(self) -> bool:
        """True."""
        return True

    def readinto(self, buffer: WriteableBuffer, /) -> int:
        """Bytes read; 0 at the end."""
        count = os.preadv(self._descriptor, [buffer], self._at)
        self._at += count
        return count


def last_of(frames: Iterable[SeenFrame], span_s: float) -> list[SeenFrame]:
    """The frames of the last `span_s`."""
    kept: deque[SeenFrame] = deque()
    for seen in frames:
        kept.append(seen)
        while kept[0].time_s < seen.time_s - span_s:
            kept.popleft()
    return list(kept)


def first_of(frames: Iterable[SeenFrame], span_s: float) -> list[SeenFrame]:
    """The frames of the first `span_s`."""
    kept: list[SeenFrame] = []
    for seen in frames:
        if kept and seen.time_s > kept[0].time_s + span_s:
            break
        kept.append(seen)
    return kept
