"""`--delete-source`: a source goes when its output was verified and its row is committed, and not before."""

from __future__ import annotations

import stat
from collections.abc import Mapping
from pathlib import Path

from anonymize.archive.carry_out import sync_folder
from anonymize.archive.driver import Tally, Watcher
from anonymize.archive.journal import FileRow, Journal
from anonymize.archive.place import Place
from anonymize.archive.planning import Item
from anonymize.archive.receipts import Receipt
from anonymize.archive.source_watch import digest_file


class SourceRemover:
    """Deletes sources that are done; those of a drive only when the whole drive is done.

    Attributes
    ----------
    deleted : int
    notes : list of str
        Sources that were kept, and why.
    """

    def __init__(self, journal: Journal, by_key: Mapping[str, Item], place: Place) -> None:
        self._journal, self._by_key, self._place = journal, by_key, place
        self.deleted = 0
        self.notes: list[str] = []

    def watching(self, watcher: Watcher) -> Watcher:
        """The watcher, with a deletion after every file whose row is committed."""
        return _Watching(self, watcher)

    def sweep(self) -> None:
        """Delete what a run that was killed had done and not deleted; outputs and sources are read again for it."""
        for key, item in self._by_key.items():
            if Path(item.source).exists():
                self.consider(key, again=True)

    def consider(self, key: str, *, again: bool = False) -> None:
        """Delete this file's source, and its drive's, if all of the drive is done."""
        drive = self._drive(key)
        rows = {near: self._journal.file(near) for near in drive}
        if not all(row is not None and row.state == "done" for row in rows.values()):
            return
        for near, row in rows.items():
            if row is not None and not row.source_deleted:
                self._delete(self._by_key[near], row, again=again or near != key)

    def _drive(self, key: str) -> list[str]:
        found = [key]
        while before := self._by_key[found[0]].before:
            found.insert(0, before)
        while after := self._by_key[found[-1]].after:
            found.append(after)
        return found

    def _delete(self, item: Item, row: FileRow, *, again: bool) -> None:
        source, target = Path(item.source), Path(self._place.address(item.key))
        try:
            lies, stands = source.lstat(), target.lstat()
            if not stat.S_ISREG(lies.st_mode):
                self.notes.append(f"{source}: kept: is a link or no plain file")
                return
            same = (lies.st_size, lies.st_mtime_ns) == (row.size, row.mtime_ns)
            if (
                not same
                or stands.st_size != row.output_size
                or (lies.st_dev, lies.st_ino) == (stands.st_dev, stands.st_ino)
            ):
                self.notes.append(f"{source}: kept: it or its output is not what the journal says")
                return
            if again and (digest_file(source), digest_file(target)) != (row.source_digest, row.output_digest):
                self.notes.append(f"{source}: kept: it or its output does not have the journal's digest")
                return
            source.unlink()
            sync_folder(source.parent)
        except OSError as fault:
            self.notes.append(f"{source}: kept: {fault.strerror}")
            return
        self._journal.source_deleted(item.key)
        self.deleted += 1


class _Watching(Watcher):
    def __init__(self, remover: SourceRemover, watcher: Watcher) -> None:
        self._remover, self._watcher = remover, watcher

    def tick(self, tally: Tally) -> None:
        self._watcher.tick(tally)

    def ended(self, key: str, receipt: Receipt, tally: Tally) -> None:
        self._watcher.ended(key, receipt, tally)
        self._remover.consider(key)

    def failed(self, key: str, error: str, tally: Tally) -> None:
        self._watcher.failed(key, error, tally)
