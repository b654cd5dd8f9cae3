"""The sealed segments as files: `objects/DAY/DIGEST`, named by the SHA-256 of what they hold.

A file has its name only when it is complete and synced. Times of files are set to the day's midnight: what copies
and backups carry shall not say when something was recorded, or when nothing was.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from anonymize.store.errors import StoreError
from anonymize.store.settings import sync_folder

TEMPORARY: Final = ".tmp"
UNLINKED_TOGETHER: Final = 8
_DIGEST: Final = re.compile(r"[0-9a-f]{64}")


class Objects:
    """The object files of one store."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def path(self, epoch: str, digest: str) -> Path:
        """Where an object lies, or would."""
        return self.folder / epoch / digest

    def put(self, epoch: str, content: bytes) -> str:
        """Write one object and return its digest; its name lasts once `sync` was called for the epoch."""
        digest = hashlib.sha256(content).hexdigest()
        folder = self.folder / epoch
        if not folder.is_dir():
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            sync_folder(self.folder)
        temporary = folder / (digest + TEMPORARY)
        try:
            self._write(temporary, content, datetime.fromisoformat(epoch).replace(tzinfo=UTC).timestamp())
            os.rename(temporary, folder / digest)
        except BaseException:
            with contextlib.suppress(OSError):
                temporary.unlink()
            raise
        return digest

    def _write(self, temporary: Path, content: bytes, midnight_s: float) -> None:
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC
        descriptor = os.open(temporary, flags, 0o600)
        try:
            written = 0
            while written < len(content):
                written += os.write(descriptor, memoryview(content)[written:])
            os.utime(descriptor, (midnight_s, midnight_s))
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

    def sync(self, epoch: str) -> None:
        """Make the names given and taken in an epoch's folder last."""
        with contextlib.suppress(FileNotFoundError):
            sync_folder(self.folder / epoch)

    def read(self, epoch: str, digest: str) -> bytes:
        """An object's bytes, if they are those that its name says.

        Raises
        ------
        StoreError
            It is not there, cannot be read or was altered.
        """
        try:
            content = self.path(epoch, digest).read_bytes()
        except OSError as fault:
            raise StoreError(f"object {digest[:16]}…: cannot be read: {fault.strerror}") from None
        if hashlib.sha256(content).hexdigest() != digest:
            raise StoreError(
                f"object {digest[:16]}…: was altered; its bytes are not those that its name says"
            )
        return content

    def remove(self, epoch: str, digest: str) -> None:
        """Unlink an object, if it is there."""
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self.path(epoch, digest))

    def remove_all(self, objects: Sequence[tuple[str, str]]) -> None:
        """Unlink objects, by epoch and digest, several at a time.

        On ext4 with `discard` one after another took 4.4 ms each, eight at a time 0.15 ms.
        """
        with ThreadPoolExecutor(min(UNLINKED_TOGETHER, len(objects) or 1)) as threads:
            list(threads.map(lambda one: self.remove(*one), objects))  # raises what one of them has raised

    def remove_empty(self, epoch: str) -> None:
        """Remove an epoch's folder, if nothing is in it."""
        with contextlib.suppress(OSError):
            (self.folder / epoch).rmdir()

    def epochs(self) -> list[str]:
        """The folders that there are."""
        with contextlib.suppress(FileNotFoundError):
            return sorted(
                entry.name for entry in os.scandir(self.folder) if entry.is_dir(follow_symlinks=False)
            )
        return []

    def names(self, epoch: str) -> Iterator[tuple[str, bool]]:
        """The files of an epoch's folder, and whether each is an object rather than something half written."""
        with contextlib.suppress(FileNotFoundError), os.scandir(self.folder / epoch) as entries:
            for entry in entries:
                yield entry.name, _DIGEST.fullmatch(entry.name) is not None
