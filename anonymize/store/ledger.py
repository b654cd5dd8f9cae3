"""The ledger: rows that can only be added, under a tree whose roots are signed.

One SQLite file in WAL mode with `synchronous = FULL`: what `commit` has returned for lasts through a power cut.
Rows are canonical JSON (see `ledger_verifier.canonical`), checked against the allow-list in `events.py`; each names
its own number and the UTC day, and no finer time. One process at a time may add rows; any may read.
"""

from __future__ import annotations

import base64
import contextlib
import fcntl
import os
import sqlite3
import threading
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, date, datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

from anonymize.store.errors import LedgerError, RowError
from anonymize.store.events import JsonValue, checked
from anonymize.store.ledger_verifier import (
    CHUNK_ROWS,
    SCHEMA,
    AlteredError,
    Checkpoint,
    RightEdge,
    VerifyKey,
    canonical,
    check_schema,
    leaf_hash,
    note_text,
    open_read_only,
    row_of,
    statement_text,
)
from anonymize.store.proofs import consistency_path, inclusion_path
from anonymize.store.signing import Signer, signed_note, verify_key

CHECKPOINT_ROWS: Final = 1000  # STORAGE.md: every N rows or 60 s
CHECKPOINT_S: Final = 60.0
MOST_QUEUED: Final = 100_000  # rows that wait for a commit which does not come: memory is bounded, and said
LAST_DAY_S: Final = 253_402_300_799.0  # end of the year 9999


class Ledger:
    """The rows of one ledger; made by `Ledger.open`. Safe to call from several threads.

    Attributes
    ----------
    path : Path
    origin : str
        Name of this ledger in its checkpoints, and of the key that signs them.
    """

    def __init__(self, path: Path, connection: sqlite3.Connection, *, origin: str) -> None:
        self.path, self.origin = path, origin
        self._connection = connection
        self._turn = threading.RLock()
        self._signer: Signer | None = None
        self._clock: Callable[[], float] = lambda: 0.0
        self._writable = False
        self._lock_file: int | None = None
        self._edge = RightEdge()
        self._queue: list[bytes] = []
        self._note: str | None = None
        self._sealed = 0  # rows under the last checkpoint
        self._sealed_at_s = 0.0
        self.checkpoint_rows, self.checkpoint_s = CHECKPOINT_ROWS, CHECKPOINT_S

    # --- opening and closing ---

    @classmethod
    def open(
        cls,
        path: Path,
        signer: Signer | None,
        *,
        origin: str,
        clock: Callable[[], float],
        read_only: bool = False,
    ) -> Ledger:
        """The ledger of this file, made (mode 0600) if it is not there.

        Parameters
        ----------
        path : Path
        signer : Signer or None
            None: rows can be added, checkpoints not made.
        origin : str
            Such as ``vehicle.example/ledger/17``: no spaces, no ``+``. The same for the life of the ledger.
        clock : callable
            UTC, s since 1970.
        read_only : bool
            Nothing is written, nor need the file be free; it must be there.

        Raises
        ------
        LedgerError
            It is another one's, in use, damaged, or does not go with its own last checkpoint.
        """
        if not origin or any(c.isspace() or c == "+" for c in origin) or not origin.isprintable():
            raise LedgerError("the ledger's origin is empty or holds spaces or a plus sign")
        lock_file = None if read_only else _locked(path)
        connection = None
        try:
            connection = _connected(path, read_only=read_only)
            ledger = cls(path, connection, origin=origin)
            ledger._signer, ledger._clock, ledger._writable = signer, clock, not read_only
            if not read_only:
                ledger._make_tables()
            ledger._check_identity()
            ledger._read_state()
            ledger._lock_file, ledger._sealed_at_s = lock_file, clock()
        except BaseException as fault:
            if connection is not None:
                connection.close()
            if lock_file is not None:
                os.close(lock_file)
            if isinstance(fault, (AlteredError, sqlite3.Error, OSError)):
                raise _our_error(path, fault) from None
            raise
        return ledger

    @classmethod
    def open_to_read(cls, path: Path) -> Ledger:
        """The ledger of this file under the origin that it states, beside whoever writes it.

        Raises
        ------
        LedgerError
            It is not there, damaged, or does not go with its own last checkpoint.
        """
        try:
            with contextlib.closing(open_read_only(path)) as connection:
                origin = check_schema(connection).get("origin", "")
        except (AlteredError, sqlite3.Error, OSError) as fault:
            raise _our_error(path, fault) from None
        return cls.open(path, None, origin=origin, clock=lambda: 0.0, read_only=True)

    def close(self) -> None:
        """Commit what is queued, seal it with a checkpoint if there is a signer, and let the file go."""
        with self._turn:
            try:
                if self._writable:
                    self.commit()
                    if self._signer is not None and self.size > self._sealed:
                        self.checkpoint()
            finally:
                self._connection.close()
                self._writable = False
                if self._lock_file is not None:
                    os.close(self._lock_file)
                    self._lock_file = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, fault: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    # --- writing ---

    def append(self, event: str, fields: Mapping[str, JsonValue]) -> int:
        """Queue a row; `commit` writes it. Returns its number.

        Raises
        ------
        RowError
            The allow-list does not know the event or a field, or a value has not its form: nothing is queued.
        LedgerError
            Too many rows wait, or the ledger was opened to read.
        """
        row = checked(event, fields)
        with self._turn:
            if not self._writable:
                raise LedgerError(
                    f"{self.path}: closed, or opened to be read; wanted a ledger that takes rows"
                )
            if len(self._queue) >= MOST_QUEUED:
                raise LedgerError(f"{self.path}: {len(self._queue)} rows wait to be written; wanted a commit")
            index = self._edge.size + len(self._queue)
            try:
                body = canonical({**row, "event": event, "day": self.today().isoformat(), "row": index})
            except AlteredError as fault:
                raise RowError(f"{event}: {fault}") from None
            self._queue.append(body)
            return index

    def commit(self) -> None:
        """Write all queued rows in one transaction; they are on the disk when this returns.

        A checkpoint follows when 1,000 rows or 60 s have gone by since the last one.

        Raises
        ------
        LedgerError
            The disk is full, read-only or broken. The rows stay queued, in their order, for the next try.
        """
        with self._turn:
            if self._queue:
                self._write_queue()
            waiting = self._edge.size - self._sealed
            due = (
                waiting >= self.checkpoint_rows or abs(self._clock() - self._sealed_at_s) >= self.checkpoint_s
            )
            if self._signer is not None and waiting and due:
                self._seal()

    def checkpoint(self) -> str:
        """Commit, and sign the root over all rows. Returns the signed note.

        Raises
        ------
        LedgerError
            There is no signer, or the disk does not take it.
        """
        with self._turn:
            if self._queue:
                self._write_queue()
            return self._seal()

    def signed(self, kind: str, body: dict[str, JsonValue]) -> str:
        """A signed statement of this kind (such as "bundle") by the ledger's key."""
        if self._signer is None:
            raise LedgerError(f"{self.path}: no key to sign with")
        return signed_note(statement_text(kind, body), self._signer, self.origin)

    @contextlib.contextmanager
    def exclusive(self) -> Iterator[None]:
        """No other thread adds rows inside this block: what was looked up still holds when the row is written."""
        with self._turn:
            yield

    # --- reading ---

    @property
    def size(self) -> int:
        """Rows that are committed."""
        return self._edge.size

    def root(self) -> bytes:
        """Root of the tree over all committed rows, 32 bytes."""
        return self._edge.root()

    def today(self) -> date:
        """UTC day by the ledger's clock, which rows are written under.

        Raises
        ------
        LedgerError
            The clock gives no time that can be.
        """
        now_s = self._clock()
        if not 0.0 <= now_s <= LAST_DAY_S:
            raise LedgerError("the clock gives no time between 1970 and 9999; wanted UTC seconds")
        return datetime.fromtimestamp(now_s, UTC).date()

    @property
    def last_checkpoint(self) -> str | None:
        """The newest signed note; None before the first."""
        return self._note

    @property
    def key(self) -> VerifyKey | None:
        """The public key of the signer that this ledger was begun with or opened with."""
        stated = self._connection.execute("SELECT value FROM ledger_meta WHERE name = 'key'").fetchone()
        return None if stated is None else VerifyKey.parse(stated[0])

    def rows(self, first: int, last: int) -> Iterator[dict[str, Any]]:
        """The committed rows from `first` up to, and without, `last`."""
        query = "SELECT row, body FROM ledger_rows WHERE row >= ? AND row < ? ORDER BY row"
        for index, body in self._ask(query, (first, last)):
            yield self._row(index, body)

    def find(self, *events: str) -> Iterator[dict[str, Any]]:
        """The committed rows of these events, oldest first. Looks at every row: 0.1 s for 100,000."""
        wanted = " OR ".join(["instr(body, ?)"] * len(events))
        marks = [
            f'"event":"{event}"'.encode() for event in events
        ]  # no text of a row can hold a quotation mark
        for index, body in self._ask(f"SELECT row, body FROM ledger_rows WHERE {wanted} ORDER BY row", marks):  # noqa: S608
            yield self._row(index, body)

    def inclusion_proof(self, index: int, size: int) -> tuple[bytes, ...]:
        """Hashes that prove row `index` in the tree of the first `size` rows (RFC 6962, 2.1.1)."""
        self._check_range(index + 1, size)
        return inclusion_path(index, size, self._subtree)

    def consistency_proof(self, first: int, second: int) -> tuple[bytes, ...]:
        """Hashes that prove that the tree of `second` rows begins with that of `first` (RFC 6962, 2.1.2)."""
        self._check_range(first, second)
        return consistency_path(first, second, self._subtree)

    def receipt(self, index: int) -> dict[str, Any]:
        """What proves one row to somebody who has the ledger's public key, about 1 kB: row, proof and checkpoint.

        The last checkpoint is used; one is made if it does not yet cover the row.
        """
        with self._turn:
            if index >= self._sealed:
                self.checkpoint()
            size = self._sealed
            row = next(self.rows(index, index + 1), None)
            if row is None or index >= size:
                raise LedgerError(f"{self.path}: row {index} was asked for; there are {size}")
            path = [base64.b64encode(one).decode() for one in self.inclusion_proof(index, size)]
            return {"schema": 1, "row": row, "proof": path, "checkpoint": self._note}

    # --- inside ---

    def _write_queue(self) -> None:
        """All queued rows and the chunks that they complete, or none of them."""
        edge, rows, chunks = self._edge.copy(), [], []
        for body in self._queue:
            rows.append((edge.size, body))
            chunk = edge.append(leaf_hash(body))
            if chunk is not None:
                chunks.append((edge.size // CHUNK_ROWS - 1, chunk))
        try:
            with self._transaction() as connection:
                connection.executemany("INSERT INTO ledger_rows VALUES (?, ?)", rows)
                connection.executemany("INSERT INTO ledger_chunks VALUES (?, ?)", chunks)
        except LedgerError:
            if self._count() != edge.size:  # else the disk complained after it had taken them
                raise
        self._edge = edge
        self._queue.clear()

    def _seal(self) -> str:
        if self._signer is None:
            raise LedgerError(f"{self.path}: no key to sign a checkpoint with")
        if self._note is not None and self._sealed == self._edge.size:
            return self._note
        text = Checkpoint(self.origin, self._edge.size, self._edge.root()).text
        note = signed_note(text, self._signer, self.origin)
        with self._transaction() as connection:
            connection.execute(
                "INSERT OR REPLACE INTO ledger_checkpoints VALUES (?, ?)", (self._edge.size, note)
            )
        self._note, self._sealed, self._sealed_at_s = note, self._edge.size, self._clock()
        return note

    @contextlib.contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        if not self._writable:
            raise LedgerError(f"{self.path}: closed, or opened to be read; nothing can be written")
        connection = self._connection
        try:
            connection.execute("BEGIN IMMEDIATE")
            yield connection
            connection.execute("COMMIT")
        except BaseException as fault:
            with contextlib.suppress(sqlite3.Error):
                if connection.in_transaction:
                    connection.execute("ROLLBACK")
            if isinstance(fault, (sqlite3.Error, OSError)):
                raise _our_error(self.path, fault) from None
            raise

    def _make_tables(self) -> None:
        if self._connection.execute("SELECT 1 FROM sqlite_master").fetchone() is None:
            with self._transaction() as connection:
                for statement in SCHEMA.values():
                    connection.execute(statement)
                connection.execute("INSERT INTO ledger_meta VALUES ('origin', ?)", (self.origin,))

    def _check_identity(self) -> None:
        """The ledger is of this origin and of this key; the first signer's key is written down."""
        if check_schema(self._connection).get("origin") != self.origin:
            raise LedgerError(f"{self.path}: is the ledger of another origin; wanted {self.origin}")
        stated = self.key
        if stated is None and self._connection.execute("SELECT 1 FROM ledger_checkpoints").fetchone():
            raise AlteredError("it has checkpoints and no key")
        if self._signer is None:
            return
        ours = verify_key(self._signer, self.origin)
        if stated is None and self._writable:
            with self._transaction() as connection:
                connection.execute("INSERT INTO ledger_meta VALUES ('key', ?)", (ours.text,))
        elif stated != ours:
            raise LedgerError(f"{self.path}: was begun with another key; wanted that key, or a new ledger")

    def _read_state(self) -> None:
        """The right edge, and whether the last checkpoint goes with the rows below it."""
        self._edge = self._edge_at(self._count())
        newest = self._connection.execute(
            "SELECT note FROM ledger_checkpoints ORDER BY size DESC LIMIT 1"
        ).fetchone()
        if newest is None:
            return
        key = self.key
        checkpoint = Checkpoint.parse(note_text(newest[0], [] if key is None else [key]))
        if checkpoint.origin != self.origin or checkpoint.size > self._edge.size:
            raise AlteredError("rows under its last checkpoint are missing")
        if self._edge_at(checkpoint.size).root() != checkpoint.root:
            raise AlteredError("rows under its last checkpoint were altered")
        self._note, self._sealed = newest[0], checkpoint.size

    def _count(self) -> int:
        """Rows in the file, by the number of the last one."""
        return next(self._ask("SELECT coalesce(max(row) + 1, 0) FROM ledger_rows", ()))[0]  # type: ignore[no-any-return]

    def _edge_at(self, size: int) -> RightEdge:
        return self._grown(RightEdge(), 0, size)

    def _grown(self, edge: RightEdge, first: int, last: int) -> RightEdge:
        """An edge over the rows from `first` (a whole number of chunks) to `last`."""
        whole = last // CHUNK_ROWS
        query = "SELECT hash FROM ledger_chunks WHERE chunk >= ? AND chunk < ? ORDER BY chunk"
        for (chunk,) in self._ask(query, (first // CHUNK_ROWS, whole)):
            edge.append_chunk(chunk)
        start = max(first, whole * CHUNK_ROWS)
        query = "SELECT body FROM ledger_rows WHERE row >= ? AND row < ? ORDER BY row"
        for (body,) in self._ask(query, (start, last)):
            edge.append(leaf_hash(body))
        if edge.size != last - first:
            raise AlteredError("rows, or kept hashes of rows, are missing")
        return edge

    def _subtree(self, first: int, last: int) -> bytes:
        """Root over the rows from `first` up to, and without, `last`: a subtree of the tree."""
        if last - first < CHUNK_ROWS:
            edge = RightEdge()
            query = "SELECT body FROM ledger_rows WHERE row >= ? AND row < ? ORDER BY row"
            for (body,) in self._ask(query, (first, last)):
                edge.append(leaf_hash(body))
            return edge.root()
        return self._grown(RightEdge(), first, last).root()

    def _check_range(self, first: int, last: int) -> None:
        if not 0 <= first <= last <= self._edge.size:
            raise LedgerError(
                f"{self.path}: rows {first} to {last} were asked for; there are {self._edge.size}"
            )

    def _ask(self, query: str, values: Any) -> Iterator[tuple[Any, ...]]:
        try:
            yield from self._connection.cursor().execute(query, values)
        except sqlite3.Error as fault:
            raise _our_error(self.path, fault) from None

    def _row(self, index: int, body: bytes) -> dict[str, Any]:
        try:
            return row_of(body, index)
        except AlteredError as fault:
            raise LedgerError(f"{self.path}: {fault}") from None


def _locked(path: Path) -> int:
    """A descriptor that holds the one right to add rows; it goes with the process."""
    lock = path.with_name(f"{path.name}.lock")
    try:
        descriptor = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    except OSError as fault:
        raise _our_error(path, fault) from None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(descriptor)
        raise LedgerError(f"{path}: another process adds rows to it; wanted one at a time") from None
    return descriptor


def _connected(path: Path, *, read_only: bool) -> sqlite3.Connection:
    if read_only:
        return open_read_only(path)
    with contextlib.suppress(FileExistsError):
        os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
        _sync_folder(path.parent)
    connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    for pragma in ("journal_mode = WAL", "synchronous = FULL", "trusted_schema = OFF"):
        connection.execute(f"PRAGMA {pragma}")
    return connection


def _sync_folder(folder: Path) -> None:
    """The new file's name lasts through a power cut too."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _our_error(path: Path, fault: Exception) -> LedgerError:
    return LedgerError(f"{path}: the ledger cannot be relied on or written: {fault}")
