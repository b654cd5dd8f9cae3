"""ROS 2 bags in SQLite storage (.db3), in and out: the tables of rosbag2 alone, rows under their own numbers.

rosbags writes such bags anew, with other numbers and a folder around them; here order, numbers and schema stay.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, Final

from anonymize.errors import MediaError
from anonymize.media.log_records import Channel, ChunkEnd, LogMessage, Record, short_type

MAGIC: Final = b"SQLite format 3\0"
# rosbag2_storage_sqlite3, schema versions 1 to 4; later versions have more columns. `metadata` is free text and is left
# out: players make it anew.
_COLUMNS: Final[dict[str, dict[str, str]]] = {
    "schema": {"schema_version": "INTEGER PRIMARY KEY", "ros_distro": "TEXT NOT NULL"},
    "topics": {
        "id": "INTEGER PRIMARY KEY",
        "name": "TEXT NOT NULL",
        "type": "TEXT NOT NULL",
        "serialization_format": "TEXT NOT NULL",
        "offered_qos_profiles": "TEXT NOT NULL",
        "type_description_hash": "TEXT NOT NULL",
    },
    "message_definitions": {
        "id": "INTEGER PRIMARY KEY",
        "topic_type": "TEXT NOT NULL",
        "encoding": "TEXT NOT NULL",
        "encoded_message_definition": "TEXT NOT NULL",
        "type_description_hash": "TEXT NOT NULL",
    },
    "messages": {
        "id": "INTEGER PRIMARY KEY",
        "topic_id": "INTEGER NOT NULL",
        "timestamp": "INTEGER NOT NULL",
        "data": "BLOB NOT NULL",
    },
}
_ROWS_A_COMMIT: Final = 200


class SqliteReader:
    """Reads the storage file of a ROS 2 bag; it is opened as it lies there, and never written."""

    def __init__(self, path: Path) -> None:
        if (log := path.with_name(path.name + "-wal")).exists() and log.stat().st_size:
            raise MediaError(f"was not closed: messages lie in {log.name}; wanted a bag at rest")
        name = str(path.absolute()).replace("%", "%25").replace("?", "%3f").replace("#", "%23")
        self._size, self._done, self._rows = path.stat().st_size, 0, 1
        self._base = sqlite3.connect(f"file:{name}?mode=ro&immutable=1", uri=True)
        self._base.text_factory = str
        try:
            self.columns = {table: self._columns_of(table) for table in _COLUMNS}
            if not {"id", "name", "type", "serialization_format"} <= set(self.columns["topics"]):
                raise MediaError("is a SQLite file without the tables of a ROS 2 bag")
            if set(self.columns["messages"]) != set(_COLUMNS["messages"]):
                raise MediaError("has a table of messages of another form")
            self._rows = max(self._base.execute("SELECT count(*) FROM messages").fetchone()[0], 1)
        except sqlite3.Error as fault:
            self._base.close()
            raise MediaError(f"is a damaged SQLite file: {fault}") from None

    def _columns_of(self, table: str) -> tuple[str, ...]:
        there = {row[1] for row in self._base.execute(f"PRAGMA table_info({table})")}
        return tuple(name for name in _COLUMNS[table] if name in there)

    def __enter__(self) -> SqliteReader:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, fault: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._base.close()

    @property
    def position(self) -> int:
        """Bytes that are read, about: by the share of messages."""
        return self._size * self._done // self._rows

    def table(self, name: str) -> list[dict[str, Any]]:
        """The rows of a small table, by column."""
        columns = self.columns[name]
        if not columns:
            return []
        rows = self._base.execute(f"SELECT {', '.join(columns)} FROM {name} ORDER BY rowid")  # noqa: S608
        return [dict(zip(columns, row, strict=True)) for row in rows]

    def records(self) -> Iterator[Record]:
        """See `LogReader`."""
        self._done = 0
        try:
            texts = {row["topic_type"]: row for row in self.table("message_definitions")}
            topics = self.table("topics")
            for topic in topics:
                text = texts.get(topic["type"], {})
                yield Channel(
                    topic["id"], topic["name"], short_type(topic["type"]), text.get("encoding", "ros2msg"),
                    topic["serialization_format"], text.get("encoded_message_definition", "").encode(), topic,
                )  # fmt: skip
            rows = self._base.execute(
                "SELECT id, topic_id, timestamp, data FROM messages ORDER BY timestamp, id"
            )
            known = {topic["id"] for topic in topics}
            for number, topic_id, time_ns, data in rows:
                self._done += 1
                if topic_id not in known:
                    raise MediaError(f"has a message of topic {topic_id}, which it does not describe")
                yield LogMessage(topic_id, time_ns, time_ns, number, bytes(data))
        except (sqlite3.Error, TypeError, AttributeError, ValueError) as fault:
            raise MediaError(f"is truncated or damaged: {type(fault).__name__}") from None


class SqliteWriter:
    """Writes a storage file with the source's version of the tables."""

    def __init__(self, path: Path, source: SqliteReader) -> None:
        self._base = sqlite3.connect(path, isolation_level=None)
        self._source, self._waiting = source, 0
        self._types: set[str] = set()
        # the file gets its name when it is whole: no journal that could be left behind, nothing in other files
        for pragma in ("journal_mode=OFF", "synchronous=OFF", "temp_store=MEMORY"):
            self._base.execute(f"PRAGMA {pragma}")
        for table, kinds in _COLUMNS.items():
            columns = source.columns[table]
            if columns:
                described = ", ".join(f"{name} {kinds[name]}" for name in columns)
                self._base.execute(f"CREATE TABLE {table}({described})")
        self._base.execute("CREATE INDEX timestamp_idx ON messages (timestamp ASC)")
        self._base.execute("BEGIN")
        for row in source.table("schema"):
            self._insert("schema", row)

    def _insert(self, table: str, row: dict[str, Any]) -> None:
        places = ", ".join("?" * len(row))
        try:
            self._base.execute(f"INSERT INTO {table}({', '.join(row)}) VALUES({places})", tuple(row.values()))
        except sqlite3.Error as fault:
            raise MediaError(f"cannot be written: {fault}") from None

    def add(self, record: Record) -> None:
        """See `LogWriter`."""
        if isinstance(record, LogMessage):
            row = {"id": record.sequence, "topic_id": record.channel, "timestamp": record.time_ns}
            self._insert("messages", {**row, "data": record.data})
            self._waiting += 1
            if self._waiting == _ROWS_A_COMMIT:
                self._base.execute("COMMIT")
                self._base.execute("BEGIN")
                self._waiting = 0
        elif isinstance(record, Channel):
            self._insert("topics", record.native)
            self._types.add(record.native["type"])
        elif not isinstance(record, ChunkEnd):
            raise MediaError(f"holds a {type(record).__name__}, for which a bag has no place")

    def close(self) -> None:
        """See `LogWriter`."""
        for row in self._source.table("message_definitions"):
            if row["topic_type"] in self._types:
                self._insert("message_definitions", row)
        self._base.execute("COMMIT")
        self._base.close()
