"""Robot logs made for tests: MCAP and ROS 1 bags with pictures in every form that is read."""

from __future__ import annotations

import base64
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory, timestamp_pb2
from mcap.writer import CompressionType, Writer
from rosbags.rosbag1 import Writer as BagWriter
from rosbags.typesys import Stores, get_types_from_msg, get_typestore

from tests.media import making

WIDTH, HEIGHT = 204, 156
START_NS = 1_700_000_000_000_000_000
ROS2, ROS1 = get_typestore(Stores.ROS2_HUMBLE), get_typestore(Stores.ROS1_NOETIC)
ROS2.register(get_types_from_msg("builtin_interfaces/Time timestamp\nuint8[] data\nstring format\nstring frame_id\n",
                                 "foxglove_msgs/msg/CompressedVideo"))  # fmt: skip
# field: (number, type) of Foxglove's schemas (proto/foxglove/*.proto)
_BYTES, _STRING, _FIXED32, _MESSAGE = 12, 9, 7, 11
_PROTOBUF = {
    "foxglove.RawImage": {
        "timestamp": (1, _MESSAGE), "width": (2, _FIXED32), "height": (3, _FIXED32), "encoding": (4, _STRING),
        "step": (5, _FIXED32), "data": (6, _BYTES), "frame_id": (7, _STRING),
    },
    "foxglove.CompressedImage": {
        "timestamp": (1, _MESSAGE), "data": (2, _BYTES), "format": (3, _STRING), "frame_id": (4, _STRING),
    },
    "foxglove.CompressedVideo": {
        "timestamp": (1, _MESSAGE), "frame_id": (2, _STRING), "data": (3, _BYTES), "format": (4, _STRING),
    },
}  # fmt: skip


@dataclass(frozen=True)
class Topic:
    """One channel of a made log and its messages."""

    name: str
    schema: tuple[str, str, bytes]
    encoding: str
    messages: Sequence[bytes]


def stamp(number: int) -> int:
    """The time of the n-th message, ns."""
    return START_NS + 40_000_000 * number


def packed(encoding: str, pixels: npt.NDArray[np.uint8], padding: bytes = b"") -> tuple[int, bytes]:
    """(bytes a line, bytes) of RGB pixels in an encoding of sensor_msgs, with `padding` behind each line."""
    gray = pixels.mean(axis=2).astype(np.uint8)
    if encoding in ("mono8", "8UC1"):
        lines = gray
    elif encoding in ("rgb8", "bgr8"):
        lines = pixels if encoding == "rgb8" else pixels[..., ::-1]
    elif encoding in ("rgba8", "bgra8"):
        alpha = gray[..., None]  # a picture of its own
        lines = np.concatenate([pixels if encoding == "rgba8" else pixels[..., ::-1], alpha], axis=2)
    elif encoding in ("yuv422", "yuv422_yuy2"):
        y, u, v = gray, pixels[:, ::2, 2], pixels[:, ::2, 0]
        lines = np.zeros((*gray.shape, 2), np.uint8)
        luma, chroma = (1, 0) if encoding == "yuv422" else (0, 1)
        lines[..., luma], lines[:, ::2, chroma], lines[:, 1::2, chroma] = y, u, v
    else:
        lines = np.repeat(gray[..., None], 2, axis=2)  # 16 bits of something
    flat = np.ascontiguousarray(lines).reshape(len(lines), -1)
    return flat.shape[1] + len(padding), b"".join(line.tobytes() + padding for line in flat)


def ros_image(generation: int, encoding: str, number: int = 0, padding: bytes = b"") -> bytes:
    """A message of sensor_msgs/Image."""
    store = ROS2 if generation == 2 else ROS1
    step, data = packed(encoding, making.street(WIDTH, HEIGHT), padding)
    message = store.types["sensor_msgs/msg/Image"](
        header=_header(store, number), height=HEIGHT, width=WIDTH, encoding=encoding, is_bigendian=0, step=step,
        data=np.frombuffer(data, np.uint8),
    )  # fmt: skip
    return _serialized(store, message, "sensor_msgs/msg/Image")


def ros_compressed(generation: int, picture: bytes, number: int = 0, words: str = "jpeg") -> bytes:
    """A message of sensor_msgs/CompressedImage."""
    store = ROS2 if generation == 2 else ROS1
    message = store.types["sensor_msgs/msg/CompressedImage"](
        header=_header(store, number), format=words, data=np.frombuffer(picture, np.uint8)
    )
    return _serialized(store, message, "sensor_msgs/msg/CompressedImage")


def _header(store: Any, number: int) -> Any:
    time = store.types["builtin_interfaces/msg/Time"](
        sec=stamp(number) // 10**9, nanosec=stamp(number) % 10**9
    )
    extra = {"seq": number} if store is ROS1 else {}
    return store.types["std_msgs/msg/Header"](stamp=time, frame_id="front_left", **extra)


def _serialized(store: Any, message: Any, name: str) -> bytes:
    return bytes(store.serialize_ros1(message, name) if store is ROS1 else store.serialize_cdr(message, name))


def ros_schema(generation: int, name: str) -> tuple[str, str, bytes]:
    """A schema as rosbag2 (or a converted bag) puts it into MCAP."""
    store = ROS2 if generation == 2 else ROS1
    text, _ = store.generate_msgdef(name, ros_version=generation)
    short = name if generation == 2 else name.replace("/msg/", "/")
    return short, f"ros{generation}msg", text.encode()


def protobuf_schema(name: str, extra: dict[str, tuple[int, int]] | None = None) -> tuple[str, str, bytes]:
    """A schema as Foxglove's tools put it into MCAP."""
    file = descriptor_pb2.FileDescriptorProto(
        name="picture.proto",
        package="foxglove",
        syntax="proto3",
        dependency=["google/protobuf/timestamp.proto"],
    )
    message = file.message_type.add(name=name.partition(".")[2])
    for field, (number, kind) in (_PROTOBUF[name] | (extra or {})).items():
        described = message.field.add(name=field, number=number, type=kind, label=1)
        if kind == _MESSAGE:
            described.type_name = ".google.protobuf.Timestamp"
    times = descriptor_pb2.FileDescriptorProto()
    timestamp_pb2.DESCRIPTOR.CopyToProto(times)
    return name, "protobuf", descriptor_pb2.FileDescriptorSet(file=[file, times]).SerializeToString()


def protobuf_class(name: str) -> Any:
    """The message class of such a schema."""
    pool = descriptor_pool.DescriptorPool()
    for file in reversed(descriptor_pb2.FileDescriptorSet.FromString(protobuf_schema(name)[2]).file):
        pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName(name))


def foxglove(name: str, form: str, number: int = 0, **fields: Any) -> bytes:
    """A message of one of Foxglove's pictures, as protobuf or JSON."""
    seconds, nanoseconds = divmod(stamp(number), 10**9)
    if form == "json":
        fields["data"] = base64.b64encode(fields["data"]).decode()
        return json.dumps(
            {"timestamp": {"sec": seconds, "nsec": nanoseconds}, "frame_id": "f", **fields}
        ).encode()
    message = protobuf_class(name)(frame_id="f", **fields)
    message.timestamp.seconds, message.timestamp.nanos = seconds, nanoseconds
    return bytes(message.SerializeToString())


def write_mcap(
    path: Path,
    topics: Sequence[Topic],
    *,
    compression: str = "zstd",
    chunked: bool = True,
    attachment: bytes = b"",
) -> Path:
    """An MCAP file: the n-th messages of all topics follow one another; a chunk for two rounds."""
    kinds = {"zstd": CompressionType.ZSTD, "lz4": CompressionType.LZ4, "": CompressionType.NONE}
    with path.open("wb") as stream:
        writer = Writer(stream, chunk_size=1 << 40, compression=kinds[compression], use_chunking=chunked)
        writer.start(profile="ros2")
        channels = []
        for topic in topics:
            number = writer.register_schema(*topic.schema) if any(topic.schema) else 0
            channels.append(
                writer.register_channel(topic.name, topic.encoding, number, {"qos": "best effort"})
            )
        writer.add_metadata("drive", {"software": "1.2"})
        if attachment:
            writer.add_attachment(
                START_NS, START_NS, "calibration.bin", "application/octet-stream", attachment
            )
        for turn in range(max(len(topic.messages) for topic in topics)):
            for place, topic in enumerate(topics):
                if turn < len(topic.messages):
                    at = stamp(turn) + place
                    writer.add_message(
                        channels[place], at, topic.messages[turn], at - 5_000, sequence=turn + 7
                    )
            if turn % 2:
                writer.flush()
        writer.finish()
    return path


def write_bag(path: Path, topics: dict[str, tuple[str, Sequence[bytes]]], compression: str = "none") -> Path:
    """A ROS 1 bag: topic to type and messages."""
    writer = BagWriter(path)
    if compression != "none":
        writer.set_compression(BagWriter.CompressionFormat[compression.upper()])
    writer.open()
    for place, (topic, (name, messages)) in enumerate(topics.items()):
        connection = writer.add_connection(topic, name, typestore=ROS1, callerid="/camera_node", latching=0)
        for turn, data in enumerate(messages):
            writer.write(connection, stamp(turn) + place, data)
    writer.close()
    return path
