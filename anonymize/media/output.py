"""How every file comes into being: under a temporary name, and under its own only when it is complete.

The temporary file `.NAME.tmp` lies in the target's folder and only ever holds hidden pixels. It is locked while
it is written, so that what a killed run left behind can be told from what another run is writing.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import shutil
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Final

from anonymize.errors import MediaError
from anonymize.frames import ReleasedFrame

_NO_HARD_LINKS: Final = frozenset({errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK, errno.EACCES})
_NO_FOLDER_SYNC: Final = frozenset({errno.EINVAL, errno.EBADF, errno.ENOTSUP, errno.EACCES, errno.EPERM})


@dataclass(frozen=True, slots=True)
class FileIdentity:
    """Which file this is, whatever name or link it is reached by."""

    device: int
    inode: int

    @classmethod
    def of(cls, status: os.stat_result) -> FileIdentity:
        """The identity that `os.stat` or `os.fstat` gave."""
        return cls(status.st_dev, status.st_ino)


def require_released(frame: object) -> ReleasedFrame:
    """`frame` itself, if it may be stored.

    Raises
    ------
    TypeError
        Anything but a `ReleasedFrame` came: nothing is written.
    """
    if type(frame) is not ReleasedFrame:
        raise TypeError(f"a writer was given a {type(frame).__name__}; wanted a ReleasedFrame")
    return frame


def temporary_name(target: Path) -> Path:
    """Where `target` is written until it is complete."""
    return target.with_name(f".{target.name}.tmp")


def identity_of(path: Path) -> FileIdentity | None:
    """Which file `path` leads to, through links; None where there is none."""
    try:
        return FileIdentity.of(path.stat())
    except OSError:
        return None


def check_target(target: Path, *, overwrite: bool = False, source: FileIdentity | None = None) -> None:
    """Refuse a target that must not be written, before any work is done for it.

    Parameters
    ----------
    target : Path
    overwrite : bool
        A file of this name may be replaced.
    source : FileIdentity or None
        The input: never replaced, by whatever name or link it is reached.

    Raises
    ------
    MediaError
        The target is the source, is a folder, exists, or its folder is missing.
    """
    if target.name in ("", ".", ".."):
        raise MediaError(f"{target}: cannot be written: wanted the name of a file")
    if source is not None and identity_of(target) == source:
        raise MediaError(
            f"{target}: is the source itself (perhaps by a link); wanted another name, sources are kept"
        )
    try:
        mode = target.lstat().st_mode
    except (FileNotFoundError, NotADirectoryError):
        mode = None
    except OSError as error:
        raise _cannot_write(target, error) from error
    if mode is not None and stat.S_ISDIR(mode):
        raise MediaError(f"{target}: is a folder; wanted the name of a file")
    if mode is not None and not (stat.S_ISREG(mode) or stat.S_ISLNK(mode)):
        raise MediaError(f"{target}: is a device or pipe; wanted the name of a file")
    if mode is not None and not overwrite:
        raise MediaError(f"{target}: exists already; wanted a new name, or --overwrite")
    if not target.parent.is_dir():
        raise MediaError(f"{target}: cannot be written: {target.parent} is not a folder")


@contextlib.contextmanager
def new_file(
    target: Path, *, overwrite: bool = False, source: FileIdentity | None = None
) -> Iterator[BinaryIO]:
    """A file to write to (seekable), which gets the name `target` when the block ends without an exception.

    On any exception, `KeyboardInterrupt` included, the temporary file is removed and an existing target stays
    as it was. Mode as the umask says; file and folder are synced to the disk.

    Parameters
    ----------
    target : Path
    overwrite : bool
        A file of this name is replaced, in one step.
    source : FileIdentity or None
        The input: never replaced.

    Yields
    ------
    BinaryIO
        Its `name` is the temporary path.

    Raises
    ------
    MediaError
        See `check_target`; or the folder is not writable, the disk is full, another run writes the same target.
    """
    check_target(target, overwrite=overwrite, source=source)
    temporary = temporary_name(target)
    stream: BinaryIO | None = None
    try:
        stream = _create_locked(temporary, target)
        yield stream
        stream.flush()
        os.fsync(stream.fileno())
        if identity_of(temporary) != FileIdentity.of(os.fstat(stream.fileno())):
            raise MediaError(f"{target}: cannot be written: {temporary} was taken away meanwhile")
        _give_name(temporary, target, overwrite=overwrite, source=source)
        stream.close()
    except BaseException as error:
        if stream is not None:
            with contextlib.suppress(OSError):
                temporary.unlink()
            # Closing flushes what a full disk could not take, and fails again.
            with contextlib.suppress(OSError):
                stream.close()
        if isinstance(error, OSError) and not isinstance(error, MediaError):
            raise _cannot_write(target, error) from error
        raise
    sync_folder(target.parent)


def write_whole(
    target: Path, content: bytes, *, overwrite: bool = False, source: FileIdentity | None = None
) -> None:
    """Write `content` to `target`, all of it or nothing; see `new_file`."""
    with new_file(target, overwrite=overwrite, source=source) as stream:
        stream.write(content)


def _create_locked(temporary: Path, target: Path) -> BinaryIO:
    """Create the temporary file and lock it; one that a killed run left behind is removed first."""
    flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    try:
        descriptor = os.open(temporary, flags, 0o666)
    except FileExistsError:
        _remove_left_over(temporary, target)
        descriptor = os.open(temporary, flags, 0o666)
    stream = os.fdopen(descriptor, "w+b")
    try:
        fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno in (errno.EWOULDBLOCK, errno.EACCES):
            stream.close()
            raise _written_by_another(target, temporary) from None
        # A file system without locks: written all the same, left-overs are then removed without asking.
    return stream


def _remove_left_over(temporary: Path, target: Path) -> None:
    status = temporary.lstat()
    if not stat.S_ISREG(status.st_mode):
        raise MediaError(
            f"{target}: cannot be written: {temporary} lies in the way and is no file; remove it"
        )
    with temporary.open("rb") as left_over:
        try:
            fcntl.flock(left_over, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise _written_by_another(target, temporary) from None
        except OSError:
            pass
        temporary.unlink(missing_ok=True)


def _give_name(temporary: Path, target: Path, *, overwrite: bool, source: FileIdentity | None) -> None:
    """Give the complete file its name; without `overwrite` not even a target made meanwhile is replaced."""
    if overwrite:
        check_target(target, overwrite=True, source=source)
        os.replace(temporary, target)
        return
    try:
        os.link(temporary, target)
    except FileExistsError:
        raise MediaError(f"{target}: came into being meanwhile; wanted a new name, or --overwrite") from None
    except OSError as error:
        if error.errno not in _NO_HARD_LINKS:
            raise
        check_target(target, source=source)
        os.replace(temporary, target)
    else:
        os.unlink(temporary)


def sync_folder(folder: Path) -> None:
    """Make the new name last through a power cut, where the file system can."""
    try:
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError:
        return
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in _NO_FOLDER_SYNC:
            raise MediaError(
                f"{folder}: cannot be synced: {error.strerror}; wanted new names to last"
            ) from error
    finally:
        os.close(descriptor)


def _written_by_another(target: Path, temporary: Path) -> MediaError:
    return MediaError(
        f"{target}: is being written by another run ({temporary} is locked); wanted one at a time"
    )


def _cannot_write(target: Path, error: OSError) -> MediaError:
    """Say what came (the system's words), what was wanted and where."""
    reason = os.strerror(error.errno) if error.errno else str(error)
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        with contextlib.suppress(OSError):
            reason += f" ({shutil.disk_usage(target.parent).free:,} bytes free in {target.parent})"
    return MediaError(
        f"{target}: cannot be written: {reason}; wanted a writable folder with space, nothing was kept"
    )
