"""The folder inside an output that holds what a run must remember: mode 0700, one run at a time."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import secrets
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from anonymize.archive.errors import ArchiveError

STATE_FOLDER: Final = ".anonymize-archive"
TEMPORARY: Final = ".anonymize-"  # how every unfinished file's name begins


class StateFolder:
    """Where journal, spools of boxes and receipts of an output lie. Holds no picture.

    Attributes
    ----------
    path : Path
        `OUTPUT/.anonymize-archive`, or another folder where the output is no folder of this machine.
    journal, spools, receipts : Path
        The journal, boxes of videos between the two passes, and receipts of what is about to get its name.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.journal = path / "journal.sqlite"
        self.spools, self.receipts = path / "spools", path / "receipts"

    @classmethod
    def of(cls, output: Path) -> StateFolder:
        """The state folder inside `output`; nothing is made yet."""
        return cls(output / STATE_FOLDER)

    def make(self) -> None:
        """Make the folders, for this user alone.

        Raises
        ------
        ArchiveError
            They cannot be made, are links, or belong to another user.
        """
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            for folder in (self.path, self.spools, self.receipts):
                folder.mkdir(mode=0o700, exist_ok=True)
                status = folder.lstat()
                if not folder.is_dir() or folder.is_symlink() or status.st_uid != os.geteuid():
                    raise ArchiveError(f"{folder}: is not a folder of this user; wanted one of mode 0700")
                folder.chmod(0o700)
        except OSError as fault:
            raise ArchiveError(f"{self.path}: cannot be made: {fault.strerror}") from None

    @contextlib.contextmanager
    def scratch(self) -> Iterator[Path | None]:
        """A RAM folder, mode 0700, for what workers' libraries put into files; emptied before and after.

        Its name is the same for each run on this output, so that a killed run's leavings are found. None where there
        is no RAM disk or it is not ours.
        """
        shared = Path("/dev/shm")  # noqa: S108  ours inside it is 0700 and checked
        folder = shared / f"anonymize-{os.geteuid()}-{name_of(str(self.path.resolve()))}"
        if not shared.is_dir():
            yield None
            return
        shutil.rmtree(folder, ignore_errors=True)
        try:
            folder.mkdir(mode=0o700)
        except OSError:
            yield None
            return
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Keep other runs on this output out while the block lasts.

        Raises
        ------
        ArchiveError
            Another run works on this output.
        """
        descriptor = os.open(self.path / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        try:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise ArchiveError(
                    f"{self.path.parent}: another run works on this output; wanted one at a time "
                    "(`anonymize archive status` shows how far it is)"
                ) from None
            yield
        finally:
            os.close(descriptor)

    def is_locked(self) -> bool:
        """Whether a run works on this output now."""
        try:
            descriptor = os.open(self.path / "lock", os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
        except OSError:
            return False
        try:
            fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        finally:
            os.close(descriptor)
        return False

    def spool(self, key: str) -> Path:
        """Where the boxes of this video are kept between the two passes."""
        return self.spools / name_of(key)

    def receipt(self, key: str) -> Path:
        """Where a worker says what it is about to give its final name."""
        return self.receipts / f"{name_of(key)}.json"


def name_of(key: str) -> str:
    """A file name for a relative path of any length."""
    return hashlib.sha256(key.encode("utf-8", "surrogateescape")).hexdigest()[:32]


def temporary_name(target: Path) -> Path:
    """A name of its own for one try at `target`, in the same folder and with the same suffix."""
    return target.with_name(f"{TEMPORARY}{secrets.token_hex(8)}.tmp{target.suffix}")


def is_unfinished(name: str) -> bool:
    """Whether a file's name is one that an unfinished output has."""
    ours = TEMPORARY in name and ".tmp" in name  # a job may put another dot before, and its own ending behind
    return name.startswith(".") and (ours or name.endswith(".tmp"))
