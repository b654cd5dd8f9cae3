"""Where each segment lies, until when, and its wrapped key: the store's own index in SQLite.

The ledger proves; this can be looked up. A key is destroyed here: the page that held it is overwritten
(`secure_delete`) and the write-ahead log emptied. On flash the old page may stay: see `KeyHome.deletion`.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from anonymize.store.errors import StoreError
from anonymize.store.keys import Place

NAME: Final = "index.sqlite"
VERSION: Final = 1
BUSY_MS: Final = 5000
PAGE: Final = 500  # rows looked at in one go
_SCHEMA: Final = """
CREATE TABLE epochs (epoch TEXT PRIMARY KEY, wrapped BLOB NOT NULL, next_index INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE segments (
    number INTEGER PRIMARY KEY, digest TEXT NOT NULL UNIQUE, content TEXT NOT NULL, epoch TEXT NOT NULL,
    position INTEGER NOT NULL, class TEXT NOT NULL, region TEXT NOT NULL, retain_until TEXT NOT NULL,
    bytes INTEGER NOT NULL, frames INTEGER NOT NULL, row INTEGER, wrapped BLOB, cause TEXT NOT NULL DEFAULT '');
CREATE INDEX by_retention ON segments (retain_until);
CREATE INDEX by_epoch ON segments (epoch);
CREATE INDEX unsettled ON segments (number) WHERE row IS NULL;
CREATE INDEX going ON segments (cause) WHERE cause != '';
CREATE TABLE totals (one INTEGER PRIMARY KEY CHECK (one = 1), bytes INTEGER NOT NULL, segments INTEGER NOT NULL,
    checked_rows INTEGER NOT NULL);
INSERT INTO totals VALUES (1, 0, 0, 0);
CREATE TRIGGER came AFTER INSERT ON segments BEGIN
    UPDATE totals SET bytes = bytes + new.bytes, segments = segments + 1; END;
CREATE TRIGGER went AFTER DELETE ON segments BEGIN
    UPDATE totals SET bytes = bytes - old.bytes, segments = segments - 1; END;
CREATE TABLE drops (day TEXT, reason TEXT, fine INTEGER, frames INTEGER NOT NULL, written INTEGER NOT NULL,
    PRIMARY KEY (day, reason, fine)) WITHOUT ROWID;
"""
_COLUMNS: Final = "digest, content, epoch, position, class, region, retain_until, bytes, frames, row, number"


@dataclass(frozen=True, slots=True)
class Entry:
    """One segment. `digest` is of the stored bytes, `content` of the media in it.

    `row` is that of the ledger, None until the index has learnt that it was committed.
    """

    digest: str
    content: str
    place: Place
    retain_until: str
    stored_bytes: int
    frames: int
    row: int | None = None
    number: int = 0


class Index:
    """The index of one store.

    Parameters
    ----------
    path : Path
    read_only : bool
        For reports beside a running recorder.

    Raises
    ------
    StoreError
        It cannot be opened, or is of another version.
    """

    def __init__(self, path: Path, *, read_only: bool = False) -> None:
        try:
            self._open(path, read_only=read_only)
        except sqlite3.Error as fault:
            raise StoreError(f"{path}: the index cannot be opened: {fault}") from None

    def _open(self, path: Path, *, read_only: bool) -> None:
        place = path.resolve()
        logged = place.with_name(f"{place.name}-wal").exists()
        # read-only, what nobody has open is read as it lies: nothing is made beside it, a read-only disk will do
        how = "mode=rwc" if not read_only else "mode=ro" if logged else "mode=ro&immutable=1"
        self._base = sqlite3.connect(
            f"{place.as_uri()}?{how}", uri=True, isolation_level=None, check_same_thread=False
        )
        self._base.execute(f"PRAGMA busy_timeout = {BUSY_MS}")
        if read_only:
            return
        if path.exists():
            path.chmod(0o600)
        for pragma in (
            "journal_mode = WAL",
            "synchronous = FULL",
            "secure_delete = ON",
            "cache_size = -2048",
        ):
            self._base.execute(f"PRAGMA {pragma}")
        version = self._one("PRAGMA user_version")
        if version == 0:
            self._base.executescript(f"BEGIN; {_SCHEMA} PRAGMA user_version = {VERSION}; COMMIT")
        elif version != VERSION:
            raise StoreError(f"{path}: is an index of version {version}; wanted {VERSION}")

    def close(self) -> None:
        """Give the file back."""
        self._base.close()

    def _do(self, query: str, values: Sequence[Any] = ()) -> sqlite3.Cursor:
        try:
            return self._base.execute(query, values)
        except sqlite3.Error as fault:
            raise _our_error(fault) from None

    def _do_many(self, query: str, rows: Iterable[Sequence[Any]]) -> None:
        try:
            self._base.executemany(query, rows)
        except sqlite3.Error as fault:
            raise _our_error(fault) from None

    def _one(self, query: str, *values: Any) -> Any:
        found = self._do(query, values).fetchone()
        return None if found is None else found[0]

    def begin(self) -> None:
        """Begin a transaction."""
        self._do("BEGIN IMMEDIATE")

    def commit(self) -> None:
        """Make it last."""
        self._do("COMMIT")

    def roll_back(self) -> None:
        """Forget it, where one is open."""
        if self._base.in_transaction:
            self._do("ROLLBACK")

    # -- epochs -------------------------------------------------------------------------------------------

    def epoch(self, name: str) -> tuple[bytes, int] | None:
        """The wrapped key of an epoch and the index of its next segment."""
        found = self._do("SELECT wrapped, next_index FROM epochs WHERE epoch = ?", (name,)).fetchone()
        return None if found is None else (bytes(found[0]), int(found[1]))

    def add_epoch(self, name: str, wrapped: bytes) -> None:
        """Keep the key of a new epoch."""
        self._do("INSERT INTO epochs VALUES (?, ?, 0)", (name, wrapped))

    def take_index(self, name: str) -> int:
        """The next index of an epoch; none is given twice."""
        self._do("UPDATE epochs SET next_index = next_index + 1 WHERE epoch = ?", (name,))
        return int(self._one("SELECT next_index FROM epochs WHERE epoch = ?", name)) - 1

    def empty_epochs(self, before: str) -> list[str]:
        """Epochs before a day of which no segment is left."""
        query = "SELECT epoch FROM epochs WHERE epoch < ? AND epoch NOT IN (SELECT epoch FROM segments) ORDER BY epoch"
        return [name for (name,) in self._do(query, (before,))]

    def epochs_held(self) -> list[str]:
        """Epochs of which there are segments."""
        return [name for (name,) in self._do("SELECT DISTINCT epoch FROM segments ORDER BY epoch")]

    def remove_epoch(self, name: str) -> None:
        """Overwrite its wrapped key."""
        self._do("DELETE FROM epochs WHERE epoch = ?", (name,))

    def newest_epoch(self) -> str:
        """The last day that the store has seen; empty for a new one."""
        return self._one("SELECT max(epoch) FROM epochs") or ""

    # -- segments -----------------------------------------------------------------------------------------

    def add(self, entry: Entry, wrapped: bytes) -> None:
        """Keep a segment and its wrapped key."""
        self._do(
            "INSERT INTO segments"
            " (digest, content, epoch, position, class, region, retain_until, bytes, frames, wrapped)"
            " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (entry.digest, entry.content, entry.place.epoch, entry.place.index, entry.place.data_class,
             entry.place.region, entry.retain_until, entry.stored_bytes, entry.frames, wrapped),
        )  # fmt: skip

    def find(self, digest: str) -> tuple[Entry, bytes] | None:
        """A segment that is held, and its wrapped key."""
        found = self._do(
            f"SELECT {_COLUMNS}, wrapped FROM segments WHERE digest = ? AND cause = ''", (digest,)
        ).fetchone()
        return None if found is None else (_entry(found), bytes(found[-1]))

    def holds(self, digest: str) -> bool:
        """Whether there is an entry, one that is being deleted too."""
        return self._one("SELECT 1 FROM segments WHERE digest = ?", digest) is not None

    def entries(self, where: str = "", values: Sequence[Any] = ()) -> Iterator[Entry]:
        """Segments that are held and fit `where` (SQL over the columns), oldest first, some hundreds in memory."""
        after = 0
        condition = f"AND {where}" if where else ""
        while True:
            found = self._do(
                f"SELECT {_COLUMNS} FROM segments WHERE cause = '' AND number > ? {condition}"
                f" ORDER BY number LIMIT {PAGE}",
                (after, *values),
            ).fetchall()
            yield from map(_entry, found)
            if len(found) < PAGE:
                return
            after = int(found[-1][-1])

    def going(self, limit: int = -1) -> list[tuple[Entry, str]]:
        """Segments whose deletion has begun, with its cause."""
        found = self._do(
            f"SELECT {_COLUMNS}, cause FROM segments WHERE cause != '' ORDER BY number LIMIT ?", (limit,)
        )
        return [(_entry(one), one[-1]) for one in found]

    def destroy_keys(self, entries: Iterable[Entry], cause: str) -> None:
        """Overwrite the wrapped keys and mark the entries as going."""
        self._do_many(
            "UPDATE segments SET wrapped = NULL, cause = ? WHERE number = ?",
            [(cause, entry.number) for entry in entries],
        )

    def remove(self, entries: Iterable[Entry]) -> None:
        """Forget entries: their tombstones are in the ledger, or they never had a row."""
        self._do_many("DELETE FROM segments WHERE number = ?", [(entry.number,) for entry in entries])

    def settle(self, rows: Mapping[str, int]) -> None:
        """Note the committed ledger rows of segments, by digest."""
        self._do_many(
            "UPDATE segments SET row = ? WHERE digest = ?", [(row, digest) for digest, row in rows.items()]
        )

    def unsettled(self) -> list[Entry]:
        """Segments of which the index does not know that their row was committed."""
        return [_entry(one) for one in self._do(f"SELECT {_COLUMNS} FROM segments WHERE row IS NULL")]

    def empty_log(self) -> None:
        """Empty the write-ahead log, in which pages with destroyed keys still stood."""
        self._do("PRAGMA wal_checkpoint(TRUNCATE)")

    def totals(self) -> tuple[int, int]:
        """Stored bytes and segments."""
        held, count = self._do("SELECT bytes, segments FROM totals").fetchone()
        return int(held), int(count)

    def held(self) -> list[dict[str, Any]]:
        """By class and region: segments, frames, bytes, oldest and newest day, last day of the first and last to go."""
        names = ("class", "region", "segments", "frames", "bytes", "oldest_day", "newest_day",
                 "first_deletion_after", "last_deletion_after")  # fmt: skip
        query = (
            "SELECT class, region, count(*), sum(frames), sum(bytes), min(epoch), max(epoch), min(retain_until),"
            " max(retain_until) FROM segments WHERE cause = '' GROUP BY class, region ORDER BY class, region"
        )
        return [dict(zip(names, found, strict=True)) for found in self._do(query)]

    # -- drops and marks ----------------------------------------------------------------------------------

    def count_drop(self, day: str, reason: str, frames: int, *, fine: bool = False) -> None:
        """Add to a day's count. `fine` reasons of the gate are for the ledger alone."""
        self._do(
            "INSERT INTO drops VALUES (?, ?, ?, ?, 0) ON CONFLICT DO UPDATE SET"
            " frames = frames + excluded.frames, written = 0",
            (day, reason, int(fine), frames),
        )

    def drops(
        self, *, before: str = "9999-99-99", unwritten: bool = False
    ) -> list[tuple[str, str, bool, int]]:
        """Day, reason, whether it is a fine one, frames. `unwritten`: those that the ledger has not."""
        query = f"SELECT day, reason, fine, frames FROM drops WHERE day < ? {'AND NOT written' if unwritten else ''}"
        found = self._do(f"{query} ORDER BY day, fine, reason", (before,))
        return [(day, reason, bool(fine), frames) for day, reason, fine, frames in found]

    def drops_are_written(self, before: str, forget_before: str) -> None:
        """The ledger has the counts of the days before `before`; those before `forget_before` are forgotten here."""
        self._do("UPDATE drops SET written = 1 WHERE day < ?", (before,))
        self._do("DELETE FROM drops WHERE day < ? AND written", (forget_before,))

    def checked_rows(self) -> int:
        """Rows of the ledger that were compared with this index."""
        return int(self._one("SELECT checked_rows FROM totals"))

    def rows_are_checked(self, rows: int) -> None:
        """All rows so far were compared with this index."""
        self._do("UPDATE totals SET checked_rows = ?", (rows,))


def _our_error(fault: sqlite3.Error) -> StoreError:
    """A fault of SQLite in our words; its `reason` tells a full disk from a read-only and a broken one."""
    words = {sqlite3.SQLITE_FULL: "disk_full", sqlite3.SQLITE_READONLY: "read_only"}
    reason = words.get(getattr(fault, "sqlite_errorcode", 0) & 0xFF, "disk_error")
    return StoreError(f"the index cannot be read or written: {fault}", reason=reason)


def _entry(found: Sequence[Any]) -> Entry:
    digest, content, epoch, position, data_class, region, retain_until, stored, frames, row, number = found[
        :11
    ]
    place = Place(epoch, position, data_class, region)
    return Entry(digest, content, place, retain_until, stored, frames, row, number)
