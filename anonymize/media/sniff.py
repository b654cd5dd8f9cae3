"""What a file holds, told by its first bytes and never by its name; and how an input is opened."""

from __future__ import annotations

import enum
import os
import stat
from pathlib import Path
from typing import Final

from anonymize.errors import MediaError
from anonymize.media.output import FileIdentity

HEADER_BYTES: Final = 32
MAX_FILE_BYTES: Final = 1 << 30  # a picture file is read whole; 89 million px of 16-bit RGBA take 0.7 GiB


class PictureFormat(enum.StrEnum):
    """The kinds of picture files that are read and written."""

    JPEG = "jpeg"
    PNG = "png"
    WEBP = "webp"
    TIFF = "tiff"
    BMP = "bmp"


PICTURE_SUFFIXES: Final[dict[str, PictureFormat]] = {
    ".jpg": PictureFormat.JPEG,
    ".jpeg": PictureFormat.JPEG,
    ".png": PictureFormat.PNG,
    ".webp": PictureFormat.WEBP,
    ".tif": PictureFormat.TIFF,
    ".tiff": PictureFormat.TIFF,
    ".bmp": PictureFormat.BMP,
}
_WANTED: Final = "wanted a JPEG, PNG, WebP, TIFF or BMP picture"
_TIFF_STARTS: Final = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
# Pictures that are known and refused, so that the message can name them.
_REFUSED: Final[tuple[tuple[int, bytes, str], ...]] = (
    (0, b"GIF8", "a GIF (it may hold several pictures)"),
    (4, b"ftypavif", "an AVIF picture"),
    (4, b"ftypavis", "an AVIF animation"),
    (4, b"ftyphei", "a HEIF picture"),
    (4, b"ftyphev", "a HEIF picture"),
    (4, b"ftypmif", "a HEIF picture"),
    (4, b"ftyp", "a video or ISO media file"),
    (0, b"\0\0\0\x0cJXL ", "a JPEG XL picture"),
    (0, b"\xff\x0a", "a JPEG XL picture"),
    (0, b"\0\0\0\x0cjP  ", "a JPEG 2000 picture"),
    (0, b"8BPS", "a Photoshop file (it may hold several pictures)"),
    (0, b"%PDF", "a PDF"),
)


def picture_format(header: bytes) -> PictureFormat | None:
    """The format that the first `HEADER_BYTES` of a file tell, or None."""
    if header.startswith(b"\xff\xd8\xff"):
        return PictureFormat.JPEG
    if header.startswith(b"\x89PNG\r\n\x1a\n"):
        return PictureFormat.PNG
    if header.startswith(b"RIFF") and header[8:12] == b"WEBP":
        return PictureFormat.WEBP
    if header.startswith(_TIFF_STARTS):
        return PictureFormat.TIFF
    # "BM" alone begins many a text: the size of the second header must be one that exists.
    if header.startswith(b"BM") and int.from_bytes(header[14:18], "little") in (
        12,
        16,
        40,
        52,
        56,
        64,
        108,
        124,
    ):
        return PictureFormat.BMP
    return None


def is_picture(path: Path) -> bool:
    """True where the content of `path` is a picture that can be read; False for anything else."""
    try:
        header, _ = _read(path, HEADER_BYTES)
    except MediaError:
        return False
    return picture_format(header) is not None


def require_format(header: bytes) -> PictureFormat:
    """The format that `header` tells.

    Raises
    ------
    MediaError
        No picture that can be read; the message says what came instead.
    """
    found = picture_format(header)
    if found is None:
        raise MediaError(f"is {_describe(header)}; {_WANTED}")
    return found


def read_input(path: Path) -> tuple[bytes, FileIdentity]:
    """All bytes of the file at `path`, read once, and which file it was.

    The path is opened by the system alone: an address, a pipe or a device is never followed.

    Raises
    ------
    MediaError
        Missing, unreadable, empty, not a plain file, or over `MAX_FILE_BYTES`; the path is not yet named.
    """
    content, identity = _read(path, MAX_FILE_BYTES + 1)
    if not content:
        raise MediaError(f"is empty (0 bytes); {_WANTED}")
    if len(content) > MAX_FILE_BYTES:
        raise MediaError(f"grew to more than {MAX_FILE_BYTES:,} bytes while it was read; wanted at most that")
    return content, identity


def _read(path: Path, size: int) -> tuple[bytes, FileIdentity]:
    try:
        # Without O_NONBLOCK, opening a pipe would wait for ever.
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        try:
            status = os.fstat(descriptor)
            _check_plain(status, size)
            with os.fdopen(descriptor, "rb", closefd=False) as stream:
                return stream.read(size), FileIdentity.of(status)
        finally:
            os.close(descriptor)
    except MediaError:
        raise
    except (OSError, ValueError) as error:
        reason = os.strerror(error.errno) if isinstance(error, OSError) and error.errno else str(error)
        raise MediaError(f"cannot be read: {reason}; wanted a readable file") from error


def _check_plain(status: os.stat_result, size: int) -> None:
    if not stat.S_ISREG(status.st_mode):
        kind = "a folder" if stat.S_ISDIR(status.st_mode) else "no plain file (a pipe or device)"
        raise MediaError(f"is {kind}; wanted a file")
    if size > HEADER_BYTES and status.st_size > MAX_FILE_BYTES:
        raise MediaError(f"holds {status.st_size:,} bytes; wanted at most {MAX_FILE_BYTES:,}")


def _describe(header: bytes) -> str:
    for offset, start, name in _REFUSED:
        if header.startswith(start, offset):
            return name
    if all(byte in b"\t\n\r\f" or byte >= 32 for byte in header) and b"\x7f" not in header:
        return "a text"
    if not any(header):
        return "nothing but zeros"
    return "of an unknown kind"
