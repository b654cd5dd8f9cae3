"""Inputs and outputs behind addresses (fsspec): listed, asked for their facts, and read again for their digests."""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from typing import Final

from anonymize.archive.cluster.staging import changed_ns, facts_of, file_system
from anonymize.archive.place import is_remote
from anonymize.archive.planning import SUFFIXES, Contents, Item, list_inputs, refuse_twins
from anonymize.archive.state import STATE_FOLDER, is_unfinished, name_of
from anonymize.errors import UsageError

CHUNK_BYTES: Final = 1 << 20


class RemotePlace:
    """Outputs under an address; each is put there whole, so what lies there is complete."""

    def __init__(self, address: str) -> None:
        self._base = address.rstrip("/")

    def address(self, key: str) -> str:
        """The address of one output."""
        return f"{self._base}/{key}"

    def lies(self, key: str) -> tuple[int, int] | None:
        """As the store says it."""
        return facts_of(self.address(key))

    def digest(self, key: str) -> str:
        """Of the bytes, read from the store."""
        return _digest(self.address(key))

    def receipt(self, _key: str) -> str:
        """None: they would cost two more objects a file."""
        return ""

    def spool(self, key: str) -> str:
        """Beside the outputs, where every node reaches it."""
        return f"{self._base}/{STATE_FOLDER}/spools/{name_of(key)}"

    def spool_digest(self, key: str) -> str:
        """Of the bytes, read from the store."""
        return _digest(self.spool(key)) if facts_of(self.spool(key)) is not None else ""

    def discard_unsettled(self, key: str, known_digest: str) -> None:
        """A store has no receipts: what a task in flight put there is done again."""
        if self.lies(key) is not None and self.digest(key) != known_digest:
            system, path = file_system(self.address(key))
            with contextlib.suppress(FileNotFoundError):
                system.rm_file(path)


def _digest(address: str) -> str:
    system, path = file_system(address)
    digest = hashlib.sha256()
    with system.open(path, "rb") as stream:
        while chunk := stream.read(CHUNK_BYTES):
            digest.update(chunk)
    return digest.hexdigest()


def list_addresses(inputs: Sequence[str], output: str) -> Contents:
    """All files of inputs that may be addresses; as `list_inputs` does it for folders.

    Raises
    ------
    UsageError
        An input does not exist, holds the output, or two inputs would become one file.
    """
    found = Contents()
    for words in inputs:
        if not is_remote(words):
            near = list_inputs([Path(words)], None if is_remote(output) else Path(output))
            found.items += near.items
            found.unreadable += near.unreadable
            found.left_out += near.left_out
        elif output.rstrip("/").startswith(words.rstrip("/")):
            raise UsageError(f"output {output} lies in the input {words}; wanted another place")
        else:
            _list(words.rstrip("/"), found)
    refuse_twins(found.items)
    return found


def _list(address: str, found: Contents) -> None:
    system, base = file_system(address)
    scheme = address.split("://", 1)[0]
    listed = system.find(base, detail=True)
    if not listed:
        raise UsageError(f"{address}: no such file or folder")
    for path, info in sorted(listed.items()):
        inside = path.removeprefix(base).strip("/")
        key = inside or PurePosixPath(path).name
        if STATE_FOLDER in PurePosixPath(key).parts or is_unfinished(PurePosixPath(key).name):
            continue
        kind = SUFFIXES.get(PurePosixPath(key).suffix.lower())
        source = f"{address}/{inside}" if inside else f"{scheme}://{path}"
        if kind is None:
            found.left_out.append(source)
        else:
            found.items.append(Item(key, source, kind, int(info["size"]), changed_ns(info)))
