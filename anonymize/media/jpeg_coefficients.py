"""The coefficients of JPEG pictures, read and written without loss. The one module that imports jpeglib.

jpeglib takes paths alone, and its Python classes put every picture into a plain temporary file that a crash leaves
behind. So its C functions are called directly, on files that have no name and live in memory only (memfd): what a
process held there is gone with it, however it ends (SAFETY 19).
"""

from __future__ import annotations

import ctypes
import functools
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from anonymize.errors import MediaError, UsageError
from anonymize.frames import Plane
from anonymize.media.containers import jpeg_segments

LIBRARY: Final = (
    "turbo210"  # libjpeg-turbo 2.1: the newest of jpeglib's that keeps all in memory (jmemnobs.c)
)
GRAYSCALE, RGB, YCBCR = 1, 2, 3  # J_COLOR_SPACE of jpeglib.h
_OPTIMIZE_CODING: Final = 1 << 6  # BITMASK of cjpeglib_common_flags.h
_FRAME_MARKERS: Final = (0xC0, 0xC1, 0xC2)
Coefficients = npt.NDArray[np.int16]  # (block rows, block columns, 64), in natural order


@dataclass(frozen=True, slots=True)
class JpegComponent:
    """One component of a frame header: its name, its sampling factors, its quantisation table (64, natural order)."""

    identity: int
    across: int
    down: int
    slot: int


@dataclass(frozen=True, slots=True)
class JpegHead:
    """What a JPEG's frame header says.

    Attributes
    ----------
    across, down : int
        Largest sampling factors: an MCU is 8 * across x 8 * down px.
    """

    width: int
    height: int
    progressive: bool
    components: tuple[JpegComponent, ...]

    @property
    def across(self) -> int:
        """Largest sampling factor across; 1 where there is one component, which is coded block by block."""
        return max(c.across for c in self.components) if len(self.components) > 1 else 1

    @property
    def down(self) -> int:
        """Largest sampling factor down."""
        return max(c.down for c in self.components) if len(self.components) > 1 else 1

    def factors(self, index: int) -> tuple[int, int]:
        """Sampling factors of a component, across and down, as they are coded."""
        component = self.components[index]
        return (component.across, component.down) if len(self.components) > 1 else (1, 1)

    def blocks(self, index: int, width: int, height: int) -> tuple[int, int]:
        """Block rows and columns that a picture of this coding has in a component (ITU T.81, A.1.1)."""
        across, down = self.factors(index)
        return -(-height * down // (8 * self.down)), -(-width * across // (8 * self.across))


@dataclass(frozen=True, slots=True)
class JpegCoefficients:
    """A picture as it is coded: a plane of blocks and a quantisation table (64, natural order) a component."""

    planes: tuple[Coefficients, ...]
    tables: tuple[npt.NDArray[np.uint16], ...]


def read_head(picture: bytes) -> JpegHead:
    """The frame header of a JPEG that `containers.unpack_jpeg` gave."""
    for marker, start, _ in jpeg_segments(picture):
        if marker in _FRAME_MARKERS:
            body = picture[start + 4 :]
            height, width = int.from_bytes(body[1:3], "big"), int.from_bytes(body[3:5], "big")
            parts = [body[6 + 3 * index : 9 + 3 * index] for index in range(body[5])]
            components = tuple(JpegComponent(p[0], p[1] >> 4, p[1] & 15, p[2]) for p in parts)
            return JpegHead(width, height, marker == 0xC2, components)
    raise MediaError("is corrupt: a JPEG without a picture")


def read_coefficients(picture: bytes, head: JpegHead) -> JpegCoefficients:
    """All coefficients of a grey or three-component JPEG, in memory of their own.

    Raises
    ------
    MediaError
        The library cannot read it.
    """
    shapes = [head.blocks(index, head.width, head.height) for index in range(len(head.components))]
    planes = tuple(np.zeros((*shape, 64), np.int16) for shape in shapes)
    tables = np.zeros((4, 64), np.uint16)
    slots = np.zeros(4, np.int16)
    with _memory_file(picture) as path:
        done = _library().read_jpeg_dct(
            path, *_pointers(planes), None, _pointer(tables), _pointer(slots),
        )  # fmt: skip
    if not done:
        raise MediaError("is a JPEG whose coefficients cannot be read")
    return JpegCoefficients(planes, tuple(tables[slot] for slot in slots[: len(planes)]))


def write_coefficients(coded: JpegCoefficients, head: JpegHead) -> bytes:
    """A sequential JPEG file of these coefficients, with Huffman tables made for it, and nothing of any other.

    Raises
    ------
    MediaError
        The library refuses them: coefficients that a sequential JPEG has no code for.
    """
    count = len(coded.planes)
    slots, tables = _slots(coded.tables)
    sizes = np.array([plane.shape[:2] for plane in coded.planes], np.int32)
    factors = np.array([head.factors(index)[::-1] for index in range(count)], np.int32)
    planes = [np.ascontiguousarray(plane) for plane in coded.planes]
    with _memory_file() as path:
        done = _library().write_jpeg_dct(
            None, path, *_pointers(planes), None,
            _pointer(np.array([head.height, head.width], np.int32)), _pointer(sizes), _pointer(factors),
            YCBCR if count == 3 else GRAYSCALE, count, _pointer(tables), ctypes.c_short(-1), _pointer(slots),
            0, None, None, None, ctypes.c_uint(_OPTIMIZE_CODING), ctypes.c_uint(0xFFFFFFFF),
        )  # fmt: skip
        written = _content(path) if done else b""
    if not written.endswith(b"\xff\xd9"):
        raise MediaError("holds coefficients that cannot be written as a sequential JPEG")
    return written


def encode_pixels(
    pixels: Plane, head: JpegHead, tables: Sequence[npt.NDArray[np.uint16]]
) -> tuple[Coefficients, ...]:
    """The coefficients that pixels get with the coding and the quantisation tables of another picture.

    Parameters
    ----------
    pixels : (H, W) or (H, W, 3) uint8
        Grey, or RGB.
    head : JpegHead
        Of that picture.
    tables : one array (64,) uint16 a component
    """
    height, width = pixels.shape[:2]
    count = len(head.components)
    slots, by_component = _slots(tables)
    factors = np.array([head.factors(index)[::-1] for index in range(count)], np.int32)
    spaces = np.array([RGB, YCBCR] if count == 3 else [GRAYSCALE, GRAYSCALE], np.int32)
    samples = np.ascontiguousarray(pixels)
    with _memory_file() as path:
        done = _library().write_jpeg_spatial(
            path, _pointer(samples), _pointer(np.array([height, width], np.int32)), _pointer(spaces),
            _pointer(np.array([count], np.int32)), -1, _pointer(factors), _pointer(by_component),
            ctypes.c_short(-1), _pointer(slots), ctypes.c_short(-1), ctypes.c_short(-1), 0, None, None, None,
            0, None, None, None, None, ctypes.c_uint(0), ctypes.c_uint(0xFFFFFFFF),
        )  # fmt: skip
        encoded = _content(path) if done else b""
    if not encoded:
        raise MediaError("is a JPEG of a coding that pixels cannot be brought into")
    patch = JpegHead(width, height, False, head.components)
    return read_coefficients(encoded, patch).planes


def _slots(tables: Sequence[npt.NDArray[np.uint16]]) -> tuple[npt.NDArray[np.int16], npt.NDArray[np.uint16]]:
    """A slot for each component, that of the first component with the same table; and the tables by component.

    jpeglib looks a table up by slot or by component, depending on the slot: this way both are the same.
    """
    slots = np.full(4, -1, np.int16)
    for index, table in enumerate(tables):
        slots[index] = next(first for first, other in enumerate(tables) if np.array_equal(table, other))
    rows = np.zeros((4, 64), np.uint16)
    rows[: len(tables)] = tables
    return slots, rows


@functools.cache
def _library() -> Any:
    try:
        import jpeglib
        from jpeglib._bind import CJpegLib
    except ImportError as fault:
        # not a MediaError: that would encode every picture of an archive anew, with loss
        raise UsageError(
            f"JPEGs of an archive need jpeglib ({fault}); wanted vehicle-anonymize[archive]"
        ) from fault
    jpeglib.version.set(LIBRARY)
    return CJpegLib.get()


@contextmanager
def _memory_file(content: bytes = b"") -> Iterator[bytes]:
    """A path to a file without a name that holds `content` and is gone with the block, or with the process."""
    if not hasattr(os, "memfd_create"):
        raise MediaError("cannot be rewritten without loss on this system; wanted files in memory (Linux)")
    descriptor = os.memfd_create("picture", os.MFD_CLOEXEC)
    try:
        with os.fdopen(descriptor, "wb", closefd=False) as stream:
            stream.write(content)
        yield b"/proc/self/fd/%d" % descriptor
    finally:
        os.close(descriptor)


def _content(path: bytes) -> bytes:
    return Path(os.fsdecode(path)).read_bytes()


def _pointer(array: npt.NDArray[Any]) -> Any:
    return array.ctypes.data_as(ctypes.c_void_p)


def _pointers(planes: Sequence[Coefficients]) -> list[Any]:
    """Three pointers, NULL for what is not there."""
    return [_pointer(planes[index]) if index < len(planes) else None for index in range(3)]
