"""Where outputs lie, asked by their keys: a folder of this machine; the cluster has another for object stores."""

from __future__ import annotations

import stat
from pathlib import Path
from typing import Protocol

from anonymize.archive.source_watch import digest_file
from anonymize.archive.state import StateFolder


def is_remote(words: str) -> bool:
    """Whether this is an address for fsspec, not a path."""
    return "://" in words


class Place(Protocol):
    """The outputs of an archive."""

    def address(self, key: str) -> str:
        """Where the output of this key lies, as tasks name it."""

    def lies(self, key: str) -> tuple[int, int] | None:
        """Size and time of change, ns, of what lies there; None where nothing does."""

    def digest(self, key: str) -> str:
        """Hex SHA-256 of what lies there; empty where it is no plain file."""

    def receipt(self, key: str) -> str:
        """Where a worker says what it is about to name; empty where there are no receipts."""

    def spool(self, key: str) -> str:
        """Where the boxes of this video are kept between the two passes, as tasks name it."""

    def spool_digest(self, key: str) -> str:
        """Hex SHA-256 of the spool; empty where there is none."""

    def discard_unsettled(self, key: str, known_digest: str) -> None:
        """Remove what a task in flight may have put there without a word, unless it is what is known."""


class LocalPlace:
    """A folder of this machine, or one that every worker sees under the same path; spools are in its state folder."""

    def __init__(self, output: Path, state: StateFolder) -> None:
        self._output, self._state = output, state

    def address(self, key: str) -> str:
        """Its path."""
        return str(self._output / key)

    def lies(self, key: str) -> tuple[int, int] | None:
        """Of the name itself; a link is not followed."""
        try:
            status = (self._output / key).lstat()
        except (FileNotFoundError, NotADirectoryError):
            return None
        return status.st_size, status.st_mtime_ns

    def digest(self, key: str) -> str:
        """Of the bytes."""
        path = self._output / key
        return digest_file(path) if stat.S_ISREG(path.lstat().st_mode) else ""

    def receipt(self, key: str) -> str:
        """Its path in the state folder."""
        return str(self._state.receipt(key))

    def spool(self, key: str) -> str:
        """Its path."""
        return str(self._state.spool(key))

    def spool_digest(self, key: str) -> str:
        """Of the bytes."""
        spool = self._state.spool(key)
        return digest_file(spool) if spool.is_file() else ""

    def discard_unsettled(self, key: str, known_digest: str) -> None:
        """Nothing: here a receipt says what was put there."""
