"""Robot logs by their content: MCAP, ROS 1 bags, ROS 2 bags in SQLite storage."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Final

from anonymize.errors import MediaError, UsageError
from anonymize.media import logs_bag1, logs_mcap, logs_sqlite
from anonymize.media.log_records import LogReader, LogWriter
from anonymize.media.logs_bag1 import Bag1Reader, Bag1Writer
from anonymize.media.logs_mcap import McapReader, McapWriter
from anonymize.media.logs_sqlite import SqliteReader, SqliteWriter

_LIBRARIES: Final = ("mcap", "rosbags", "google.protobuf")  # containers, and messages in any of them


def is_log(path: Path) -> bool:
    """Whether the file at `path` begins as a robot log does."""
    try:
        with path.open("rb") as stream:
            return _kind(stream.read(16)) is not None
    except OSError:
        return False


def open_log(path: Path) -> LogReader:
    """A reader for the log at `path`, whatever its name says.

    Raises
    ------
    MediaError
        It is no log, or cannot be read; the message ends the sentence "it ...".
    UsageError
        A library is missing.
    """
    try:
        with path.open("rb") as stream:
            kind = _kind(stream.read(16))
        if kind is None:
            raise MediaError("is no MCAP file, ROS 1 bag or ROS 2 bag")
        for name in _LIBRARIES:
            importlib.import_module(name)
        return kind(path)
    except ImportError as fault:
        raise UsageError(f"robot logs need {fault.name}; wanted vehicle-anonymize[archive]") from fault
    except MediaError:
        raise
    except OSError as fault:
        raise MediaError(f"cannot be read: {fault.strerror or type(fault).__name__}") from None


def create_log(path: Path, source: LogReader) -> LogWriter:
    """A writer for a new log at `path`, of the kind, compression and version of `source`."""
    if isinstance(source, McapReader):
        return McapWriter(path, source)
    if isinstance(source, Bag1Reader):
        return Bag1Writer(path, source)
    if isinstance(source, SqliteReader):
        return SqliteWriter(path, source)
    raise TypeError(f"a log was to be written like a {type(source).__name__}")


def _kind(start: bytes) -> type[McapReader] | type[Bag1Reader] | type[SqliteReader] | None:
    if start.startswith(logs_mcap.MAGIC):
        return McapReader
    if start.startswith(logs_bag1.MAGIC):
        return Bag1Reader
    if start.startswith(logs_sqlite.MAGIC):
        return SqliteReader
    return None
