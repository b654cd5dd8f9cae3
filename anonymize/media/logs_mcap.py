"""MCAP files in and out, record by record and chunk by chunk. The one module that imports mcap."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO, Final

from anonymize.errors import MediaError
from anonymize.media.log_records import (
    Channel,
    ChunkEnd,
    LogAttachment,
    LogMessage,
    LogNote,
    Record,
    short_type,
)

MAGIC: Final = b"\x89MCAP0\r\n"
MAX_RECORD_BYTES: Final = 1 << 30
_UNBOUNDED: Final = 1 << 40  # chunks end where the source's do


class McapReader:
    """Reads an MCAP file from its begin to its end, checksums included; summaries and indexes are not trusted."""

    def __init__(self, path: Path) -> None:
        self.compression = ""
        self.chunked = False
        self.profile = ""
        self._stream: BinaryIO = path.open("rb")

    def __enter__(self) -> McapReader:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, fault: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stream.close()

    @property
    def position(self) -> int:
        """Bytes that are read."""
        return self._stream.tell()

    def records(self) -> Iterator[Record]:
        """See `LogReader`."""
        from mcap.exceptions import McapError

        self._stream.seek(0)
        try:
            yield from self._records()
        except MediaError:
            raise
        # mcap's own errors, and what its parsers and decompressors raise on damaged bytes
        except (
            McapError,
            struct.error,
            ValueError,
            EOFError,
            RuntimeError,
            KeyError,
            MemoryError,
            OSError,
        ) as fault:
            raise MediaError(f"is truncated or damaged: {type(fault).__name__}") from None

    def _records(self) -> Iterator[Record]:
        from mcap import records as mcap
        from mcap.stream_reader import StreamReader, breakup_chunk

        schemas: dict[int, mcap.Schema] = {}
        channels: dict[int, mcap.Channel] = {}
        stream = StreamReader(
            self._stream, emit_chunks=True, validate_crcs=True, record_size_limit=MAX_RECORD_BYTES
        )
        in_summary = False
        for outer in stream.records:
            in_summary = in_summary or isinstance(outer, mcap.DataEnd)
            if in_summary:
                continue
            if isinstance(outer, mcap.Header):
                self.profile = outer.profile
            is_chunk = isinstance(outer, mcap.Chunk)
            if isinstance(outer, mcap.Chunk):
                self.chunked, self.compression = True, outer.compression
                if outer.uncompressed_size > MAX_RECORD_BYTES:
                    raise MediaError(f"has a chunk of {outer.uncompressed_size:,} bytes")
            inner = breakup_chunk(outer, validate_crc=True) if isinstance(outer, mcap.Chunk) else [outer]
            for record in inner:
                if isinstance(record, mcap.Schema):
                    _remember(schemas, record, "schema")
                elif isinstance(record, mcap.Channel):
                    if _remember(channels, record, "channel"):
                        yield _channel(record, schemas)
                elif isinstance(record, mcap.Message):
                    if record.channel_id not in channels:
                        raise MediaError(
                            f"has a message of channel {record.channel_id}, which it does not describe"
                        )
                    yield LogMessage(
                        record.channel_id, record.log_time, record.publish_time, record.sequence, record.data
                    )
                elif isinstance(record, mcap.Metadata):
                    yield LogNote(record.name, record.metadata)
                elif isinstance(record, mcap.Attachment):
                    yield LogAttachment(
                        record.name, record.media_type, record.log_time, record.create_time, record.data
                    )
            if is_chunk:
                yield ChunkEnd()


def _remember(known: dict[int, Any], record: Any, kind: str) -> bool:
    """Whether this is new; a number that is given twice must mean the same."""
    before = known.setdefault(record.id, record)
    if before != record:
        raise MediaError(f"describes {kind} {record.id} twice, and not alike")
    return bool(before is record)


def _channel(record: Any, schemas: dict[int, Any]) -> Channel:
    schema = schemas.get(record.schema_id)
    if record.schema_id and schema is None:
        raise MediaError(f"has a channel {record.topic!r} of a schema that it does not hold")
    name, encoding, text = "", "", b""
    if schema is not None:
        name, encoding, text = schema.name, schema.encoding, schema.data
    return Channel(
        record.id, record.topic, short_type(name), encoding, record.message_encoding, text,
        (record.schema_id, name, record.metadata),
    )  # fmt: skip


class McapWriter:
    """Writes an MCAP file with the source's compression, and its chunks where the source has them."""

    def __init__(self, path: Path, source: McapReader) -> None:
        from mcap.writer import CompressionType, Writer

        kinds = {"zstd": CompressionType.ZSTD, "lz4": CompressionType.LZ4}
        self._chunked = source.chunked
        self._stream = path.open("wb")
        self._schemas: dict[int, int] = {0: 0}  # by the source's numbers; 0 is none
        self._channels: dict[int, int] = {}
        self._writer = Writer(
            self._stream,
            chunk_size=_UNBOUNDED,
            compression=kinds.get(source.compression, CompressionType.NONE),
            use_chunking=source.chunked,
            enable_data_crcs=True,
        )
        self._writer.start(profile=source.profile)

    def add(self, record: Record) -> None:
        """See `LogWriter`."""
        if isinstance(record, LogMessage):
            self._writer.add_message(
                self._channels[record.channel],
                record.time_ns,
                record.data,
                record.published_ns,
                record.sequence,
            )
        elif isinstance(record, Channel):
            self._add_channel(record)
        elif isinstance(record, LogNote):
            self._writer.add_metadata(record.name, dict(record.values))
        elif isinstance(record, LogAttachment):
            self._writer.add_attachment(
                record.created_ns, record.time_ns, record.name, record.media_type, record.data
            )
        elif self._chunked:
            self._writer.flush()  # type: ignore[no-untyped-call]

    def _add_channel(self, channel: Channel) -> None:
        number, name, metadata = channel.native
        if number not in self._schemas:
            self._schemas[number] = self._writer.register_schema(
                name, channel.schema_encoding, channel.schema
            )
        self._channels[channel.number] = self._writer.register_channel(
            channel.topic, channel.message_encoding, self._schemas[number], dict(metadata)
        )

    def close(self) -> None:
        """See `LogWriter`."""
        self._writer.finish()  # type: ignore[no-untyped-call]
        self._stream.close()
