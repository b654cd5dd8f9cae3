"""ROS 1 bags in and out, in the order of their times. Reads and writes through rosbags."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, Final

from anonymize.errors import MediaError
from anonymize.media.log_records import Channel, ChunkEnd, LogMessage, Record, short_type

MAGIC: Final = b"#ROSBAG V2.0\n"
_HEAD_BYTES: Final = 4096 + 512  # the bag's own head is padded to 4096; the first chunk follows
_COMPRESSION: Final = re.compile(rb"compression=(none|bz2|lz4)")


class Bag1Reader:
    """Reads a ROS 1 bag by its index: what the index does not name is not read, and does not travel on."""

    def __init__(self, path: Path) -> None:
        from rosbags.rosbag1 import Reader, ReaderError

        self._path = path
        with path.open("rb") as stream:
            found = _COMPRESSION.search(stream.read(_HEAD_BYTES))
        self.compression = found[1].decode() if found else "none"
        self._reader = Reader(path)
        try:
            self._reader.open()
        except (ReaderError, AssertionError, ValueError, KeyError, OSError) as fault:
            raise MediaError(f"is a damaged bag: {fault}") from None

    def __enter__(self) -> Bag1Reader:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, fault: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._reader.close()

    @property
    def position(self) -> int:
        """Bytes that are read, about."""
        return self._reader.bio.tell() if self._reader.bio else 0

    def records(self) -> Iterator[Record]:
        """See `LogReader`."""
        from rosbags.rosbag1 import ReaderError

        for connection in self._reader.connections:
            yield Channel(
                connection.id, connection.topic, short_type(connection.msgtype), "ros1msg", "ros1",
                connection.msgdef.data.encode(), connection,
            )  # fmt: skip
        try:
            for connection, time_ns, data in self._reader.messages():
                yield LogMessage(connection.id, time_ns, time_ns, 0, data)
        except (ReaderError, AssertionError, ValueError, KeyError, EOFError, OSError, RuntimeError) as fault:
            raise MediaError(f"is truncated or damaged: {type(fault).__name__}") from None


class Bag1Writer:
    """Writes a ROS 1 bag with the source's compression, in chunks of the usual size."""

    def __init__(self, path: Path, source: Bag1Reader) -> None:
        from rosbags.rosbag1 import Writer

        self._writer = Writer(path)
        if source.compression != "none":
            self._writer.set_compression(Writer.CompressionFormat[source.compression.upper()])
        self._writer.open()
        self._connections: dict[int, Any] = {}

    def add(self, record: Record) -> None:
        """See `LogWriter`."""
        if isinstance(record, LogMessage):
            self._writer.write(self._connections[record.channel], record.time_ns, record.data)
        elif isinstance(record, Channel):
            native = record.native
            self._connections[record.number] = self._writer.add_connection(
                native.topic, native.msgtype, msgdef=native.msgdef.data, md5sum=native.digest,
                callerid=native.ext.callerid, latching=native.ext.latching,
            )  # fmt: skip
        elif not isinstance(record, ChunkEnd):
            raise MediaError(f"holds a {type(record).__name__}, for which a bag has no place")

    def close(self) -> None:
        """See `LogWriter`."""
        self._writer.close()
