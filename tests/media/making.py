"""Picture files made for tests: streets of noise and slopes, whole and broken."""

from __future__ import annotations

import io
import struct
import zlib
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image


def street(width: int = 97, height: int = 71, channels: int = 3) -> npt.NDArray[np.uint8]:
    """A picture with slopes, edges and some noise, the same each time."""
    rows, columns = np.mgrid[:height, :width]
    base = np.stack(
        [rows * 255 // max(height, 1), columns * 255 // max(width, 1), (rows * 3 + columns * 5) % 256], 2
    )
    noise = np.random.default_rng(7).integers(-20, 20, base.shape)
    pixels = np.clip(base + noise, 0, 255).astype(np.uint8)
    return pixels if channels == 3 else pixels[..., 0]


def encoded(pixels: npt.NDArray[Any] | Image.Image, picture_format: str, **options: Any) -> bytes:
    """The bytes of a picture file."""
    image = pixels if isinstance(pixels, Image.Image) else Image.fromarray(pixels)
    stream = io.BytesIO()
    image.save(stream, format=picture_format, **options)
    return stream.getvalue()


def png_chunk(name: bytes, body: bytes) -> bytes:
    """One chunk of a PNG with a right checksum."""
    return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))


def png_head(width: int, height: int, *, bits: int = 8, color: int = 2) -> bytes:
    """Signature and IHDR: the file claims a size, and holds nothing."""
    head = struct.pack(">IIBBBBB", width, height, bits, color, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + png_chunk(b"IHDR", head)


def png(width: int, height: int, samples: bytes, *, bits: int = 8, color: int = 2) -> bytes:
    """A PNG of given raw lines (each with its filter byte)."""
    return (
        png_head(width, height, bits=bits, color=color)
        + png_chunk(b"IDAT", zlib.compress(samples))
        + png_end()
    )


def png_end() -> bytes:
    """The last chunk."""
    return png_chunk(b"IEND", b"")


def with_png_chunk(content: bytes, name: bytes, body: bytes) -> bytes:
    """The PNG with one more chunk behind its head."""
    return content[:33] + png_chunk(name, body) + content[33:]


def with_jpeg_segment(content: bytes, marker: int, body: bytes) -> bytes:
    """The JPEG with one more segment behind its first two bytes."""
    return content[:2] + bytes([0xFF, marker]) + struct.pack(">H", len(body) + 2) + body + content[2:]


def exif_block(**tags: Any) -> bytes:
    """EXIF as a phone writes it: GPS, maker note, serial number, times, orientation, all that is private."""
    exif = Image.Exif()
    exif[0x010F] = "Maker-of-cameras"
    exif[0x0112] = tags.get("orientation", 1)
    exif[0x0132] = tags.get("changed", "2024:05:06 07:08:09")
    exif[0x010E] = "Anna Example in front of her house"
    exif[0x013B] = "Anna Example"
    inner = exif.get_ifd(0x8769)
    inner[0x9003] = tags.get("taken", "2024:05:06 07:08:07")
    inner[0x9291] = tags.get("subseconds", "123")
    inner[0x9011] = tags.get("offset", "+02:00")
    inner[0x927C] = b"Maker note with serial SN-4711"
    inner[0xA431] = "SN-4711"
    inner[0x9286] = b"ASCII\0\0\0Anna was here"
    gps = exif.get_ifd(0x8825)
    gps[1], gps[2], gps[3], gps[4] = "N", (52.0, 31.0, 12.0), "E", (13.0, 24.0, 36.0)
    return exif.tobytes()
