"""Whether the compressed strips or tiles of a TIFF are whole, where the compression can tell.

libtiff stops as soon as it has enough rows, so the checksum of Deflate is never compared, and what its JPEG
decoder fills with grey is only a warning. LZW, PackBits and plain samples hold no checksum: only a length.
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from typing import Any, Final

from anonymize.errors import MediaError
from anonymize.media.jpeg_check import check_jpeg

_COMPRESSION, _JPEG_TABLES = 259, 347
_STRIPS: Final = ((273, 279), (324, 325))  # offsets and lengths: of strips, of tiles (TIFF 6.0, 8 and 15)
_DEFLATE: Final = frozenset({8, 32946})
_OLD_JPEG, _JPEG = 6, 7
_CHUNK_BYTES: Final = 1 << 20


def check_tiff(content: bytes, tags: Mapping[int, Any], max_strip_bytes: int) -> None:
    """Walk over all strips and tiles of a TIFF.

    Parameters
    ----------
    content : bytes
    tags : mapping
        Of the only directory.
    max_strip_bytes : int
        What one strip may unpack to.

    Raises
    ------
    MediaError
        A strip lies outside the file, a checksum does not hold, or coded pixels are missing.
    """
    compression = tags.get(_COMPRESSION, 1)
    if compression == _OLD_JPEG:
        raise MediaError("is a TIFF with JPEG inside in the way of 1992; wanted another compression")
    for offsets_tag, lengths_tag in _STRIPS:
        offsets, lengths = _numbers(tags.get(offsets_tag)), _numbers(tags.get(lengths_tag))
        for number, (offset, length) in enumerate(zip(offsets, lengths, strict=False), start=1):
            strip = content[offset : offset + length]
            if len(strip) < length:
                raise MediaError(
                    f"is truncated: strip {number} reaches beyond the {len(content):,} bytes that came"
                )
            if compression in _DEFLATE:
                _check_deflate(strip, number, max_strip_bytes)
            elif compression == _JPEG:
                tables = bytes(tags.get(_JPEG_TABLES, b""))
                check_jpeg(tables[:-2] + strip[2:] if tables else strip)


def _numbers(value: Any) -> tuple[int, ...]:
    if value is None:
        return ()
    return (value,) if isinstance(value, int) else tuple(value)


def _check_deflate(strip: bytes, number: int, max_strip_bytes: int) -> None:
    inflate, unpacked, rest = zlib.decompressobj(), 0, strip
    try:
        while not inflate.eof and unpacked <= max_strip_bytes:
            chunk = inflate.decompress(rest, _CHUNK_BYTES)
            rest = inflate.unconsumed_tail
            unpacked += len(chunk)
            if not chunk and not rest:
                break
    except zlib.error:
        raise MediaError(
            f"is corrupt: strip {number} cannot be unpacked, or its checksum does not hold"
        ) from None
    if not inflate.eof:
        raise MediaError(f"is truncated or corrupt: strip {number} has no end")
