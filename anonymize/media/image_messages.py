"""Pictures inside messages of robot logs: taken out, and put back in the message's own encoding.

A message is read by the definition that this module knows, not by the one in the file: every field has a name that is
known, and a message with anything beside them is refused, for a picture could hide there.
"""

from __future__ import annotations

import base64
import binascii
import functools
import json
import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Protocol

import numpy as np

from anonymize.errors import MediaError
from anonymize.media.log_records import Channel

RAW: Final = frozenset({"sensor_msgs/Image", "foxglove.RawImage", "foxglove_msgs/RawImage"})
COMPRESSED: Final = frozenset(
    {"sensor_msgs/CompressedImage", "foxglove.CompressedImage", "foxglove_msgs/CompressedImage"}
)
VIDEO: Final = frozenset({"foxglove.CompressedVideo", "foxglove_msgs/CompressedVideo"})
_RAW_FIELDS: Final = frozenset({"timestamp", "frame_id", "width", "height", "encoding", "step", "data"})
_COMPRESSED_FIELDS: Final = frozenset({"timestamp", "frame_id", "format", "data"})
_FOXGLOVE_ROS: Final = {
    "foxglove_msgs/msg/RawImage": "{time} timestamp\nstring frame_id\nuint32 width\nuint32 height\n"
    "string encoding\nuint32 step\nuint8[] data\n",
    "foxglove_msgs/msg/CompressedImage": "{time} timestamp\nstring frame_id\nuint8[] data\nstring format\n",
    "foxglove_msgs/msg/CompressedVideo": "{time} timestamp\nstring frame_id\nuint8[] data\nstring format\n",
}


@dataclass(frozen=True, slots=True)
class RawImage:
    """Pixels as a message holds them: `step` bytes a line, in the words of ROS for their order."""

    width: int
    height: int
    encoding: str
    step: int
    data: bytes = field(repr=False)
    big_endian: bool = False


@dataclass(frozen=True, slots=True)
class CompressedImage:
    """A picture file inside a message."""

    data: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class VideoPicture:
    """One picture of a stream, as it is coded; `form` is the message's word for the codec."""

    data: bytes = field(repr=False)
    form: str


Image = RawImage | CompressedImage | VideoPicture


class ImageCodec(Protocol):
    """Reads and writes the messages of one channel."""

    def read(self, data: bytes) -> Image:
        """The picture in a message.

        Raises
        ------
        MediaError
            The message is not what its channel says; the sentence begins with "a message".
        """
        ...

    def write(self, data: bytes, pixels: bytes) -> bytes:
        """The same message with these bytes in the place of its picture's."""
        ...


def codec_for(channel: Channel) -> ImageCodec | None:
    """How pictures of this channel are read; None where schema and encoding are not ones that are known."""
    name, encodings = channel.schema_name, (channel.schema_encoding, channel.message_encoding)
    if name not in RAW | COMPRESSED | VIDEO:
        return None
    if "." not in name and encodings in (("ros2msg", "cdr"), ("ros2idl", "cdr"), ("ros1msg", "ros1")):
        return _RosCodec(name, generation=2 if encodings[1] == "cdr" else 1)
    if name.startswith("foxglove.") and encodings == ("protobuf", "protobuf"):
        return _ProtobufCodec(_message_class(channel.schema, name), name)
    if name.startswith("foxglove.") and encodings == ("jsonschema", "json"):
        return _JsonCodec(name)
    return None


def _image(name: str, get: Callable[[str], Any], data: bytes) -> Image:
    """The picture of a message of schema `name`, its fields asked for by `get`."""
    if name in COMPRESSED:
        return CompressedImage(data)
    if name in VIDEO:
        return VideoPicture(data, str(get("format")))
    numbers = [get(field_name) for field_name in ("width", "height", "step")]
    if not all(isinstance(number, int) and 0 < number < 1 << 31 for number in numbers):
        raise MediaError(
            f"a message has a picture of {numbers[0]} x {numbers[1]} px in lines of {numbers[2]} bytes"
        )
    width, height, step = numbers
    if len(data) != height * step:
        raise MediaError(f"a message has {len(data):,} bytes of pixels; wanted {height} lines of {step}")
    return RawImage(width, height, str(get("encoding")), step, data)


# -- ROS 1 and ROS 2 -----------------------------------------------------------------------------------------


@functools.cache
def _store(generation: int) -> Any:
    """The definitions of ROS 1 Noetic or ROS 2 Humble, and Foxglove's pictures."""
    from rosbags.typesys import Stores, get_types_from_msg, get_typestore

    store = get_typestore(Stores.ROS2_HUMBLE if generation == 2 else Stores.ROS1_NOETIC)
    time = "builtin_interfaces/Time" if generation == 2 else "time"
    for name, text in _FOXGLOVE_ROS.items():
        store.register(get_types_from_msg(text.format(time=time), name))
    return store


@dataclass(frozen=True, slots=True)
class _RosCodec:
    name: str
    generation: int

    def _parse(self, data: bytes) -> Any:
        from rosbags.serde import SerdeError

        store = _store(self.generation)
        read = store.deserialize_cdr if self.generation == 2 else store.deserialize_ros1
        try:
            return read(data, self._type)
        # rosbags checks by assertions, too, and lets struct and numpy say the rest
        except (
            SerdeError,
            AssertionError,
            ArithmeticError,
            LookupError,
            MemoryError,
            TypeError,
            ValueError,
            struct.error,
        ) as fault:
            raise MediaError(f"a message is no {self.name}: {type(fault).__name__}") from None

    @property
    def _type(self) -> str:
        package, _, short = self.name.partition("/")
        return f"{package}/msg/{short}"

    def read(self, data: bytes) -> Image:
        message = self._parse(data)
        image = _image(self.name, lambda name: _plain(getattr(message, name)), message.data.tobytes())
        if isinstance(image, RawImage) and getattr(message, "is_bigendian", False):
            return RawImage(
                image.width, image.height, image.encoding, image.step, image.data, big_endian=True
            )
        return image

    def write(self, data: bytes, pixels: bytes) -> bytes:
        message = self._parse(data)
        values = {
            name: getattr(message, name) for name in message.__dataclass_fields__ if name != "__msgtype__"
        }
        values["data"] = np.frombuffer(pixels, np.uint8)
        store = _store(self.generation)
        written = store.types[self._type](**values)
        if self.generation == 1:
            return bytes(store.serialize_ros1(written, self._type))
        return bytes(store.serialize_cdr(written, self._type, little_endian=data[1:2] != b"\0"))


def _plain(value: Any) -> Any:
    return int(value) if isinstance(value, np.integer) else value


# -- Foxglove's schemas --------------------------------------------------------------------------------------


def _message_class(schema: bytes, name: str) -> Any:
    """The message as the file describes it, if it has the fields that are known and no other.

    Raises
    ------
    MediaError
        It has not.
    """
    from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
    from google.protobuf.message import Error

    wanted = _RAW_FIELDS if name in RAW else _COMPRESSED_FIELDS
    try:
        files = descriptor_pb2.FileDescriptorSet.FromString(schema)
        pool = descriptor_pool.DescriptorPool()
        for file in _in_order(list(files.file)):
            pool.Add(file)
        described = pool.FindMessageTypeByName(name)
    except (Error, LookupError, TypeError, ValueError) as fault:
        raise MediaError(f"a schema of {name} cannot be read: {type(fault).__name__}") from None
    kinds = {one.name: one.type for one in described.fields}
    if set(kinds) != wanted or kinds["data"] != described.fields_by_name["data"].TYPE_BYTES:
        raise MediaError(f"a schema of {name} has other fields than Foxglove's")
    return message_factory.GetMessageClass(described)


def _in_order(files: list[Any]) -> list[Any]:
    """Each file behind those that it imports."""
    ordered: list[Any] = []
    names: set[str] = set()
    while files:
        ready = [file for file in files if set(file.dependency) <= names]
        if not ready:
            raise MediaError("a schema imports what the log does not hold")
        ordered += ready
        names |= {file.name for file in ready}
        files = [file for file in files if file.name not in names]
    return ordered


@dataclass(frozen=True, slots=True)
class _ProtobufCodec:
    message_class: Any
    name: str

    def _parse(self, data: bytes) -> Any:
        from google.protobuf.message import DecodeError

        message = self.message_class()
        try:
            message.ParseFromString(data)
        except DecodeError:
            raise MediaError("a message is no Foxglove picture: DecodeError") from None
        message.DiscardUnknownFields()
        return message

    def read(self, data: bytes) -> Image:
        message = self._parse(data)
        return _image(self.name, lambda name: getattr(message, name), message.data)

    def write(self, data: bytes, pixels: bytes) -> bytes:
        message = self._parse(data)
        message.data = pixels
        return bytes(message.SerializeToString())


@dataclass(frozen=True, slots=True)
class _JsonCodec:
    name: str

    def _parse(self, data: bytes) -> dict[str, Any]:
        try:
            message = json.loads(data)
        except ValueError:
            raise MediaError("a message is no JSON") from None
        known = _RAW_FIELDS if self.name in RAW else _COMPRESSED_FIELDS
        if not isinstance(message, dict) or set(message) - known or not isinstance(message.get("data"), str):
            raise MediaError("a message has other fields than Foxglove's")
        stamp = message.get("timestamp", {})
        whole = isinstance(stamp, Mapping) and set(stamp) <= {"sec", "nsec"}
        if not whole or not all(isinstance(number, int) for number in stamp.values()):
            raise MediaError("a message has a time of another form")
        return message

    def read(self, data: bytes) -> Image:
        message = self._parse(data)
        try:
            pixels = base64.b64decode(message["data"], validate=True)
        except binascii.Error:
            raise MediaError("a message has a picture that is no base64") from None
        return _image(self.name, message.get, pixels)

    def write(self, data: bytes, pixels: bytes) -> bytes:
        message = self._parse(data)
        message["data"] = base64.b64encode(pixels).decode("ascii")
        return json.dumps(message, separators=(",", ":")).encode()
