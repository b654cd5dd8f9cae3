"""What stands before the pixels of a frame in shared memory, and the check of everything in it.

192 bytes, little endian, then the planes at the offsets that it names. Another process wrote it: nothing in it is
believed before `read_header` has compared it with the memory that came.
"""

from __future__ import annotations

import math
import struct
from dataclasses import dataclass
from fractions import Fraction
from typing import Final

from anonymize.errors import FrameError, UsageError
from anonymize.frames import LAYOUTS, CapturedFrame, ColorMatrix, ColorRange, PixelFormat, ReleasedFrame
from anonymize.live.memory_layout import MemoryLayout

MAGIC: Final = b"VAFR"
VERSION: Final = 1
HEADER_BYTES: Final = 192  # three cache lines; the planes begin on one
ALIGNMENT_BYTES: Final = 64
RAW: Final = 1
HIDDEN: Final = 2
CAMERA_BYTES: Final = 32
# magic, version, header bytes, kind, format, range, matrix, flags, width, height, rotation, planes, three strides,
# three offsets, pts, time base, captured at, sequence, size of all, camera
_FIELDS: Final = struct.Struct("<4sHHBBBBIIIHH3I3QqIIdQQ32s")
# codes are part of the format: a value is never given another meaning
_FORMATS: Final = {
    1: PixelFormat.NV12, 2: PixelFormat.YUV420P, 3: PixelFormat.BGR24, 4: PixelFormat.RGB24, 5: PixelFormat.GRAY8,
    6: PixelFormat.YUV422P, 7: PixelFormat.YUV444P, 8: PixelFormat.YUV420P10LE,
}  # fmt: skip
_RANGES: Final = {1: ColorRange.LIMITED, 2: ColorRange.FULL}
_MATRICES: Final = {1: ColorMatrix.BT601, 2: ColorMatrix.BT709, 3: ColorMatrix.BT2020}
_CODES: Final = {value: code for table in (_FORMATS, _RANGES, _MATRICES) for code, value in table.items()}
_MIRRORED, _INTERLACED, _TIMED, _HIDDEN_WHOLE, _PREDICTED_ONLY = 1, 2, 4, 8, 16
_KNOWN_FLAGS: Final = 31


@dataclass(frozen=True, slots=True)
class FrameHeader:
    """Everything about a frame but its pixels; `offsets` of the layout count from the start of the header."""

    kind: int
    layout: MemoryLayout
    pts: int
    time_base: Fraction
    captured_at_s: float | None
    camera: str
    rotation_deg: int
    mirrored: bool
    color_range: ColorRange
    color_matrix: ColorMatrix
    interlaced: bool
    hidden_whole: bool
    predicted_only: bool
    sequence: int
    size_bytes: int


def layout_behind_header(pixel_format: PixelFormat | str, width: int, height: int) -> MemoryLayout:
    """Planes one behind the other after a header, each beginning on a cache line, lines padded to 64 bytes."""
    layout = LAYOUTS[PixelFormat(pixel_format)]
    sample = 1 if layout.bits == 8 else 2
    strides, offsets, reached = [], [], HEADER_BYTES
    for shape, channels in zip(layout.shapes(width, height), layout.channels, strict=True):
        strides.append(_up(shape[1] * channels * sample))
        offsets.append(reached)
        reached += strides[-1] * shape[0]
    return MemoryLayout(PixelFormat(pixel_format), width, height, tuple(strides), tuple(offsets))


def needed_bytes(pixel_format: PixelFormat | str, width: int, height: int) -> int:
    """Size of header and planes of such a frame."""
    return layout_behind_header(pixel_format, width, height).size_bytes


def header_of(frame: CapturedFrame | ReleasedFrame, sequence: int) -> FrameHeader:
    """The header of a frame whose planes will be laid out as `layout_behind_header` says."""
    layout = layout_behind_header(frame.pixel_format, frame.width, frame.height)
    raw = isinstance(frame, CapturedFrame)
    return FrameHeader(
        RAW if raw else HIDDEN, layout, frame.pts, Fraction(frame.time_base), frame.captured_at_s, frame.camera,
        frame.rotation_deg, frame.mirrored, frame.color_range, frame.color_matrix,
        interlaced=isinstance(frame, CapturedFrame) and frame.interlaced,
        hidden_whole=isinstance(frame, ReleasedFrame) and frame.hidden_whole,
        predicted_only=isinstance(frame, ReleasedFrame) and frame.predicted_only,
        sequence=sequence, size_bytes=layout.size_bytes,
    )  # fmt: skip


def write_header(memory: memoryview, header: FrameHeader) -> None:
    """Put the header at the start of `memory`.

    Raises
    ------
    UsageError
        A value that the fixed fields do not hold.
    """
    camera = header.camera.encode()
    if not 0 < len(camera) <= CAMERA_BYTES or b"\0" in camera:
        raise UsageError(
            f"camera {header.camera!r}; wanted 1 to {CAMERA_BYTES} bytes of UTF-8 without a zero"
        )
    flags = (
        header.mirrored * _MIRRORED
        | header.interlaced * _INTERLACED
        | (header.captured_at_s is not None) * _TIMED
        | header.hidden_whole * _HIDDEN_WHOLE
        | header.predicted_only * _PREDICTED_ONLY
    )
    layout = header.layout
    count = len(layout.strides)
    empty = (0,) * (3 - count)
    try:
        packed = _FIELDS.pack(
            MAGIC, VERSION, HEADER_BYTES, header.kind, _CODES[layout.pixel_format], _CODES[header.color_range],
            _CODES[header.color_matrix], flags, layout.width, layout.height, header.rotation_deg, count,
            *layout.strides, *empty, *layout.offsets, *empty, header.pts, header.time_base.numerator,
            header.time_base.denominator, header.captured_at_s or 0.0, header.sequence, header.size_bytes, camera,
        )  # fmt: skip
    except struct.error as fault:
        raise UsageError(f"pts {header.pts} in units of {header.time_base} s: {fault}") from None
    memory[:HEADER_BYTES] = packed.ljust(HEADER_BYTES, b"\0")


def read_header(memory: memoryview, kind: int) -> FrameHeader:
    """The header at the start of `memory`, if everything in it can be true.

    Raises
    ------
    FrameError
        Anything in it is unknown, out of range, or points out of the memory.
    """
    size = memory.nbytes
    if size < HEADER_BYTES:
        raise FrameError(f"a shared frame of {size} bytes; wanted at least {HEADER_BYTES}")
    (
        magic, version, header_bytes, came, pixel_format, color_range, color_matrix, flags, width, height, rotation_deg,
        count, *numbers, pts, above, below, captured_at_s, sequence, size_bytes, camera,
    ) = _FIELDS.unpack_from(memory)  # fmt: skip
    for name, value, wanted in (
        ("magic", magic, (MAGIC,)), ("version", version, (VERSION,)), ("header size", header_bytes, (HEADER_BYTES,)),
        ("kind", came, (kind,)), ("pixel format", pixel_format, _FORMATS), ("color range", color_range, _RANGES),
        ("color matrix", color_matrix, _MATRICES), ("rotation", rotation_deg, (0, 90, 180, 270)),
    ):  # fmt: skip
        if value not in wanted:
            raise FrameError(
                f"a shared frame with {name} {value!r}; wanted one of {', '.join(map(str, wanted))}"
            )
    if flags & ~_KNOWN_FLAGS or not above or not below or not math.isfinite(captured_at_s):
        raise FrameError(
            f"a shared frame with flags {flags:#x}, time base {above}/{below}, captured at {captured_at_s}; "
            f"wanted flags up to {_KNOWN_FLAGS:#x} and finite numbers above 0"
        )
    if not size_bytes <= size:
        raise FrameError(f"a shared frame that says {size_bytes} bytes in memory of {size}")
    if count > 3:
        raise FrameError(f"a shared frame with {count} planes; wanted at most 3")
    layout = MemoryLayout(
        _FORMATS[pixel_format], width, height, tuple(numbers[:count]), tuple(numbers[3 : 3 + count])
    )
    if min(layout.offsets) < HEADER_BYTES or layout.size_bytes > size_bytes:
        raise FrameError(
            f"a shared frame whose planes reach from byte {min(layout.offsets)} to {layout.size_bytes}; "
            f"wanted {HEADER_BYTES} to {size_bytes}"
        )
    return FrameHeader(
        came, layout, pts, Fraction(above, below), captured_at_s if flags & _TIMED else None, _name(camera),
        rotation_deg, bool(flags & _MIRRORED), _RANGES[color_range], _MATRICES[color_matrix],
        bool(flags & _INTERLACED), bool(flags & _HIDDEN_WHOLE), bool(flags & _PREDICTED_ONLY), sequence, size_bytes,
    )  # fmt: skip


def _name(camera: bytes) -> str:
    try:
        name = camera.rstrip(b"\0").decode()
    except UnicodeDecodeError:
        name = ""
    if not name or not name.isprintable():
        raise FrameError("a shared frame whose camera has no readable name")
    return name


def _up(size_bytes: int) -> int:
    return -(-size_bytes // ALIGNMENT_BYTES) * ALIGNMENT_BYTES
