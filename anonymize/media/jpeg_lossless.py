"""JPEGs whose pixels outside the hidden areas stay as they were coded: only the MCUs under a hidden pixel are new.

The hidden pixels are encoded in patches of whole MCUs with the source's quantisation tables and subsampling; the
patches' blocks take the place of the source's, every component of them, and the whole is written anew: no byte of the
source's coded pixels is copied, nothing of what lay in a replaced MCU is left.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

import numpy as np
import numpy.typing as npt

from anonymize.errors import MediaError
from anonymize.frames import ReleasedFrame
from anonymize.media.containers import jpeg_segments
from anonymize.media.jpeg_coefficients import (
    JpegCoefficients,
    JpegHead,
    encode_pixels,
    read_coefficients,
    read_head,
    write_coefficients,
)
from anonymize.media.metadata import PictureMetadata
from anonymize.media.output import require_released
from anonymize.media.pictures import exif_block

_SEGMENT_BYTES: Final = 65_533
_PROFILE_PART_BYTES: Final = _SEGMENT_BYTES - 14
_FRAME_MARKERS: Final = (0xC0, 0xC1)
_CODING: Final = (*_FRAME_MARKERS, 0xC4, 0xDA, 0xDB)
Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class LosslessJpeg:
    """A JPEG as it is coded, of a kind that can be rewritten without loss."""

    head: JpegHead
    coded: JpegCoefficients = field(repr=False)


@dataclass(frozen=True, slots=True)
class RewrittenJpeg:
    """The file with the hidden areas, and which MCUs of it are new: (MCU rows, MCU columns)."""

    content: bytes = field(repr=False)
    replaced: Mask = field(repr=False)


def open_lossless(picture: bytes) -> LosslessJpeg:
    """The coefficients of a JPEG that `containers.unpack_jpeg` gave.

    Raises
    ------
    MediaError
        It is of a kind that cannot be rewritten without loss; the message ends the sentence "it ...".
    """
    head = read_head(picture)
    if len(head.components) not in (1, 3):
        raise MediaError(f"has {len(head.components)} components; only grey and YCbCr are rewritten")
    if len(head.components) == 3 and not _is_ycbcr(picture, head):
        raise MediaError("holds RGB as it is; only grey and YCbCr are rewritten")
    factors = [head.factors(index) for index in range(len(head.components))]
    if any(head.across % across or head.down % down for across, down in factors):
        raise MediaError("has a subsampling of uneven steps")
    return LosslessJpeg(head, read_coefficients(picture, head))


def rewrite_jpeg(
    source: LosslessJpeg, frame: ReleasedFrame, hidden: Mask, metadata: PictureMetadata
) -> RewrittenJpeg:
    """The source with the pixels of `frame` where `hidden` is set, checked coefficient by coefficient.

    Parameters
    ----------
    source : LosslessJpeg
    frame : ReleasedFrame
        rgb24 or gray8, of the source's size.
    hidden : (H, W) bool
        Every pixel that the source may not keep, soft edges among them.
    metadata : PictureMetadata
        All that is written beside the pixels.

    Raises
    ------
    MediaError
        The coefficients cannot be written, or were not found again.
    """
    pixels = require_released(frame).planes[0]
    head = source.head
    replaced = _by_mcu(hidden, head)
    planes = tuple(plane.copy() for plane in source.coded.planes)
    rows_px, columns_px = 8 * head.down, 8 * head.across
    for top, left, bottom, right in _rectangles(replaced):
        patch = pixels[top * rows_px : bottom * rows_px, left * columns_px : right * columns_px]
        for index, blocks in enumerate(encode_pixels(patch, head, source.coded.tables)):
            across, down = head.factors(index)
            row, column = top * down, left * across
            planes[index][row : row + blocks.shape[0], column : column + blocks.shape[1]] = blocks
    wanted = JpegCoefficients(planes, source.coded.tables)
    content = _with_metadata(write_coefficients(wanted, head), metadata)
    _check_coefficients(content, wanted, source, replaced)
    return RewrittenJpeg(content, replaced)


def changed_pixels(replaced: Mask, head: JpegHead, beyond_px: int = 0) -> Mask:
    """(H, W): the pixels of the replaced MCUs and those up to `beyond_px` beside them."""
    mask = np.repeat(np.repeat(replaced, 8 * head.down, axis=0), 8 * head.across, axis=1)
    mask = mask[: head.height, : head.width]
    for _ in range(beyond_px):
        grown = mask.copy()
        grown[1:] |= mask[:-1]
        grown[:-1] |= mask[1:]
        wider = grown.copy()
        wider[:, 1:] |= grown[:, :-1]
        wider[:, :-1] |= grown[:, 1:]
        mask = wider
    return mask


def fill_tolerance(coded: JpegCoefficients) -> float:
    """Levels by which a flat fill may differ once it is coded: half a step of every mean, and rounding."""
    luma, *chroma = (float(table[0]) for table in coded.tables)
    return 2.0 + (luma + 1.8 * max(chroma, default=0.0)) / 16.0


def _is_ycbcr(picture: bytes, head: JpegHead) -> bool:
    """What libjpeg takes three components for (jdapimin.c, default_decompress_parms)."""
    transform: int | None = None
    for marker, start, _ in jpeg_segments(picture):
        if marker == 0xE0:
            return True
        if marker == 0xEE:
            transform = picture[start + 4 + 11]
    if transform is not None:
        return transform != 0
    return tuple(c.identity for c in head.components) != (0x52, 0x47, 0x42)


def _by_mcu(hidden: Mask, head: JpegHead) -> Mask:
    rows_px, columns_px = 8 * head.down, 8 * head.across
    rows, columns = -(-head.height // rows_px), -(-head.width // columns_px)
    if hidden.shape != (head.height, head.width):
        raise MediaError(f"is {head.width} x {head.height} px; the mask is {hidden.shape[::-1]}")
    padded = np.zeros((rows * rows_px, columns * columns_px), bool)
    padded[: head.height, : head.width] = hidden
    by_mcu = padded.reshape(rows, rows_px, columns, columns_px).any(axis=(1, 3))
    return np.asarray(by_mcu, bool)


def _rectangles(mask: Mask) -> Iterator[tuple[int, int, int, int]]:
    """The set cells as rectangles that do not overlap: (top, left, bottom, right), ends exclusive."""
    open_since: dict[tuple[int, int], int] = {}
    for row in range(len(mask) + 1):
        runs = _runs(mask[row]) if row < len(mask) else set()
        for run in [run for run in open_since if run not in runs]:
            yield open_since.pop(run), run[0], row, run[1]
        for run in runs:
            open_since.setdefault(run, row)


def _runs(line: Mask) -> set[tuple[int, int]]:
    edges = np.flatnonzero(np.diff(np.concatenate(([False], line, [False])).astype(np.int8)))
    return {(int(start), int(end)) for start, end in edges.reshape(-1, 2)}


def _check_coefficients(
    content: bytes, wanted: JpegCoefficients, source: LosslessJpeg, replaced: Mask
) -> None:
    """Read the file again: the source's coefficients outside the replaced MCUs, the hidden pixels' inside."""
    head = read_head(content)
    written = read_coefficients(content, head)
    if (head.width, head.height) != (source.head.width, source.head.height):
        raise MediaError("was written with another size; nothing was kept")
    for index, plane in enumerate(written.planes):
        across, down = source.head.factors(index)
        inside = np.repeat(np.repeat(replaced, down, axis=0), across, axis=1)
        inside = inside[: plane.shape[0], : plane.shape[1]]
        if not np.array_equal(written.tables[index], source.coded.tables[index]):
            raise MediaError("was written with other quantisation tables; nothing was kept")
        expected = source.coded.planes[index].copy()
        expected[inside] = wanted.planes[index][inside]
        if not np.array_equal(plane, expected):
            raise MediaError("was written with other coefficients than were meant; nothing was kept")


# -- Metadata ------------------------------------------------------------------------------------------------


def _with_metadata(coded: bytes, metadata: PictureMetadata) -> bytes:
    """The coded pixels behind our own JFIF, EXIF and colour profile; every other segment is left out."""
    parts = [b"\xff\xd8", _jfif(metadata.dpi)]
    if exif := exif_block(metadata):
        parts.append(_segment(0xE1, exif))
    profile = metadata.icc_profile or b""
    cuts = range(0, len(profile), _PROFILE_PART_BYTES)
    for number, start in enumerate(cuts, 1):
        head = b"ICC_PROFILE\0" + bytes((number, len(cuts)))
        parts.append(_segment(0xE2, head + profile[start : start + _PROFILE_PART_BYTES]))
    for marker, start, end in jpeg_segments(coded):
        if marker in _CODING or marker == 0xD9:
            parts.append(_named(marker, coded[start:end]))
    return b"".join(parts)


def _named(marker: int, segment: bytes) -> bytes:
    """The segment with JFIF's names of components (1, 2, 3), which jpeglib counts from 0."""
    if marker not in (*_FRAME_MARKERS, 0xDA):
        return segment
    first, step = (10, 3) if marker in _FRAME_MARKERS else (5, 2)
    renamed = bytearray(segment)
    identities = {0: 1, 1: 2, 2: 3}
    for place in range(first, first + step * segment[first - 1], step):
        renamed[place] = identities[segment[place]]
    return bytes(renamed)


def _jfif(dpi: tuple[float, float] | None) -> bytes:
    across, down = (min(65_535, max(1, round(side))) for side in dpi or (1, 1))
    return _segment(0xE0, b"JFIF\0\1\1" + struct.pack(">BHHBB", int(dpi is not None), across, down, 0, 0))


def _segment(marker: int, body: bytes) -> bytes:
    if len(body) > _SEGMENT_BYTES:
        raise MediaError("has metadata too long for a JPEG")
    return struct.pack(">BBH", 0xFF, marker, len(body) + 2) + body
