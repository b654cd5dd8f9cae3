"""Segments put, read and deleted: objects, index, keys and ledger, each in the order that a power cut allows.

Put: seal, write under a temporary name, fsync, rename, fsync the folder, index (the wrapped key), ledger row, commit.
Delete: destroy the wrapped keys, unlink, fsync the folder, tombstone rows, commit, forget; then the epoch's key.
What a cut leaves between two of these steps is mended by `anonymize.store.repair` at the next start.
"""

from __future__ import annotations

import secrets
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from itertools import islice
from typing import TYPE_CHECKING, Final

from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from anonymize.store.coding import content_digest
from anonymize.store.errors import LedgerError, StoreError
from anonymize.store.events import JsonValue, exceptions_of
from anonymize.store.index import Entry, Index
from anonymize.store.keys import KEY_BYTES, KeyHome, Place, seal_segment
from anonymize.store.ledger import Ledger
from anonymize.store.objects import Objects
from anonymize.store.reading import Reader
from anonymize.store.settings import StoreSettings, utc_day

if TYPE_CHECKING:
    from anonymize.pipeline import Engine

DELETED_TOGETHER: Final = 2500  # each chunk costs four syncs
EPOCH_KEYS_KEPT: Final = 4
ROOM_MADE: Final = 0.02  # of the limit: so that not every segment deletes one


@dataclass(frozen=True, slots=True)
class MadeBy:
    """What made the frames, as rows say it: model and list versions, and what hides less than the default (SAFETY 22).

    Parameters
    ----------
    model : str
        Hex SHA-256 of the network.
    exceptions : tuple of str
        From `anonymize.store.events.exceptions_of`.
    zone_list : int or None
        Version of the zone list; None where no zones are in force.
    """

    model: str
    exceptions: tuple[str, ...] = ()
    zone_list: int | None = None

    @classmethod
    def of(cls, engine: Engine, *, zone_list: int | None = None) -> MadeBy:
        """What an engine makes."""
        return cls(engine.model.entry.sha256, tuple(exceptions_of(engine.settings)), zone_list)


@dataclass(frozen=True, slots=True)
class Segment:
    """A group that is to be stored: its plain bytes, in RAM alone."""

    plain: bytes
    data_class: str
    frames: int


class Vault:
    """The parts of one open store. Not safe for several threads: `Store` takes turns.

    Parameters
    ----------
    objects, index, ledger, home
    settings : callable
        The settings of this moment.
    clock : callable
        UTC, s since 1970.
    """

    def __init__(
        self,
        objects: Objects,
        index: Index,
        ledger: Ledger,
        *,
        home: KeyHome,
        settings: Callable[[], StoreSettings],
        clock: Callable[[], float],
    ) -> None:
        self.objects, self.index, self.ledger, self.home = objects, index, ledger, home
        self.reader = Reader(objects, index, home)
        self._settings, self._clock = settings, clock
        self._epoch_keys: OrderedDict[str, AESGCM] = OrderedDict()
        self._rows: dict[str, int] = {}  # of segments: queued, or committed and not yet noted in the index
        self._buried: set[str] = set()  # tombstones that are queued
        self._newest = index.newest_epoch()
        self.rows_wait: LedgerError | None = None

    def today(self) -> date:
        """UTC day; a clock that was set back does not bring an old day again."""
        day = utc_day(self._clock())
        return max(day, date.fromisoformat(self._newest)) if self._newest else day

    # -- put ----------------------------------------------------------------------------------------------

    def put(self, segments: Sequence[Segment], made_by: MadeBy) -> list[str]:
        """Store segments in one transaction and return their digests. They last when this returns.

        Where the last step of all fails, the commit of the ledger, they are there and their rows wait: `rows_wait`
        has the fault, nothing more is put before they are committed, and without that the next start deletes them.

        Raises
        ------
        StoreError, LedgerError, OSError
            The disk does not take them: nothing of them is left.
        """
        self.settle()
        epoch = self.today().isoformat()
        key = self._key_of(epoch)
        entries: list[Entry] = []
        try:
            self.index.begin()
            for segment in segments:
                entries.append(self._put_one(segment, epoch, key))  # noqa: PERF401  # what is there at a fault
            self.objects.sync(epoch)
            self.index.settle(self._rows)
            self.index.rows_are_checked(self.ledger.size)  # so that the next start looks at few rows
            self.index.commit()
        except BaseException:
            self._take_back(entries)
            raise
        self._rows = {entry.digest: self._append_row(entry, made_by) for entry in entries}
        try:
            self.ledger.commit()
        except LedgerError as fault:
            self.rows_wait = fault
        return [entry.digest for entry in entries]

    def _put_one(self, segment: Segment, epoch: str, key: AESGCM) -> Entry:
        settings = self._settings()
        place = Place(epoch, self.index.take_index(epoch), segment.data_class, settings.region)
        stored, wrapped = seal_segment(segment.plain, place, key)
        until = settings.retain_until(segment.data_class, date.fromisoformat(epoch)).isoformat()
        digest = self.objects.put(epoch, stored)
        entry = Entry(digest, content_digest(segment.plain), place, until, len(stored), segment.frames)
        try:
            self.index.add(entry, wrapped)
        except BaseException:
            self.objects.remove(epoch, digest)
            raise
        return entry

    def _take_back(self, entries: Iterable[Entry]) -> None:
        """A fault while putting: nothing of it stays. What cannot be unlinked now, the next start unlinks."""
        try:
            self.index.roll_back()
        finally:
            for entry in entries:
                self.objects.remove(entry.place.epoch, entry.digest)

    def _append_row(self, entry: Entry, made_by: MadeBy) -> int:
        settings = self._settings()
        fields: dict[str, JsonValue] = {
            "content": entry.content,
            "digest": entry.digest, "bytes": entry.stored_bytes, "frames": entry.frames,
            "class": entry.place.data_class, "region": entry.place.region, "retain_until": entry.retain_until,
            "epoch": entry.place.epoch, "model": made_by.model, "exceptions": list(made_by.exceptions),
            "zone_list": made_by.zone_list, "policy": settings.digest(), "purpose": settings.purpose,
        }  # fmt: skip
        return self.ledger.append("segment.stored", fields)

    def row_of(self, entry: Entry) -> int | None:
        """Number of its `segment.stored` row; None where no row of it is known."""
        return self._rows.get(entry.digest) if entry.row is None else entry.row

    def settle(self) -> None:
        """Commit rows that wait since a fault; raises `LedgerError` where the disk still does not take them."""
        self.ledger.commit()
        self.rows_wait = None
        if self._buried:
            self._forget_buried()

    def note_rows(self) -> None:
        """Before closing: the index learns the rows of the last segments."""
        self.settle()
        self.index.begin()
        self.index.settle(self._rows)
        self.index.rows_are_checked(self.ledger.size)
        self.index.commit()
        self._rows.clear()

    # -- keys ---------------------------------------------------------------------------------------------

    def _key_of(self, epoch: str) -> AESGCM:
        """The cipher of an epoch; a new epoch's wrapped key is on the disk before it seals anything."""
        if epoch in self._epoch_keys:
            self._epoch_keys.move_to_end(epoch)
            return self._epoch_keys[epoch]
        known = self.index.epoch(epoch)
        if known is None:
            key = secrets.token_bytes(KEY_BYTES)
            wrapped = self.home.wrap(epoch, key)
            self.index.add_epoch(epoch, wrapped)
            self._newest = max(self._newest, epoch)
        else:
            key = self.home.unwrap(epoch, known[0])
        cipher = self._epoch_keys[epoch] = AESGCM(key)
        if len(self._epoch_keys) > EPOCH_KEYS_KEPT:
            self._epoch_keys.popitem(last=False)
        return cipher

    # -- delete -------------------------------------------------------------------------------------------

    def delete(self, entries: Iterable[Entry], cause: str) -> int:
        """Delete segments for ever and return how many; then the keys of the epochs that are empty by it."""
        source, deleted = iter(entries), 0
        self.settle()
        while chunk := list(islice(source, DELETED_TOGETHER)):
            self.index.begin()
            try:
                self.index.destroy_keys(chunk, cause)
                self.index.settle(self._rows)
                self.index.commit()
            except BaseException:
                self.index.roll_back()
                raise
            self._rows.clear()
            self.bury([(entry, cause) for entry in chunk])
            deleted += len(chunk)
        if deleted:
            self.destroy_empty_epochs()
            self.index.empty_log()
        return deleted

    def bury(
        self, going: Sequence[tuple[Entry, str]], *, with_tombstone: frozenset[str] = frozenset()
    ) -> None:
        """Unlink what is going, write its tombstones (but not again those that exist) and forget it."""
        self.objects.remove_all([(entry.place.epoch, entry.digest) for entry, _ in going])
        for epoch in sorted({entry.place.epoch for entry, _ in going}):
            self.objects.sync(epoch)
        for entry, cause in going:
            if entry.digest not in self._buried and entry.digest not in with_tombstone:
                self.ledger.append("segment.deleted", self._tombstone(entry, cause))
                self._buried.add(entry.digest)
        self.ledger.commit()
        self._forget_buried([entry for entry, _ in going])

    def _forget_buried(self, entries: Sequence[Entry] | None = None) -> None:
        """Tombstones are committed: their entries go from the index."""
        if entries is None:
            entries = [entry for entry, _ in self.index.going() if entry.digest in self._buried]
        self.index.begin()
        try:
            self.index.remove(entries)
            self.index.commit()
        except BaseException:
            self.index.roll_back()
            raise
        self._buried.clear()

    def _tombstone(self, entry: Entry, cause: str) -> dict[str, JsonValue]:
        fields: dict[str, JsonValue] = {
            "digest": entry.digest, "class": entry.place.data_class, "region": entry.place.region,
            "bytes": entry.stored_bytes, "epoch": entry.place.epoch, "cause": cause, "method": self.home.deletion,
        }  # fmt: skip
        if entry.row is not None:
            fields["segment_row"] = entry.row
        return fields

    def destroy_empty_epochs(self, *, today_too: bool = False) -> list[str]:
        """Destroy the keys of epochs of which nothing is left; today's goes on, unless nothing more will come."""
        before = "9999-99-99" if today_too else self.today().isoformat()
        gone = self.index.empty_epochs(before)
        for epoch in gone:
            self._epoch_keys.pop(epoch, None)
            self.reader.forget()
            self.home.destroy(epoch)
            self.index.remove_epoch(epoch)
            self.objects.remove_empty(epoch)
            self.ledger.append("epoch.destroyed", {"epoch": epoch, "method": self.home.deletion})
        if gone:
            self.ledger.commit()
        return gone

    def expired(self) -> Iterator[Entry]:
        """Segments whose last day is over."""
        return self.index.entries("retain_until < ?", (self.today().isoformat(),))

    def over_limit(self) -> Iterator[Entry]:
        """The oldest segments that must go for the size limit; none where it is kept."""
        limit = self._settings().limit_bytes
        held, _ = self.index.totals()
        if held <= limit:
            return
        for entry in self.index.entries():
            if held <= limit * (1.0 - ROOM_MADE):
                return
            held -= entry.stored_bytes
            yield entry


FAULTS: Final = (OSError, StoreError, LedgerError)  # of disks and files, and of what reads them
