"""What became of every file, in SQLite: the one truth of an archive, written by the driver alone."""

from __future__ import annotations

import contextlib
import json
import sqlite3
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

from anonymize.archive.errors import ArchiveError
from anonymize.archive.plain import from_text, to_text
from anonymize.archive.receipts import Bound, Receipt, Task
from anonymize.archive.work import Corrections, FileResult, Moment

State = Literal["waiting", "doing", "done", "failed", "quarantined", "set aside"]
ENDED_BADLY: Final = ("failed", "quarantined", "set aside")
VERSION: Final = 1
_TABLES: Final = """
CREATE TABLE IF NOT EXISTS files (
  key TEXT PRIMARY KEY, source TEXT NOT NULL, kind TEXT NOT NULL, state TEXT NOT NULL, size INTEGER NOT NULL,
  mtime_ns INTEGER NOT NULL, bound TEXT NOT NULL DEFAULT '', source_digest TEXT NOT NULL DEFAULT '',
  output_digest TEXT NOT NULL DEFAULT '', output_size INTEGER NOT NULL DEFAULT 0,
  output_mtime_ns INTEGER NOT NULL DEFAULT 0, result TEXT NOT NULL DEFAULT '', temporary TEXT NOT NULL DEFAULT '',
  tries INTEGER NOT NULL DEFAULT 0, error TEXT NOT NULL DEFAULT '', proof TEXT NOT NULL DEFAULT '',
  ended_s REAL NOT NULL DEFAULT 0, seconds REAL NOT NULL DEFAULT 0, source_deleted INTEGER NOT NULL DEFAULT 0
);
CREATE TABLE IF NOT EXISTS looks (
  key TEXT PRIMARY KEY, bound TEXT NOT NULL, source_digest TEXT NOT NULL, spool_digest TEXT NOT NULL,
  seconds REAL NOT NULL
);
CREATE TABLE IF NOT EXISTS corrections (
  key TEXT PRIMARY KEY, source_digest TEXT NOT NULL, settings_digest TEXT NOT NULL, said TEXT NOT NULL
);
CREATE TABLE IF NOT EXISTS runs (
  id INTEGER PRIMARY KEY, begun_s REAL NOT NULL, ended_s REAL, told_s REAL, facts TEXT NOT NULL,
  total_bytes INTEGER NOT NULL DEFAULT 0, done_bytes INTEGER NOT NULL DEFAULT 0, total_files INTEGER NOT NULL DEFAULT 0
);
"""
_FILE_COLUMNS: Final = (
    "key", "source", "kind", "state", "size", "mtime_ns", "bound", "source_digest", "output_digest", "output_size",
    "output_mtime_ns", "result", "temporary", "tries", "error", "proof", "ended_s", "seconds", "source_deleted",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class FileRow:
    """One file as the journal knows it; `bound` and `result` are of the output that lies there."""

    key: str
    source: str
    kind: str
    state: State
    size: int
    mtime_ns: int
    bound: Bound | None
    source_digest: str
    output_digest: str
    output_size: int
    output_mtime_ns: int
    result: FileResult | None
    temporary: str
    tries: int
    error: str
    proof: str
    ended_s: float
    seconds: float
    source_deleted: bool


@dataclass(frozen=True, slots=True)
class LookRow:
    """One video whose boxes lie in its spool."""

    bound: Bound
    source_digest: str
    spool_digest: str


@dataclass(frozen=True, slots=True)
class Said:
    """What a person said of one file, and of which source under which settings."""

    source_digest: str
    settings_digest: str
    corrections: Corrections


@dataclass(frozen=True, slots=True)
class RunRow:
    """One run: its progress, and its facts (settings, exceptions, inputs) as plain values."""

    number: int
    begun_s: float
    ended_s: float | None
    told_s: float
    facts: dict[str, Any]
    total_bytes: int
    done_bytes: int
    total_files: int


class Journal:
    """The journal of one output; use it with `contextlib.closing`.

    Parameters
    ----------
    path : Path
    reading : bool
        For `status`, `report` and `review`: never writes, and works beside a run.

    Raises
    ------
    ArchiveError
        It is missing (when reading), damaged, of a later version, or the disk is full.
    """

    def __init__(self, path: Path, *, reading: bool = False) -> None:
        self._path = path
        if reading and not path.is_file():
            raise ArchiveError(
                f"{path.parent.parent}: holds no journal of an archive; wanted an output of `run`"
            )
        with self._errors():
            where = f"{path.absolute().as_uri()}?mode={'ro' if reading else 'rwc'}"
            self._base = sqlite3.connect(where, uri=True, isolation_level=None, timeout=30.0)
            (version,) = self._base.execute("PRAGMA user_version").fetchone()
            if version > VERSION or (reading and version < VERSION):
                raise ArchiveError(f"{path}: has version {version}; this program reads version {VERSION}")
            if not reading:
                path.chmod(0o600)
                self._base.execute("PRAGMA journal_mode = WAL")
                self._base.execute(
                    "PRAGMA synchronous = FULL"
                )  # a source may be deleted on the word of a row
                self._base.executescript(_TABLES + f"PRAGMA user_version = {VERSION};")

    def close(self) -> None:
        """Close the file."""
        self._base.close()

    @contextlib.contextmanager
    def together(self) -> Iterator[None]:
        """All that is written in the block counts at once, or not at all."""
        with self._errors():
            self._base.execute("BEGIN IMMEDIATE")
        try:
            yield
        except BaseException:
            self._base.execute("ROLLBACK")
            raise
        with self._errors():
            self._base.execute("COMMIT")

    @contextlib.contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as fault:
            raise ArchiveError(
                f"{self._path}: {fault}; wanted a sound journal on a disk with space, what was done stays done"
            ) from None

    def _do(self, words: str, *values: Any) -> sqlite3.Cursor:
        with self._errors():
            return self._base.execute(words, values)

    # files

    def file(self, key: str) -> FileRow | None:
        """The row of one file."""
        found = self._do(f"SELECT {', '.join(_FILE_COLUMNS)} FROM files WHERE key = ?", key).fetchone()  # noqa: S608
        return _file_row(found) if found else None

    def files(self, *states: str) -> Iterator[FileRow]:
        """The rows of all files, or of those in one of these states, by key."""
        where = f" WHERE state IN ({', '.join('?' * len(states))})" if states else ""
        rows = self._do(f"SELECT {', '.join(_FILE_COLUMNS)} FROM files{where} ORDER BY key", *states)  # noqa: S608
        return map(_file_row, rows)

    def counts(self) -> dict[str, tuple[int, int]]:
        """Files and bytes of sources by state."""
        rows = self._do("SELECT state, count(*), sum(size) FROM files GROUP BY state")
        return {state: (count, size) for state, count, size in rows}

    def enter(self, key: str, source: str, kind: str, bound: Bound) -> None:
        """This file is to be done; what lies there of it stays known until it is replaced."""
        self._do(
            "INSERT INTO files (key, source, kind, state, size, mtime_ns) VALUES (?, ?, ?, 'waiting', ?, ?) "
            "ON CONFLICT (key) DO UPDATE SET source = excluded.source, kind = excluded.kind, state = 'waiting', "
            "tries = CASE WHEN size = excluded.size AND mtime_ns = excluded.mtime_ns THEN tries ELSE 0 END, "
            "size = excluded.size, mtime_ns = excluded.mtime_ns, error = ''",
            key, source, kind, bound.size, bound.mtime_ns,
        )  # fmt: skip

    def begin(self, key: str, temporary: str) -> None:
        """A worker is about to write this temporary file."""
        self._do("UPDATE files SET state = 'doing', temporary = ? WHERE key = ?", temporary, key)

    def wait_again(self, key: str, *, tries: int | None = None, error: str = "") -> None:
        """The file in flight came to nothing, and will be tried again."""
        self._do(
            "UPDATE files SET state = 'waiting', temporary = '', tries = coalesce(?, tries), error = ? WHERE key = ?",
            tries, error, key,
        )  # fmt: skip

    def done(self, receipt: Receipt, *, proof: str = "") -> None:
        """The file lies there under its name; `proof` says why an output without its row was taken."""
        self._do(
            "UPDATE files SET state = 'done', bound = ?, size = ?, mtime_ns = ?, source_digest = ?, "
            "output_digest = ?, output_size = ?, output_mtime_ns = ?, result = ?, temporary = '', error = '', "
            "proof = ?, ended_s = ?, seconds = ?, tries = 0, source_deleted = 0 WHERE key = ?",
            to_text(receipt.bound), receipt.bound.size, receipt.bound.mtime_ns, receipt.source_digest,
            receipt.output_digest, receipt.output_size, receipt.output_mtime_ns, to_text(receipt.result),
            proof, time.time(), receipt.seconds, receipt.key,
        )  # fmt: skip

    def failed(self, key: str, error: str, state: State = "failed", *, tries: int = 1) -> None:
        """The file came to nothing, with its error; an output of an earlier run stays known."""
        self._do(
            "UPDATE files SET state = ?, temporary = '', error = ?, tries = ?, ended_s = ? WHERE key = ?",
            state, error, tries, time.time(), key,
        )  # fmt: skip

    def quarantined(self, task: Task, error: str, source_digest: str, moment: Moment | None) -> None:
        """What was written of it did not pass; a person's word on it is bound to this source and these settings."""
        result = FileResult(kind=task.kind, certainty=(moment,) if moment is not None else ())
        self._do(
            "UPDATE files SET state = 'quarantined', temporary = '', error = ?, bound = ?, source_digest = ?, "
            "result = ?, ended_s = ? WHERE key = ?",
            error, to_text(task.bound), source_digest, to_text(result), time.time(), task.key,
        )  # fmt: skip

    def output_touched(self, key: str, mtime_ns: int) -> None:
        """The output has another time, and the same bytes."""
        self._do("UPDATE files SET output_mtime_ns = ? WHERE key = ?", mtime_ns, key)

    def source_deleted(self, key: str) -> None:
        """The source is no more, by `--delete-source`."""
        self._do("UPDATE files SET source_deleted = 1 WHERE key = ?", key)

    # looks

    def look(self, key: str) -> LookRow | None:
        """What was entered of this video's spool."""
        found = self._do("SELECT bound, source_digest, spool_digest FROM looks WHERE key = ?", key).fetchone()
        return LookRow(from_text(Bound, found[0]), found[1], found[2]) if found else None

    def looked(self, receipt: Receipt) -> None:
        """The spool of this video is complete."""
        self._do(
            "INSERT OR REPLACE INTO looks (key, bound, source_digest, spool_digest, seconds) VALUES (?, ?, ?, ?, ?)",
            receipt.key, to_text(receipt.bound), receipt.source_digest, receipt.output_digest, receipt.seconds,
        )  # fmt: skip

    # what persons said

    def said(self, key: str) -> Said | None:
        """The corrections of this file."""
        words = "SELECT source_digest, settings_digest, said FROM corrections WHERE key = ?"
        found = self._do(words, key).fetchone()
        return Said(found[0], found[1], from_text(Corrections, found[2])) if found else None

    def say(self, key: str, said: Said) -> None:
        """Keep the corrections of this file, in place of earlier ones."""
        self._do(
            "INSERT OR REPLACE INTO corrections (key, source_digest, settings_digest, said) VALUES (?, ?, ?, ?)",
            key, said.source_digest, said.settings_digest, to_text(said.corrections),
        )  # fmt: skip

    # runs

    def begin_run(self, facts: dict[str, Any], total_bytes: int, total_files: int) -> int:
        """The number of a new run."""
        now_s = time.time()
        added = self._do(
            "INSERT INTO runs (begun_s, told_s, facts, total_bytes, total_files) VALUES (?, ?, ?, ?, ?)",
            now_s, now_s, to_text(facts), total_bytes, total_files,
        )  # fmt: skip
        return int(added.lastrowid or 0)

    def tell(self, number: int, done_bytes: int) -> None:
        """How far the run is, for `status`."""
        self._do("UPDATE runs SET told_s = ?, done_bytes = ? WHERE id = ?", time.time(), done_bytes, number)

    def end_run(self, number: int) -> None:
        """The run came to its end, whatever it was."""
        self._do("UPDATE runs SET ended_s = ? WHERE id = ?", time.time(), number)

    def runs(self) -> list[RunRow]:
        """All runs, oldest first."""
        words = "SELECT id, begun_s, ended_s, told_s, facts, total_bytes, done_bytes, total_files FROM runs ORDER BY id"
        rows: Iterable[tuple[Any, ...]] = self._do(words)
        return [
            RunRow(row[0], row[1], row[2], row[3], json.loads(row[4]), row[5], row[6], row[7]) for row in rows
        ]


def _file_row(found: tuple[Any, ...]) -> FileRow:
    row = dict(zip(_FILE_COLUMNS, found, strict=True))
    row["bound"] = from_text(Bound, row["bound"]) if row["bound"] else None
    row["result"] = from_text(FileResult, row["result"]) if row["result"] else None
    row["source_deleted"] = bool(row["source_deleted"])
    return FileRow(**row)
