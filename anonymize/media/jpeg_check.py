"""Whether a JPEG is whole: every block coded, every code valid, every scan there, before it is decoded.

libjpeg fills missing blocks with grey and only warns, and Pillow keeps the warning to itself. A picture cut in
the middle whose end marker was put back passes both; here it is an error.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

import numpy as np
import numpy.typing as npt

from anonymize.errors import MediaError
from anonymize.media.containers import jpeg_segments

_RESTART: Final = re.compile(rb"\xff[\xd0-\xd7]")
_SPARE_BYTES: Final = 2  # some encoders pad the last code by a byte or two,
_ALIGNMENT_BYTES: Final = 15  # and some hardware fills up with zeros to whole words of its memory
_ARRAY = npt.NDArray[np.uint8]


@dataclass(slots=True)
class _Component:
    identity: int
    across: int
    down: int
    blocks_across: int = 0
    blocks_down: int = 0
    known: npt.NDArray[np.uint64] | None = None
    # For each of the 64 values: the lowest bit that came, -1 for none.
    lowest_bit: list[int] = field(default_factory=lambda: [-1] * 64)


@dataclass(slots=True)
class _Picture:
    progressive: bool = False
    components: list[_Component] = field(default_factory=list)
    mcus_across: int = 0
    mcus_down: int = 0
    restart_interval: int = 0
    tables: npt.NDArray[np.uint16] = field(default_factory=lambda: np.zeros((8, 65536), np.uint16))


@dataclass(frozen=True, slots=True)
class _Scan:
    components: list[_Component]
    tables: list[tuple[int, int]]
    first: int
    last: int
    high: int
    low: int


def check_jpeg(content: bytes) -> None:
    """Walk over all coded pixels of a baseline or progressive Huffman-coded JPEG.

    Raises
    ------
    MediaError
        Blocks are missing, a code is none, or a scan is missing: the decoder would fill with grey.
    """
    picture = _Picture()
    for marker, start, end in jpeg_segments(content):
        try:
            if marker in (0xC0, 0xC1, 0xC2):
                _read_frame(picture, content[start + 4 : end], progressive=marker == 0xC2)
            elif marker == 0xC4:
                _read_tables(picture, content[start + 4 : end])
            elif marker == 0xDD:
                (picture.restart_interval,) = struct.unpack_from(">H", content, start + 4)
            elif marker == 0xDA:
                length = int.from_bytes(content[start + 2 : start + 4], "big")
                scan = _read_scan(picture, content[start + 4 : start + 2 + length])
                _walk_scan(picture, scan, content[start + 2 + length : end])
        except (struct.error, IndexError, ValueError):
            raise MediaError(f"is corrupt: the segment at byte {start:,} makes no sense") from None
        except MediaError as error:
            raise MediaError(f"is truncated or corrupt: in the scan at byte {start:,}, {error}") from None
    _check_all_came(picture)


def _ceil_div(amount: int, by: int) -> int:
    return -(-amount // by)


def _read_frame(picture: _Picture, body: bytes, *, progressive: bool) -> None:
    _, height, width, count = struct.unpack_from(">BHHB", body)
    picture.progressive = progressive
    for index in range(count):
        identity, sampling, _ = struct.unpack_from(">BBB", body, 6 + 3 * index)
        picture.components.append(_Component(identity, sampling >> 4, sampling & 15))
    if not all(1 <= part.across <= 4 and 1 <= part.down <= 4 for part in picture.components):
        raise ValueError
    most_across = max(part.across for part in picture.components)
    most_down = max(part.down for part in picture.components)
    picture.mcus_across = _ceil_div(width, 8 * most_across)
    picture.mcus_down = _ceil_div(height, 8 * most_down)
    for part in picture.components:
        part.blocks_across = _ceil_div(_ceil_div(width * part.across, most_across), 8)
        part.blocks_down = _ceil_div(_ceil_div(height * part.down, most_down), 8)


def _read_tables(picture: _Picture, body: bytes) -> None:
    """Huffman tables as look-ups by the next 16 bits (T.81 C.2): codes of a length follow one another."""
    while body:
        kind, number = body[0] >> 4, body[0] & 15
        lengths = body[1:17]
        if kind > 1 or number > 3 or len(lengths) != 16:
            raise ValueError
        table = picture.tables[4 * kind + number]
        table[:] = 0
        position, filled = 17, 0
        for length, count in enumerate(lengths, start=1):
            span = 1 << (16 - length)
            for symbol in body[position : position + count]:
                table[filled : filled + span] = length << 8 | symbol
                filled += span
            position += count
        if filled > 65536 or position > len(body):
            raise ValueError
        body = body[position:]


def _read_scan(picture: _Picture, body: bytes) -> _Scan:
    count = body[0]
    by_identity = {part.identity: part for part in picture.components}
    parts, tables = [], []
    for index in range(count):
        identity, selectors = body[1 + 2 * index], body[2 + 2 * index]
        if identity not in by_identity or selectors >> 4 > 3 or selectors & 15 > 3:
            raise ValueError
        parts.append(by_identity[identity])
        tables.append((selectors >> 4, 4 + (selectors & 15)))
    first, last, bits = body[1 + 2 * count : 4 + 2 * count]
    if not picture.progressive:
        first, last, bits = 0, 63, 0
    if not parts or last > 63 or first > last or (picture.progressive and (first == 0) != (last == 0)):
        raise ValueError
    if first > 0 and len(parts) != 1:
        raise ValueError
    return _Scan(parts, tables, first, last, bits >> 4, bits & 15)


def _walk_scan(picture: _Picture, scan: _Scan, coded: bytes) -> None:
    if len(scan.components) == 1:
        units = scan.components[0].blocks_across * scan.components[0].blocks_down
        blocks = scan.tables
    else:
        units = picture.mcus_across * picture.mcus_down
        blocks = [
            tables
            for part, tables in zip(scan.components, scan.tables, strict=True)
            for _ in range(part.across * part.down)
        ]
    for part in scan.components:
        _note_bits(part, scan)
    done = 0
    for interval, count in _intervals(coded, units, picture.restart_interval or units):
        _walk_interval(picture, scan, interval, blocks, slice(done, done + count))
        done += count


def _note_bits(part: _Component, scan: _Scan) -> None:
    """Scans must build on one another (T.81 G.1.1.1.2); libjpeg decodes the others to noise."""
    for k in range(scan.first, scan.last + 1):
        if part.lowest_bit[k] != (scan.high if scan.high else -1) or (
            scan.high and scan.low != scan.high - 1
        ):
            raise MediaError("values come twice or out of order")
        part.lowest_bit[k] = scan.low


def _intervals(coded: bytes, units: int, interval: int) -> Iterator[tuple[bytes, int]]:
    """The restart intervals without stuffing, and how many units each must hold."""
    pieces = _RESTART.split(coded)
    wanted = _ceil_div(units, interval)
    if len(pieces) != wanted:
        raise MediaError(f"{len(pieces):,} restart intervals came; wanted {wanted:,}")
    for index, found in enumerate(_RESTART.finditer(coded)):
        if found.group()[1] != 0xD0 + index % 8:
            raise MediaError("a restart marker is missing")
    for index, piece in enumerate(pieces):
        yield piece.rstrip(b"\xff").replace(b"\xff\0", b"\xff"), min(interval, units - index * interval)


def _walk_interval(
    picture: _Picture, scan: _Scan, coded: bytes, blocks: list[tuple[int, int]], units: slice
) -> None:
    from anonymize_kernels import jpeg_scan

    count, bits = units.stop - units.start, 8 * len(coded)
    padded = np.frombuffer(coded + bytes(jpeg_scan.PADDING_BYTES), np.uint8)
    dc = np.array([table for table, _ in blocks], np.int64)
    ac = np.array([table for _, table in blocks], np.int64)
    if not picture.progressive:
        end = jpeg_scan.walk_baseline(padded, bits, picture.tables, dc, ac, count)
    elif scan.first > 0:
        part = scan.components[0]
        if part.known is None:
            part.known = np.zeros(part.blocks_across * part.blocks_down, np.uint64)
        walk = jpeg_scan.walk_ac_refine if scan.high else jpeg_scan.walk_ac_first
        end = walk(padded, bits, picture.tables[ac[0]], part.known[units], scan.first, scan.last)
    elif scan.high:
        end = count * len(blocks)
    else:
        end = jpeg_scan.walk_dc_first(padded, bits, picture.tables, dc, count)
    if end < 0:
        raise MediaError("a code is none")
    if end > bits:
        raise MediaError("coded pixels are missing")
    left_over = coded[(end + 7) // 8 :]
    if len(left_over) > (_SPARE_BYTES if any(left_over) else _ALIGNMENT_BYTES):
        raise MediaError(f"{len(left_over):,} bytes are left over")


def _check_all_came(picture: _Picture) -> None:
    """Of brightness every value must have come, of colour at least the mean; and what began must be complete."""
    for index, part in enumerate(picture.components):
        wanted = range(64) if index == 0 or not picture.progressive else range(1)
        if any(part.lowest_bit[k] == -1 for k in wanted) or any(bit > 0 for bit in part.lowest_bit):
            raise MediaError(
                "is truncated: the last scans of a progressive picture, or a colour, are missing"
            )
