"""What robot logs are made of, whatever their container: channels, messages, and what stands beside them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Protocol


@dataclass(frozen=True, slots=True)
class Channel:
    """One source of messages in a log.

    Attributes
    ----------
    number : int
        What messages name it by, in this file.
    topic : str
    schema_name : str
        ROS types in their short form, "sensor_msgs/Image", whatever generation wrote them.
    schema_encoding : str
        ros1msg, ros2msg, ros2idl, protobuf, jsonschema, ...; empty where the container says none.
    message_encoding : str
        cdr, ros1, protobuf, json, ...
    schema : bytes
        The definition, in that encoding.
    native : object
        As the container's own library describes it; for the writer of the same container.
    """

    number: int
    topic: str
    schema_name: str
    schema_encoding: str
    message_encoding: str
    schema: bytes = field(repr=False)
    native: Any = field(repr=False, compare=False, default=None)


@dataclass(frozen=True, slots=True)
class LogMessage:
    """One message: times in ns of the log's own clocks, `data` as it is stored."""

    channel: int
    time_ns: int
    published_ns: int
    sequence: int
    data: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class LogNote:
    """A named set of texts that belongs to the whole log (MCAP's Metadata)."""

    name: str
    values: Mapping[str, str] = field(repr=False)


@dataclass(frozen=True, slots=True)
class LogAttachment:
    """A file inside the log."""

    name: str
    media_type: str
    time_ns: int
    created_ns: int
    data: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class ChunkEnd:
    """Here a chunk of the container ends."""


Record = Channel | LogMessage | LogNote | LogAttachment | ChunkEnd


class LogReader(Protocol):
    """Reads one log, in the order in which its container hands it out."""

    def records(self) -> Iterator[Record]:
        """Every record; a channel comes before its messages. May be called again: it then begins anew.

        Raises
        ------
        MediaError
            The log is truncated or damaged; the message ends the sentence "it ...".
        """
        ...

    @property
    def position(self) -> int:
        """Bytes of the file that are read, about."""
        ...

    def __enter__(self) -> LogReader: ...

    def __exit__(
        self, kind: type[BaseException] | None, fault: BaseException | None, trace: TracebackType | None
    ) -> None: ...


class LogWriter(Protocol):
    """Writes a log of the same kind as the one that it was made for."""

    def add(self, record: Record) -> None:
        """Write one record; the channels, messages and notes that came are all that the file holds."""
        ...

    def close(self) -> None:
        """Complete the file."""
        ...


def short_type(name: str) -> str:
    """A ROS type without the folder that ROS 2 puts between: "sensor_msgs/msg/Image" as "sensor_msgs/Image"."""
    parts = name.split("/")
    return f"{parts[0]}/{parts[2]}" if len(parts) == 3 and parts[1] == "msg" else name
