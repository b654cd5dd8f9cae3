"""Where outputs lie, asked by their keys: a folder of this machine; the cluster has another for object stores."""

from __future__ import annotations

import stat
from pathlib import Path
from typing import Protocol

from anonymize.archive.source_watch import digest_file


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

    def discard_unsettled(self, key: str, known_digest: str) -> None:
        """Remove what a task in flight may have put there without a word, unless it is what is known."""


class LocalPlace:
    """A folder of this machine, or one that every worker sees under the same path."""

    def __init__(self, output: Path) -> None:
        self._output = output

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

    def discard_unsettled(self, key: str, known_digest: str) -> None:
        """Nothing: here a receipt says what was put there."""
