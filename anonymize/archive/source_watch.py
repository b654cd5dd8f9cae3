"""The digest of a source, computed beside the job that reads it, and whether the source stayed as it was."""

from __future__ import annotations

import hashlib
import os
import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from anonymize.archive.errors import SourceChangedError
from anonymize.archive.receipts import Bound
from anonymize.errors import MediaError

CHUNK_BYTES: Final = 1 << 20
FRESH_NS: Final = 2_000_000_000  # a file younger than this may change again within its time stamp's grain


class SourceWatch:
    """Hashes a file on a thread of its own while the block reads it: the disk is read once, the cache serves both.

    Raises
    ------
    SourceChangedError
        On entry: the source is not the planned one. From `digest`: it changed meanwhile.
    """

    def __init__(self, source: Path, bound: Bound, expected_digest: str = "") -> None:
        self._source, self._bound, self._expected = source, bound, expected_digest
        self._digest, self._fault = "", ""
        self._thread = threading.Thread(target=self._hash, daemon=True)
        self._leave = False

    def __enter__(self) -> Self:
        self._before = self._facts()
        if (self._before[0], self._before[1]) != (self._bound.size, self._bound.mtime_ns):
            raise SourceChangedError(f"{self._source}: changed since it was planned; run again")
        self._began_ns = time.time_ns()
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, fault: BaseException | None, where: TracebackType | None
    ) -> None:
        self._leave = True
        self._thread.join()

    def digest(self) -> str:
        """Hex SHA-256 of the source, once the job has ended."""
        self._thread.join()
        if self._fault:
            raise MediaError(self._fault)
        fresh = self._began_ns - self._before[1] < FRESH_NS
        again = digest_file(self._source) if fresh else self._digest
        if self._facts() != self._before or again != self._digest:
            raise SourceChangedError(f"{self._source}: changed while it was read; nothing of it was kept")
        if self._expected and self._digest != self._expected:
            raise SourceChangedError(f"{self._source}: holds something else than when it was last read")
        return self._digest

    def _facts(self) -> tuple[int, int, int, int]:
        """Size, time of change by anyone, time of change by the system (which nobody can set), and the file itself."""
        try:
            status = self._source.stat()
        except OSError as fault:
            raise MediaError(f"{self._source}: cannot be read: {fault.strerror}") from None
        return status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino

    def _hash(self) -> None:
        try:
            self._digest = digest_file(self._source, stop=lambda: self._leave)
        except OSError as fault:
            self._fault = f"{self._source}: cannot be read: {fault.strerror}"


def digest_file(path: Path, stop: Callable[[], bool] = lambda: False) -> str:
    """Hex SHA-256 of a file's bytes; empty where `stop()` said so on the way."""
    digest, buffer = hashlib.sha256(), bytearray(CHUNK_BYTES)
    view = memoryview(buffer)
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    with os.fdopen(descriptor, "rb", buffering=0) as stream:
        while count := stream.readinto(view):
            digest.update(view[:count])
            if stop():
                return ""
    return digest.hexdigest()
