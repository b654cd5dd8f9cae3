"""PyAV, loaded only when a video is opened, and shut in: it reads and writes the one file that it is given.

FFmpeg opens more than it was asked to (SAFETY 10): text with `ffconcat` in it, playlists, addresses. So a file
is opened here, by us, FFmpeg sees bytes alone, and whatever else it asks for is refused.
"""

from __future__ import annotations

import contextlib
import io
import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NoReturn

from anonymize.errors import AnonymizeError, MediaError, VerificationError

if TYPE_CHECKING:
    from av.container import InputContainer

WHITELIST: Final = "mov,matroska,avi,mpegts"
WANTED_CONTAINERS: Final = "MP4/MOV, Matroska/WebM, AVI or MPEG-TS"
BUFFER_BYTES: Final = 1 << 18  # of each read; at 32 KiB the calls back into Python cost 2 % of a decode


def load_av() -> Any:
    """The module `av`, or a message that says how to install it.

    Raises
    ------
    MediaError
        PyAV is not installed.
    """
    try:
        import av
        import av.error
    except ImportError as error:
        raise MediaError(
            f"video needs PyAV, which is not installed ({error}); wanted: pip install vehicle-anonymize[video]"
        ) from error
    return av


@contextlib.contextmanager
def foreign_errors(path: Path, doing: str) -> Iterator[None]:
    """Turn what FFmpeg raises into a `MediaError` that names the file and what was being done."""
    av = load_av()
    try:
        yield
    except VerificationError:  # says itself what was found where
        raise
    except MediaError as error:  # from `FileWindow` or `refuse_other_files`, which do not know the name
        if str(error).startswith(str(path)):
            raise
        raise MediaError(f"{path}: {error}") from error
    except AnonymizeError:
        raise
    except (av.error.FFmpegError, EOFError) as error:
        raise MediaError(f"{path}: {doing}: {_words(error)}") from error


def _words(error: BaseException) -> str:
    """The system's words without the arguments that PyAV adds."""
    return str(getattr(error, "strerror", None) or error or type(error).__name__)


def refuse_other_files(url: str, flags: int, options: dict[str, str]) -> NoReturn:
    """Called by FFmpeg when it wants any other file or address than the one it was given."""
    raise MediaError(f"the file asks for another one ({url[:200]!r}); wanted a video complete in itself")


class FileWindow(io.RawIOBase):
    """A reading position of its own on a descriptor that others read too; has no name for FFmpeg to judge by."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._position = 0

    def readable(self) -> bool:
        """True."""
        return True

    def seekable(self) -> bool:
        """True."""
        return True

    def read(self, size: int = -1) -> bytes:
        """Up to `size` bytes from here on."""
        if size < 0:
            size = os.fstat(self._descriptor).st_size - self._position
        try:
            content = os.pread(self._descriptor, size, self._position)
        except OSError as error:
            raise MediaError(f"cannot be read at byte {self._position:,}: {error.strerror}") from error
        self._position += len(content)
        return content

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Move, without asking the system."""
        start = {os.SEEK_SET: 0, os.SEEK_CUR: self._position, os.SEEK_END: 0}[whence]
        if whence == os.SEEK_END:
            start = os.fstat(self._descriptor).st_size
        self._position = max(0, start + offset)
        return self._position

    def tell(self) -> int:
        """Bytes from the start."""
        return self._position


def open_input(descriptor: int, path: Path) -> InputContainer:
    """The container that the bytes of `descriptor` hold.

    Raises
    ------
    MediaError
        It is none of the four containers, cut off before its index, or asks for other files.
    """
    av = load_av()
    if os.fstat(descriptor).st_size == 0:
        raise MediaError(f"{path}: holds 0 bytes; wanted a video ({WANTED_CONTAINERS})")
    try:
        container: InputContainer = av.open(
            FileWindow(descriptor),
            "r",
            container_options={"format_whitelist": WHITELIST, "protocol_whitelist": "file"},
            metadata_errors="replace",
            buffer_size=BUFFER_BYTES,
            io_open=refuse_other_files,
        )
    except (av.error.FFmpegError, EOFError) as error:
        raise MediaError(
            f"{path}: cannot be read as a video ({_words(error)}): "
            f"wanted a complete {WANTED_CONTAINERS} file; it is something else, or cut off before its index"
        ) from error
    # PyAV asks FFmpeg to invent missing pts from the decoding order; for H.264 in AVI they are wrong by a frame.
    container.flags &= ~av.container.Flags.gen_pts.value
    return container


def told_verbosely(container: InputContainer, index: int) -> str:
    """FFmpeg's line on one stream, with what PyAV gives no attribute for: where chroma is sited.

    The level of FFmpeg's log is one for the process; it is raised for some 50 microseconds.
    """
    av = load_av()
    before = av.logging.get_level()
    try:
        av.logging.set_level(av.logging.VERBOSE)
        av.logging.set_libav_level(av.logging.VERBOSE)
        lines = container.dumps_format().splitlines()  # type: ignore[attr-defined]  # not in its stubs
    finally:
        av.logging.set_libav_level(av.logging.INFO)  # FFmpeg's own default
        av.logging.set_level(before)
    return next((line for line in lines if f"Stream #0:{index}" in line), "")
